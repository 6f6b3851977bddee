package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/sqlitedb"
)

// Erase implements readers.Store. The bytes leave the files as sqlitedb.DB.Scrub
// says.
func (s *Store) Erase(ctx context.Context, id int32, at time.Time) (position int64, err error) {
	var head int64
	err = s.db.Update(ctx, func(tx *sql.Tx) (err error) {
		head, err = s.erase(context.WithoutCancel(ctx), tx, id, at)
		return err
	})
	if err != nil {
		return 0, sqlitedb.Wrap(err, "erase a reader")
	}
	s.db.Scrub()
	return head, nil
}

func (s *Store) erase(ctx context.Context, tx *sql.Tx, id int32, at time.Time) (position int64, err error) {
	q := s.change.WithTx(tx)
	n, err := q.DeleteReader(ctx, id)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, readers.NoReader(id)
	}
	head, err := q.Head(ctx)
	if err != nil {
		return 0, err
	}
	if err := q.DeleteInteractions(ctx, id); err != nil {
		return 0, err
	}
	return s.appendOne(ctx, tx, readers.Interaction{Position: head + 1, Reader: id, Kind: readers.Erased, OccurredAt: at})
}
