package sqlitedb

import (
	"database/sql"
	"errors"
	"math"

	"github.com/octavo-books/octavo/fault"
)

// IDs gives ids, from 1 to the largest int32, to the new rows of one change.
type IDs struct {
	// Taken tells whether a row has the id.
	Taken func(id int32) (bool, error)
	// Last is the largest id of any row, 0 when there are none.
	Last func() (int64, error)
	// Free is the smallest id above that of a row and not a row's itself;
	// sql.ErrNoRows when there is none.
	Free func() (int64, error)

	wanted map[int32]bool
	next   int64
}

// Reserve keeps ids that rows later in the change would like to have from
// being given to others. 0 is no id.
func (g *IDs) Reserve(id int32) {
	if g.wanted == nil {
		g.wanted = make(map[int32]bool)
	}
	g.wanted[id] = true
}

// Choose returns the wanted id if it is free, otherwise one above all others,
// otherwise, when numbers have run out there, one that was left free.
func (g *IDs) Choose(wanted int32) (int32, error) {
	if wanted > 0 {
		if taken, err := g.Taken(wanted); err != nil || !taken {
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
		if taken, err := g.Taken(id); err != nil || !taken {
			return id, err
		}
	}
	if taken, err := g.Taken(1); err != nil || !taken {
		return 1, err
	}
	id, err := g.Free()
	if errors.Is(err, sql.ErrNoRows) {
		return 0, fault.New(fault.Exhausted, "there are no ids left")
	}
	return int32(id), err
}
