// Package storage breaks what the services stand on while they are used: the
// disk of a database, and the database itself. It checks that nothing is
// acknowledged that is not kept, and that all goes on by itself afterwards.
//
// Small disks are mounted, for which the tests need root or sudo.
package storage

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/octavo-books/octavo/chassis/chassistest"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/postgrestest"
	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/postgres"
	"github.com/octavo-books/octavo/internal/readers/sqlite"
)

const (
	// recovery is how long all may take to work again after a fault has ended.
	recovery = 5 * time.Second
	// patience is how long anything else may take on a busy machine.
	patience = time.Minute

	writers = 4
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// database is one whose disk or server can be broken and mended.
type database struct {
	readers.Store
	fail, mend func()
}

func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		open  func(*testing.T) database
		reads bool   // go on meanwhile
		says  string // what writers are told
	}{
		"SQLite, disk full":     {sqliteDiskFull, true, "the disk is full"},
		"SQLite, I/O error":     {sqliteIOError, true, "the disk of the database does not work"},
		"PostgreSQL, disk full": {postgresDiskFull, true, "the disk of the database is full"},
		"PostgreSQL, read-only": {postgresReadOnly, true, "cannot be written to"},
		"PostgreSQL, restarted": {func(t *testing.T) database { return postgresDown(t, (*postgrestest.Server).Stop) }, false, "the database"},
		"PostgreSQL, killed":    {func(t *testing.T) database { return postgresDown(t, (*postgrestest.Server).Kill) }, false, "the database"},
		"PostgreSQL, killed for good, and the replica promoted that the URL has behind it": {
			func(t *testing.T) database { return postgresPromoted(t, false) }, false, "the database"},
		"PostgreSQL, killed for good, and the replica promoted that the URL has before it": {
			func(t *testing.T) database { return postgresPromoted(t, true) }, false, "the database"},
	} {
		t.Run(name, func(t *testing.T) {
			db := c.open(t)
			server := readers.NewServer(db, slog.New(slog.DiscardHandler))
			client := readersv1.NewReadersServiceClient(chassistest.ServeTasks(t, func(r grpc.ServiceRegistrar) { server.Register(r) }, server.Run))
			l := startLoad(t, client)

			l.until("there are writes", patience, func(s seen) bool { return s.acknowledged >= 50 })
			db.fail()
			failed := l.now()
			l.until("all writers are refused", patience, func(s seen) bool {
				for w := range writers {
					if s.refused[w] == failed.refused[w] {
						return false
					}
				}
				return true
			})
			if text := l.now().text; !strings.Contains(text, c.says) {
				t.Errorf("writers are told %q, want %q", text, c.says)
			}
			if c.reads {
				for range 20 {
					if err := l.read(); err != nil {
						t.Errorf("read meanwhile: %v", err)
					}
				}
			}
			db.mend()
			mended := l.now()
			began := time.Now()
			l.until("writes are acknowledged again", recovery, func(s seen) bool { return s.acknowledged > mended.acknowledged })
			l.until("reads are answered again", recovery, func(seen) bool { return l.read() == nil })
			t.Logf("recovered within %v", time.Since(began).Round(time.Millisecond))
			l.until("there are more writes", patience, func(s seen) bool { return s.acknowledged >= mended.acknowledged+50 })
			l.stopWriters()
			l.checkLog(db)
		})
	}
}

// line names what a writer has sent: its number and a count.
type line struct {
	writer int
	book   int32
}

// seen is what has happened so far.
type seen struct {
	acknowledged int
	refused      [writers]int
	text         string // of the last refusal
}

// load is writers, each of a reader of its own, and one that follows.
type load struct {
	t      *testing.T
	client readersv1.ReadersServiceClient
	ids    []int32

	stopWriters func()

	mu       sync.Mutex
	seen     seen
	kept     map[line]bool // acknowledged
	followed []line
	position int64
}

func startLoad(t *testing.T, client readersv1.ReadersServiceClient) *load {
	l := &load{t: t, client: client, kept: map[line]bool{}}
	for range writers {
		resp, err := client.CreateReader(t.Context(), &readersv1.CreateReaderRequest{})
		if err != nil {
			t.Fatal(err)
		}
		l.ids = append(l.ids, resp.GetReader().GetId())
	}
	writing, stop := context.WithCancel(t.Context())
	var tasks sync.WaitGroup
	for w := range writers {
		tasks.Go(func() { l.write(writing, w) })
	}
	l.stopWriters = func() { stop(); tasks.Wait() }
	following, leave := context.WithCancel(t.Context())
	var follower sync.WaitGroup
	follower.Go(func() { l.follow(following) })
	t.Cleanup(func() {
		l.stopWriters()
		leave()
		follower.Wait()
	})
	return l
}

