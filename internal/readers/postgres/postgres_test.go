package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/octavo-books/octavo/internal/postgrestest"
	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/postgres"
	"github.com/octavo-books/octavo/internal/readers/storetest"
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
	storetest.Run(t, func(t *testing.T) readers.Store { return open(t, database(t)) })
}

// Several processes serve one database, and commits take their time.
func TestShared(t *testing.T) {
	url := database(t)
	stores := []readers.Store{open(t, url), open(t, url), open(t, url)}
	postgrestest.DelayCommits(t, url, "readers.interactions")
	storetest.Shared(t, stores...)
}

// BenchmarkRecordOne is readers who click, each after the answer to the click
// before, at one process or two. "unordered" is what the order costs: the same
// rows in one statement and one commit for each click, with positions from a
// sequence, which followers cannot rely on.
func BenchmarkRecordOne(b *testing.B) {
	server := postgrestest.Start(b)
	for _, c := range []struct{ writers, stores int }{{1, 1}, {32, 1}, {32, 2}} {
		b.Run(fmt.Sprintf("writers=%d/processes=%d", c.writers, c.stores), func(b *testing.B) {
			url := server.Database(b)
			var stores []readers.Store
			for range c.stores {
				stores = append(stores, open(b, url))
			}
			storetest.BenchmarkRecord(b, c.writers, stores...)
		})
	}
	for _, writers := range []int{1, 32} {
		b.Run(fmt.Sprintf("unordered/writers=%d", writers), func(b *testing.B) { benchmarkUnordered(b, server.Database(b), writers) })
	}
}

func benchmarkUnordered(b *testing.B, url string, writers int) {
	open(b, url) // makes the tables
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		b.Fatal(err)
	}
	config.MaxConns = int32(writers)
	pool, err := pgxpool.NewWithConfig(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(b.Context(), "CREATE SEQUENCE readers.positions; INSERT INTO readers.readers SELECT n, 1, '', '', '', 0 FROM generate_series(1, 32) AS n"); err != nil {
		b.Fatal(err)
	}
	const record = `
		WITH claimed AS (INSERT INTO readers.interaction_ids (reader_id, client_id) VALUES ($1, $2::integer::text) RETURNING reader_id),
		entered AS (INSERT INTO readers.entries (reader_id, book_id, shelf, half_stars, updated_at, position) VALUES ($1, $2, 3, 0, 0, 0))
		INSERT INTO readers.interactions (position, reader_id, book_id, kind, half_stars, occurred_at)
			SELECT nextval('readers.positions'), reader_id, $2, 3, 0, 0 FROM claimed`
	var left atomic.Int64
	left.Store(int64(b.N))
	var wait sync.WaitGroup
	b.ResetTimer()
	for w := range writers {
		wait.Go(func() {
			for book := 1; left.Add(-1) >= 0; book++ {
				if _, err := pool.Exec(b.Context(), record, w+1, book); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "interactions/s")
}

func TestAccounts(t *testing.T) {
	storetest.RunAccounts(t, func(t *testing.T) storetest.Accounts { return open(t, database(t)) })
}
