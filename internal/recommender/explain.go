package recommender

import (
	"cmp"
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

// Explain appends to dst the largest parts of a book's score for a reader with
// these own books, at most limit of them, or all when limit is 0 or less. The
// shares of all parts add up to 1: they are the terms of the sum that
// Recommend ranks by, divided by it. An own book that speaks against the book
// has a share below 0, which others make up for; with a limit only those that
// speak for it are given. A book that nothing speaks for on the whole has no
// parts.
func (m *Model) Explain(own []Own, book int32, limit int, dst []Share) []Share {
	if book < 0 || int(book) >= len(m.prior) {
		return dst
	}
	start := len(dst)
	candidate := false
	for _, o := range latest(own) {
		if w, ok := m.speaks(o); ok {
			v := m.says(o.Book, w, book)
			candidate = candidate || v != 0
			dst = append(dst, Share{Book: o.Book, Share: v})
		}
	}
	if candidate {
		m.addFactorTerms(own, book, dst[start:])
	}
	if prior := m.prior[book]; prior > 0 {
		dst = append(dst, Share{Book: Popularity, Share: prior})
	}
	var sum float64
	for _, part := range dst[start:] {
		sum += float64(part.Share)
	}
	if sum <= 0 {
		return dst[:start]
	}
	parts := slices.DeleteFunc(dst[start:], func(s Share) bool {
		return s.Share == 0 || limit > 0 && s.Share < 0
	})
	for k := range parts {
		parts[k].Share = float32(float64(parts[k].Share) / sum)
	}
	slices.SortStableFunc(parts, func(a, b Share) int { return cmp.Compare(b.Share, a.Share) })
	if limit > 0 {
		parts = parts[:min(limit, len(parts))]
	}
	return dst[:start+len(parts)]
}

// addFactorTerms adds what the factors of each own book say about a book. terms
// has the own books that speak, oldest first.
func (m *Model) addFactorTerms(own []Own, book int32, terms []Share) {
	s := m.scratch.Get().(*scratch)
	defer m.scratch.Put(s)
	r := &s.reader
	m.meet(r, own)
	if !r.known {
		return
	}
	point := m.factors.of(book)
	for k, h := range r.own {
		terms[len(terms)-1-k].Share += r.y[k] * vector.Dot(point, m.factors.of(h))
	}
}
