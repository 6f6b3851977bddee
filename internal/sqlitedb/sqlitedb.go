// Package sqlitedb opens the SQLite databases of the services, brings them to
// the present schema, commits writes in groups, and says in plain words what
// went wrong. Each service keeps its own queries; nothing here knows a table.
//
// A write is on disk when Update returns: the log is synced at every commit.
package sqlitedb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/feed"
	"github.com/octavo-books/octavo/internal/migration"
)

const (
	busyTimeout = 5 * time.Second
	// Each of several programs that migrate at once finds something done.
	migrateAttempts = 20
	// Commits of other processes are noticed this often.
	pollInterval = time.Second
	// A commit waits for the disk. Writes that arrive meanwhile share the next
	// one, so long as making them takes no longer than this.
	groupTime = 10 * time.Millisecond
	// Files are rewritten this often at most, and only up to this size, in bytes.
	scrubInterval = time.Minute
	vacuumSize    = 100 << 20
)

// DB is one database: a pool of connections that read, and one that writes.
type DB struct {
	// Read answers queries, each from a snapshot of what is committed.
	Read *sql.DB
	// Write is the one connection that writes. It is here to prepare statements
	// on; changes go through Update.
	Write *sql.DB

	changed feed.Signal
	writes  chan write
	unclean atomic.Bool // Scrub was called, and it is not done
	stop    context.CancelFunc
	stopped <-chan struct{}
	tasks   sync.WaitGroup
}

type write struct {
	ctx    context.Context
	change func(*sql.Tx) error
	done   chan error
}

// Open opens the database file at path, made if it is not there, readable by
// its owner only, and applies the migrations that it lacks. A database that
// has migrations beyond these, of a newer program, is refused when one of them
// breaks programs that do not know it.
func Open(ctx context.Context, path string, migrations fs.FS) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	d := &DB{writes: make(chan write), stop: stop, stopped: running.Done()}
	if err := d.open(ctx, path, migrations); err != nil {
		stop()
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), d.close())
	}
	d.tasks.Go(d.commitGroups)
	d.tasks.Go(func() { d.poll(running) })
	return d, nil
}

func (d *DB) open(ctx context.Context, path string, migrations fs.FS) error {
	options := url.Values{
		"_busy_timeout": {fmt.Sprint(busyTimeout.Milliseconds())},
		"_foreign_keys": {"1"},
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"},
		"_txlock":       {"immediate"},
		"_pragma": {
			"cache_size(-8000)",
			// What is deleted is overwritten with zeros.
			"secure_delete(1)",
			// What does not fit into memory for a while goes where the database
			// is: there may be no other folder to write to, or a small one.
			"temp_store_directory('" + strings.ReplaceAll(filepath.Dir(path), "'", "''") + "')",
		},
	}
	name := "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath() + "?"
	var err error
	if d.Write, err = sql.Open("sqlite", name+options.Encode()); err != nil {
		return err
	}
	d.Write.SetMaxOpenConns(1)
	if err := migrate(ctx, d.Write, migrations); err != nil {
		return err
	}
	options.Del("_txlock")
	options.Set("_query_only", "1")
	if d.Read, err = sql.Open("sqlite", name+options.Encode()); err != nil {
		return err
	}
	// One more than can run at once, for the connection that polls.
	d.Read.SetMaxOpenConns(max(4, runtime.GOMAXPROCS(0)) + 1)
	d.Read.SetMaxIdleConns(max(4, runtime.GOMAXPROCS(0)) + 1)
	return d.Read.PingContext(ctx)
}

// migrate needs no lock of its own: each migration is one write transaction,
// and whoever comes second finds it done and goes on.
func migrate(ctx context.Context, db *sql.DB, migrations fs.FS) error {
	for attempt := 0; ; attempt++ {
		err := migration.Up(ctx, db, goose.DialectSQLite3, migrations)
		if err == nil || fault.KindOf(err) == fault.Conflict {
			return err
		}
		if attempt == migrateAttempts {
			return fmt.Errorf("migrate the database: %w", err)
		}
	}
}

// Close ends what runs and closes the files. Updates that come later fail.
func (d *DB) Close() error {
	d.stop()
	d.tasks.Wait()
	d.scrub(context.Background())
	return d.close()
}

