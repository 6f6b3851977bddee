package postgres

import (
	"fmt"
	"reflect"

	"github.com/octavo-books/octavo/internal/catalog"
	"github.com/octavo-books/octavo/internal/catalog/postgres/db"
	"github.com/octavo-books/octavo/internal/postgresdb"
)

func books(rows []db.Book, err error) ([]catalog.Book, error) {
	if err != nil {
		return nil, postgresdb.Wrap(err, "read books")
	}
	out := make([]catalog.Book, len(rows))
	for i := range rows {
		if out[i], err = fromRow(&rows[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func fromRow(r *db.Book) (catalog.Book, error) {
	b := catalog.Book{
		ID:             r.ID,
		Title:          r.Title,
		Authors:        r.Authors,
		Category:       catalog.Category(r.Category),
		Year:           r.Year,
		Tags:           r.Tags,
		Series:         r.Series,
		SeriesPosition: r.SeriesPosition,
		ISBNs:          r.Isbns,
		Language:       r.Language,
		Source:         r.Source,
		SourceID:       r.SourceID,
		Popularity:     r.Popularity,
	}
	if err := catalog.DecodeRecords(r.Joined, &b.Joined); err != nil {
		return b, fmt.Errorf("read book %d: joined records: %w", r.ID, err)
	}
	return b, nil
}

func toRow(b *catalog.Book) (db.Book, error) {
	joined, err := catalog.EncodeRecords(b.Joined)
	if err != nil {
		return db.Book{}, err
	}
	return db.Book{
		ID:               b.ID,
		Title:            b.Title,
		Authors:          list(b.Authors),
		Category:         int32(b.Category),
		Year:             b.Year,
		Tags:             list(b.Tags),
		Series:           b.Series,
		SeriesPosition:   b.SeriesPosition,
		Isbns:            list(b.ISBNs),
		Joined:           joined,
		Language:         b.Language,
		Source:           b.Source,
		SourceID:         b.SourceID,
		Popularity:       b.Popularity,
		SourcePopularity: b.Popularity,
	}, nil
}

// list is the items as an array. No array would be NULL.
func list(items []string) []string {
	if items == nil {
		return []string{}
	}
	return items
}

// same is whether two rows say the same, wherever they are in the feed.
func same(a, b db.Book) bool {
	a.Position = b.Position
	return reflect.DeepEqual(a, b)
}
