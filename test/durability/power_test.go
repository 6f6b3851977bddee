package durability

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/readers/sqlite"
	"github.com/octavo-books/octavo/internal/waittest"
)

// acknowledgement is when the answer to interactions first to last was there.
type acknowledgement struct {
	at          float64 // Unix seconds
	first, last int64
}

// TestPowerLoss is row 2: the writes and syncs of the real program under load
// are recorded, and the power is lost between any two of them.
func TestPowerLoss(t *testing.T) {
	folder := t.TempDir()
	events, acknowledged := record(t, folder)

	t.Run("the record is complete", func(t *testing.T) {
		d := newDisk(folder)
		checkpoints := 0
		for _, e := range events {
			d.apply(e)
			if _, exists := d.now[filepath.Join(folder, "readers.db-wal")]; exists && e.what == "write" && e.path == filepath.Join(folder, "readers.db") {
				checkpoints++
			}
		}
		replayed := t.TempDir()
		if err := d.write(replayed, kept, 0); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"readers.db", "readers.db-wal"} {
			want, _ := os.ReadFile(filepath.Join(folder, name))
			got, _ := os.ReadFile(filepath.Join(replayed, name))
			if !bytes.Equal(want, got) {
				t.Errorf("%s is not what its record leads to: %d and %d bytes", name, len(want), len(got))
			}
		}
		if checkpoints < 100 {
			t.Errorf("%d pages went from the log into the database, want a checkpoint in the midst of the load", checkpoints)
		}
		t.Logf("%d events, %d pages in checkpoints, %d acknowledgements", len(events), checkpoints, len(acknowledged))
	})

	t.Run("power lost", func(t *testing.T) {
		losses, wrong := lose(t, events, acknowledged, folder, 10)
		for _, err := range wrong {
			t.Error(err)
		}
		t.Logf("power was lost %d times", losses)
	})

	// The test must be able to fail: without the syncs of the log it does.
	t.Run("without syncs something is lost", func(t *testing.T) {
		var without []event
		for _, e := range events {
			if e.what == "sync" && strings.HasSuffix(e.path, "-wal") {
				e.covers = 0
			}
			without = append(without, e)
		}
		if _, wrong := lose(t, without, acknowledged, folder, 1); len(wrong) == 0 {
			t.Error("nothing was found to be lost though the log was never synced")
		}
	})
}

// record runs the readers program under strace and load, and returns what it
// did to its files and what it acknowledged.
func record(t *testing.T, folder string) ([]event, []acknowledgement) {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is not installed: run 'make setup'")
	}
	trace := filepath.Join(t.TempDir(), "trace")
	p := newProgram(t, "readers", "--db", filepath.Join(folder, "readers.db"))
	p.command = append([]string{strace, "-D", "-f", "-ttt", "-y", "-xx", "-s", "100000000", "--seccomp-bpf", "-o", trace,
		"-e", "trace=?open,openat,pwrite64,pwritev,fsync,fdatasync,ftruncate,fallocate,?unlink,unlinkat,?rename,renameat,renameat2"}, p.command...)
	p.start(t)
	client := readersv1.NewReadersServiceClient(dial(t, p)[0])
	importReaders(t, client, people)

	var mu sync.Mutex
	var acknowledged []acknowledgement
	var next int64
	send := func(n int) error {
		mu.Lock()
		first := next
		next += int64(n)
		mu.Unlock()
		request := &readersv1.RecordInteractionsRequest{}
		for i := range int64(n) {
			request.Interactions = append(request.Interactions, finished(first+i))
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := client.RecordInteractions(ctx, request); err != nil {
			return err
		}
		at := float64(time.Now().UnixMicro()) / 1e6
		mu.Lock()
		defer mu.Unlock()
		acknowledged = append(acknowledged, acknowledgement{at, first, first + int64(n)})
		return nil
	}
	// Many small writes at once, which share commits, and imports between them,
	// which fill the log of SQLite, so that it is emptied into the database.
	var group sync.WaitGroup
	failed := make(chan error, 8)
	for writer := range 4 {
		group.Go(func() {
			for i := range 20 {
				size := 1 + i%3
				if i%5 == 4 && writer == 0 {
					size = 2000
				}
				if err := send(size); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	group.Wait()
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}
	p.end(t, syscall.SIGTERM)
	pid := fmt.Sprint("\n", p.pid, " ")
	waittest.Until(t, "strace has written all", 20*time.Second, func() bool {
		text, err := os.ReadFile(trace)
		if err != nil {
			t.Fatal(err)
		}
		last := text[max(0, len(text)-2000):]
		at := bytes.LastIndex(last, []byte(pid))
		return at >= 0 && bytes.Contains(last[at:], []byte("+++ exited with 0 +++"))
	})
	events, err := readTrace(trace, folder)
	if err != nil {
		t.Fatal(err)
	}
	return events, acknowledged
}

// lose loses power between events, until enough was wrong afterwards. It returns
// how often it did, and what was wrong.
func lose(t *testing.T, events []event, acknowledged []acknowledgement, folder string, enough int) (losses int, wrong []error) {
	t.Helper()
	share := 1.0
	if !*long {
		// Some of the moments, and the last.
		share = 120 / float64(len(events))
	}
	random := rand.New(rand.NewPCG(2, 2))
	d := newDisk(folder)
	for i := 0; len(wrong) < enough; i++ {
		last := i == len(events)
		if last || random.Float64() < share {
			for _, o := range []outcome{dropped, kept, torn} {
				losses++
				before := fmt.Sprintf("event %d of %d", i, len(events))
				// Whatever had been acknowledged when the next event began.
				var must []acknowledgement
				for _, a := range acknowledged {
					if last || a.at <= events[i].at {
						must = append(must, a)
					}
				}
				if err := recovers(t.Context(), d, o, uint64(i), must); err != nil {
					wrong = append(wrong, fmt.Errorf("power lost before %s, %s: %w", before, o, err))
				}
			}
		}
		if last {
			break
		}
		d.apply(events[i])
	}
	return losses, wrong
}

// recovers opens the database as the loss has left it and looks for what was
// acknowledged.
func recovers(ctx context.Context, d *disk, o outcome, seed uint64, acknowledged []acknowledgement) (err error) {
	folder, err := os.MkdirTemp("", "octavo-power-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if err := d.write(folder, o, seed); err != nil {
		return err
	}
	store, err := sqlite.Open(ctx, filepath.Join(folder, "readers.db"))
	if err != nil {
		return fmt.Errorf("recovery refuses to start: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	found := make(map[int64]bool)
	for after := int64(0); ; {
		log, err := store.Log(ctx, after, 10_000)
		if err != nil {
			return err
		}
		for _, in := range log.Interactions {
			if after++; in.Position != after {
				return fmt.Errorf("position %d follows %d", in.Position, after-1)
			}
			n := number(in.Reader, in.Book)
			if found[n] {
				return fmt.Errorf("interaction %d is doubled", n)
			}
			found[n] = true
		}
		if after == log.Head {
			break
		}
	}
	for _, a := range acknowledged {
		for n := a.first; n < a.last; n++ {
			if !found[n] {
				return fmt.Errorf("interaction %d was acknowledged and is lost", n)
			}
		}
	}
	// The shelves say what the log says.
	entries := 0
	for reader := int32(1); reader <= people; reader++ {
		shelf, err := store.Shelf(ctx, reader, nil, 10_000)
		if err != nil {
			return err
		}
		entries += len(shelf)
	}
	if entries != len(found) {
		return fmt.Errorf("%d books on the shelves and %d in the log", entries, len(found))
	}
	return nil
}
