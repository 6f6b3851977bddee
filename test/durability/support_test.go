package durability

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/chassis"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/nettest"
	"github.com/octavo-books/octavo/internal/waittest"
)

var long = flag.Bool("long", false, "kill a hundred times, lose power at every write, and start in every order")

// binaries is the folder of the programs under test.
var binaries string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if binaries, err = os.MkdirTemp("", "octavo-durability-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(binaries)
	build := exec.Command("go", "build", "-o", binaries+string(filepath.Separator),
		"./cmd/catalog", "./cmd/readers", "./cmd/recommendations", "./cmd/marketplace")
	build.Dir, build.Stdout, build.Stderr = "../..", os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the programs:", err)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// program is a program under test, which can be started again and again.
type program struct {
	name, addr, admin string
	command           []string

	running *exec.Cmd
	pid     int // of the last that was started
	ended   chan error
	output  *output
}

// newProgram is one that listens on free ports. The command is its path with
// all arguments but addresses.
func newProgram(t *testing.T, name string, args ...string) *program {
	t.Helper()
	p := &program{name: name, addr: nettest.FreeAddress(t), admin: nettest.FreeAddress(t), output: &output{}}
	p.command = append([]string{filepath.Join(binaries, name), "--addr", p.addr, "--admin-addr", p.admin, "--log-level", "warn"}, args...)
	t.Cleanup(func() {
		if p.running != nil {
			p.end(t, syscall.SIGTERM)
		}
		if t.Failed() {
			t.Logf("%s printed last:\n%s", name, p.output)
		}
	})
	return p
}

// start starts the program and returns how long it took to be ready.
func (p *program) start(t *testing.T) time.Duration {
	t.Helper()
	started := time.Now()
	p.launch(t)
	p.waitReady(t)
	return time.Since(started)
}

func (p *program) launch(t *testing.T) {
	t.Helper()
	p.running = exec.Command(p.command[0], p.command[1:]...)
	p.running.Stdout, p.running.Stderr = p.output, p.output
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "OCTAVO_") {
			p.running.Env = append(p.running.Env, entry)
		}
	}
	if err := p.running.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	p.pid = p.running.Process.Pid
	p.ended = make(chan error, 1)
	go func() { p.ended <- p.running.Wait() }()
}

func (p *program) waitReady(t *testing.T) {
	t.Helper()
	waittest.Until(t, p.name+" is ready", 30*time.Second, func() bool {
		select {
		case err := <-p.ended:
			p.running = nil
			t.Fatalf("%s ended while it started: %v", p.name, err)
		default:
		}
		client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Get("http://" + p.admin + "/readyz")
		return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
}

// end sends a signal and waits until the program has gone.
func (p *program) end(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.running.Process.Signal(signal); err != nil {
		t.Errorf("send %v to %s: %v", signal, p.name, err)
	}
	select {
	case err := <-p.ended:
		if signal != syscall.SIGKILL && err != nil {
			t.Errorf("%s ended with %v", p.name, err)
		}
	case <-time.After(20 * time.Second):
		t.Errorf("%s has not ended 20 s after %v", p.name, signal)
		_ = p.running.Process.Kill()
		t.Logf("%s was killed: %v", p.name, <-p.ended)
	}
	p.running = nil
}

// output keeps the end of what a program prints.
type output struct {
	mu   sync.Mutex
	text []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	o.text = o.text[max(0, len(o.text)-8000):]
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// dial makes connections of the chassis, which end with the test.
func dial(t *testing.T, programs ...*program) []*grpc.ClientConn {
	t.Helper()
	app, err := chassis.New("test", "test", chassis.Flags{LogLevel: "error", LogFormat: "text", ShutdownTimeout: 5 * time.Second}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Close(); err != nil {
			t.Error(err)
		}
	})
	var conns []*grpc.ClientConn
	for _, p := range programs {
		conn, err := app.Dial(p.name, p.addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	return conns
}

// importReaders makes readers 1 to n.
func importReaders(t *testing.T, client readersv1.ReadersServiceClient, n int32) {
	t.Helper()
	var everybody []*readersv1.Reader
	for id := int32(1); id <= n; id++ {
		everybody = append(everybody, &readersv1.Reader{Id: id, Origin: readersv1.Origin_ORIGIN_SIMULATED, Source: "test", SourceId: fmt.Sprint(id)})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := client.ImportReaders(ctx, &readersv1.ImportReadersRequest{Readers: everybody}); err != nil {
		t.Fatal(err)
	}
}

const people = 100

// finished is the n-th interaction of a test: no other is of the same reader
// and book.
func finished(n int64) *readersv1.Interaction {
	return &readersv1.Interaction{
		Id: fmt.Sprintf("interaction %d", n), ReaderId: int32(n%people) + 1, BookId: int32(n/people) + 1,
		Kind: readersv1.InteractionKind_INTERACTION_KIND_FINISHED,
	}
}

// number is the n of an interaction from the log.
func number(reader, book int32) int64 { return int64(book-1)*people + int64(reader-1) }
