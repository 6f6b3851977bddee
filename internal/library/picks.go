package library

import (
	"math"
	"math/rand/v2"
)

// picks is the order in which one reader comes to the books: by chance, to the
// reader's taste, and a series from its beginning.
type picks struct {
	world  *world
	random *rand.Rand
	order  []pick // a heap: the first has the next turn
	done   []bool
	place  []int  // by series: how many of its books have had their turn
	closed []bool // by series: the reader is waiting with the next book
	follow int    // the series to continue with, or noSeries
}

type pick struct {
	book int
	turn float64
}

// picks draws an order without replacement: adding Gumbel noise to logarithms
// of weights and ordering by the sum is the same as drawing one by one by weight.
func (w *world) picks(t *taste, r *rand.Rand) *picks {
	p := &picks{
		world:  w,
		random: r,
		order:  make([]pick, len(w.books)),
		done:   make([]bool, len(w.books)),
		place:  make([]int, len(w.sequences)),
		closed: make([]bool, len(w.sequences)),
		follow: noSeries,
	}
	for book := range p.order {
		noise := math.Log(r.ExpFloat64())
		p.order[book] = pick{book, noise - w.pull(t, book) - t.crowd*w.popularity[book]}
	}
	// A reader meets few of the books: a heap, unlike a sort, orders only those.
	for i := len(p.order)/2 - 1; i >= 0; i-- {
		p.sink(i)
	}
	return p
}

// next is the book whose turn it is; false when there is none left.
func (p *picks) next() (int, bool) {
	if s := p.follow; s != noSeries {
		p.follow = noSeries
		return p.continued(s), true
	}
	for len(p.order) > 0 {
		book := p.order[0].book
		last := len(p.order) - 1
		p.order[0] = p.order[last]
		p.order = p.order[:last]
		p.sink(0)
		switch s := p.world.series[book]; {
		case p.done[book]:
		case s == noSeries:
			p.done[book] = true
			return book, true
		case !p.closed[s]:
			return p.continued(s), true
		}
	}
	return 0, false
}

// sink moves a pick down to where the heap has its place.
func (p *picks) sink(i int) {
	for {
		first := 2*i + 1
		if first >= len(p.order) {
			return
		}
		if second := first + 1; second < len(p.order) && p.order[second].turn < p.order[first].turn {
			first = second
		}
		if p.order[i].turn <= p.order[first].turn {
			return
		}
		p.order[i], p.order[first] = p.order[first], p.order[i]
		i = first
	}
}

// continued is the next book of a series, which has one.
func (p *picks) continued(series int) int {
	book := p.world.sequences[series][p.place[series]]
	p.place[series]++
	p.done[book] = true
	return book
}

// met takes in how the reader liked a book: stars, or 0 when it was not read to
// the end. A series goes on while it is liked, and waits for an unread book.
func (p *picks) met(book int, stars float64) {
	s := p.world.series[book]
	if s == noSeries {
		return
	}
	if stars == 0 {
		p.closed[s] = true
		return
	}
	more := p.place[s] < len(p.world.sequences[s])
	if more && stars >= worthContinuing && p.random.Float64() < continuing {
		p.follow = s
	}
}