func (l *load) now() seen {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen
}

func (l *load) until(what string, within time.Duration, yes func(seen) bool) {
	l.t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !yes(l.now()) {
		select {
		case <-tick.C:
		case <-deadline:
			l.t.Fatalf("waited %v until %s, in vain; so far %+v", within, what, l.now())
		}
	}
}

// write sends each line again until it is acknowledged, as a client would.
func (l *load) write(ctx context.Context, w int) {
	for book := int32(1); ctx.Err() == nil; {
		// A call that has begun goes on to its end, so that its outcome is known.
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		_, err := l.client.RecordInteractions(call, &readersv1.RecordInteractionsRequest{Interactions: []*readersv1.Interaction{{
			Id: fmt.Sprint(book), ReaderId: l.ids[w], BookId: book, Kind: readersv1.InteractionKind_INTERACTION_KIND_WANT,
		}}})
		cancel()
		l.mu.Lock()
		switch status.Code(err) {
		case codes.OK:
			l.kept[line{w, book}] = true
			l.seen.acknowledged++
			book++
		case codes.Unavailable:
			l.seen.refused[w]++
			l.seen.text = status.Convert(err).Message()
		default:
			l.t.Errorf("write: %v, want OK or UNAVAILABLE", err)
		}
		l.mu.Unlock()
		if err != nil {
			pause(ctx)
		}
	}
}

func (l *load) read() error {
	ctx, cancel := context.WithTimeout(l.t.Context(), 2*time.Second)
	defer cancel()
	_, err := l.client.ListShelf(ctx, &readersv1.ListShelfRequest{ReaderId: l.ids[0]})
	return err
}

// follow follows the log, from where it was when the stream ends.
func (l *load) follow(ctx context.Context) {
	writer := map[int32]int{}
	for w, id := range l.ids {
		writer[id] = w
	}
	for ctx.Err() == nil {
		stream, err := l.client.WatchInteractions(ctx, &readersv1.WatchInteractionsRequest{AfterPosition: l.position})
		for err == nil {
			var part *readersv1.WatchInteractionsResponse
			if part, err = stream.Recv(); err != nil {
				break
			}
			l.mu.Lock()
			for _, in := range part.GetInteractions() {
				l.followed = append(l.followed, line{writer[in.GetReaderId()], in.GetBookId()})
			}
			l.position = part.GetPosition()
			l.mu.Unlock()
		}
		pause(ctx)
	}
}

// pause lets a moment pass before something is tried again.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Millisecond):
	}
}

// checkLog compares the log with what was acknowledged and with what was
// followed.
func (l *load) checkLog(store readers.Store) {
	l.t.Helper()
	log, err := store.Log(l.t.Context(), 0, 1_000_000)
	if err != nil {
		l.t.Fatal(err)
	}
	writer := map[int32]int{}
	for w, id := range l.ids {
		writer[id] = w
	}
	inLog := map[line]bool{}
	for i, in := range log.Interactions {
		if in.Position != int64(i)+1 {
			l.t.Fatalf("position %d at place %d", in.Position, i+1)
		}
		key := line{writer[in.Reader], in.Book}
		if inLog[key] {
			l.t.Errorf("%+v is in the log twice", key)
		}
		inLog[key] = true
	}
	l.until("the follower is at the end", patience, func(seen) bool { return l.at() == log.Head })
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.kept {
		if !inLog[key] {
			l.t.Errorf("%+v was acknowledged and is not in the log", key)
		}
	}
	followed := map[line]bool{}
	for _, key := range l.followed {
		followed[key] = true
	}
	if len(l.followed) != len(log.Interactions) || !maps.Equal(followed, inLog) {
		l.t.Errorf("the follower saw %d interactions, %d of them different; the log has %d", len(l.followed), len(followed), len(inLog))
	}
	l.t.Logf("%d acknowledged, %d in the log, %v refused", len(l.kept), len(inLog), l.seen.refused)
}

func (l *load) at() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.position
}

