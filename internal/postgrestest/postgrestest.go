// Package postgrestest gives tests a PostgreSQL of their own: one server for
// each test process, made when the first test asks for it, on a free port of
// the loopback address, and gone with the process however that ends.
//
// It needs the programs of PostgreSQL, which 'make setup' installs.
package postgrestest

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/octavo-books/octavo/internal/nettest"
)

// startTimeout is how long a server may take to answer on a busy machine.
const startTimeout = time.Minute

//go:embed server.sh
var script string

// Server is a PostgreSQL with a folder of its own.
type Server struct {
	// Dir is the folder that holds all of it. It belongs to the user that the
	// server runs as.
	Dir string
	// Account is that user, nil for the one of the test.
	Account *syscall.Credential

	address   string
	mu        sync.Mutex
	commands  io.WriteCloser
	answers   *bufio.Reader
	databases atomic.Int64
}

var shared struct {
	sync.Mutex
	server *Server
}

// Database returns the URL of a new, empty database on the server of the test
// process. The server does not wait for the disk, so that tests are quick.
func Database(t testing.TB) string {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		s, err := Run("fsync=off", "synchronous_commit=off", "full_page_writes=off")
		if err != nil {
			t.Fatal(err)
		}
		shared.server = s
	}
	return shared.server.Database(t)
}

// Copies returns a function like Database whose databases are copies of one that
// prepare has filled, such as with a schema: that is much quicker than to fill
// each. prepare is called once, when the first is asked for, and leaves no
// connection open.
func Copies(prepare func(ctx context.Context, url string) error) func(testing.TB) string {
	var mu sync.Mutex
	var original string
	return func(t testing.TB) string {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if original == "" {
			filled := Database(t)
			if err := prepare(t.Context(), filled); err != nil {
				t.Fatal(err)
			}
			parsed, err := url.Parse(filled)
			if err != nil {
				t.Fatal(err)
			}
			original = strings.TrimPrefix(parsed.Path, "/")
		}
		// The shared server is there, and never another one.
		return shared.server.Database(t, "TEMPLATE "+original)
	}
}

// Start starts another server, with settings like "fsync=off" beyond those that
// PostgreSQL has by itself, for tests that do something to it. It is stopped
// and removed at the end of the test.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := Run(settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Replica starts a server that follows this one and can be read. It is removed
// at the end of the test.
func (s *Server) Replica(t testing.TB) *Server {
	t.Helper()
	replica, err := startFrom(s.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(replica.Close)
	return replica
}

// Promote makes a primary of a replica, and returns when it takes writes.
func (s *Server) Promote() error { return execute(s.url("postgres"), "SELECT pg_promote()") }

// Run is Start for programs that measure. The server is stopped and removed by
// Close, or when the process ends.
func Run(settings ...string) (*Server, error) { return startFrom("", settings...) }

// startFrom starts a new server, or a replica of the primary at a URL.
func startFrom(primary string, settings ...string) (*Server, error) {
	maker := "initdb"
	if primary != "" {
		maker = "pg_basebackup"
	}
	maker, err := program(maker)
	if err != nil {
		return nil, err
	}
	postgres, err := program("postgres")
	if err != nil {
		return nil, err
	}
	account, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "octavo-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: dir, Account: account}
	if account != nil {
		if err := os.Chown(dir, int(account.Uid), int(account.Gid)); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	if err := s.start(maker, primary, postgres, settings); err != nil {
		s.Close()
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), os.RemoveAll(dir))
	}
	return s, nil
}

func (s *Server) start(maker, primary, postgres string, settings []string) error {
	var err error
	if s.address, err = nettest.FindAddress(); err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return err
	}
	cmd := exec.Command("/bin/sh", "-c", script, "postgres", s.Dir, maker, primary, postgres,
		"-D", filepath.Join(s.Dir, "data"), "-p", port, "-k", "", "-c", "listen_addresses=127.0.0.1")
	for _, setting := range settings {
		cmd.Args = append(cmd.Args, "-c", setting)
	}
	cmd.Dir = s.Dir
	// In a group of its own it is not reached by Ctrl-C, which would end it
	// before the tests.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.Account, Setpgid: true}
	if s.commands, err = cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	s.answers = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		return err
	}
	first := "init"
	if primary != "" {
		first = "copy"
	}
	if err := s.command(first); err != nil {
		return fmt.Errorf("%w\n%s", err, s.log())
	}
	return s.Up()
}

