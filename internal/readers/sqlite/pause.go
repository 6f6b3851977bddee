package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/sqlite/db"
	"github.com/octavo-books/octavo/internal/sqlitedb"
)

// SetPaused implements readers.Store.
func (s *Store) SetPaused(ctx context.Context, id int32, paused bool, at time.Time) (position int64, err error) {
	var head int64
	err = s.db.Update(ctx, func(tx *sql.Tx) (err error) {
		head, err = s.setPaused(context.WithoutCancel(ctx), tx, id, paused, at)
		return err
	})
	if err != nil {
		return 0, sqlitedb.Wrap(err, "pause or resume a reader")
	}
	return head, nil
}

func (s *Store) setPaused(ctx context.Context, tx *sql.Tx, id int32, paused bool, at time.Time) (position int64, err error) {
	q := s.change.WithTx(tx)
	row, err := q.ReaderByID(ctx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, readers.NoReader(id)
	}
	if err != nil {
		return 0, err
	}
	head, err := q.Head(ctx)
	if err != nil || fromRow(row).Paused == paused {
		return head, err
	}
	kind, flag := readers.Resumed, int64(0)
	if paused {
		kind, flag = readers.Paused, 1
	}
	if err := q.SetPaused(ctx, db.SetPausedParams{Paused: flag, ID: id}); err != nil {
		return 0, err
	}
	return s.appendOne(ctx, tx, readers.Interaction{Position: head + 1, Reader: id, Kind: kind, OccurredAt: at})
}

// appendOne appends to the log what is about no book.
func (s *Store) appendOne(ctx context.Context, tx *sql.Tx, in readers.Interaction) (position int64, err error) {
	log := s.log.in(ctx, tx)
	if err := log.add(in.Position, in.Reader, 0, int64(in.Kind), 0, in.OccurredAt.UnixMilli(), time.Now().UnixMilli()); err != nil {
		return 0, err
	}
	return in.Position, log.flush()
}
