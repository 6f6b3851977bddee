package postgresdb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/nettest"
	"github.com/octavo-books/octavo/internal/postgresdb"
	"github.com/octavo-books/octavo/internal/postgrestest"
	"github.com/octavo-books/octavo/internal/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	first  = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE words (word text PRIMARY KEY);\n")}
	second = &fstest.MapFile{Data: []byte("-- +goose Up\nALTER TABLE words ADD COLUMN uses integer NOT NULL DEFAULT 0;\n")}
	older  = fstest.MapFS{"00001_words.sql": first}
	newer  = fstest.MapFS{"00001_words.sql": first, "00002_uses.sql": second}
	third  = &fstest.MapFile{Data: []byte("-- +goose Up\n-- breaks older programs\nALTER TABLE words RENAME TO terms;\n")}
	newest = fstest.MapFS{"00001_words.sql": first, "00002_uses.sql": second, "00003_terms.sql": third}
)

func open(t *testing.T, url string, migrations fstest.MapFS) *postgresdb.DB {
	t.Helper()
	db, err := postgresdb.Open(t.Context(), postgresdb.Config{URL: url, Schema: "words", Migrations: migrations})
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

func words(t *testing.T) *postgresdb.DB {
	t.Helper()
	return open(t, postgrestest.Database(t), older)
}

// insert is a change that adds a word and takes the next position.
func insert(ctx context.Context, word string) func(pgx.Tx, int64) (int64, error) {
	return func(tx pgx.Tx, head int64) (int64, error) {
		_, err := tx.Exec(ctx, "INSERT INTO words (word) VALUES ($1)", word)
		return head + 1, err
	}
}

func count(t *testing.T, db *postgresdb.DB) (n int) {
	t.Helper()
	if err := db.Read.QueryRow(t.Context(), "SELECT count(*) FROM words").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func head(t *testing.T, db *postgresdb.DB) int64 {
	t.Helper()
	position, err := db.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return position
}

// A commit waits for the disk, and nothing waits for ever, whatever the server
// is set to.
func TestSettings(t *testing.T) {
	db := words(t)
	for name, want := range map[string]string{
		"synchronous_commit": "on", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "10s",
		"search_path": `"words", public`, "application_name": "octavo words",
	} {
		var got string
		if err := db.Read.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q, %v; want %q", name, got, err, want)
		}
	}
}

// The first query finds a connection that is there, as far as the URL allows any.
func TestConnectionsAreThereBeforeTheFirstQuery(t *testing.T) {
	for option, want := range map[string]int32{"": 2, "&pool_max_conns=1": 1, "&pool_min_conns=3": 3} {
		db := open(t, postgrestest.Database(t)+option, older)
		waittest.Until(t, "connections are there", 30*time.Second, func() bool { return db.Read.Stat().IdleConns() >= want })
		if got := db.Read.Stat(); got.IdleConns() != want || got.AcquireCount() != 0 {
			t.Errorf("%q: %d connections after %d queries, want %d after none", option, got.IdleConns(), got.AcquireCount(), want)
		}
	}
}

// However many ask, a program has no more connections than the operator's
// arithmetic says (docs/operations/databases.md), on a machine of any size.
func TestConnections(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for option, want := range map[string]int{"": 4 + 1, "&pool_max_conns=2": 2 + 1, "&pool_max_conns=9": 9 + 1} {
		url := postgrestest.Database(t)
		db := open(t, url+option, older)
		var wait sync.WaitGroup
		all := make(chan struct{})
		for range want + 5 {
			wait.Go(func() {
				err := db.Read.AcquireFunc(ctx, func(*pgxpool.Conn) error {
					select {
					case <-all:
					case <-ctx.Done():
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		watch, err := pgx.Connect(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		connections := func() (n int) {
			const count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'octavo words'"
			if err := watch.QueryRow(ctx, count).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if most := int(db.Read.Stat().MaxConns()); most != want-1 {
			t.Errorf("%q: %d connections in the pool, want %d", option, most, want-1)
		}
		// Those of the migrations go away in their own time.
		waittest.Until(t, fmt.Sprintf("%q: %d connections", option, want), 30*time.Second, func() bool {
			return int(db.Read.Stat().AcquiredConns()) == want-1 && connections() == want
		})
		close(all)
		wait.Wait()
		if err := watch.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}

func TestMigrations(t *testing.T) {
	url := postgrestest.Database(t)
	db := open(t, url, older)
	if err := db.Update(t.Context(), insert(t.Context(), "a")); err != nil {
		t.Fatal(err)
	}
	migrated := open(t, url, newer)
	if _, err := migrated.Read.Exec(t.Context(), "SELECT uses FROM words"); err != nil {
		t.Errorf("the second migration: %v", err)
	}
	if n, position := count(t, migrated), head(t, migrated); n != 1 || position != 1 {
		t.Errorf("%d words and position %d after migration, want 1 and 1", n, position)
	}
}

// An upgrade is rolled out, and taken back, while programs of two releases use
// the database; a migration that they do not stand keeps the older ones out.
func TestAnOlderProgram(t *testing.T) {
	url := postgrestest.Database(t)
	open(t, url, newer)
	back := open(t, url, older)
	if err := back.Update(t.Context(), insert(t.Context(), "a")); err != nil {
		t.Errorf("write after a migration that only adds: %v", err)
	}
	open(t, url, newest)
	for known, migrations := range map[string]fstest.MapFS{"up to 1": older, "up to 2": newer} {
		_, err := postgresdb.Open(t.Context(), postgresdb.Config{URL: url, Schema: "words", Migrations: migrations})
		if fault.KindOf(err) != fault.Conflict {
			t.Fatalf("open with an older program: %v, want a Conflict", err)
		}
		for _, part := range []string{"schema words of database test_", "version 3", known, "run that version"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not say %q", err, part)
			}
		}
	}
}

func TestMigratedByManyAtOnce(t *testing.T) {
	url := postgrestest.Database(t)
	var wait sync.WaitGroup
	for _, schema := range []string{"one", "one", "one", "two", "two"} {
		wait.Go(func() {
			db, err := postgresdb.Open(t.Context(), postgresdb.Config{URL: url, Schema: schema, Migrations: newer})
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

// An operator may let the role make no schemas, and make it beforehand.
func TestSchemaThatIsThere(t *testing.T) {
	s := postgrestest.Start(t, "fsync=off")
	url := s.Database(t)
	owner := open(t, url, older)
	for _, statement := range []string{
		"CREATE ROLE modest LOGIN", "GRANT USAGE, CREATE ON SCHEMA words TO modest",
		"GRANT ALL ON ALL TABLES IN SCHEMA words TO modest",
	} {
		if _, err := owner.Read.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	db := open(t, strings.Replace(url, "postgres@", "modest@", 1), older)
	if err := db.Update(t.Context(), insert(t.Context(), "a")); err != nil {
		t.Error(err)
	}
}

// A password is replaced without a gap by a second role that acts as the first
// one, which owns the tables: both are in use meanwhile, and the second can also
// bring the schema up to date.
func TestASecondRoleForTheSameTables(t *testing.T) {
	s := postgrestest.Start(t, "fsync=off")
	url := s.Database(t)
	s.Execute(t, "CREATE ROLE octavo LOGIN")
	s.Execute(t, "ALTER DATABASE "+url[strings.LastIndex(url, "/")+1:strings.Index(url, "?")]+" OWNER TO octavo")
	before := open(t, strings.Replace(url, "postgres@", "octavo@", 1), older)
	if err := before.Update(t.Context(), insert(t.Context(), "a")); err != nil {
		t.Fatal(err)
	}
	s.Execute(t, "CREATE ROLE octavo_2 LOGIN IN ROLE octavo")
	s.Execute(t, "ALTER ROLE octavo_2 SET role = octavo")
	after := open(t, strings.Replace(url, "postgres@", "octavo_2@", 1), newer)
	for word, db := range map[string]*postgresdb.DB{"b": before, "c": after} {
		if err := db.Update(t.Context(), insert(t.Context(), word)); err != nil {
			t.Errorf("write %s: %v", word, err)
		}
	}
	if n := count(t, after); n != 3 {
		t.Errorf("the second role sees %d words, want 3", n)
	}
	var owner string
	if err := after.Read.QueryRow(t.Context(), "SELECT current_user").Scan(&owner); err != nil || owner != "octavo" {
		t.Errorf("what the second role makes would belong to %q, %v; want octavo, who has to be able to use it", owner, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	const secret = "hunter2"
	good := postgrestest.Database(t)
	for name, c := range map[string]struct {
		url, text  string
		migrations fstest.MapFS
	}{
		"no URL":                   {"postgres://user:" + secret + "@[::1:" + secret, "has to be like", older},
		"a database not there":     {strings.Replace(good, "/test_", "/nothing_", 1), "does not exist", older},
		"a role that is unknown":   {strings.Replace(good, "postgres@", "nobody:"+secret+"@", 1), "nobody", older},
		"a migration that fails":   {good, "TABBLE", fstest.MapFS{"00001_words.sql": {Data: []byte("-- +goose Up\nCREATE TABBLE words;\n")}}},
		"a URL with an odd option": {good + "&pool_max_conns=many&password=" + secret, "has to be like", older},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := postgresdb.Open(t.Context(), postgresdb.Config{URL: c.url, Schema: "words", Migrations: c.migrations})
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("Open: %v, want an error that says %q", err, c.text)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%q tells the secret", err)
			}
		})
	}
}

// A database that starts after its services is waited for.
func TestOpenWaits(t *testing.T) {
	s := postgrestest.Start(t, "fsync=off")
	url := s.Database(t)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		db, err := postgresdb.Open(t.Context(), postgresdb.Config{URL: url, Schema: "words", Migrations: older})
		if err == nil {
			err = db.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("Open returned before the database was there: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	if err := s.Up(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

func TestUpdate(t *testing.T) {
	db := words(t)
	changed := db.Changed()
	if err := db.Update(t.Context(), insert(t.Context(), "a")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("the commit was not announced before it was acknowledged")
	}
	failed := errors.New("changed my mind")
	err := db.Update(t.Context(), func(tx pgx.Tx, head int64) (int64, error) {
		if _, err := insert(t.Context(), "b")(tx, head); err != nil {
			return 0, err
		}
		return head + 9, failed
	})
	if !errors.Is(err, failed) {
		t.Errorf("Update: %v, want the change's own error", err)
	}
	if n, position := count(t, db), head(t, db); n != 1 || position != 1 {
		t.Errorf("%d words and position %d, want 1 and 1", n, position)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Update(t.Context(), insert(t.Context(), "c")); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Update after Close: %v, want Unavailable", err)
	}
}

// One that hangs in the middle does not keep the others waiting for ever.
func TestWriterThatHangs(t *testing.T) {
	url := postgrestest.Database(t)
	db := open(t, url, older)
	hangs, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer hangs.Close(context.WithoutCancel(t.Context()))
	if _, err := hangs.Exec(t.Context(), "BEGIN; SELECT position FROM words.head FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	err = postgresdb.Wrap(db.Update(t.Context(), insert(t.Context(), "a")), "add a word")
	if fault.KindOf(err) != fault.Unavailable || !strings.Contains(fault.Message(err), "busy") {
		t.Errorf("Update while another process writes: %v, want Unavailable", err)
	}
	if n := count(t, db); n != 0 {
		t.Errorf("%d words, want none", n)
	}
	if _, err := hangs.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := db.Update(t.Context(), insert(t.Context(), "a")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// Commits of other processes are noticed at once.
// TestNoConnectionIsLeft: whoever has no deadline, as a feed, does not wait for
// a connection for as long as others keep them all.
func TestNoConnectionIsLeft(t *testing.T) {
	t.Parallel()
	db := open(t, postgrestest.Database(t)+"&pool_max_conns=1", older)
	taken, err := db.Read.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer time.AfterFunc(15*time.Second, cancel).Stop()
	defer cancel()
	if _, err := db.Head(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with no connection left: %v, want a deadline exceeded", err)
	}
	taken.Release()
	if _, err := db.Head(ctx); err != nil {
		t.Errorf("with a connection again: %v", err)
	}
}

func TestChangedByAnother(t *testing.T) {
	url := postgrestest.Database(t)
	db, other := open(t, url, older), open(t, url, older)
	deadline := time.After(30 * time.Second)
	for n := range 5 {
		if err := other.Update(t.Context(), insert(t.Context(), fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
		for {
			changed := db.Changed()
			if count(t, db) == n+1 {
				break
			}
			select {
			case <-changed:
			case <-deadline:
				t.Fatal("not noticed")
			}
		}
	}
	// A change without a position, which polling does not see.
	changed := db.Changed()
	if err := other.Update(t.Context(), func(_ pgx.Tx, head int64) (int64, error) { return head, nil }); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	case <-deadline:
		t.Error("no notification came")
	}
}

// Without notifications, as behind some poolers, the counter is looked at.
func TestChangedWithoutNotification(t *testing.T) {
	url := postgrestest.Database(t)
	db := open(t, url, older)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	// The first look fires too.
	first := db.Changed()
	select {
	case <-first:
	case <-time.After(2 * time.Second):
	}
	changed := db.Changed()
	if _, err := conn.Exec(t.Context(), "UPDATE words.head SET position = position + 1"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	case <-time.After(30 * time.Second):
		t.Error("not noticed")
	}
}

// Requests that share a commit do not share their errors.
func TestGroup(t *testing.T) {
	db := words(t)
	var commits int
	group := postgresdb.NewGroup(db, func(ctx context.Context, tx pgx.Tx, head int64, in []string) ([]int64, int64, error) {
		out := make([]int64, len(in))
		for i, word := range in {
			if strings.HasPrefix(word, "panic") {
				panic(word)
			}
			if _, err := tx.Exec(ctx, "INSERT INTO words (word) VALUES ($1)", word); err != nil {
				return nil, 0, err
			}
			head++
			out[i] = head
		}
		commits++
		return out, head, nil
	})
	// All of these wait while another writer holds the turn.
	hold, release := make(chan struct{}), make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		err := db.Update(t.Context(), func(tx pgx.Tx, head int64) (int64, error) {
			close(hold)
			<-release
			return insert(t.Context(), "taken")(tx, head)
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-hold
	var mu sync.Mutex
	seen := map[int64]bool{}
	const requests = 60
	started := make(chan struct{}, requests)
	for i := range requests {
		wait.Go(func() {
			word := []string{"good", "taken", "panic"}[min(i, 2)]
			if i > 2 {
				word = fmt.Sprint("good ", i)
			}
			started <- struct{}{}
			position, err := group.Do(t.Context(), word)
			switch word {
			case "taken":
				if fault.KindOf(postgresdb.Wrap(err, "add")) != fault.Conflict {
					t.Errorf("a word that is there: %v, want Conflict", err)
				}
			case "panic":
				if err == nil || !strings.Contains(err.Error(), "panic in a database change") {
					t.Errorf("got %v, want the panic", err)
				}
			default:
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if seen[position] {
					t.Errorf("position %d was given twice", position)
				}
				seen[position] = true
			}
		})
	}
	for range requests {
		<-started
	}
	close(release)
	wait.Wait()
	if n, position := count(t, db), head(t, db); n != requests-1 || position != requests-1 {
		t.Errorf("%d words and position %d, want %d", n, position, requests-1)
	}
	// Now that none is at fault they do share.
	commits = 0
	for i := range requests {
		wait.Go(func() {
			if _, err := group.Do(t.Context(), fmt.Sprint("more ", i)); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if commits >= requests {
		t.Errorf("%d requests took %d commits", requests, commits)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := group.Do(canceled, "never"); !errors.Is(err, context.Canceled) {
		t.Errorf("Do with a canceled context: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := group.Do(t.Context(), "late"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Do after Close: %v, want Unavailable", err)
	}
}

// What waits for a network that takes everything and answers nothing does not
// hold up the end of the program: neither the commit of a group, nor queries that
// were given up, whose connections are ended in the background.
func TestCloseBehindASilentNetwork(t *testing.T) {
	const within = 5 * time.Second // with slack for a busy machine; uncut it takes 15 s
	direct, err := url.Parse(postgrestest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	way := nettest.Start(t, direct.Host)
	direct.Host = way.Addr
	db := open(t, direct.String(), older)
	writes, silent := make(chan struct{}), make(chan struct{})
	group := postgresdb.NewGroup(db, func(ctx context.Context, tx pgx.Tx, head int64, in []string) ([]int64, int64, error) {
		close(writes)
		<-silent
		after, err := insert(ctx, in[0])(tx, head)
		return []int64{after}, after, err
	})
	canceled, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() {
		if _, err := group.Do(canceled, "word"); !errors.Is(err, context.Canceled) {
			t.Errorf("Do: %v, want what its caller did", err)
		}
	})
	<-writes
	// One that is in use when the network falls silent is not tried before.
	reads, err := db.Read.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	way.Silence()
	close(silent)
	wait.Go(func() {
		defer reads.Release()
		if _, err := reads.Exec(canceled, "SELECT"); err == nil {
			t.Error("a query was answered through a network that is silent")
		}
	})
	cancel()
	wait.Wait()
	began := time.Now()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	took := time.Since(began)
	t.Logf("closed after %v", took.Round(time.Millisecond))
	if took > within {
		t.Errorf("Close took %v, want %v at most", took, within)
	}
}

func TestWrap(t *testing.T) {
	db := words(t)
	if err := db.Update(t.Context(), insert(t.Context(), "a")); err != nil {
		t.Fatal(err)
	}
	execute := func(statement string) error {
		return db.Update(t.Context(), func(tx pgx.Tx, head int64) (int64, error) {
			_, err := tx.Exec(t.Context(), statement)
			return head, err
		})
	}
	raise := func(code string) error {
		return execute("DO $$ BEGIN RAISE EXCEPTION 'so' USING ERRCODE = '" + code + "'; END $$")
	}
	unknown := errors.New("unknown")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		err  error
		kind fault.Kind
		text string
	}{
		"a constraint":            {db.Update(t.Context(), insert(t.Context(), "a")), fault.Conflict, "does not fit"},
		"an odd character":        {db.Update(t.Context(), insert(t.Context(), "a\x00")), fault.Invalid, "character"},
		"a wrong statement":       {execute("SELEKT"), fault.Internal, ""},
		"disk full":               {raise("53100"), fault.Unavailable, "disk of the database is full"},
		"too many connections":    {raise("53300"), fault.Unavailable, "too many connections"},
		"out of memory":           {raise("53200"), fault.Unavailable, "short of memory"},
		"read-only":               {execute("SET TRANSACTION READ ONLY; INSERT INTO words VALUES ('b')"), fault.Unavailable, "cannot be written to"},
		"an I/O error":            {raise("58030"), fault.Unavailable, "disk of the database does not work"},
		"a deadlock":              {raise("40P01"), fault.Unavailable, "busy"},
		"a shutdown":              {raise("57P01"), fault.Unavailable, "restarting"},
		"a statement cut off":     {execute("SET LOCAL statement_timeout = 1; SELECT pg_sleep(10)"), fault.Unavailable, "too long"},
		"a fault":                 {fault.New(fault.NotFound, "nothing here"), fault.NotFound, "nothing here"},
		"the context's end":       {db.Update(ended, insert(t.Context(), "c")), fault.Canceled, ""},
		"a connection that ended": {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), fault.Unavailable, "cannot be reached"},
		"a connection refused":    {&net.OpError{Op: "dial", Err: errors.New("refused")}, fault.Unavailable, "cannot be reached"},
		"a closed connection":     {pgconn.ErrConnClosed, fault.Unavailable, "cannot be reached"},
		"an unknown error":        {unknown, fault.Internal, ""},
	} {
		err := postgresdb.Wrap(c.err, "doing this")
		if fault.KindOf(err) != c.kind || !errors.Is(err, c.err) || !strings.Contains(fault.Message(err), c.text) {
			t.Errorf("%s: Wrap(%v) = %v of kind %v, want %v", name, c.err, err, fault.KindOf(err), c.kind)
		}
	}
	if err := postgresdb.Wrap(nil, "doing this"); err != nil {
		t.Errorf("Wrap(nil) = %v", err)
	}
	if err := postgresdb.Wrap(unknown, "doing this"); !strings.Contains(err.Error(), "doing this") {
		t.Errorf("%q does not say what was being done", err)
	}
}
