package recommender

import (
	"context"
	"math"
	"math/bits"
	"slices"
)

// perBook is how many neighbours a book keeps.
const perBook = 200

// neighbours are the lists of the books read together with each book, in the
// order of their index: those of book j are [rows[j], rows[j+1]).
type neighbours struct {
	rows   []int64
	book   []int32
	weight []float32
}

func (n *neighbours) of(j int32) ([]int32, []float32) {
	from, to := n.rows[j], n.rows[j+1]
	return n.book[from:to], n.weight[from:to]
}

// weigh returns the weight of book i among the neighbours of book j, 0 when it
// is not one of them.
func (n *neighbours) weigh(j, i int32) float32 {
	books, weights := n.of(j)
	at, ok := slices.BinarySearch(books, i)
	if !ok {
		return 0
	}
	return weights[at]
}

// row is what one book has in common with others.
type row struct {
	book  []int32
	value []float32
}

// counter counts co-readers, for one book after the other.
type counter struct {
	m       *matrix
	damp    []float32 // by reader: what a reader of so many books counts
	sum     []float32 // by book, zero between calls
	touched []int32
	out     row
}

// count returns the books that share readers with book j, in no particular
// order, and how much. The row is good until the next call.
func (c *counter) count(j int) row {
	m := c.m
	c.touched = c.touched[:0]
	for e := m.bookRows[j]; e < m.bookRows[j+1]; e++ {
		r := m.reader[e]
		f := m.readerWeight[e] * c.damp[r]
		from, to := m.readerRows[r], m.readerRows[r+1]
		weights := m.bookWeight[from:to]
		for k, b := range m.book[from:to] {
			if c.sum[b] == 0 {
				c.touched = append(c.touched, b)
			}
			c.sum[b] += f * weights[k]
		}
	}
	return c.take(j)
}

// take hands the sums out and clears them.
func (c *counter) take(j int) row {
	c.out.book, c.out.value = c.out.book[:0], c.out.value[:0]
	for _, b := range c.touched {
		if int(b) != j {
			c.out.book = append(c.out.book, b)
			c.out.value = append(c.out.value, c.sum[b])
		}
		c.sum[b] = 0
	}
	return c.out
}

// selector keeps the strongest neighbours of a book.
type selector struct {
	candidate []float32 // by book: its damping as a candidate
	keys      []uint64
	order     order
}

// order is that of the neighbours of a book. Only models that are kept need to
// have theirs found.
type order bool

const (
	byIndex   order = true
	unordered order = false
)

func selectors(n int, candidate []float32, o order) []selector {
	all := make([]selector, n)
	for w := range all {
		all[w].candidate, all[w].order = candidate, o
	}
	return all
}

// strongest returns the perBook books of r with the greatest damped values, and
// these, in the order asked for. Of equals the lower index wins.
func (s *selector) strongest(r row) row {
	s.keys = s.keys[:0]
	for k, b := range r.book {
		s.keys = append(s.keys, rankKey(r.value[k]*s.candidate[b], b))
	}
	if len(s.keys) > perBook {
		keepGreatest(s.keys, perBook)
		s.keys = s.keys[:perBook]
	}
	out := row{book: make([]int32, len(s.keys)), value: make([]float32, len(s.keys))}
	for k, key := range s.keys {
		s.keys[k] = bits.RotateLeft64(key, 32) ^ math.MaxUint32<<32
	}
	if s.order == byIndex {
		slices.Sort(s.keys)
	}
	for k, key := range s.keys {
		out.book[k] = int32(key >> 32)
		out.value[k] = fromOrdered(uint32(key))
	}
	return out
}

// shorten returns a copy of the n books of r with the greatest damped values,
// with the values they had.
func (s *selector) shorten(r row, n int) row {
	s.keys = s.keys[:0]
	for k, b := range r.book {
		s.keys = append(s.keys, rankKey(r.value[k]*s.candidate[b], int32(k)))
	}
	if len(s.keys) > n {
		keepGreatest(s.keys, n)
		s.keys = s.keys[:n]
	}
	out := row{book: make([]int32, len(s.keys)), value: make([]float32, len(s.keys))}
	for i, key := range s.keys {
		k := rankOf(key).Book
		out.book[i], out.value[i] = r.book[k], r.value[k]
	}
	return out
}

// list finds the strongest neighbours of a range of the books and turns their
// counts into weights, before the lists of all books are joined. counts gives the
// row of a book to a worker.
func list(ctx context.Context, m *matrix, p Parameters, books span, n int, done func(int), counts func(worker, j int) row) ([]row, error) {
	own := damping(m.bookSize, p.Smoothing, p.OwnExponent)
	s := selectors(n, damping(m.bookSize, p.Smoothing, p.BookExponent), byIndex)
	lists := make([]row, books.len())
	return lists, parallel(ctx, n, len(lists), done, func(w, i int) {
		j := int(books.from) + i
		near := s[w].strongest(counts(w, j))
		sharpen(near.value, own[j], p)
		lists[i] = near
	})
}

// The weights kept are within these bounds, so that no sum of them overflows or
// vanishes.
const (
	leastWeight = 1e-12
	mostWeight  = 1e12
)

// sharpen turns damped counts into what p makes of them.
func sharpen(values []float32, own float32, p Parameters) {
	var sum float64
	for k, v := range values {
		sharp := power(float64(v*own), p.Sharpness)
		values[k] = float32(sharp)
		sum += sharp
	}
	if sum > 0 && p.Evenness > 0 {
		even := float32(math.Pow(sum, -p.Evenness))
		for k := range values {
			values[k] *= even
		}
	}
}

// join puts the lists behind one another and scales them.
func join(lists []row) *neighbours {
	n := &neighbours{rows: make([]int64, len(lists)+1)}
	var strongest float64
	var books int
	for j, list := range lists {
		n.rows[j+1] = n.rows[j] + int64(len(list.book))
		if len(list.book) > 0 {
			strongest += float64(slices.Max(list.value))
			books++
		}
	}
	n.book = make([]int32, 0, n.rows[len(lists)])
	n.weight = make([]float32, 0, n.rows[len(lists)])
	if books == 0 {
		return n
	}
	scale := float64(books) / strongest
	for _, list := range lists {
		n.book = append(n.book, list.book...)
		for _, v := range list.value {
			n.weight = append(n.weight, float32(min(max(float64(v)*scale, leastWeight), mostWeight)))
		}
	}
	return n
}

// counters makes one counter for each worker.
func counters(m *matrix, readerExponent float64, n int) []counter {
	damp := make([]float32, len(m.readerSize))
	for r, size := range m.readerSize {
		damp[r] = float32(math.Pow(math.Max(float64(size), 1), -readerExponent))
	}
	all := make([]counter, n)
	for w := range all {
		all[w] = counter{m: m, damp: damp, sum: make([]float32, m.books)}
	}
	return all
}

// connect counts and lists the neighbours of a range of the books.
func connect(ctx context.Context, m *matrix, p Parameters, books span, n int, done func(int)) ([]row, error) {
	c := counters(m, p.ReaderExponent, n)
	return list(ctx, m, p, books, n, done, func(w, j int) row { return c[w].count(j) })
}
