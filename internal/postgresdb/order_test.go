package postgresdb_test

import (
	"context"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/octavo-books/octavo/internal/feed/followtest"
	"github.com/octavo-books/octavo/internal/postgresdb"
	"github.com/octavo-books/octavo/internal/postgrestest"
)

var lines = fstest.MapFS{"00001_lines.sql": {Data: []byte(`-- +goose Up
CREATE TABLE lines (position bigserial PRIMARY KEY, writer integer NOT NULL, n integer NOT NULL);
`)}}

// next reads the lines after a position, as everybody would.
func next(pool *pgxpool.Pool) func(ctx context.Context, after int64) ([]followtest.Line, int64, error) {
	return func(ctx context.Context, after int64) (read []followtest.Line, position int64, err error) {
		rows, err := pool.Query(ctx, "SELECT position, writer, n FROM words.lines WHERE position > $1 ORDER BY position LIMIT 50", after)
		if err != nil {
			return nil, 0, err
		}
		position = after
		var l followtest.Line
		_, err = pgx.ForEachRow(rows, []any{&position, &l.Writer, &l.N}, func() error {
			read = append(read, l)
			return nil
		})
		return read, position, err
	}
}

// Who follows by position misses nothing when positions are given under the
// lock on the counter, and misses lines that are committed late when they come
// from a sequence: the test can tell.
func TestFollow(t *testing.T) {
	const writers, each = 8, 12
	url := postgrestest.Database(t)
	dbs := []*postgresdb.DB{open(t, url, lines), open(t, url, lines)}
	postgrestest.DelayCommits(t, url, "words.lines")
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = writers + 1
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	t.Run("counter", func(t *testing.T) {
		err := followtest.Follow(ctx, followtest.Feed{
			Next: next(pool),
			Write: func(ctx context.Context, l followtest.Line) error {
				return dbs[l.Writer%len(dbs)].Update(ctx, func(tx pgx.Tx, head int64) (int64, error) {
					_, err := tx.Exec(ctx, "INSERT INTO lines (position, writer, n) VALUES ($1, $2, $3)", head+1, l.Writer, l.N)
					return head + 1, err
				})
			},
		}, writers, each)
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("sequence", func(t *testing.T) {
		if _, err := pool.Exec(ctx, "TRUNCATE words.lines"); err != nil {
			t.Fatal(err)
		}
		err := followtest.Follow(ctx, followtest.Feed{
			Next: next(pool),
			Write: func(ctx context.Context, l followtest.Line) error {
				_, err := pool.Exec(ctx, "INSERT INTO words.lines (writer, n) VALUES ($1, $2)", l.Writer, l.N)
				return err
			},
		}, writers, each)
		if err == nil {
			t.Error("nothing was missed with positions from a sequence: the check is blind")
		}
		t.Log(err)
	})
}
