package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/octavo-books/octavo/internal/postgresdb"
	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/postgres/db"
)

// SetPaused implements readers.Store.
func (s *Store) SetPaused(ctx context.Context, id int32, paused bool, at time.Time) (position int64, err error) {
	err = s.db.Update(ctx, func(tx pgx.Tx, head int64) (int64, error) {
		var err error
		position, err = setPaused(ctx, db.New(tx), head, id, paused, at)
		return position, err
	})
	if err != nil {
		return 0, postgresdb.Wrap(err, "pause or resume a reader")
	}
	return position, nil
}

func setPaused(ctx context.Context, q *db.Queries, head int64, id int32, paused bool, at time.Time) (position int64, err error) {
	row, err := q.ReaderByID(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, readers.NoReader(id)
	}
	if err != nil {
		return 0, fmt.Errorf("read the reader: %w", err)
	}
	if row.Paused == paused {
		return head, nil
	}
	if err := q.SetPaused(ctx, db.SetPausedParams{Paused: paused, ID: id}); err != nil {
		return 0, fmt.Errorf("change the reader: %w", err)
	}
	kind := readers.Resumed
	if paused {
		kind = readers.Paused
	}
	return head + 1, appendLog(ctx, q, []readers.Interaction{{Position: head + 1, Reader: id, Kind: kind, OccurredAt: at}})
}
