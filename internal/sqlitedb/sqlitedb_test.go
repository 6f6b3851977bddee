package sqlitedb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/sqlitedb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	first  = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE words (word TEXT PRIMARY KEY) STRICT;\n")}
	second = &fstest.MapFile{Data: []byte("-- +goose Up\nALTER TABLE words ADD COLUMN uses INTEGER NOT NULL DEFAULT 0;\n")}
)

func open(t *testing.T, path string, migrations fs.FS) *sqlitedb.DB {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), path, migrations)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func words(t *testing.T) *sqlitedb.DB {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "words.db"), fstest.MapFS{"00001_words.sql": first})
}

func insert(word string) func(*sql.Tx) error {
	return func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO words (word) VALUES (?)", word)
		return err
	}
}

func count(t *testing.T, db *sqlitedb.DB) (n int) {
	t.Helper()
	if err := db.Read.QueryRowContext(t.Context(), "SELECT count(*) FROM words").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSettings(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "it's")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "words.db")
	db := open(t, path, fstest.MapFS{"00001_words.sql": first})
	for name, pool := range map[string]*sql.DB{"read": db.Read, "write": db.Write} {
		for pragma, want := range map[string]string{
			"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000", "temp_store_directory": folder,
			"query_only": map[string]string{"read": "1", "write": "0"}[name],
		} {
			var got string
			if err := pool.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %s = %q, %v; want %q", name, pragma, got, err, want)
			}
		}
	}
	for _, file := range []string{path, path + "-wal"} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o, want 600", file, mode)
		}
	}
}

func TestMigrations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "words.db")
	older := fstest.MapFS{"00001_words.sql": first}
	newer := fstest.MapFS{"00001_words.sql": first, "00002_uses.sql": second}
	db := open(t, path, older)
	if err := db.Update(t.Context(), insert("a")); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	migrated := open(t, path, newer)
	if _, err := migrated.Read.Exec("SELECT uses FROM words"); err != nil {
		t.Errorf("the second migration: %v", err)
	}
	if n := count(t, migrated); n != 1 {
		t.Errorf("%d words after migration, want 1", n)
	}
	if err := migrated.Close(); err != nil {
		t.Fatal(err)
	}
}

// An upgrade is taken back: the older program goes on with what the newer one
// has written, unless a migration in between says that it must not.
func TestAnOlderProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "words.db")
	older := fstest.MapFS{"00001_words.sql": first}
	newer := fstest.MapFS{"00001_words.sql": first, "00002_uses.sql": second}
	newest := fstest.MapFS{"00001_words.sql": first, "00002_uses.sql": second, "00003_terms.sql": {
		Data: []byte("-- +goose Up\n-- breaks older programs\nALTER TABLE words RENAME TO terms;\n"),
	}}
	open(t, path, newer)
	back := open(t, path, older)
	if err := back.Update(t.Context(), insert("a")); err != nil {
		t.Errorf("write after a migration that only adds: %v", err)
	}
	open(t, path, newest)
	for known, migrations := range map[string]fstest.MapFS{"up to 1": older, "up to 2": newer} {
		_, err := sqlitedb.Open(t.Context(), path, migrations)
		if fault.KindOf(err) != fault.Conflict {
			t.Fatalf("open with an older program: %v, want a Conflict", err)
		}
		for _, part := range []string{path, "version 3", known, "run that version"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not say %q", err, part)
			}
		}
	}
}

func TestMigratedByManyAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "words.db")
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			db, err := sqlitedb.Open(t.Context(), path, fstest.MapFS{"00001_words.sql": first, "00002_uses.sql": second})
			if err != nil {
				t.Error(err)
				return
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("not a database ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path       string
		migrations fs.FS
	}{
		"a file that is no database": {garbage, fstest.MapFS{"00001_words.sql": first}},
		"a folder":                   {dir, fstest.MapFS{"00001_words.sql": first}},
		"a folder that is not there": {filepath.Join(dir, "no", "words.db"), fstest.MapFS{"00001_words.sql": first}},
		"a migration that fails": {filepath.Join(dir, "bad.db"), fstest.MapFS{
			"00001_words.sql": {Data: []byte("-- +goose Up\nCREATE TABBLE words;\n")},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := sqlitedb.Open(t.Context(), c.path, c.migrations); err == nil || !strings.Contains(err.Error(), c.path) {
				t.Errorf("Open: %v, want an error that names %s", err, c.path)
			}
		})
	}
}

