// Package postgres keeps the books in a PostgreSQL database, in the schema
// catalog. It is a catalog.Store and decides nothing that another store would
// decide otherwise.
package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/catalog"
	"github.com/octavo-books/octavo/internal/catalog/postgres/db"
	"github.com/octavo-books/octavo/internal/postgresdb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is a catalog.Store.
type Store struct {
	db   *postgresdb.DB
	read *db.Queries
}

var _ catalog.Store = (*Store)(nil)

// Open connects to the database at url, and brings the schema to the present
// one. One of a newer program is refused.
func Open(ctx context.Context, url string) (*Store, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	database, err := postgresdb.Open(ctx, postgresdb.Config{URL: url, Schema: "catalog", Migrations: files})
	if err != nil {
		return nil, err
	}
	return &Store{db: database, read: db.New(database.Read)}, nil
}

// Close closes the connections.
func (s *Store) Close() error { return s.db.Close() }

// Changed implements catalog.Store.
func (s *Store) Changed() <-chan struct{} { return s.db.Changed() }

// Books implements catalog.Store.
func (s *Store) Books(ctx context.Context, ids []int32) ([]catalog.Book, error) {
	return books(s.read.BooksByID(ctx, ids))
}

// List implements catalog.Store.
func (s *Store) List(ctx context.Context, category catalog.Category, after catalog.Place, limit int) ([]catalog.Book, error) {
	if category == 0 {
		return books(s.read.ListBooks(ctx, db.ListBooksParams{
			Popularity: after.Popularity, ID: after.ID, Most: int32(limit),
		}))
	}
	return books(s.read.ListCategory(ctx, db.ListCategoryParams{
		Category: int32(category), Popularity: after.Popularity, ID: after.ID, Most: int32(limit),
	}))
}

// Size implements catalog.Store.
func (s *Store) Size(ctx context.Context) (int64, error) {
	n, err := s.read.Size(ctx)
	if err != nil {
		return 0, postgresdb.Wrap(err, "count the books")
	}
	return n, nil
}

// Categories implements catalog.Store.
func (s *Store) Categories(ctx context.Context) ([]catalog.CategorySize, error) {
	rows, err := s.read.CountCategories(ctx)
	if err != nil {
		return nil, postgresdb.Wrap(err, "count the books of the categories")
	}
	sizes := make([]catalog.CategorySize, len(rows))
	for i, r := range rows {
		sizes[i] = catalog.CategorySize{Category: catalog.Category(r.Category), Books: int32(r.Books)}
	}
	return sizes, nil
}

// Import implements catalog.Store.
func (s *Store) Import(ctx context.Context, batch []catalog.Book) (catalog.Imported, error) {
	var done catalog.Imported
	err := s.db.Update(ctx, func(tx pgx.Tx, head int64) (int64, error) {
		var err error
		done, err = importBooks(ctx, db.New(tx), head, batch)
		return done.Position, err
	})
	if err != nil {
		return catalog.Imported{}, postgresdb.Wrap(err, "import books")
	}
	return done, nil
}

type sourceKey struct{ source, id string }

func importBooks(ctx context.Context, q *db.Queries, head int64, batch []catalog.Book) (catalog.Imported, error) {
	done := catalog.Imported{IDs: make([]int32, len(batch)), Position: head}
	known, err := knownBooks(ctx, q, batch)
	if err != nil {
		return done, err
	}
	changed := make(map[sourceKey]bool)
	put := func() (err error) {
		rows := make([]db.PutBookParams, 0, len(changed))
		for key := range changed {
			rows = append(rows, db.PutBookParams(known[key]))
		}
		clear(changed)
		q.PutBook(ctx, rows).Exec(func(_ int, failed error) {
			if err == nil {
				err = failed
			}
		})
		return err
	}
	wanted := make([]int32, len(batch))
	for i := range batch {
		wanted[i] = batch[i].ID
	}
	choose, err := postgresdb.NewIDs(ctx, q, wanted, put)
	if err != nil {
		return done, err
	}
	for i := range batch {
		row := toRow(&batch[i])
		key := sourceKey{row.Source, row.SourceID}
		if old, ok := known[key]; !ok {
			if row.ID, err = choose.Choose(row.ID); err != nil {
				return done, err
			}
			done.Created++
		} else {
			row.ID = old.ID
			if p := row.SourcePopularity; p == 0 || p == old.SourcePopularity {
				row.Popularity, row.SourcePopularity = old.Popularity, old.SourcePopularity
			}
			done.IDs[i] = row.ID
			if same(row, old) {
				done.Unchanged++
				continue
			}
			done.Updated++
		}
		done.IDs[i] = row.ID
		done.Position++
		row.Position = done.Position
		known[key] = row
		changed[key] = true
	}
	return done, put()
}

// knownBooks are the rows of those books of the batch that are there already.
func knownBooks(ctx context.Context, q *db.Queries, batch []catalog.Book) (map[sourceKey]db.Book, error) {
	var keys db.BooksBySourceParams
	for i := range batch {
		keys.Sources = append(keys.Sources, batch[i].Source)
		keys.SourceIds = append(keys.SourceIds, batch[i].SourceID)
	}
	rows, err := q.BooksBySource(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("find the books that are there: %w", err)
	}
	known := make(map[sourceKey]db.Book, len(batch))
	for _, r := range rows {
		known[sourceKey{r.Source, r.SourceID}] = r
	}
	return known, nil
}

// SetPopularity implements catalog.Store.
func (s *Store) SetPopularity(ctx context.Context, entries []catalog.Popularity) error {
	var told db.SetPopularityParams
	for _, e := range entries {
		told.Ids = append(told.Ids, e.Book)
		told.Popularity = append(told.Popularity, e.Readers)
	}
	err := s.db.Update(ctx, func(tx pgx.Tx, head int64) (int64, error) {
		return head, db.New(tx).SetPopularity(ctx, told)
	})
	return postgresdb.Wrap(err, "set the popularity of books")
}

// Changes implements catalog.Store.
func (s *Store) Changes(ctx context.Context, after int64, limit int) (catalog.Changes, error) {
	head, err := s.db.Head(ctx)
	if err != nil {
		return catalog.Changes{}, postgresdb.Wrap(err, "find the end of the feed")
	}
	if after > head {
		return catalog.Changes{}, fault.New(fault.Conflict,
			"position %d is beyond the end of the feed, %d: it belongs to another database; start again from 0", after, head)
	}
	rows, err := s.read.Changes(ctx, db.ChangesParams{Position: after, Limit: int32(limit)})
	if err != nil {
		return catalog.Changes{}, postgresdb.Wrap(err, "read the feed")
	}
	position := after
	if len(rows) > 0 {
		position = rows[len(rows)-1].Position
	}
	changed, err := books(rows, nil)
	return catalog.Changes{Books: changed, Position: position, Head: max(head, position)}, err
}
