package postgresdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/octavo-books/octavo/internal/migration"
)

// migrationLock is the key of the advisory lock under which schemas are made
// and changed.
const migrationLock = 0x6f637461766f // "octavo"

// migrate waits for the database and brings the schema to the version of the
// migrations.
func migrate(ctx context.Context, config *pgx.ConnConfig, schema string, migrations fs.FS) error {
	config = config.Copy()
	// Others may need long for a migration that this one has to wait for.
	config.RuntimeParams["lock_timeout"] = "0"
	config.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	db := stdlib.OpenDB(*config)
	defer db.Close()
	lock, err := connect(ctx, db)
	if err != nil {
		return err
	}
	// The lock ends with its connection.
	defer lock.Close()
	if _, err := lock.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return fmt.Errorf("wait for the migrations of another program: %w", err)
	}
	if err := prepareSchema(ctx, lock, schema); err != nil {
		return err
	}
	return migration.Up(ctx, db, goose.DialectPostgres, migrations)
}

// connect waits for a database that is starting.
func connect(ctx context.Context, db *sql.DB) (*sql.Conn, error) {
	deadline := time.Now().Add(startTimeout)
	for {
		conn, err := db.Conn(ctx)
		if err == nil || !starting(err) || time.Now().After(deadline) {
			return conn, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		case <-time.After(retryInterval):
		}
	}
}

// prepareSchema makes the schema and its counter of positions. It asks first
// whether they are there: a role may use a schema that it may not make.
func prepareSchema(ctx context.Context, conn *sql.Conn, schema string) error {
	name := pgx.Identifier{schema}.Sanitize()
	for _, part := range []struct{ exists, make string }{
		{"SELECT to_regnamespace($1) IS NOT NULL", "CREATE SCHEMA " + name},
		{"SELECT to_regclass($1 || '.head') IS NOT NULL", `
			CREATE TABLE ` + name + `.head (
				position bigint NOT NULL, -- the last one given in the feed
				single   boolean PRIMARY KEY DEFAULT true CHECK (single)
			) WITH (fillfactor = 10); -- changed with every commit, in place
			INSERT INTO ` + name + `.head (position) VALUES (0)`},
	} {
		var there bool
		if err := conn.QueryRowContext(ctx, part.exists, name).Scan(&there); err != nil {
			return err
		}
		if there {
			continue
		}
		if _, err := conn.ExecContext(ctx, part.make); err != nil {
			return fmt.Errorf("make the schema: %w", err)
		}
	}
	return nil
}
