package sqlite_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/octavo-books/octavo/internal/sqlitedb"
)

// The ISBNs of a database from before books could have several are kept, each
// by the first book that had it.
func TestISBNsOfAnOlderDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	older := fstest.MapFS{}
	for _, name := range []string{"00001_books.sql", "00002_search_in_memory.sql"} {
		text, err := os.ReadFile(filepath.Join("migrations", name))
		if err != nil {
			t.Fatal(err)
		}
		older[name] = &fstest.MapFile{Data: text}
	}
	db, err := sqlitedb.Open(t.Context(), path, older)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), `INSERT INTO books
			(id, title, authors, category, year, tags, series, series_position, isbn13, language, source, source_id, popularity, source_popularity, position)
			VALUES (1, 'Dune', '[]', 0, 0, '[]', '', 0, '9780441172719', '', 's', 'a', 0, 0, 1),
			(2, 'Dune again', '[]', 0, 0, '[]', '', 0, '9780441172719', '', 's', 'b', 0, 0, 2),
			(3, 'Emma', '[]', 0, 0, '[]', '', 0, '', '', 's', 'c', 0, 0, 3)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	found, err := s.ByISBN(t.Context(), []string{"9780441172719"})
	if err != nil || len(found) != 1 || found["9780441172719"] != 1 {
		t.Errorf("ByISBN: %v, %v", found, err)
	}
	books, err := s.Books(t.Context(), []int32{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range books {
		if want := map[int32]int{1: 1}[b.ID]; len(b.ISBNs) != want {
			t.Errorf("book %d has the ISBNs %v, want %d", b.ID, b.ISBNs, want)
		}
	}
}
