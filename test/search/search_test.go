package main

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/octavo-books/octavo/internal/catalog"
	"github.com/octavo-books/octavo/internal/catalog/postgres"
	"github.com/octavo-books/octavo/internal/catalog/sqlite"
	"github.com/octavo-books/octavo/internal/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A title with one slip in it finds the book, among the first three answers.
func TestMisspelledTitlesAreFound(t *testing.T) {
	stores := map[string]func(*testing.T) catalog.Store{
		"SQLite": func(t *testing.T) catalog.Store {
			s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "catalog.db"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		},
		"PostgreSQL": func(t *testing.T) catalog.Store {
			s, err := postgres.Open(t.Context(), postgrestest.Database(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		},
	}
	for engine, open := range stores {
		for name, books := range map[string][]catalog.Book{"demo library": demo(), "generated": generate(20_000)} {
			t.Run(engine+", "+name, func(t *testing.T) {
				m, err := measure(t.Context(), open(t), books, 1000)
				if err != nil {
					t.Fatal(err)
				}
				if got := m.recall(""); got < 0.95 {
					t.Errorf("%.1f %% are found, want 95 %%; not found: %q", 100*got, m.missed[:min(20, len(m.missed))])
				}
				// Ten times the target: other tests run meanwhile.
				if got := quantile(m.searches, .99); got > 500 {
					t.Errorf("the slowest hundredth takes %.0f ms", got)
				}
			})
		}
	}
}
