package postgresdb

import (
	"context"
	"fmt"

	"github.com/octavo-books/octavo/internal/ids"
)

// Rows are the queries about the ids of a table that NewIDs needs.
type Rows interface {
	// IDsTaken are those of the ids that rows have.
	IDsTaken(ctx context.Context, ids []int32) ([]int32, error)
	// LastID and FreeID are as in ids.Chooser.
	LastID(ctx context.Context) (int64, error)
	FreeID(ctx context.Context) (int64, error)
}

// NewIDs makes a chooser of ids for one change that asks the database as seldom
// as it can: about all wanted ids at once, and about those above all others
// never. Rows may be inserted at the end; flush is called in the rare case that
// they are needed before.
func NewIDs(ctx context.Context, rows Rows, wanted []int32, flush func() error) (*ids.Chooser, error) {
	taken := make(map[int32]bool, len(wanted))
	for _, id := range wanted {
		taken[id] = false
	}
	found, err := rows.IDsTaken(ctx, wanted)
	if err != nil {
		return nil, fmt.Errorf("find which ids are taken: %w", err)
	}
	for _, id := range found {
		taken[id] = true
	}
	last, err := rows.LastID(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the last id: %w", err)
	}
	choose := &ids.Chooser{
		Taken: func(id int32) (bool, error) {
			if known, ok := taken[id]; ok || int64(id) > last {
				return known, nil
			}
			found, err := rows.IDsTaken(ctx, []int32{id})
			return len(found) > 0, err
		},
		Last: func() (int64, error) { return last, nil },
		Free: func() (int64, error) {
			if err := flush(); err != nil {
				return 0, err
			}
			return rows.FreeID(ctx)
		},
	}
	for _, id := range wanted {
		choose.Reserve(id)
	}
	return choose, nil
}
