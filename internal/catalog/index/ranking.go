package index

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
)

const (
	// With fewer books an order of them is not worth its while.
	fewBooks = 20_000
	// How many of the best known books are looked at before all are.
	bestKnown = 50_000
	// The order is made anew when more than one book of so many has changed.
	newsShare = 16
)

// ranking is the order of all books by popularity, made when somebody types and
// it is missing. It makes the first letters of a title quick: of hundreds of
// thousands of books that have such words only the best known ones are looked
// at.
type ranking struct {
	making sync.Mutex // held by who makes it; before the lock of the index
	kept   bool       // news are noted
	slots  []uint32   // most popular first, as it was; nil while there is none
	news   []uint32   // slots that have changed since
}

// note says that a book is new or has another popularity. The caller holds the
// lock of the index.
func (r *ranking) note(slot uint32, books int) {
	if !r.kept {
		return
	}
	if r.news = append(r.news, slot); len(r.news) > books/newsShare+fewBooks/newsShare {
		r.drop()
	}
}

func (r *ranking) drop() { r.kept, r.slots, r.news = false, nil, nil }

// rank makes the ranking when there is none. Others who want it meanwhile go
// without.
func (x *Index) rank() {
	x.mu.RLock()
	needed := x.ranking.slots == nil && len(x.books) > fewBooks
	x.mu.RUnlock()
	if !needed || !x.ranking.making.TryLock() {
		return
	}
	defer x.ranking.making.Unlock()
	type place struct {
		popularity int64
		id         int32
		slot       uint32
	}
	x.mu.Lock()
	places := make([]place, 0, len(x.slots))
	for slot, e := range x.books {
		if e.to > 0 {
			places = append(places, place{e.popularity, e.id, uint32(slot)})
		}
	}
	x.ranking.drop()
	x.ranking.kept = true
	x.mu.Unlock()

	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(b.popularity, a.popularity), cmp.Compare(a.id, b.id))
	})
	slots := make([]uint32, len(places))
	for i, p := range places {
		slots[i] = p.slot
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ranking.kept { // or so much has changed meanwhile that it is of no use
		x.ranking.slots = slots
	}
}

// typed looks for books that are called as somebody has begun to type, the best
// known ones first. That is the best there can be while typing, so that what
// comes after enough of them is no answer. When it does not find enough, it
// returns false, and all books have to be looked at.
func (s *search) typed(words []string) bool {
	r, d := &s.x.ranking, &s.x.words
	if r.slots == nil || s.q.Filter != (Filter{}) {
		return false
	}
	begun := make([]uint32, len(words)-1)
	for i := range begun {
		n, ok := d.numbers[words[i]]
		if !ok {
			return false
		}
		begun[i] = n
	}
	prefix, the := []byte(words[len(words)-1]), d.numbers["the"]
	begins := func(field []uint32) bool {
		last := len(begun)
		return len(field) > last && slices.Equal(field[:last], begun) && bytes.HasPrefix(d.text[d.from[field[last]]:], prefix)
	}
	found := func(slot uint32) bool {
		e := &s.x.books[slot]
		if e.to == 0 || s.seen[slot/64]&(1<<(slot%64)) != 0 {
			return false
		}
		fields := s.x.fields[e.from:e.to]
		end := slices.Index(fields, gap)
		title := fields[:end]
		called := begins(title) || len(title) > 0 && title[0] == the && begins(title[1:])
		for rest := fields[end+1:]; !called && len(rest) > 0; rest = rest[end+1:] {
			end = slices.Index(rest, gap)
			called = end == len(words) && begins(rest[:end])
		}
		if called {
			s.seen[slot/64] |= 1 << (slot % 64)
			s.take(e, Place{Class: exactName, Popularity: e.popularity, ID: e.id})
		}
		return called
	}
	for _, slot := range r.news {
		found(slot)
	}
	wanted := max(s.q.Limit+1, enough)
	for _, slot := range r.slots[:min(len(r.slots), bestKnown)] {
		if found(slot) {
			if wanted--; wanted == 0 {
				return true
			}
		}
	}
	return false
}
