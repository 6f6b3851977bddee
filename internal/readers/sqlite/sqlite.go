// Package sqlite keeps the readers and their log in an SQLite database. It is
// a readers.Store and decides nothing that another store would decide
// otherwise.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/octavo-books/octavo/internal/ids"
	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/sqlite/db"
	"github.com/octavo-books/octavo/internal/sqlitedb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is a readers.Store.
type Store struct {
	db           *sqlitedb.DB
	read, change *db.Queries
	log          inserter
	clientIDs    inserter
	entries      inserter
}

var _ readers.Store = (*Store)(nil)

// Open opens the database file at path, made if it is not there, and brings it
// to the present schema. One of a newer program is refused.
func Open(ctx context.Context, path string) (*Store, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	database, err := sqlitedb.Open(ctx, path, files)
	if err != nil {
		return nil, err
	}
	s := &Store{db: database}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), database.Close())
	}
	return s, nil
}

func (s *Store) prepare(ctx context.Context) (err error) {
	if s.read, err = db.Prepare(ctx, s.db.Read); err != nil {
		return err
	}
	if s.change, err = db.Prepare(ctx, s.db.Write); err != nil {
		return err
	}
	for _, p := range []struct {
		inserter    *inserter
		into, after string
		columns     int
	}{
		{&s.log, "interactions (position, reader_id, book_id, kind, half_stars, occurred_at, recorded_at)", "", 7},
		{&s.clientIDs, "interaction_ids (reader_id, client_id)", "", 2},
		{&s.entries, "entries (reader_id, book_id, shelf, half_stars, updated_at, position)", `ON CONFLICT DO UPDATE SET
			shelf = iif(excluded.shelf <> 0, excluded.shelf, shelf),
			half_stars = iif(excluded.half_stars <> 0, excluded.half_stars, half_stars),
			updated_at = excluded.updated_at,
			position = excluded.position`, 6},
	} {
		if *p.inserter, err = newInserter(ctx, s.db.Write, p.into, p.after, p.columns); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the files. Everything committed is in them.
func (s *Store) Close() error { return s.db.Close() }

// Changed implements readers.Store.
func (s *Store) Changed() <-chan struct{} { return s.db.Changed() }

// Create implements readers.Store.
func (s *Store) Create(ctx context.Context, reader readers.Reader) (int32, error) {
	ids, _, err := s.Import(ctx, []readers.Reader{reader})
	if err != nil {
		return 0, err
	}
	return ids[0], nil
}

// Reader implements readers.Store.
func (s *Store) Reader(ctx context.Context, id int32) (readers.Reader, error) {
	row, err := s.read.ReaderByID(ctx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return readers.Reader{}, readers.NoReader(id)
	}
	if err != nil {
		return readers.Reader{}, sqlitedb.Wrap(err, "read a reader")
	}
	return fromRow(row), nil
}

// List implements readers.Store.
func (s *Store) List(ctx context.Context, origin readers.Origin, after int32, limit int) ([]readers.Reader, error) {
	var rows []db.Reader
	var err error
	if origin == 0 {
		rows, err = s.read.ListReaders(ctx, db.ListReadersParams{ID: after, Limit: int64(limit)})
	} else {
		rows, err = s.read.ListReadersOfOrigin(ctx, db.ListReadersOfOriginParams{
			Origin: int64(origin), ID: after, Limit: int64(limit),
		})
	}
	if err != nil {
		return nil, sqlitedb.Wrap(err, "list readers")
	}
	list := make([]readers.Reader, len(rows))
	for i, row := range rows {
		list[i] = fromRow(row)
	}
	return list, nil
}

// Size implements readers.Store.
func (s *Store) Size(ctx context.Context) (int64, error) {
	n, err := s.read.Size(ctx)
	if err != nil {
		return 0, sqlitedb.Wrap(err, "count the readers")
	}
	return n, nil
}

// Import implements readers.Store.
func (s *Store) Import(ctx context.Context, batch []readers.Reader) (ids []int32, created int32, err error) {
	var doneIDs []int32
	var doneCreated int32
	err = s.db.Update(ctx, func(tx *sql.Tx) (err error) {
		doneIDs, doneCreated, err = s.importReaders(context.WithoutCancel(ctx), s.change.WithTx(tx), batch)
		return err
	})
	if err != nil {
		return nil, 0, sqlitedb.Wrap(err, "import readers")
	}
	return doneIDs, doneCreated, nil
}

func (s *Store) importReaders(ctx context.Context, q *db.Queries, batch []readers.Reader) (given []int32, created int32, err error) {
	choose := ids.Chooser{
		Taken: func(id int32) (bool, error) { taken, err := q.IDTaken(ctx, id); return taken != 0, err },
		Last:  func() (int64, error) { return q.LastID(ctx) },
		Free:  func() (int64, error) { return q.FreeID(ctx) },
	}
	for _, r := range batch {
		choose.Reserve(r.ID)
	}
	given = make([]int32, len(batch))
	for i, r := range batch {
		id, err := q.ReaderIDBySource(ctx, db.ReaderIDBySourceParams{Source: r.Source, SourceID: r.SourceID})
		switch {
		case errors.Is(err, sql.ErrNoRows):
			if id, err = choose.Choose(r.ID); err != nil {
				return nil, 0, err
			}
			if err := q.InsertReader(ctx, db.InsertReaderParams{
				ID:          id,
				Origin:      int64(r.Origin),
				DisplayName: r.DisplayName,
				Source:      r.Source,
				SourceID:    r.SourceID,
				CreatedAt:   r.CreatedAt.UnixMilli(),
			}); err != nil {
				return nil, 0, err
			}
			created++
		case err != nil:
			return nil, 0, err
		}
		given[i] = id
	}
	return given, created, nil
}

// Shelf implements readers.Store.
func (s *Store) Shelf(ctx context.Context, reader int32, books []int32, limit int) ([]readers.Entry, error) {
	var rows []db.Entry
	var err error
	if len(books) == 0 {
		rows, err = s.read.ListEntries(ctx, db.ListEntriesParams{ReaderID: reader, Limit: int64(limit)})
	} else {
		rows, err = s.read.ListEntriesOfBooks(ctx, db.ListEntriesOfBooksParams{
			ReaderID: reader, Books: books, Limit: int64(limit),
		})
	}
	if err != nil {
		return nil, sqlitedb.Wrap(err, "list a shelf")
	}
	entries := make([]readers.Entry, len(rows))
	for i, row := range rows {
		entries[i] = readers.Entry{
			Book:      row.BookID,
			Shelf:     readers.Kind(row.Shelf),
			Stars:     stars(row.HalfStars),
			UpdatedAt: time.UnixMilli(row.UpdatedAt),
		}
	}
	return entries, nil
}

// Log implements readers.Store.
func (s *Store) Log(ctx context.Context, after int64, limit int) (readers.Log, error) {
	head, err := s.read.Head(ctx)
	if err != nil {
		return readers.Log{}, sqlitedb.Wrap(err, "find the end of the log")
	}
	if after > head {
		return readers.Log{}, readers.BeyondEnd(after, head)
	}
	part := readers.Log{Position: after, Head: head}
	if after == head {
		return part, nil
	}
	rows, err := s.read.Interactions(ctx, db.InteractionsParams{Position: after, Limit: int64(limit)})
	if err != nil {
		return readers.Log{}, sqlitedb.Wrap(err, "read the log")
	}
	part.Interactions = interactions(rows)
	if n := len(rows); n > 0 {
		part.Position = rows[n-1].Position
	}
	part.Head = max(head, part.Position)
	return part, nil
}

// History implements readers.Store.
func (s *Store) History(ctx context.Context, reader int32, after int64, limit int) ([]readers.Interaction, error) {
	rows, err := s.read.InteractionsOfReader(ctx, db.InteractionsOfReaderParams{ReaderID: reader, Position: after, Limit: int64(limit)})
	if err != nil {
		return nil, sqlitedb.Wrap(err, "read what a reader did")
	}
	return interactions(rows), nil
}

func interactions(rows []db.Interaction) []readers.Interaction {
	list := make([]readers.Interaction, len(rows))
	for i, row := range rows {
		list[i] = readers.Interaction{
			Position:   row.Position,
			Reader:     row.ReaderID,
			Book:       row.BookID,
			Kind:       readers.Kind(row.Kind),
			Stars:      stars(row.HalfStars),
			OccurredAt: time.UnixMilli(row.OccurredAt),
		}
		if row.RecordedAt != 0 {
			list[i].RecordedAt = time.UnixMilli(row.RecordedAt)
		}
	}
	return list
}

func fromRow(r db.Reader) readers.Reader {
	return readers.Reader{
		ID:          r.ID,
		Origin:      readers.Origin(r.Origin),
		DisplayName: r.DisplayName,
		Source:      r.Source,
		SourceID:    r.SourceID,
		CreatedAt:   time.UnixMilli(r.CreatedAt),
		Paused:      r.Paused != 0,
	}
}

func stars(half int64) float32 { return float32(half) / 2 }

func halfStars(stars float32) int64 { return int64(stars * 2) }