func (d *DB) close() error {
	var errs []error
	for _, db := range []*sql.DB{d.Read, d.Write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// Changed returns a channel that is closed after the next commit.
func (d *DB) Changed() <-chan struct{} { return d.changed.Wait() }

// Update makes one change, all of it or nothing, and returns when it is on
// disk. Changes of several callers share a commit; the error of one does not
// touch the others. When ctx ends first the outcome is not known.
//
// The change runs on another goroutine and must not be retained: what it
// writes to is read only after Update returned nil.
func (d *DB) Update(ctx context.Context, change func(*sql.Tx) error) error {
	w := write{ctx: ctx, change: change, done: make(chan error, 1)}
	select {
	case d.writes <- w:
	case <-ctx.Done():
		return ctx.Err()
	case <-d.stopped:
		return fault.New(fault.Unavailable, "the database is closed")
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Scrub has all bytes of what was deleted before taken from the files, within
// seconds, or when the last time was less than a minute ago within a minute, and
// at the latest by Close. Deleting overwrites rows where they were last, and
// copies of some stay in the free room of pages that were split before; they
// go with a VACUUM. A database of more than 100 MB, which that would keep from
// being written to for longer than callers wait, is left with those copies until
// an operator makes it.
func (d *DB) Scrub() { d.unclean.Store(true) }

func (d *DB) scrub(ctx context.Context) {
	if !d.unclean.Swap(false) {
		return
	}
	if err := d.rewrite(ctx); err != nil {
		d.unclean.Store(true) // somebody is in the way, or the disk is full
	}
}

func (d *DB) rewrite(ctx context.Context) error {
	var size int64
	if err := d.Write.QueryRowContext(ctx, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").Scan(&size); err != nil {
		return err
	}
	if size <= vacuumSize {
		if _, err := d.Write.ExecContext(ctx, "VACUUM"); err != nil {
			return err
		}
	}
	// The log is brought into the database and cut off.
	var busy, frames, moved int
	err := d.Write.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &moved)
	if err == nil && busy != 0 {
		err = errors.New("the log is being read")
	}
	return err
}

// commitGroups is the only writer.
func (d *DB) commitGroups() {
	for {
		select {
		case <-d.stopped:
			return
		case w := <-d.writes:
			d.commitGroup(w)
		}
	}
}

// commitGroup makes the change and those that wait already, and commits once.
func (d *DB) commitGroup(w write) {
	var made []write
	tx, err := d.Write.BeginTx(context.Background(), nil)
	if err != nil {
		w.done <- err
		return
	}
	for start, more := time.Now(), true; more; {
		failed, lost := apply(tx, w)
		switch {
		case lost != nil:
			// The transaction is gone, with all that was in it.
			_ = tx.Rollback()
			for _, w := range append(made, w) {
				w.done <- lost
			}
			return
		case failed != nil:
			w.done <- failed
		default:
			made = append(made, w)
		}
		if more = time.Since(start) < groupTime; more {
			select {
			case w = <-d.writes:
			default:
				more = false
			}
		}
	}
	err = tx.Commit()
	if err == nil && len(made) > 0 {
		d.changed.Fire()
	}
	for _, w := range made {
		w.done <- err
	}
}

// apply makes one change inside the transaction of its group. A change that
// failed leaves nothing behind; lost means that the transaction itself did.
func apply(tx *sql.Tx, w write) (failed, lost error) {
	if err := w.ctx.Err(); err != nil {
		return err, nil
	}
	if _, err := tx.Exec("SAVEPOINT change"); err != nil {
		return nil, err
	}
	if failed = protect(tx, w.change); failed != nil {
		// On a full or broken disk SQLite may already have rolled back all.
		if _, err := tx.Exec("ROLLBACK TO change"); err != nil {
			return nil, failed
		}
	}
	if _, err := tx.Exec("RELEASE change"); err != nil {
		return nil, err
	}
	return failed, nil
}

func protect(tx *sql.Tx, change func(*sql.Tx) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic in a database change: %v\n%s", r, debug.Stack())
		}
	}()
	return change(tx)
}

// poll wakes the followers when another connection has committed, which may be
// that of another process, and scrubs the files.
func (d *DB) poll(ctx context.Context) {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	var conn *sql.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close()
		}
	}()
	var scrubbed time.Time
	for seen := int64(-1); ; {
		var version int64
		var err error
		if conn == nil {
			conn, err = d.Read.Conn(ctx)
		}
		if err == nil {
			// The number means something on one and the same connection only.
			err = conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version)
		}
		// An error here will meet the followers too, who can report it.
		if err == nil && version != seen {
			seen = version
			d.changed.Fire()
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if d.unclean.Load() && time.Since(scrubbed) > scrubInterval {
			d.scrub(ctx)
			scrubbed = time.Now()
		}
	}
}
