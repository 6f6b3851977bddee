// Package migration brings a database to the schema that a program knows, and
// decides whether a program may use a schema that a newer one has written.
//
// Programs of two releases use one database while an upgrade is rolled out, and
// when it is taken back. So a migration adds: tables, indexes, and columns that
// have a default. One that does more has the line
//
//	-- breaks older programs
//
// and the database remembers which version a program has to know since.
//
// It never locks: where several programs may start at once, the caller sees to
// it that one migrates.
package migration

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/octavo-books/octavo/fault"
)

const breaks = "-- breaks older programs"

// Up applies the migrations that the database lacks. A database with later
// migrations is taken as it is, or refused with a Conflict when one of them
// breaks programs that do not know it.
func Up(ctx context.Context, db *sql.DB, dialect goose.Dialect, files fs.FS) error {
	provider, err := goose.NewProvider(dialect, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return err
	}
	needed, err := neededBy(ctx, db, dialect)
	if err != nil {
		return fmt.Errorf("read what the schema needs: %w", err)
	}
	if current > target {
		if needed >= 0 && target >= needed {
			return nil
		}
		return fault.New(fault.Conflict,
			"the database has schema version %d and this program knows versions up to %d: "+
				"a newer Octavo wrote it; run that version, or use another database or a copy made before", current, target)
	}
	last, err := lastThatBreaks(provider.ListSources(), files)
	if err != nil {
		return err
	}
	// Before the migration: older programs that start in the middle of it are
	// refused, and not let in for a moment.
	if needed < last {
		if err := need(ctx, db, last); err != nil {
			return fmt.Errorf("write what the schema needs: %w", err)
		}
	}
	if current == target {
		return nil
	}
	_, err = provider.Up(ctx)
	return err
}

// lastThatBreaks is the version of the last migration that breaks programs
// which do not know it; 0 when none does.
func lastThatBreaks(sources []*goose.Source, files fs.FS) (int64, error) {
	var last int64
	for _, source := range sources {
		text, err := fs.ReadFile(files, source.Path)
		if err != nil {
			return 0, fmt.Errorf("read migrations: %w", err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.TrimSpace(line) == breaks {
				last = max(last, source.Version)
			}
		}
	}
	return last, nil
}

// exists asks how many tables have the name of ours.
var exists = map[goose.Dialect]string{
	goose.DialectSQLite3:  "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_needs'",
	goose.DialectPostgres: "SELECT count(to_regclass('schema_needs'))",
}

// neededBy is the version that a program has to know to use the database, and
// -1 when the database does not say.
func neededBy(ctx context.Context, db *sql.DB, dialect goose.Dialect) (int64, error) {
	var tables int
	if err := db.QueryRowContext(ctx, exists[dialect]).Scan(&tables); err != nil || tables == 0 {
		return -1, err
	}
	version := int64(-1)
	err := db.QueryRowContext(ctx, "SELECT version FROM schema_needs").Scan(&version)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return version, err
}

// need has the database say that a program has to know the version to use it.
func need(ctx context.Context, db *sql.DB, version int64) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for _, statement := range []string{
		"CREATE TABLE IF NOT EXISTS schema_needs (version bigint NOT NULL)",
		"DELETE FROM schema_needs",
		fmt.Sprintf("INSERT INTO schema_needs (version) VALUES (%d)", version),
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}
