// Package postgres keeps the readers and their log in a PostgreSQL database, in
// the schema readers. It is a readers.Store and decides nothing that another
// store would decide otherwise.
package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/octavo-books/octavo/internal/postgresdb"
	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/postgres/db"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is a readers.Store.
type Store struct {
	db        *postgresdb.DB
	read      *db.Queries
	recording *postgresdb.Group[[]readers.Interaction, recorded]
	creating  *postgresdb.Group[readers.Reader, int32]
}

var _ readers.Store = (*Store)(nil)

// Open connects to the database at url, and brings the schema to the present
// one. One of a newer program is refused.
func Open(ctx context.Context, url string) (*Store, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	database, err := postgresdb.Open(ctx, postgresdb.Config{URL: url, Schema: "readers", Migrations: files})
	if err != nil {
		return nil, err
	}
	return &Store{
		db:        database,
		read:      db.New(database.Read),
		recording: postgresdb.NewGroup(database, record),
		creating:  postgresdb.NewGroup(database, create),
	}, nil
}

// Close closes the connections.
func (s *Store) Close() error { return s.db.Close() }

// Changed implements readers.Store.
func (s *Store) Changed() <-chan struct{} { return s.db.Changed() }

// Create implements readers.Store.
func (s *Store) Create(ctx context.Context, reader readers.Reader) (int32, error) {
	id, err := s.creating.Do(ctx, reader)
	return id, postgresdb.Wrap(err, "create a reader")
}

func create(ctx context.Context, tx pgx.Tx, head int64, batch []readers.Reader) ([]int32, int64, error) {
	ids, _, err := importReaders(ctx, db.New(tx), batch)
	return ids, head, err
}

// Reader implements readers.Store.
func (s *Store) Reader(ctx context.Context, id int32) (readers.Reader, error) {
	row, err := s.read.ReaderByID(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return readers.Reader{}, readers.NoReader(id)
	}
	if err != nil {
		return readers.Reader{}, postgresdb.Wrap(err, "read a reader")
	}
	return fromRow(row), nil
}

// List implements readers.Store.
func (s *Store) List(ctx context.Context, origin readers.Origin, after int32, limit int) ([]readers.Reader, error) {
	var rows []db.Reader
	var err error
	if origin == 0 {
		rows, err = s.read.ListReaders(ctx, db.ListReadersParams{After: after, Most: int32(limit)})
	} else {
		rows, err = s.read.ListReadersOfOrigin(ctx, db.ListReadersOfOriginParams{
			Origin: int32(origin), After: after, Most: int32(limit),
		})
	}
	if err != nil {
		return nil, postgresdb.Wrap(err, "list readers")
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
		return 0, postgresdb.Wrap(err, "count the readers")
	}
	return n, nil
}

// Import implements readers.Store.
func (s *Store) Import(ctx context.Context, batch []readers.Reader) (ids []int32, created int32, err error) {
	err = s.db.Update(ctx, func(tx pgx.Tx, head int64) (int64, error) {
		var err error
		ids, created, err = importReaders(ctx, db.New(tx), batch)
		return head, err
	})
	if err != nil {
		return nil, 0, postgresdb.Wrap(err, "import readers")
	}
	return ids, created, nil
}

type sourceKey struct{ source, id string }

func importReaders(ctx context.Context, q *db.Queries, batch []readers.Reader) (ids []int32, created int32, err error) {
	known, err := knownReaders(ctx, q, batch)
	if err != nil {
		return nil, 0, err
	}
	var rows []db.InsertReaderParams
	insert := func() (err error) {
		q.InsertReader(ctx, rows).Exec(func(_ int, failed error) {
			if err == nil {
				err = failed
			}
		})
		rows = rows[:0]
		return err
	}
	wanted := make([]int32, len(batch))
	for i := range batch {
		wanted[i] = batch[i].ID
	}
	choose, err := postgresdb.NewIDs(ctx, q, wanted, insert)
	if err != nil {
		return nil, 0, err
	}
	ids = make([]int32, len(batch))
	for i, r := range batch {
		key := sourceKey{r.Source, r.SourceID}
		id, ok := known[key]
		if !ok {
			if id, err = choose.Choose(r.ID); err != nil {
				return nil, 0, err
			}
			rows = append(rows, db.InsertReaderParams{
				ID:          id,
				Origin:      int32(r.Origin),
				DisplayName: r.DisplayName,
				Source:      r.Source,
				SourceID:    r.SourceID,
				CreatedAt:   r.CreatedAt.UnixMilli(),
			})
			created++
			if r.Source != "" {
				known[key] = id
			}
		}
		ids[i] = id
	}
	return ids, created, insert()
}

// knownReaders are the ids of those readers of the batch that are there
// already.
func knownReaders(ctx context.Context, q *db.Queries, batch []readers.Reader) (map[sourceKey]int32, error) {
	var keys db.ReadersBySourceParams
	for _, r := range batch {
		if r.Source != "" {
			keys.Sources = append(keys.Sources, r.Source)
			keys.SourceIds = append(keys.SourceIds, r.SourceID)
		}
	}
	known := make(map[sourceKey]int32)
	if len(keys.Sources) == 0 {
		return known, nil
	}
	rows, err := q.ReadersBySource(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("find the readers that are there: %w", err)
	}
	for _, r := range rows {
		known[sourceKey{r.Source, r.SourceID}] = r.ID
	}
	return known, nil
}

// Shelf implements readers.Store.
func (s *Store) Shelf(ctx context.Context, reader int32, books []int32, limit int) ([]readers.Entry, error) {
	var rows []db.Entry
	var err error
	if len(books) == 0 {
		rows, err = s.read.ListEntries(ctx, db.ListEntriesParams{Reader: reader, Most: int32(limit)})
	} else {
		rows, err = s.read.ListEntriesOfBooks(ctx, db.ListEntriesOfBooksParams{
			Reader: reader, Books: books, Most: int32(limit),
		})
	}
	if err != nil {
		return nil, postgresdb.Wrap(err, "list a shelf")
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
	head, err := s.db.Head(ctx)
	if err != nil {
		return readers.Log{}, postgresdb.Wrap(err, "find the end of the log")
	}
	if after > head {
		return readers.Log{}, readers.BeyondEnd(after, head)
	}
	part := readers.Log{Position: after, Head: head}
	if after == head {
		return part, nil
	}
	rows, err := s.read.Interactions(ctx, db.InteractionsParams{After: after, Most: int32(limit)})
	if err != nil {
		return readers.Log{}, postgresdb.Wrap(err, "read the log")
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
	rows, err := s.read.InteractionsOfReader(ctx, db.InteractionsOfReaderParams{Reader: reader, After: after, Most: int32(limit)})
	if err != nil {
		return nil, postgresdb.Wrap(err, "read what a reader did")
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
		Paused:      r.Paused,
	}
}

func stars(half int16) float32 { return float32(half) / 2 }

func halfStars(stars float32) int16 { return int16(stars * 2) }
