package images

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/octavo-books/octavo/internal/nettest"
)

// user is the one that the programs run as, by number.
const user = 65532

// contain runs the rest of the command line as a container runtime does: with
// nothing but the root file system in $1, which is read-only, the folder $2 for
// its data, and as a user without rights.
const contain = `
mount --bind "$1" "$1"
mount -o remount,bind,ro,nosuid,nodev "$1"
mount --bind "$2" "$1/octavo-data"
root=$1
shift 2
exec chroot --userspec=65532:65532 "$root" "$@"`

// TestTheImagesAreOctavo runs all of them together: books and readers come in,
// a model is trained on them, and the shop shows it.
func TestTheImagesAreOctavo(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("mounting the root file systems of containers needs root: sudo env PATH=\"$PATH\" go test ./test/images")
	}
	data := t.TempDir()
	if err := os.Chown(data, user, user); err != nil {
		t.Fatal(err)
	}
	finish := func(name string, args ...string) {
		t.Helper()
		p := start(t, name, data, args...)
		if err := p.wait(); err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &p.output)
		}
	}
	catalog, readers, recommendations, shop := nettest.FreeAddress(t), nettest.FreeAddress(t), nettest.FreeAddress(t), nettest.FreeAddress(t)
	serve := func(name string, args ...string) {
		t.Helper()
		admin := nettest.FreeAddress(t)
		p := start(t, name, data, append(args, "--admin-addr", admin)...)
		p.until("it is ready", func() error { return get("http://"+admin+"/readyz", "ready") })
		p.mayNotWriteItsRoot()
		t.Cleanup(p.stop)
	}

	finish("octavo", "import", "demo")
	serve("octavo-catalog", "--addr", catalog)
	serve("octavo-readers", "--addr", readers)
	finish("octavo-trainer", "--catalog-addr", catalog, "--readers-addr", readers, "--admin-addr", "")
	serve("octavo-recommendations", "--addr", recommendations, "--catalog-addr", catalog, "--readers-addr", readers)
	serve("octavo-marketplace", "--addr", shop, "--catalog-addr", catalog, "--readers-addr", readers, "--recommendations-addr", recommendations)
	if err := get("http://"+shop+"/mystery", "Agatha Christie"); err != nil {
		t.Error(err)
	}
	finish("octavo", "recommend", "--addr", recommendations, "--user", "7", "--category", "MYSTERY", "--max-results", "3")
}

type process struct {
	t       *testing.T
	name    string
	command *exec.Cmd
	output  bytes.Buffer // to be read once it has ended
	ended   chan struct{}
	err     error // once ended is closed
}

// start runs the program of an image.
func start(t *testing.T, name, data string, args ...string) *process {
	t.Helper()
	i := read(t, built, name)
	line := append([]string{"--mount", "--propagation", "private", "sh", "-ec", contain, "sh", i.unpack(t), data}, i.config.Config.Entrypoint...)
	p := &process{t: t, name: name, command: exec.Command("unshare", append(line, args...)...), ended: make(chan struct{})}
	p.command.Env = i.config.Config.Env
	p.command.Stdout, p.command.Stderr = &p.output, &p.output
	if err := p.command.Start(); err != nil {
		t.Fatalf("run %s: %v", name, err)
	}
	go func() {
		p.err = p.command.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		select {
		case <-p.ended:
		default:
			_ = p.command.Process.Kill() // it is too late for another way
			<-p.ended
		}
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, &p.output)
		}
	})
	return p
}

func (p *process) wait() error {
	select {
	case <-p.ended:
		return p.err
	case <-time.After(time.Minute):
		return errors.New("it has not ended within a minute")
	}
}

// stop asks the program to end, and it has to end well.
func (p *process) stop() {
	p.t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Errorf("stop %s: %v", p.name, err)
		return
	}
	if err := p.wait(); err != nil {
		p.t.Errorf("%s ended with: %v", p.name, err)
	}
}

func (p *process) until(what string, condition func() error) {
	p.t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-p.ended:
			p.t.Fatalf("%s ended before %s: %v", p.name, what, p.err)
		case <-deadline:
			p.t.Fatalf("%s: it is a minute and not so that %s: %v", p.name, what, err)
		case <-tick.C:
		}
	}
}

// mayNotWriteItsRoot checks that the program is in the container that the test
// wants: it would say nothing about a read-only root otherwise.
func (p *process) mayNotWriteItsRoot() {
	p.t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(p.command.Process.Pid))
	status := string(content(p.t, filepath.Join(proc, "status")))
	if !strings.Contains(status, "Uid:\t65532\t65532\t65532\t65532\n") || !strings.Contains(status, "CapEff:\t0000000000000000\n") {
		p.t.Errorf("%s runs with rights:\n%s", p.name, status)
	}
	root := filepath.Join(proc, "root")
	if err := os.Mkdir(filepath.Join(root, "tmp", "new"), 0o700); !errors.Is(err, syscall.EROFS) {
		p.t.Errorf("root can make a folder in the root file system of %s: %v", p.name, err)
	}
	entries, err := os.ReadDir(root)
	if err != nil || len(entries) != 3 {
		p.t.Errorf("%s sees %v, %v", p.name, entries, err)
	}
}

// get is nil when the page is there and has a text in it.
func get(url, text string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(text)) {
		return errors.New(url + " answers " + response.Status + ": " + string(body))
	}
	return nil
}
