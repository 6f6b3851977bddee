// Package sqlite keeps the books in an SQLite database. It is a catalog.Store
// and decides nothing that another store would decide otherwise.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/octavo-books/octavo/internal/catalog"
	"github.com/octavo-books/octavo/internal/catalog/sqlite/db"
	"github.com/octavo-books/octavo/internal/ids"
	"github.com/octavo-books/octavo/internal/sqlitedb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is a catalog.Store.
type Store struct {
	db           *sqlitedb.DB
	read, change *db.Queries
}

var _ catalog.Store = (*Store)(nil)

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
	s.change, err = db.Prepare(ctx, s.db.Write)
	return err
}

// Close closes the files. Everything committed is in them.
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
			Popularity: after.Popularity, ID: after.ID, Most: int64(limit),
		}))
	}
	return books(s.read.ListCategory(ctx, db.ListCategoryParams{
		Category: int64(category), Popularity: after.Popularity, ID: after.ID, Most: int64(limit),
	}))
}

// Size implements catalog.Store.
func (s *Store) Size(ctx context.Context) (int64, error) {
	n, err := s.read.Size(ctx)
	if err != nil {
		return 0, sqlitedb.Wrap(err, "count the books")
	}
	return n, nil
}

// Categories implements catalog.Store.
func (s *Store) Categories(ctx context.Context) ([]catalog.CategorySize, error) {
	rows, err := s.read.CountCategories(ctx)
	if err != nil {
		return nil, sqlitedb.Wrap(err, "count the books of the categories")
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
	err := s.db.Update(ctx, func(tx *sql.Tx) (err error) {
		done, err = s.importBooks(context.WithoutCancel(ctx), tx, batch)
		return err
	})
	if err != nil {
		return catalog.Imported{}, sqlitedb.Wrap(err, "import books")
	}
	return done, nil
}

func (s *Store) importBooks(ctx context.Context, tx *sql.Tx, batch []catalog.Book) (catalog.Imported, error) {
	q := s.change.WithTx(tx)
	done := catalog.Imported{IDs: make([]int32, len(batch))}
	var err error
	if done.Position, err = q.Head(ctx); err != nil {
		return done, err
	}
	choose := ids.Chooser{
		Taken: func(id int32) (bool, error) { n, err := q.IDTaken(ctx, id); return n > 0, err },
		Last:  func() (int64, error) { return q.LastID(ctx) },
		Free:  func() (int64, error) { return q.FreeID(ctx) },
	}
	for _, b := range batch {
		choose.Reserve(b.ID)
	}
	known, rows, err := knownBooks(ctx, q, batch)
	if err != nil {
		return done, err
	}
	changed := make(map[int32]catalog.Book)
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
			done.Position++
			row.Position = done.Position
			if err := q.InsertBook(ctx, db.InsertBookParams(row)); err != nil {
				return done, err
			}
			done.Created++
		} else {
			old := rows[row.ID]
			if p := row.SourcePopularity; p == 0 || p == old.SourcePopularity {
				row.Popularity, row.SourcePopularity = old.Popularity, old.SourcePopularity
			}
			done.IDs[i] = row.ID
			row.Position = old.Position
			if row == old {
				done.Unchanged++
				continue
			}
			done.Position++
			row.Position = done.Position
			if err := q.UpdateBook(ctx, update(row)); err != nil {
				return done, err
			}
			done.Updated++
		}
		b.ID, done.IDs[i], rows[row.ID] = row.ID, row.ID, row
		known.Put(b)
		changed[b.ID] = b
	}
	return done, identify(ctx, q, changed)
}

// knownBooks are the books that the batch may be about, and their rows by id.
func knownBooks(ctx context.Context, q *db.Queries, batch []catalog.Book) (*catalog.Known, map[int32]db.Book, error) {
	known, rows := &catalog.Known{}, make(map[int32]db.Book)
	put := func(row db.Book, err error) error {
		if err != nil {
			return err
		}
		b, err := fromRow(&row)
		if err != nil {
			return fmt.Errorf("read book %d: %w", row.ID, err)
		}
		rows[row.ID] = row
		known.Put(b)
		return nil
	}
	for i := range batch {
		b := &batch[i]
		identifiers := make([]catalog.Identifier, 0, 1+len(b.ISBNs))
		err := put(q.BookBySource(ctx, db.BookBySourceParams{Source: b.Source, SourceID: b.SourceID}))
		switch {
		case errors.Is(err, sql.ErrNoRows):
			identifiers = append(identifiers, catalog.RecordOf(b.Source, b.SourceID))
		case err != nil:
			return nil, nil, err
		}
		for _, number := range b.ISBNs {
			identifiers = append(identifiers, catalog.ISBN(number))
		}
		for _, identifier := range identifiers {
			id, err := q.BookByIdentifier(ctx, db.BookByIdentifierParams(identifier))
			if errors.Is(err, sql.ErrNoRows) || err == nil && known.Has(id) {
				continue
			}
			if err == nil {
				err = put(q.BookByID(ctx, id))
			}
			if err != nil {
				return nil, nil, err
			}
		}
	}
	return known, rows, nil
}

// identify keeps what the books are known by now. What one of them has lost,
// another may have got.
func identify(ctx context.Context, q *db.Queries, books map[int32]catalog.Book) error {
	for id := range books {
		if err := q.ForgetIdentifiers(ctx, id); err != nil {
			return err
		}
	}
	for id, b := range books {
		for _, i := range b.Identifiers() {
			if err := q.KeepIdentifier(ctx, db.KeepIdentifierParams{Scheme: i.Scheme, Value: i.Value, BookID: id}); err != nil {
				return err
			}
		}
	}
	return nil
}

