package recommender

import (
	"cmp"
	"math"
	"slices"
)

// headShare is the part of all training interactions that the head of the
// catalogue, its most-read books, has. The others are the long tail.
const headShare = 0.8

// shelfmarks are what the training part says of each book, to judge answers
// beyond their accuracy by. Readers and books are those of the dataset.
type shelfmarks struct {
	readers     int
	rows        []int // the readers of book b are reader[rows[b]:rows[b+1]], increasing
	reader      []int32
	information []float64 // by book: −log₂ of the share of readers who have read it
	tail        []bool    // by book: is of the long tail
	head        int       // books that are not
}

func newShelfmarks(d *Dataset) *shelfmarks {
	m := newMatrix(d, func(e int) float32 {
		if d.marks[e]&seen == 0 {
			return 0
		}
		return 1
	})
	s := &shelfmarks{
		readers:     len(d.readers),
		rows:        m.bookRows,
		reader:      m.reader,
		information: make([]float64, m.books),
		tail:        make([]bool, m.books),
	}
	order := make([]int32, m.books)
	for b, readers := range m.readersOf {
		order[b] = int32(b)
		s.tail[b] = true
		s.information[b] = math.Log2(float64(max(s.readers, 1)) / float64(max(readers, 1)))
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(m.readersOf[b], m.readersOf[a]), cmp.Compare(a, b))
	})
	interactions := 0
	for _, b := range order {
		if float64(interactions) >= headShare*float64(len(m.book)) {
			break
		}
		interactions += int(m.readersOf[b])
		s.tail[b] = false
		s.head++
	}
	return s
}

// readersOf are the readers of a book, increasing.
func (s *shelfmarks) readersOf(book int32) []int32 {
	return s.reader[s.rows[book]:s.rows[book+1]]
}

// isNew reports whether no reader of the training part has read a book, or the
// catalogue does not have it.
func (s *shelfmarks) isNew(book int32) bool {
	return book < 0 || s.rows[book] == s.rows[book+1]
}

// novelty is the mean self-information, in bits, of the books of an answer. A
// book without readers counts as one with one reader.
func (s *shelfmarks) novelty(answer []int32) float64 {
	var sum float64
	for _, b := range answer {
		sum += s.information[b]
	}
	return sum / float64(max(len(answer), 1))
}

// longTail is the share of the books of an answer that are of the long tail.
func (s *shelfmarks) longTail(answer []int32) float64 {
	var sum float64
	for _, b := range answer {
		if s.tail[b] {
			sum++
		}
	}
	return sum / float64(max(len(answer), 1))
}

// pairMemory is how many cosines one worker remembers, 16 bytes each. Answers of
// different readers have many pairs in common.
const pairMemory = 1 << 17

// diversifier measures the diversity of one answer after the other. It is for
// one goroutine.
type diversifier struct {
	shelf  *shelfmarks
	marked []uint64  // a bit for each reader of one book
	pairs  []uint64  // the pairs remembered, by a hash of them; 0 is none
	cosine []float64 // of these
}

func newDiversifier(s *shelfmarks) *diversifier {
	return &diversifier{
		shelf:  s,
		marked: make([]uint64, (s.readers+63)/64),
		pairs:  make([]uint64, pairMemory),
		cosine: make([]float64, pairMemory),
	}
}

// diversity is 1 less the mean cosine of the readers of two books of an answer,
// over all its pairs:
//
//	cos(i,j) = |R(i) ∩ R(j)| / √(|R(i)| |R(j)|)
//
// with R(i) the readers of book i; 0 when one of them is empty. An answer of
// fewer than two books has none, 0.
func (d *diversifier) diversity(answer []int32) float64 {
	if len(answer) < 2 {
		return 0
	}
	var sum float64
	for k, i := range answer {
		marked := false
		for _, j := range answer[k+1:] {
			pair := uint64(min(i, j))<<32 | uint64(max(i, j)) // not 0: j is above i
			slot := mix(pair, 0, 0) % pairMemory
			if d.pairs[slot] != pair {
				if !marked {
					d.mark(i)
					marked = true
				}
				d.pairs[slot], d.cosine[slot] = pair, d.likeness(i, j)
			}
			sum += d.cosine[slot]
		}
		if marked {
			d.unmark(i)
		}
	}
	return 1 - sum/float64(len(answer)*(len(answer)-1)/2)
}

func (d *diversifier) mark(book int32) {
	for _, r := range d.shelf.readersOf(book) {
		d.marked[r/64] |= 1 << (r % 64)
	}
}

func (d *diversifier) unmark(book int32) {
	for _, r := range d.shelf.readersOf(book) {
		d.marked[r/64] = 0
	}
}

// likeness is the cosine of book j and i, whose readers are marked.
func (d *diversifier) likeness(i, j int32) float64 {
	common := uint64(0)
	for _, r := range d.shelf.readersOf(j) {
		common += d.marked[r/64] >> (r % 64) & 1
	}
	if common == 0 {
		return 0
	}
	return float64(common) / math.Sqrt(float64(len(d.shelf.readersOf(i)))*float64(len(d.shelf.readersOf(j))))
}
