package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/octavo-books/octavo/internal/postgresdb"
	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/postgres/db"
)

// Erase implements readers.Store. The bytes of what was deleted stay in the
// server's files until its autovacuum has been there and its log is recycled.
func (s *Store) Erase(ctx context.Context, id int32, at time.Time) (position int64, err error) {
	err = s.db.Update(ctx, func(tx pgx.Tx, head int64) (int64, error) {
		position = head + 1
		return position, erase(ctx, db.New(tx), id, readers.Interaction{
			Position: position, Reader: id, Kind: readers.Erased, OccurredAt: at,
		})
	})
	if err != nil {
		return 0, postgresdb.Wrap(err, "erase a reader")
	}
	return position, nil
}

func erase(ctx context.Context, q *db.Queries, id int32, tombstone readers.Interaction) error {
	n, err := q.DeleteReader(ctx, id)
	if err != nil {
		return fmt.Errorf("delete the reader: %w", err)
	}
	if n == 0 {
		return readers.NoReader(id)
	}
	if err := q.DeleteInteractions(ctx, id); err != nil {
		return fmt.Errorf("delete the interactions: %w", err)
	}
	return appendLog(ctx, q, []readers.Interaction{tombstone})
}