// mount makes a disk of so many megabytes. It is given to a user when one is
// named.
func mount(t *testing.T, megabytes int, owner *syscall.Credential) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "octavo-disk-")
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		if os.Getuid() != 0 {
			args = append([]string{"sudo", "-n"}, args...)
		}
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%s, which needs root or sudo: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	uid, gid := os.Getuid(), os.Getgid()
	if owner != nil {
		uid, gid = int(owner.Uid), int(owner.Gid)
	}
	t.Cleanup(func() {
		run("umount", dir)
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	run("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm,uid=%d,gid=%d,mode=700", megabytes, uid, gid), "octavo", dir)
	if t.Failed() {
		t.FailNow()
	}
	return dir
}

// fill returns functions that take all that is left of a disk, and that give it
// back.
func fill(t *testing.T, dir string) (fail, mend func()) {
	file := filepath.Join(dir, "filler")
	fail = func() {
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for chunk := make([]byte, 1<<12); err == nil; {
			_, err = f.Write(chunk)
		}
	}
	mend = func() {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	return fail, mend
}

func closeLater(t *testing.T, name string, close func() error) {
	t.Cleanup(func() {
		if err := close(); err != nil {
			t.Errorf("close %s: %v", name, err)
		}
	})
}

func openSQLite(t *testing.T, dir string) readers.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(dir, "readers.db"))
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, "SQLite", s.Close)
	return s
}

func sqliteDiskFull(t *testing.T) database {
	dir := mount(t, 16, nil)
	fail, mend := fill(t, dir)
	return database{openSQLite(t, dir), fail, mend}
}

// sqliteIOError has every write beyond the first page of a file fail, as this
// process is allowed no larger files.
func sqliteIOError(t *testing.T) database {
	s := openSQLite(t, t.TempDir())
	signal.Ignore(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	set := func(size uint64) {
		limit := before
		limit.Cur = size
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
	}
	mend := sync.OnceFunc(func() {
		set(before.Cur)
		signal.Reset(syscall.SIGXFSZ)
	})
	t.Cleanup(mend)
	return database{s, func() { set(4096) }, mend}
}

func openPostgres(t *testing.T, url string) readers.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, "PostgreSQL", s.Close)
	return s
}

// postgresDiskFull has the tables on the small disk. A full disk of the log of
// PostgreSQL itself stops the server, as in the cases where it is down.
func postgresDiskFull(t *testing.T) database {
	server := postgrestest.Start(t)
	dir := mount(t, 24, server.Account)
	t.Cleanup(func() {
		// The disk is in use as long as the server runs.
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	server.Execute(t, fmt.Sprintf("CREATE TABLESPACE small LOCATION '%s'", dir))
	fail, mend := fill(t, dir)
	return database{openPostgres(t, server.Database(t, "TABLESPACE small")), fail, mend}
}

func postgresReadOnly(t *testing.T) database {
	server := postgrestest.Start(t)
	set := func(value string) func() {
		return func() {
			server.Execute(t, "ALTER SYSTEM SET default_transaction_read_only = "+value)
			server.Execute(t, "SELECT pg_reload_conf()")
		}
	}
	return database{openPostgres(t, server.Database(t)), set("on"), set("off")}
}

func postgresDown(t *testing.T, end func(*postgrestest.Server) error) database {
	server := postgrestest.Start(t)
	return database{openPostgres(t, server.Database(t)), must(t, func() error { return end(server) }), must(t, server.Up)}
}

// postgresPromoted has a primary that dies, and a replica that is promoted then.
// The service knows both by one URL, and must not take the replica for the
// primary before. A commit waits for the replica, as it must where nothing that
// was acknowledged may be lost with the primary.
func postgresPromoted(t *testing.T, replicaFirst bool) database {
	primary := postgrestest.Start(t)
	both, err := url.Parse(primary.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	replica := primary.Replica(t)
	primary.Execute(t, "ALTER SYSTEM SET synchronous_standby_names = '*'")
	primary.Execute(t, "SELECT pg_reload_conf()")
	hosts := []string{both.Host, replica.Address()}
	if replicaFirst {
		slices.Reverse(hosts)
	}
	both.Host = strings.Join(hosts, ",")
	query := both.Query()
	query.Set("target_session_attrs", "read-write")
	both.RawQuery = query.Encode()
	return database{openPostgres(t, both.String()), must(t, primary.Kill), must(t, replica.Promote)}
}

func must(t *testing.T, do func() error) func() {
	return func() {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
}
