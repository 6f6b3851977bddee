package recommender

import (
	"math"
	"slices"

	"github.com/octavo-books/octavo/internal/vector"
)

// Own is one of a reader's own books.
type Own struct {
	Book   int32   // the model's index of it
	Weight float32 // by Model.Weights; below 0 the book pushes down what is like it
}

// Query asks for the best books for a reader.
type Query struct {
	Own       []Own   // the reader's own books, oldest first
	Exclude   []int32 // indices of books not to return: those seen, and others
	Category  uint8   // 0 for all
	Limit     int     // how many, at most the number of books
	Diversity float32 // 0 for the best by score to 1 for the most unlike one another
}

// Scored is a book and the score that ranked it.
type Scored struct {
	Book  int32 // the model's index of it
	Score float32
}

const (
	// longHistory is how many of a reader's own books count, the latest. It
	// bounds the work for one reader.
	longHistory = 250
	// mostOwn bounds the weight of one own book.
	mostOwn = 1e6
)

// latest are the own books that count.
func latest(own []Own) []Own { return own[max(0, len(own)-longHistory):] }

// speaks reports whether an own book adds to scores, and with what weight.
func (m *Model) speaks(o Own) (float32, bool) {
	ok := o.Weight > leastWeight && o.Book >= 0 && int(o.Book) < len(m.prior)
	return min(o.Weight, mostOwn), ok
}

// scratch is what one answer is computed in; it is handed from one to the next.
type scratch struct {
	sum        []float32 // by book; untouched between answers
	touched    []int32   // books that have a sum, first the candidates
	candidates int       // how many these are; of the others something speaks against alone
	barred     []int32   // books that have a negative one, not to be returned
	best       best
	reader     reader

	// By candidate, see bounds:
	sums   []float32 // without factors, rounded up
	most   []float32 // what the score is at most
	first  best      // of sums, with places among the candidates for books
	chosen []int32   // places of those that are looked at as a whole

	// Of an explanation:
	heard    []Own     // the own books that speak
	speaking int       // how many of the books heard speak for others, the first; the others against
	asked    []uint8   // by book: its place among those explained, from 1; 0 between answers
	terms    []float32 // by book explained, then by book heard
	parts    []Share
}

// Recommend appends to dst the best books for the reader of q, best first: the
// true best of all books that q allows, by the sum that Explain takes apart. A
// reader without books of weight gets the popular ones. It returns fewer than
// q.Limit only when q does not allow more. It may be called from many
// goroutines.
func (m *Model) Recommend(q Query, dst []Scored) []Scored {
	limit := min(q.Limit, len(m.prior))
	if limit <= 0 {
		return dst
	}
	s := m.scratch.Get().(*scratch)
	defer m.scratch.Put(s)
	m.exclude(s, q.Exclude)
	m.accumulate(s, q.Own, q.Category)
	s.candidates = len(s.touched)
	m.oppose(s, q.Own, q.Category)
	m.meet(&s.reader, q.Own)

	head := limit
	if q.Diversity > 0 {
		head = min(diverseHead(limit), len(m.prior))
	}
	m.selectBest(s, q.Category, head)
	if q.Diversity > 0 {
		return m.diversify(s.best.sorted(), limit, min(q.Diversity, 1), dst)
	}
	for _, key := range s.best.sorted() {
		dst = append(dst, rankOf(key))
	}
	return dst
}

// exclude bars books by a sum: who has one is not met for the first time, and so
// never touched.
func (m *Model) exclude(s *scratch, books []int32) {
	for _, b := range books {
		if b >= 0 && int(b) < len(s.sum) && isUntouched(s.sum[b]) {
			s.sum[b] = barredSum
			s.barred = append(s.barred, b)
		}
	}
}

const barredSum = -1e37

// untouched is the sum of a book nobody has added anything to: -0, which no
// sum of numbers that are not all 0 comes to, so that it tells such books apart
// and is not in the way of adding.
var untouched = math.Float32frombits(untouchedBits)

const untouchedBits = 1 << 31

func isUntouched(sum float32) bool { return math.Float32bits(sum) == untouchedBits }

// ahead is how many lists are on their way from memory while one is read.
const ahead = 8

// fetch has the list of an own book brought near, which takes longer than
// adding it up, and its point, which meet asks for.
func (m *Model) fetch(o Own) {
	if _, ok := m.speaks(o); ok {
		vector.Prefetch(m.near.of(o.Book))
		m.fetchPoint(o.Book)
	}
}

// accumulate sums up what the own books say for their neighbours of a category.
func (m *Model) accumulate(s *scratch, own []Own, category uint8) {
	own = latest(own)
	for i := range min(ahead, len(own)) {
		m.fetch(own[i])
	}
	for i, o := range own {
		if i+ahead < len(own) {
			m.fetch(own[i+ahead])
		}
		w, ok := m.speaks(o)
		if !ok {
			continue
		}
		list := m.within(m.near.of(o.Book), category)
		n := len(s.touched)
		s.touched = slices.Grow(s.touched, len(list))
		n += addUp(list, m.near.low, w*m.near.scale[o.Book], s.sum, s.touched[n:n+len(list)])
		s.touched = s.touched[:n]
	}
}