// ByISBN implements catalog.Store.
func (s *Store) ByISBN(ctx context.Context, isbns []string) (map[string]int32, error) {
	found := make(map[string]int32)
	for part := range slices.Chunk(isbns, isbnsPerQuery) {
		rows, err := s.read.BooksByISBN(ctx, part)
		if err != nil {
			return nil, sqlitedb.Wrap(err, "find books by ISBN")
		}
		for _, r := range rows {
			found[r.Value] = r.BookID
		}
	}
	return found, nil
}

// isbnsPerQuery is below SQLite's limit of 32,766 parameters.
const isbnsPerQuery = 10_000

// SetPopularity implements catalog.Store.
func (s *Store) SetPopularity(ctx context.Context, entries []catalog.Popularity) error {
	err := s.db.Update(ctx, func(tx *sql.Tx) error {
		q := s.change.WithTx(tx)
		for _, e := range entries {
			p := db.SetPopularityParams{Popularity: e.Readers, ID: e.Book}
			if err := q.SetPopularity(context.WithoutCancel(ctx), p); err != nil {
				return err
			}
		}
		return nil
	})
	return sqlitedb.Wrap(err, "set the popularity of books")
}

// Changes implements catalog.Store.
func (s *Store) Changes(ctx context.Context, after int64, limit int) (catalog.Changes, error) {
	head, err := s.read.Head(ctx)
	if err != nil {
		return catalog.Changes{}, sqlitedb.Wrap(err, "find the end of the feed")
	}
	if after > head {
		return catalog.Changes{}, catalog.BeyondEnd(after, head)
	}
	rows, err := s.read.Changes(ctx, db.ChangesParams{Position: after, Limit: int64(limit)})
	if err != nil {
		return catalog.Changes{}, sqlitedb.Wrap(err, "read the feed")
	}
	position := after
	if len(rows) > 0 {
		position = rows[len(rows)-1].Position
	}
	changed, err := books(rows, nil)
	return catalog.Changes{Books: changed, Position: position, Head: max(head, position)}, err
}

func books(rows []db.Book, err error) ([]catalog.Book, error) {
	if err != nil {
		return nil, sqlitedb.Wrap(err, "read books")
	}
	out := make([]catalog.Book, len(rows))
	for i := range rows {
		if out[i], err = fromRow(&rows[i]); err != nil {
			return nil, fmt.Errorf("read book %d: %w", rows[i].ID, err)
		}
	}
	return out, nil
}

func fromRow(r *db.Book) (catalog.Book, error) {
	b := catalog.Book{
		ID:             r.ID,
		Title:          r.Title,
		Category:       catalog.Category(r.Category),
		Year:           int32(r.Year),
		Series:         r.Series,
		SeriesPosition: float32(r.SeriesPosition),
		Language:       r.Language,
		Source:         r.Source,
		SourceID:       r.SourceID,
		Popularity:     r.Popularity,
	}
	if err := json.Unmarshal([]byte(r.Authors), &b.Authors); err != nil {
		return b, fmt.Errorf("authors: %w", err)
	}
	if err := json.Unmarshal([]byte(r.Tags), &b.Tags); err != nil {
		return b, fmt.Errorf("tags: %w", err)
	}
	if err := json.Unmarshal([]byte(r.Isbns), &b.ISBNs); err != nil {
		return b, fmt.Errorf("ISBNs: %w", err)
	}
	if err := catalog.DecodeRecords(r.Joined, &b.Joined); err != nil {
		return b, fmt.Errorf("joined records: %w", err)
	}
	return b, nil
}

func toRow(b *catalog.Book) (db.Book, error) {
	authors, err := list(b.Authors)
	if err != nil {
		return db.Book{}, err
	}
	tags, err := list(b.Tags)
	if err != nil {
		return db.Book{}, err
	}
	isbns, err := list(b.ISBNs)
	if err != nil {
		return db.Book{}, err
	}
	joined, err := catalog.EncodeRecords(b.Joined)
	if err != nil {
		return db.Book{}, err
	}
	return db.Book{
		ID:               b.ID,
		Title:            b.Title,
		Authors:          authors,
		Category:         int64(b.Category),
		Year:             int64(b.Year),
		Tags:             tags,
		Series:           b.Series,
		SeriesPosition:   float64(b.SeriesPosition),
		Isbns:            isbns,
		Joined:           joined,
		Language:         b.Language,
		Source:           b.Source,
		SourceID:         b.SourceID,
		Popularity:       b.Popularity,
		SourcePopularity: b.Popularity,
	}, nil
}

func update(r db.Book) db.UpdateBookParams {
	return db.UpdateBookParams{
		Title:            r.Title,
		Authors:          r.Authors,
		Category:         r.Category,
		Year:             r.Year,
		Tags:             r.Tags,
		Series:           r.Series,
		SeriesPosition:   r.SeriesPosition,
		Isbns:            r.Isbns,
		Joined:           r.Joined,
		Language:         r.Language,
		Popularity:       r.Popularity,
		SourcePopularity: r.SourcePopularity,
		Position:         r.Position,
		ID:               r.ID,
	}
}

// list is the JSON array of items. None is always the same text.
func list(items []string) (string, error) {
	if len(items) == 0 {
		return "[]", nil
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(items)
	return strings.TrimSpace(b.String()), err
}
