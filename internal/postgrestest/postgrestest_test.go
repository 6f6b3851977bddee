package postgrestest_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/octavo-books/octavo/internal/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func answers(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	return errors.Join(conn.Ping(ctx), conn.Close(ctx))
}

func TestDatabases(t *testing.T) {
	one, two := postgrestest.Database(t), postgrestest.Database(t)
	if one == two {
		t.Errorf("two tests share %s", one)
	}
	for _, url := range []string{one, two} {
		if err := answers(url); err != nil {
			t.Error(err)
		}
	}
}

func TestCopies(t *testing.T) {
	var prepared int
	execute := func(ctx context.Context, url, statement string) error {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, statement)
		return errors.Join(err, conn.Close(ctx))
	}
	database := postgrestest.Copies(func(ctx context.Context, url string) error {
		prepared++
		return execute(ctx, url, "CREATE TABLE words (word text PRIMARY KEY); INSERT INTO words VALUES ('a')")
	})
	for range 3 {
		// In each there is what was prepared, and nothing that was done to another.
		if err := execute(t.Context(), database(t), "INSERT INTO words SELECT word || 'b' FROM words"); err != nil {
			t.Error(err)
		}
	}
	if prepared != 1 {
		t.Errorf("prepared %d times, want once", prepared)
	}
}

func TestStopAndKill(t *testing.T) {
	s := postgrestest.Start(t, "fsync=off")
	url := s.Database(t)
	for name, end := range map[string]func() error{"Stop": s.Stop, "Kill": s.Kill} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if answers(url) == nil {
			t.Errorf("the server answers after %s", name)
		}
		if err := s.Up(); err != nil {
			t.Fatal(err)
		}
		if err := answers(url); err != nil {
			t.Errorf("after %s and Up: %v", name, err)
		}
	}
}

// While a server is down, another process may take its port.
func TestAPortThatIsTakenForAWhile(t *testing.T) {
	s := postgrestest.Start(t, "fsync=off")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for t.Context().Err() == nil { // until the server has found that it is not alone
			if log, _ := os.ReadFile(filepath.Join(s.Dir, "log")); bytes.Contains(log, []byte("could not bind")) {
				break
			}
			<-time.After(10 * time.Millisecond)
		}
		other.Close()
	}()
	if err := s.Up(); err != nil {
		t.Error(err)
	}
}

// A test that dies leaves neither a server nor its files.
func TestEndsWithItsProcess(t *testing.T) {
	const marker = "-test.run=^TestDies$"
	temp := t.TempDir()
	if err := os.Chmod(filepath.Dir(temp), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(temp, 0o777); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], marker)
	cmd.Env = append(os.Environ(), "TMPDIR="+temp, "OCTAVO_TEST_DIES=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "postgres://") {
		t.Fatalf("the process did not die of a panic after it had a database: %v\n%s", err, out)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		left, err := os.ReadDir(temp)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there", left[0].Name())
		}
		<-time.After(20 * time.Millisecond)
	}
}

// TestDies is what TestEndsWithItsProcess runs.
func TestDies(t *testing.T) {
	if os.Getenv("OCTAVO_TEST_DIES") != "" {
		panic(postgrestest.Database(t))
	}
}