// addUp adds a list to the sums, and notes in touched which books are met for
// the first time; it returns how many. touched has room for the whole list. Left
// by itself, the loop keeps all it needs in registers.
//
//go:noinline
func addUp(list []uint32, low uint, scale float32, sum []float32, touched []int32) (n int) {
	low &= 31
	mask := uint32(1)<<low - 1
	for _, word := range list {
		b := word & mask
		v := sum[b]
		// Which books are met first is as good as random: they are all noted
		// down, and only those are kept.
		touched[n] = int32(b)
		if isUntouched(v) {
			n++
		}
		sum[b] = v + float32(scale*float32(int32(word)>>low))
	}
	return n
}

// selectBest leaves the best of the category in s.best and clears the sums.
func (m *Model) selectBest(s *scratch, category uint8, limit int) {
	s.best.keys, s.best.limit = s.best.keys[:0], limit
	m.selectCandidates(s, limit)
	for _, b := range s.touched[s.candidates:] {
		s.best.add(rankKey(s.sum[b]+m.prior[b], b))
	}
	// Of the others only the prior speaks, and they are in its order.
	for _, b := range m.popular(category) {
		key := rankKey(m.prior[b], b)
		if s.best.full() && key < s.best.least() {
			break
		}
		if isUntouched(s.sum[b]) {
			s.best.add(key)
		}
	}
	for _, b := range s.touched {
		s.sum[b] = untouched
	}
	for _, b := range s.barred {
		s.sum[b] = untouched
	}
	s.touched, s.barred = s.touched[:0], s.barred[:0]
}

// selectCandidates selects among the candidates, beginning with the best without
// factors. Of the others it looks only at those that could be among the best if
// their factors pointed straight at the reader (Cauchy and Schwarz). Points are
// on their way from memory before they are needed.
func (m *Model) selectCandidates(s *scratch, limit int) {
	candidates := s.touched[:s.candidates]
	s.sums = slices.Grow(s.sums[:0], len(candidates))[:len(candidates)]
	s.most = slices.Grow(s.most[:0], len(candidates))[:len(candidates)]
	m.bounds.weigh(candidates, s.sum, s.reader.length, s.sums, s.most)

	first := &s.first
	first.keys, first.limit = first.keys[:0], limit
	least := float32(math.Inf(-1))
	for i, sum := range s.sums {
		if sum > least {
			if first.add(rankKey(sum, int32(i))); first.full() {
				least = rankOf(first.least()).Score
			}
		}
	}
	s.chosen = s.chosen[:0]
	for _, key := range first.keys {
		s.chosen = append(s.chosen, rankOf(key).Book)
	}
	m.addWhole(s, s.chosen)
	if !s.best.full() {
		return // these were all
	}
	for _, i := range s.chosen {
		s.most[i] = float32(math.Inf(-1))
	}
	s.chosen = s.chosen[:0]
	nearest := rankOf(s.best.least()).Score
	for i, most := range s.most {
		if most >= nearest {
			s.chosen = append(s.chosen, int32(i))
		}
	}
	m.addWhole(s, s.chosen)
}

// addWhole adds the candidates at these places with their whole scores to the
// best, as far as they can be among them.
func (m *Model) addWhole(s *scratch, places []int32) {
	nearest := float32(math.Inf(-1))
	for _, i := range places[:min(pointsAhead, len(places))] {
		m.fetchPoint(s.touched[i])
	}
	for k, i := range places {
		if k+pointsAhead < len(places) {
			m.fetchPoint(s.touched[places[k+pointsAhead]])
		}
		if s.best.full() {
			nearest = rankOf(s.best.least()).Score
		}
		if s.most[i] < nearest {
			continue
		}
		b := s.touched[i]
		score := s.sum[b] + m.prior[b]
		if s.reader.known {
			score += s.reader.likes(m, b)
		}
		s.best.add(rankKey(score, b))
	}
}

// pointsAhead is how many points are on their way from memory while one is
// multiplied.
const pointsAhead = 16

// fetchPoint has the point of a book brought near.
func (m *Model) fetchPoint(book int32) {
	if m.factorWeight != 0 {
		vector.Prefetch(m.factors.of(book))
	}
}

// popular are the books of a category, or all for 0, by falling prior.
func (m *Model) popular(category uint8) []int32 {
	return m.order[m.shelves[category].from:m.shelves[category].to]
}

// Similar appends to dst the books that are most read together with one, best
// first; none when too few have read it. The score is the weight as a neighbour;
// a book that speaks against another is not like it.
func (m *Model) Similar(book int32, limit int, dst []Scored) []Scored {
	if book < 0 || int(book) >= len(m.prior) || limit <= 0 {
		return dst
	}
	list := m.near.of(book)
	keys := make([]uint64, 0, len(list))
	for _, word := range list {
		if weight := m.near.weight(word); weight > 0 {
			keys = append(keys, rankKey(m.near.scale[book]*weight, m.near.book(word)))
		}
	}
	slices.Sort(keys)
	for _, key := range slices.Backward(keys[max(0, len(keys)-limit):]) {
		dst = append(dst, rankOf(key))
	}
	return dst
}
