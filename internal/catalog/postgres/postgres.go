// Package postgres keeps the books in a PostgreSQL database, in the schema
// catalog. It is a catalog.Store and decides nothing that another store would
// decide otherwise.
package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"slices"

	"github.com/jackc/pgx/v5"

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

func importBooks(ctx context.Context, q *db.Queries, head int64, batch []catalog.Book) (catalog.Imported, error) {
	done := catalog.Imported{IDs: make([]int32, len(batch)), Position: head}
	known, rows, err := knownBooks(ctx, q, batch)
	if err != nil {
		return done, err
	}
	var changed []int32 // since the last put, one or more times each
	put := func() (err error) {
		slices.Sort(changed)
		changed = slices.Compact(changed)
		params := make([]db.PutBookParams, len(changed))
		for i, id := range changed {
			params[i] = db.PutBookParams(rows[id])
		}
		q.PutBook(ctx, params).Exec(func(_ int, failed error) {
			if err == nil {
				err = failed
			}
		})
		if err != nil {
			return err
		}
		err = identify(ctx, q, rows, changed)
		changed = changed[:0]
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
		b, there := done.Join(known, i, batch[i])
		row, err := toRow(&b)
		if err != nil {
			return done, err
		}
		if !there {
			if row.ID, err = choose.Choose(row.ID); err != nil {
				return done, err
			}
			done.Created++
		} else {
			old := rows[row.ID]
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
		done.Position++
		row.Position = done.Position
		b.ID, done.IDs[i], rows[row.ID] = row.ID, row.ID, row
		known.Put(b)
		changed = append(changed, row.ID)
	}
	return done, put()
}

// knownBooks are the books that the batch may be about, and their rows by id.
func knownBooks(ctx context.Context, q *db.Queries, batch []catalog.Book) (*catalog.Known, map[int32]db.Book, error) {
	known, rows := &catalog.Known{}, make(map[int32]db.Book)
	put := func(read []db.Book, err error) error {
		for i := range read {
			rows[read[i].ID] = read[i]
			b, err := fromRow(&read[i])
			if err != nil {
				return err
			}
			known.Put(b)
		}
		return err
	}
	var keys db.BooksBySourceParams
	var identifiers db.IdentifiedParams
	for i := range batch {
		b := &batch[i]
		keys.Sources, keys.SourceIds = append(keys.Sources, b.Source), append(keys.SourceIds, b.SourceID)
		record := catalog.RecordOf(b.Source, b.SourceID)
		identifiers.Schemes, identifiers.Identifiers = append(identifiers.Schemes, record.Scheme), append(identifiers.Identifiers, record.Value)
		for _, number := range b.ISBNs {
			isbn := catalog.ISBN(number)
			identifiers.Schemes, identifiers.Identifiers = append(identifiers.Schemes, isbn.Scheme), append(identifiers.Identifiers, isbn.Value)
		}
	}
	if err := put(q.BooksBySource(ctx, keys)); err != nil {
		return nil, nil, fmt.Errorf("find the books that are there: %w", err)
	}
	identified, err := q.Identified(ctx, identifiers)
	if err != nil {
		return nil, nil, fmt.Errorf("find what the books are known by: %w", err)
	}
	var others []int32
	for _, i := range identified {
		if !known.Has(i.BookID) {
			others = append(others, i.BookID)
		}
	}
	if err := put(q.BooksByID(ctx, others)); err != nil {
		return nil, nil, fmt.Errorf("find the books with the same ISBNs: %w", err)
	}
	return known, rows, nil
}

// identify keeps what the books are known by now. What one of them has lost,
// another may have got.
func identify(ctx context.Context, q *db.Queries, rows map[int32]db.Book, ids []int32) error {
	if err := q.ForgetIdentifiers(ctx, ids); err != nil {
		return fmt.Errorf("forget what books were known by: %w", err)
	}
	var keep db.KeepIdentifiersParams
	for _, id := range ids {
		row := rows[id]
		b, err := fromRow(&row)
		if err != nil {
			return err
		}
		for _, i := range b.Identifiers() {
			keep.Schemes, keep.Identifiers, keep.Ids = append(keep.Schemes, i.Scheme), append(keep.Identifiers, i.Value), append(keep.Ids, id)
		}
	}
	if err := q.KeepIdentifiers(ctx, keep); err != nil {
		return fmt.Errorf("keep what books are known by: %w", err)
	}
	return nil
}

// ByISBN implements catalog.Store.
func (s *Store) ByISBN(ctx context.Context, isbns []string) (map[string]int32, error) {
	rows, err := s.read.BooksByISBN(ctx, isbns)
	if err != nil {
		return nil, postgresdb.Wrap(err, "find books by ISBN")
	}
	found := make(map[string]int32, len(rows))
	for _, r := range rows {
		found[r.Value] = r.BookID
	}
	return found, nil
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
		return catalog.Changes{}, catalog.BeyondEnd(after, head)
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
