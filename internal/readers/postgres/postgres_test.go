package postgres_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/octavo-books/octavo/internal/postgrestest"
	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/postgres"
	"github.com/octavo-books/octavo/internal/readers/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	storetest.Run(t, func(t *testing.T) readers.Store { return open(t, postgrestest.Database(t)) })
}

// Several processes serve one database, and commits take their time.
func TestShared(t *testing.T) {
	url := postgrestest.Database(t)
	stores := []readers.Store{open(t, url), open(t, url), open(t, url)}
	postgrestest.DelayCommits(t, url, "readers.interactions")
	storetest.Shared(t, stores...)
}
