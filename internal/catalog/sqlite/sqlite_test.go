package sqlite_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/octavo-books/octavo/internal/catalog"
	"github.com/octavo-books/octavo/internal/catalog/sqlite"
	"github.com/octavo-books/octavo/internal/catalog/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Several processes may have the file open.
func TestShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	storetest.Shared(t, open(t, path), open(t, path), open(t, path))
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) catalog.Store {
		return open(t, filepath.Join(t.TempDir(), "catalog.db"))
	})
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder?", "#1", "catalog.db")
	if _, err := sqlite.Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Open in a folder that is not there: %v, want an error that names the path", err)
	}
	path = filepath.Join(t.TempDir(), "100%?#.db")
	s := open(t, path)
	done, err := s.Import(t.Context(), library(3))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	books, err := open(t, path).Books(t.Context(), done.IDs)
	if err != nil || len(books) != 3 {
		t.Errorf("books after reopening = %v, %v; want 3", books, err)
	}
}

// library makes n books with names of made-up words, some of them frequent.
func library(n int) []catalog.Book {
	random := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		if random.IntN(3) == 0 {
			return []string{"the", "of", "a", "and", "history", "love"}[random.IntN(6)]
		}
		var b strings.Builder
		for range 2 + random.IntN(3) {
			b.WriteByte("bcdfghklmnprstvw"[random.IntN(16)])
			b.WriteByte("aeiou"[random.IntN(5)])
		}
		return b.String()
	}
	words := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = word()
		}
		return strings.Join(all, " ")
	}
	books := make([]catalog.Book, n)
	for i := range books {
		books[i] = catalog.Book{
			Title: words(1 + random.IntN(6)), Authors: []string{words(2)}, Tags: []string{word(), word()},
			Category: catalog.Category(1 + random.IntN(32)), Year: int32(1800 + random.IntN(220)),
			Source: "test", SourceID: fmt.Sprint(i), Popularity: int64(n / (i + 1)),
		}
	}
	return books
}

// BenchmarkImport imports 10,000 books in batches of 1,000.
func BenchmarkImport(b *testing.B) {
	books := library(10_000)
	for b.Loop() {
		s := open(b, filepath.Join(b.TempDir(), "catalog.db"))
		importAll(b, s, books)
	}
}

func importAll(b *testing.B, s *sqlite.Store, books []catalog.Book) {
	for i := 0; i < len(books); i += 1000 {
		if _, err := s.Import(b.Context(), books[i:i+1000]); err != nil {
			b.Fatal(err)
		}
	}
}