// command has the script do something, and waits until it is done.
func (s *Server) command(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := io.WriteString(s.commands, name+"\n"); err != nil {
		return err
	}
	answer, err := s.answers.ReadString('\n')
	if err == nil && answer != name+" done\n" {
		err = fmt.Errorf("%s: %q", name, answer)
	}
	return err
}

// Up starts the server after Stop or Kill, and returns when it answers. When
// another process has the port, it is tried again until that one has gone.
func (s *Server) Up() error {
	const taken = "could not create any TCP/IP sockets"
	deadline := time.Now().Add(startTimeout)
	before := 0 // what the log said until the last start
	for ended := true; ; ended = strings.Contains(s.log()[before:], taken) {
		if ended {
			before = len(s.log())
			if err := s.command("start"); err != nil {
				return err
			}
		}
		err := execute(s.url("postgres"), "SELECT 1")
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w\n%s", err, s.log())
		}
		<-time.After(20 * time.Millisecond)
	}
}

// log is all that the server has said.
func (s *Server) log() string {
	text, _ := os.ReadFile(filepath.Join(s.Dir, "log"))
	return string(text)
}

// Stop ends the server as an operator would who restarts it: it ends all
// connections and what they were doing.
func (s *Server) Stop() error { return s.command("stop") }

// Kill ends the server and all its processes without letting them do anything
// more; their memory is lost.
func (s *Server) Kill() error { return s.command("kill") }

// Close ends the server and removes all of it.
func (s *Server) Close() {
	// The script ends the server and removes the folder when nobody can tell it
	// anything any more, which is also the case when this process has died.
	if s.commands != nil {
		_ = s.commands.Close()
		_, _ = io.Copy(io.Discard, s.answers)
	}
}

// Execute runs statements as superuser in the database postgres.
func (s *Server) Execute(t testing.TB, statements string) {
	t.Helper()
	if err := execute(s.url("postgres"), statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

func execute(url, statements string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statements)
	return errors.Join(err, conn.Close(ctx))
}

// Database makes an empty database and returns its URL. Options are those of
// CREATE DATABASE.
func (s *Server) Database(t testing.TB, options ...string) string {
	t.Helper()
	database, err := s.NewDatabase(options...)
	if err != nil {
		t.Fatal(err)
	}
	return database
}

// NewDatabase is Database for programs that measure.
func (s *Server) NewDatabase(options ...string) (string, error) {
	name := fmt.Sprintf("test_%d", s.databases.Add(1))
	if err := execute(s.url("postgres"), "CREATE DATABASE "+name+" "+strings.Join(options, " ")); err != nil {
		return "", fmt.Errorf("create a database: %w", err)
	}
	return s.url(name), nil
}

// Address is the host and port of the server.
func (s *Server) Address() string { return s.address }

func (s *Server) url(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User("postgres"), Path: database,
		Host: s.Address(), RawQuery: "sslmode=disable",
	}
	return u.String()
}

// program is the path of a program of PostgreSQL. Debian keeps them out of
// PATH, by version.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) == 0 {
		return "", fmt.Errorf("%s of PostgreSQL is not installed: run 'make setup'", name)
	}
	return slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) }), nil
}

// version is that in a path of Debian.
func version(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

// unprivileged is an account to run the server as, which refuses to run as
// root; nil when the test does not run as root.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	var errs []error
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		uid, _ := strconv.ParseUint(account.Uid, 10, 32)
		gid, _ := strconv.ParseUint(account.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("PostgreSQL does not run as root: %w", errors.Join(errs...))
}

// DelayCommits makes every transaction that inserts into or updates a table,
// given with its schema, wait for up to 20 ms before it commits, so that
// transactions commit in another order than that of their statements, where
// they can.
func DelayCommits(t testing.TB, url, table string) {
	t.Helper()
	const statements = `
		CREATE OR REPLACE FUNCTION delay_commit() RETURNS trigger LANGUAGE plpgsql
			AS $$ BEGIN PERFORM pg_sleep(random() * 0.02); RETURN NULL; END $$;
		CREATE CONSTRAINT TRIGGER delay AFTER INSERT OR UPDATE ON %s
			DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION delay_commit()`
	if err := execute(url, fmt.Sprintf(statements, table)); err != nil {
		t.Fatal(err)
	}
}
