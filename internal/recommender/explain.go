package recommender

import (
	"cmp"
	"math"
	"slices"

	"github.com/octavo-books/octavo/internal/vector"
)

// Popularity stands for the popularity prior where a book of the reader's own
// would be named.
const Popularity int32 = -1

// Share is the part of a book's score that one cause has.
type Share struct {
	Book  int32 // the reader's own book, or Popularity
	Share float32
}

// atOnce is how many books are explained in one pass over the lists.
const atOnce = math.MaxUint8

// Explain tells the largest parts of the scores of books, each named once, for
// a reader with these own books: of each book at most limit parts, or all when
// limit is 0 or less. at is the book's place in books; parts are good until
// tell returns, and tell is not called for books that do not exist. The shares
// of all parts add up to 1: they are the terms of the sum that Recommend ranks
// by, divided by it. An own book that speaks against the book has a share below
// 0, which others make up for; with a limit only those that speak for it are
// given. A book that nothing speaks for on the whole has no parts.
func (m *Model) Explain(own []Own, books []int32, limit int, tell func(at int, parts []Share)) {
	if len(m.prior) == 0 {
		return
	}
	s := m.scratch.Get().(*scratch)
	defer m.scratch.Put(s)
	s.heard = s.heard[:0]
	for _, o := range latest(own) {
		if w, ok := m.speaks(o); ok {
			s.heard = append(s.heard, Own{o.Book, w})
		}
	}
	s.speaking = len(s.heard)
	for _, o := range latest(own) {
		if w, ok := m.opposes(o); ok {
			s.heard = append(s.heard, Own{o.Book, -w})
		}
	}
	m.meet(&s.reader, own)
	for first := 0; first < len(books); first += atOnce {
		some := books[first:min(first+atOnce, len(books))]
		m.gatherTerms(s, some)
		for k, b := range some {
			if b >= 0 && int(b) < len(m.prior) {
				tell(first+k, m.partsOf(s, b, s.terms[k*len(s.heard):(k+1)*len(s.heard)], limit))
			}
		}
	}
}

// gatherTerms leaves in s.terms what each book heard says of each of books as
// its neighbour. It goes through the lists once for all of them, which takes
// less time than looking for each.
func (m *Model) gatherTerms(s *scratch, books []int32) {
	n := len(s.heard)
	s.terms = slices.Grow(s.terms[:0], n*len(books))[:n*len(books)]
	clear(s.terms)
	category, alike := uint8(0), true
	for k, b := range books {
		if b < 0 || int(b) >= len(m.prior) {
			continue
		}
		s.asked[b] = uint8(k + 1)
		if c := m.categories[b]; category == 0 {
			category = c
		} else if c != category {
			alike = false
		}
		alike = alike && category != 0
	}
	if !alike {
		category = 0
	}
	low := m.near.low & 31
	mask := uint32(1)<<low - 1
	for h, o := range s.heard {
		scale := o.Weight * m.near.scale[o.Book]
		for _, word := range m.within(m.near.of(o.Book), category) {
			if k := int(s.asked[word&mask]); k != 0 {
				v := scale * float32(int32(word)>>low)
				if h >= s.speaking {
					v = min(v, 0)
				}
				s.terms[(k-1)*n+h] = v
			}
		}
	}
	for _, b := range books {
		if b >= 0 && int(b) < len(m.prior) {
			s.asked[b] = 0
		}
	}
}

// partsOf are the largest parts of a book's score, of which terms has what the
// books heard say as neighbours.
func (m *Model) partsOf(s *scratch, book int32, terms []float32, limit int) []Share {
	candidate := slices.ContainsFunc(terms[:s.speaking], func(v float32) bool { return v != 0 })
	if r := &s.reader; candidate && r.known {
		point := m.factors.of(book)
		for k, h := range r.own {
			terms[s.speaking-1-k] += r.y[k] * vector.Dot(point, m.factors.of(h))
		}
	}
	sum := float64(m.prior[book])
	for _, v := range terms {
		sum += float64(v)
	}
	parts := s.parts[:0]
	if sum > 0 {
		for h, v := range terms {
			if v > 0 || v < 0 && limit <= 0 {
				parts = append(parts, Share{s.heard[h].Book, float32(float64(v) / sum)})
			}
		}
		if prior := m.prior[book]; prior > 0 {
			parts = append(parts, Share{Popularity, float32(float64(prior) / sum)})
		}
	}
	slices.SortStableFunc(parts, func(a, b Share) int { return cmp.Compare(b.Share, a.Share) })
	s.parts = parts
	if limit > 0 {
		parts = parts[:min(limit, len(parts))]
	}
	return parts
}
