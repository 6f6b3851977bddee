package endtoend

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/octavo-books/octavo/internal/waittest"
)

const (
	// firstStart covers importing and training on a busy machine.
	firstStart = 2 * time.Minute
	// stopBound is how long a program without calls in progress may take to end on
	// a busy machine. One in which something hangs takes 10 s (--shutdown-timeout).
	stopBound = 8 * time.Second
)

// process is a program under test.
type process struct {
	name    string
	command *exec.Cmd
	output  *output
	ended   chan struct{}
	err     error // once ended is closed
}

// output keeps what a program prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// tail is the last lines.
func (o *output) tail(n int) string {
	lines := strings.SplitAfter(o.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

// start runs a program. It is stopped at the end of the test, which fails when
// the program does not end well; what it printed is shown when the test fails.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	return startFrom(t, binaries, name, args...)
}

// startFrom is start for a program that lies in another folder.
func startFrom(t *testing.T, folder, name string, args ...string) *process {
	t.Helper()
	p := &process{
		name:    name,
		command: exec.Command(filepath.Join(folder, name), args...),
		output:  &output{},
		ended:   make(chan struct{}),
	}
	p.command.Env = environment()
	p.command.Stdout, p.command.Stderr = p.output, p.output
	if err := p.command.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = p.command.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("%s printed last:\n%s", name, p.output.tail(40))
		}
	})
	return p
}

// environment is the environment without settings of Octavo.
func environment() []string {
	var kept []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "OCTAVO_") {
			kept = append(kept, entry)
		}
	}
	return kept
}

// stop ends the program as an operator would and checks that it ends in time,
// without an error. A program that has been killed stays so.
func (p *process) stop(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
		if p.err != nil && !p.killed() {
			t.Errorf("%s ended by itself: %v", p.name, p.err)
		}
		return
	default:
	}
	asked := time.Now()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("stop %s: %v", p.name, err)
	}
	select {
	case <-p.ended:
	case <-time.After(15 * time.Second):
		t.Errorf("%s has not ended 15 s after SIGTERM", p.name)
		p.kill(t)
		return
	}
	took := time.Since(asked).Round(time.Millisecond)
	if p.err != nil {
		t.Errorf("%s ended with %v after SIGTERM, want exit code 0", p.name, p.err)
	}
	if took > stopBound {
		t.Errorf("%s took %v to end after SIGTERM, want at most %v", p.name, took, stopBound)
	}
	t.Logf("%s ended %v after SIGTERM", p.name, took)
}

// kill ends the program without letting it do anything more.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.command.Process.Kill(); err != nil {
		t.Errorf("kill %s: %v", p.name, err)
	}
	<-p.ended
}

func (p *process) killed() bool {
	status, ok := p.command.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// pause stops the program where it is, with all its connections open, until the
// function that is returned has been called or the test ends.
func (p *process) pause(t *testing.T) (resume func()) {
	t.Helper()
	send := func(s syscall.Signal) {
		if err := p.command.Process.Signal(s); err != nil {
			t.Errorf("send %v to %s: %v", s, p.name, err)
		}
	}
	resume = sync.OnceFunc(func() { send(syscall.SIGCONT) })
	t.Cleanup(resume)
	send(syscall.SIGSTOP)
	waittest.Until(t, p.name+" has stopped", 5*time.Second, func() bool { return paused(t, p.command.Process.Pid) })
	return resume
}

// paused says whether all threads of a process are stopped: the signal is sent
// at once, but each thread takes it when it can.
func paused(t *testing.T, pid int) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("find the threads of %d: %v", pid, err)
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil {
			t.Fatal(err)
		}
		// The state follows the program's name, which is in parentheses.
		_, state, found := strings.Cut(string(stat), ") ")
		if !found || state[0] != 'T' {
			return false
		}
	}
	return true
}

// addresses are where octavo says its services are.
type addresses struct{ HTTP, Recommendations, Catalog, Readers, Admin string }

// serve starts octavo over a data folder and waits until it says that it is
// ready.
func serve(t *testing.T, dataDir string) addresses {
	t.Helper()
	_, at := serveProcess(t, dataDir)
	return at
}

// startServe starts octavo over a data folder; it writes its addresses to file.
func startServe(t *testing.T, dataDir, file string, more ...string) *process {
	t.Helper()
	return startServeFrom(t, binaries, dataDir, file, more...)
}

func startServeFrom(t *testing.T, folder, dataDir, file string, more ...string) *process {
	t.Helper()
	return startFrom(t, folder, "octavo", append([]string{
		"serve", "--data-dir", dataDir, "--addresses-file", file,
		"--http-addr", "127.0.0.1:0", "--recommendations-addr", "127.0.0.1:0", "--catalog-addr", "127.0.0.1:0",
		"--readers-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0",
	}, more...)...)
}

func serveProcess(t *testing.T, dataDir string, more ...string) (*process, addresses) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "addresses.json")
	p := startServe(t, dataDir, file, more...)
	var at addresses
	waittest.Until(t, "octavo is ready", firstStart, func() bool {
		select {
		case <-p.ended:
			t.Fatalf("octavo ended while it started: %v\n%s", p.err, p.output)
		default:
		}
		content, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(content, &at); err != nil {
			t.Fatalf("the addresses file is not JSON: %v\n%s", err, content)
		}
		return true
	})
	return p, at
}

// demo is a data folder with the demo library and a trained model, made by the
// first test that asks for it.
var demo struct {
	sync.Mutex
	path string
}

// demoFolder is a copy of the data folder that a first start leaves behind.
func demoFolder(t *testing.T) string {
	t.Helper()
	demo.Lock()
	defer demo.Unlock()
	if demo.path == "" {
		path := filepath.Join(binaries, "demo")
		started := time.Now()
		p, _ := serveProcess(t, path)
		t.Logf("the first start, with import and training, took %v", time.Since(started).Round(time.Millisecond))
		p.stop(t)
		demo.path = path
	}
	copied := filepath.Join(t.TempDir(), "octavo-data")
	if err := os.CopyFS(copied, os.DirFS(demo.path)); err != nil {
		t.Fatalf("copy the data folder: %v", err)
	}
	return copied
}

// tool is the path of a program the tests use.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed: %s", name, setup)
	}
	return path
}
