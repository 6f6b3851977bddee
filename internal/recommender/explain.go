package recommender

import (
	"cmp"
	"slices"
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
// Recommend ranks by, divided by it. A book that nothing speaks for has no
// parts.
func (m *Model) Explain(own []Own, book int32, limit int, dst []Share) []Share {
	if book < 0 || int(book) >= len(m.prior) {
		return dst
	}
	start := len(dst)
	var sum float64
	for _, o := range latest(own) {
		if w, ok := m.speaks(o); ok {
			if term := w * m.near.weigh(o.Book, book); term > 0 {
				dst = append(dst, Share{Book: o.Book, Share: term})
				sum += float64(term)
			}
		}
	}
	if prior := m.prior[book]; prior > 0 {
		dst = append(dst, Share{Book: Popularity, Share: prior})
		sum += float64(prior)
	}
	parts := dst[start:]
	for k := range parts {
		parts[k].Share = float32(float64(parts[k].Share) / sum)
	}
	slices.SortStableFunc(parts, func(a, b Share) int { return cmp.Compare(b.Share, a.Share) })
	if limit > 0 && len(parts) > limit {
		dst = dst[:start+limit]
	}
	return dst
}
