package recommendations

import (
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/octavo-books/octavo/internal/recommender"
)

// mostShelves is how many rankings of one reader are kept, the latest: a page
// has a few, and comes back to the same.
const mostShelves = 8

// kept is what has been found out for a reader and stays true until the reader
// does something or another model answers. It holds nothing that an answer would
// not find anew, bit for bit, and does not change: a larger one takes its place.
type kept struct {
	tied    tied
	shelves []ranking // the one made last at the end
	used    atomic.Bool
}

// tied is what a ranking depends on besides the reader's history.
type tied struct {
	model  string // its version
	absent uint64 // the catalogue's generation, when it lacks books of the model; 0 otherwise
}

// ranking is the beginning of the order of a category's books for a reader,
// those left out that the reader has seen.
type ranking struct {
	category uint8
	whole    bool // there are no more
	best     []recommender.Scored
	told     told
}

// told are the reasons of the books of one answer.
type told struct {
	limit int
	books []int32 // indices in the model, in the order of the answer
	ends  []int32 // by book: where its parts end
	parts []recommender.Share
}

// forgotten stands for what was kept before the reader's history changed.
var forgotten = &kept{}

// size is the memory it takes, in bytes.
func (k *kept) size() int64 {
	if k == nil || k == forgotten {
		return 0
	}
	size := int64(unsafe.Sizeof(*k)) + int64(len(k.shelves))*int64(unsafe.Sizeof(ranking{}))
	for i := range k.shelves {
		r := &k.shelves[i]
		size += int64(len(r.best))*int64(unsafe.Sizeof(recommender.Scored{})) +
			int64(len(r.told.books)+len(r.told.ends))*int64(unsafe.Sizeof(int32(0))) +
			int64(len(r.told.parts))*int64(unsafe.Sizeof(recommender.Share{}))
	}
	return size
}

// of is the ranking of a category, nil when there is none.
func (k *kept) of(category uint8) *ranking {
	if k == nil {
		return nil
	}
	for i := range k.shelves {
		if k.shelves[i].category == category {
			return &k.shelves[i]
		}
	}
	return nil
}

// with is k with a ranking more, or another one of that category.
func (k *kept) with(tied tied, r ranking) *kept {
	next := &kept{tied: tied}
	if k != nil && k.tied == tied {
		next.shelves = make([]ranking, 0, len(k.shelves)+1)
		for _, other := range k.shelves {
			if other.category != r.category {
				next.shelves = append(next.shelves, other)
			}
		}
		next.shelves = next.shelves[max(0, len(next.shelves)-mostShelves+1):]
	}
	next.shelves = append(next.shelves, r)
	return next
}

// appendTo appends the first limit books that are not among those left out, if
// they are known.
func (r *ranking) appendTo(dst []recommender.Scored, limit int, out []int32) ([]recommender.Scored, bool) {
	if r == nil || len(r.best) < limit && !r.whole {
		return dst, false
	}
	first := len(dst)
	for _, b := range r.best {
		if len(dst)-first == limit {
			return dst, true
		}
		if !slices.Contains(out, b.Book) {
			dst = append(dst, b)
		}
	}
	return dst, r.whole || len(dst)-first == limit
}
