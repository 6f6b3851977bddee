package postgres_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/octavo-books/octavo/internal/catalog"
	"github.com/octavo-books/octavo/internal/catalog/postgres"
	"github.com/octavo-books/octavo/internal/catalog/storetest"
	"github.com/octavo-books/octavo/internal/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// database makes databases that have the schema already.
var database = postgrestest.Copies(func(ctx context.Context, url string) error {
	s, err := postgres.Open(ctx, url)
	if err != nil {
		return err
	}
	return s.Close()
})

func open(t testing.TB, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(context.Background(), url)
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

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) catalog.Store { return open(t, database(t)) })
}

// Several processes serve one database, and commits take their time.
func TestShared(t *testing.T) {
	url := database(t)
	stores := []catalog.Store{open(t, url), open(t, url), open(t, url)}
	postgrestest.DelayCommits(t, url, "catalog.books")
	storetest.Shared(t, stores...)
}
