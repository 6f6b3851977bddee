package modelstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/octavo-books/octavo/internal/modelstore"
	"github.com/octavo-books/octavo/internal/modelstore/storetest"
)

// publishForever, set to a folder, turns the test binary into a publisher that
// is meant to be killed.
const publishForever = "MODELSTORE_TEST_PUBLISH_FOREVER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(publishForever); dir != "" {
		store, err := modelstore.Open(dir)
		for err == nil {
			var name string
			name, err = store.Publish(context.Background(), func(path string) error { return os.WriteFile(path, wholeModel(), 0o644) })
			fmt.Println(name)
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// wholeModel is content of which a part can be told from the whole.
func wholeModel() []byte { return append(make([]byte, 1<<16), "end"...) }

func open(t *testing.T, dir string) *modelstore.Dir {
	t.Helper()
	store, err := modelstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestAFolderOfModels(t *testing.T) {
	root := t.TempDir()
	storetest.TestModels(t, func(t *testing.T, name string) storetest.Models { return open(t, filepath.Join(root, name)) })
}

func TestAFolderOfParts(t *testing.T) {
	root := t.TempDir()
	storetest.TestParts(t, func(t *testing.T, name string) storetest.Parts { return open(t, filepath.Join(root, name)).Parts() })
}

func TestOpenRefusesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "models")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := modelstore.Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Open: %v, want an error that names %s", err, path)
	}
}

func TestFailedWriteChangesNothing(t *testing.T) {
	dir := t.TempDir()
	store := open(t, dir)
	storetest.Publish(t, store, "good")
	broken := errors.New("disk on fire")
	_, err := store.Publish(t.Context(), func(path string) error {
		return errors.Join(os.WriteFile(path, []byte("half"), 0o644), broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("Publish: %v, want the error of write", err)
	}
	if name, content := storetest.Current(t, store); name != "model-000001.safetensors" || content != "good" {
		t.Errorf("current is %s with %q", name, content)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 3 { // the model, CURRENT, LOCK
		t.Errorf("left in the folder: %v", entries)
	}
}

func TestGarbageInCurrent(t *testing.T) {
	tests := map[string]string{
		"empty":                  "",
		"binary":                 "\x00\xff\x00",
		"other file":             "../readers.db\n",
		"a model that is gone":   "model-000099.safetensors\n",
		"not quite a model name": "model-1.safetensors\n",
		"huge":                   strings.Repeat("x", 1<<20),
	}
	for name, content := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			store := open(t, dir)
			storetest.Publish(t, store, "good")
			pointer := filepath.Join(dir, "CURRENT")
			if err := os.WriteFile(pointer, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
			_, _, err := store.Current(t.Context())
			if err == nil || !strings.Contains(err.Error(), pointer) || len(err.Error()) > 500 {
				t.Errorf("Current: %v, want a short error that names %s", err, pointer)
			}
			if got := storetest.Publish(t, store, "next"); got != "model-000002.safetensors" {
				t.Errorf("published %s", got)
			}
			if _, content := storetest.Current(t, store); content != "next" {
				t.Errorf("Publish did not mend CURRENT: current is %q", content)
			}
		})
	}
}

// What a crash between two steps of Publish leaves, made by hand.
func TestEveryStateACrashLeaves(t *testing.T) {
	tests := map[string]func(dir string) error{
		"half a model": func(dir string) error {
			return errors.Join(os.Mkdir(filepath.Join(dir, "new"), 0o755),
				os.WriteFile(filepath.Join(dir, "new", "model-000002.safetensors.123"), []byte("ha"), 0o644))
		},
		"a model in place that is not current": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "model-000002.safetensors"), []byte("lost"), 0o644)
		},
		"half a pointer": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "CURRENT.new"), []byte("model-00"), 0o644)
		},
	}
	for name, crash := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			store := open(t, dir)
			storetest.Publish(t, store, "good")
			if err := crash(dir); err != nil {
				t.Fatal(err)
			}
			if _, content := storetest.Current(t, store); content != "good" {
				t.Errorf("current is %q, want the model from before", content)
			}
			storetest.Publish(t, store, "next")
			if _, content := storetest.Current(t, store); content != "next" {
				t.Errorf("current is %q after the next publication", content)
			}
			if _, err := store.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, content := storetest.Current(t, store); content != "good" {
				t.Errorf("current is %q after going back", content)
			}
		})
	}
}

func TestKilledPublisher(t *testing.T) {
	dir := t.TempDir()
	store := open(t, dir)
	published := 0
	for round := range 15 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), publishForever+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() {
			t.Fatal("the publisher did not start")
		}
		acknowledged := lines.Text()
		timer := time.AfterFunc(time.Duration(round)*3*time.Millisecond, func() { _ = cmd.Process.Kill() })
		for lines.Scan() {
			acknowledged = lines.Text()
			published++
		}
		timer.Stop()
		if err := cmd.Wait(); err == nil {
			t.Fatal("the publisher ended by itself")
		}
		name, content := storetest.Current(t, store)
		if content != string(wholeModel()) {
			t.Fatalf("round %d: the current model %s is not whole", round, name)
		}
		if name < acknowledged {
			t.Fatalf("round %d: current is %s although %s had been acknowledged", round, name, acknowledged)
		}
	}
	if published == 0 {
		t.Error("no publisher was killed at work")
	}
}

func TestWaitingPublisherObeysItsContext(t *testing.T) {
	store := open(t, t.TempDir())
	_, err := store.Publish(t.Context(), func(path string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		_, err := store.Publish(ctx, func(string) error { return errors.New("two at once") })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the second publisher: %v, want deadline exceeded", err)
		}
		return os.WriteFile(path, []byte("first"), 0o644)
	})
	if err != nil {
		t.Error(err)
	}
}

// Whatever CURRENT holds, the answer is a model of the folder or an error.
func FuzzCurrent(f *testing.F) {
	dir := f.TempDir()
	for _, name := range []string{"model-000001.safetensors", "model-000002.safetensors"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			f.Fatal(err)
		}
	}
	f.Add([]byte("model-000002.safetensors\nmodel-000001.safetensors\n"))
	f.Add([]byte("model-000003.safetensors\n"))
	f.Add([]byte("model-+00001.safetensors"))
	f.Add([]byte("../../model-000001.safetensors\x00"))
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, "CURRENT"), content, 0o644); err != nil {
			t.Fatal(err)
		}
		store := open(t, dir)
		names := storetest.List(t, store)
		name, path, err := store.Current(t.Context())
		if err == nil && (!slices.Contains(names, name) || path != filepath.Join(dir, name)) {
			t.Errorf("CURRENT with %q names %q at %s", content, name, path)
		}
	})
}