// Changes that share a commit do not share their errors.
func TestGroup(t *testing.T) {
	db := words(t)
	failed := errors.New("changed my mind")
	// All of these wait while the first one holds the only writer.
	hold, release := make(chan struct{}), make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		err := db.Update(t.Context(), func(tx *sql.Tx) error {
			close(hold)
			<-release
			return insert("first")(tx)
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-hold
	for i := range 30 {
		wait.Go(func() {
			err := db.Update(t.Context(), func(tx *sql.Tx) error {
				if err := insert(fmt.Sprint(i))(tx); err != nil {
					return err
				}
				switch i % 3 {
				case 1:
					return failed
				case 2:
					panic("a bug")
				}
				return nil
			})
			switch i % 3 {
			case 0:
				if err != nil {
					t.Error(err)
				}
			case 1:
				if !errors.Is(err, failed) {
					t.Errorf("got %v, want the change's own error", err)
				}
			case 2:
				if err == nil || !strings.Contains(err.Error(), "a bug") {
					t.Errorf("got %v, want the panic", err)
				}
			}
		})
	}
	close(release)
	wait.Wait()
	if n := count(t, db); n != 11 {
		t.Errorf("%d words, want 11", n)
	}
}

// A disk that fails acknowledges nothing, and everything goes on when it works
// again.
func TestFailingDisk(t *testing.T) {
	long := func(tx *sql.Tx) error { return insert(strings.Repeat("x", 1<<20))(tx) }
	for name, c := range map[string]struct{ fail, mend, text string }{
		"full":      {"PRAGMA max_page_count = 10", "PRAGMA max_page_count = 1000000", "disk is full"},
		"read-only": {"PRAGMA query_only = 1", "PRAGMA query_only = 0", "cannot be written to"},
	} {
		t.Run(name, func(t *testing.T) {
			db := words(t)
			if _, err := db.Write.Exec(c.fail); err != nil {
				t.Fatal(err)
			}
			var wait sync.WaitGroup
			for range 3 {
				wait.Go(func() {
					err := sqlitedb.Wrap(db.Update(t.Context(), long), "add a word")
					if fault.KindOf(err) != fault.Unavailable || !strings.Contains(fault.Message(err), c.text) {
						t.Errorf("got %v, want Unavailable and %q", err, c.text)
					}
				})
			}
			wait.Wait()
			if n := count(t, db); n != 0 {
				t.Errorf("%d words, want none", n)
			}
			if _, err := db.Write.Exec(c.mend); err != nil {
				t.Fatal(err)
			}
			if err := db.Update(t.Context(), long); err != nil {
				t.Errorf("after the disk works again: %v", err)
			}
			if n := count(t, db); n != 1 {
				t.Errorf("%d words, want 1", n)
			}
		})
	}
}

func TestWrap(t *testing.T) {
	db := words(t)
	if err := db.Update(t.Context(), insert("a")); err != nil {
		t.Fatal(err)
	}
	unknown := errors.New("unknown")
	for name, c := range map[string]struct {
		err  error
		kind fault.Kind
	}{
		"a constraint":      {db.Update(t.Context(), insert("a")), fault.Conflict},
		"a wrong statement": {db.Update(t.Context(), func(tx *sql.Tx) error { _, err := tx.Exec("SELEKT"); return err }), fault.Internal},
		"a fault":           {fault.New(fault.NotFound, "nothing here"), fault.NotFound},
		"the context's end": {context.Canceled, fault.Canceled},
		"an unknown error":  {unknown, fault.Internal},
	} {
		err := sqlitedb.Wrap(c.err, "doing this")
		if fault.KindOf(err) != c.kind || !errors.Is(err, c.err) {
			t.Errorf("%s: Wrap(%v) = %v of kind %v, want %v", name, c.err, err, fault.KindOf(err), c.kind)
		}
	}
	if err := sqlitedb.Wrap(nil, "doing this"); err != nil {
		t.Errorf("Wrap(nil) = %v", err)
	}
	if err := sqlitedb.Wrap(unknown, "doing this"); !strings.Contains(err.Error(), "doing this") {
		t.Errorf("%q does not say what was being done", err)
	}
}

func TestUpdateAfterClose(t *testing.T) {
	db := words(t)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Update(t.Context(), insert("a")); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Update after Close: %v, want Unavailable", err)
	}
}

func TestChangedAfterCommit(t *testing.T) {
	db := words(t)
	changed := db.Changed()
	if err := db.Update(t.Context(), insert("a")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("the commit was not announced before it was acknowledged")
	}
}
