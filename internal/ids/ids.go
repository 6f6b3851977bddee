// Package ids chooses the ids of new rows: those that were asked for when they
// are free, and others otherwise. Clients keep ids as int32.
//
// It knows no table; a store tells it which ids its rows have.
package ids

import (
	"math"

	"github.com/octavo-books/octavo/fault"
)

// Chooser gives ids, from 1 to the largest int32, to the new rows of one
// change.
type Chooser struct {
	// Taken tells whether a row has the id. It need not know those that have
	// been given.
	Taken func(id int32) (bool, error)
	// Last is the largest id of any row, 0 when there are none.
	Last func() (int64, error)
	// Free is the smallest id above that of a row and not a row's itself, 0
	// when there is none. It has to know those that have been given.
	Free func() (int64, error)

	wanted, given map[int32]bool
	next          int64
}

// Reserve keeps ids that rows later in the change would like to have from
// being given to others. 0 is no id.
func (g *Chooser) Reserve(id int32) {
	if g.wanted == nil {
		g.wanted = make(map[int32]bool)
	}
	g.wanted[id] = true
}

// Choose returns the wanted id if it is free, otherwise one above all others,
// otherwise, when numbers have run out there, one that was left free. It is an
// Exhausted fault when there is none.
func (g *Chooser) Choose(wanted int32) (int32, error) {
	id, err := g.choose(wanted)
	if g.given == nil {
		g.given = make(map[int32]bool)
	}
	g.given[id] = true
	return id, err
}

func (g *Chooser) choose(wanted int32) (int32, error) {
	if wanted > 0 {
		if taken, err := g.taken(wanted); err != nil || !taken {
			return wanted, err
		}
	}
	if g.next == 0 {
		last, err := g.Last()
		if err != nil {
			return 0, err
		}
		g.next = last + 1
	}
	for ; g.next <= math.MaxInt32; g.next++ {
		id := int32(g.next)
		if g.wanted[id] {
			continue
		}
		if taken, err := g.taken(id); err != nil || !taken {
			return id, err
		}
	}
	if taken, err := g.taken(1); err != nil || !taken {
		return 1, err
	}
	id, err := g.Free()
	if err == nil && id == 0 {
		err = fault.New(fault.Exhausted, "there are no ids left")
	}
	return int32(id), err
}

func (g *Chooser) taken(id int32) (bool, error) {
	if g.given[id] {
		return true, nil
	}
	return g.Taken(id)
}
