package following

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/octavo-books/octavo/internal/catalog"
	catalogpostgres "github.com/octavo-books/octavo/internal/catalog/postgres"
	catalogsqlite "github.com/octavo-books/octavo/internal/catalog/sqlite"
	"github.com/octavo-books/octavo/internal/postgrestest"
	"github.com/octavo-books/octavo/internal/readers"
	readerspostgres "github.com/octavo-books/octavo/internal/readers/postgres"
	readerssqlite "github.com/octavo-books/octavo/internal/readers/sqlite"
)

type catalogStore interface {
	catalog.Store
	Close() error
}

type readersStore interface {
	readers.Store
	Close() error
}

// databases are where the services keep what they have. Opened again, they have
// it still.
type databases struct {
	catalog      func(context.Context) (catalogStore, error)
	readers      func(context.Context) (readersStore, error)
	otherReaders func(context.Context) (readersStore, error) // empty at first
}

// engines are all that the services run on.
var engines = map[string]func(*testing.T) databases{
	"SQLite": func(t *testing.T) databases {
		dir := t.TempDir()
		return databases{
			catalog: func(ctx context.Context) (catalogStore, error) {
				return catalogsqlite.Open(ctx, filepath.Join(dir, "catalog.db"))
			},
			readers: func(ctx context.Context) (readersStore, error) {
				return readerssqlite.Open(ctx, filepath.Join(dir, "readers.db"))
			},
			otherReaders: func(ctx context.Context) (readersStore, error) {
				return readerssqlite.Open(ctx, filepath.Join(dir, "other.db"))
			},
		}
	},
	"PostgreSQL": func(t *testing.T) databases { return postgres(postgrestest.Database(t), postgrestest.Database(t)) },
}

// postgres is both in one database, and the other readers in another.
func postgres(url, other string) databases {
	return databases{
		catalog:      func(ctx context.Context) (catalogStore, error) { return catalogpostgres.Open(ctx, url) },
		readers:      func(ctx context.Context) (readersStore, error) { return readerspostgres.Open(ctx, url) },
		otherReaders: func(ctx context.Context) (readersStore, error) { return readerspostgres.Open(ctx, other) },
	}
}

// onEachEngine runs a test with databases that are empty.
func onEachEngine(t *testing.T, test func(*testing.T, databases)) {
	t.Helper()
	for name, open := range engines {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}
