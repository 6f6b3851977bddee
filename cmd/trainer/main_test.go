package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/buckettest"
	"github.com/octavo-books/octavo/internal/feedtest"
	"github.com/octavo-books/octavo/internal/modelstore"
	"github.com/octavo-books/octavo/internal/modelstore/storetest"
)

// asTrainer turns the test binary into the program.
const asTrainer = "TEST_AS_TRAINER"

func TestMain(m *testing.M) {
	if os.Getenv(asTrainer) != "" {
		main()
	}
	os.Exit(m.Run())
}

// serveFeeds serves feeds of readers with three tastes, and returns the address.
func serveFeeds(t *testing.T) string {
	t.Helper()
	catalog, readers := &feedtest.Catalog{}, &feedtest.Readers{}
	const books, people, each = 300, 600, 12
	for id := range int32(books) {
		catalog.Put(&catalogv1.Book{Id: id + 1, Title: fmt.Sprint("Book ", id), Category: 1})
	}
	random := rand.New(rand.NewPCG(1, 2))
	var position int64
	for reader := range int32(people) {
		for _, b := range random.Perm(books / 3)[:each] {
			position++
			readers.Record(&readersv1.Interaction{
				Position: position, ReaderId: reader + 1, BookId: int32(b) + 1 + books/3*(reader%3),
				Kind: readersv1.InteractionKind_INTERACTION_KIND_FINISHED,
			})
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	catalog.Register(server)
	readers.Register(server)
	done := make(chan error)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// TestARefreshWaitsForTheFirstModel, as the CronJob of Kubernetes has it: until
// then its jobs end well, over a folder and a bucket alike.
func TestARefreshWaitsForTheFirstModel(t *testing.T) {
	server := buckettest.Start(t)
	m := machines{t, serveFeeds(t), nil}
	for name, at := range map[string][]string{
		"folder": {"--models", filepath.Join(t.TempDir(), "models")},
		"bucket": {"--models", buckettest.URL("fresh"), "--s3-endpoint", server.Endpoint, "--s3-credentials-dir", credentialsDir(t)},
	} {
		t.Run(name, func(t *testing.T) {
			m.t, m.at = t, at
			for _, step := range []struct {
				args []string
				want string
			}{
				{[]string{"--refresh"}, "nothing to refresh"},
				{nil, "published"},
				{[]string{"--refresh"}, "published"},
			} {
				if out := m.run(step.args...); !strings.Contains(out, step.want) {
					t.Errorf("trainer %s says\n%s, want %q", strings.Join(step.args, " "), out, step.want)
				}
			}
		})
	}
}

// credentialsDir is a folder with what the bucket asks for.
func credentialsDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"access-key-id": buckettest.AccessKeyID, "secret-access-key": buckettest.SecretAccessKey} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// machines run the program as pods of an Indexed Job do.
type machines struct {
	t     *testing.T
	feeds string
	at    []string // flags that say where models are
}

func (m machines) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(m.t.Context(), os.Args[0], append(args,
		append(m.at, "--catalog-addr", m.feeds, "--readers-addr", m.feeds, "--admin-addr", "", "--log-level", "error",
			"--models-cache", filepath.Join(m.t.TempDir(), "cache"))...)...)
	cmd.Env = append(os.Environ(), asTrainer+"=1")
	return cmd
}

func (m machines) run(args ...string) string {
	m.t.Helper()
	out, err := m.command(args...).CombinedOutput()
	if err != nil {
		m.t.Errorf("trainer %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestShardsAreProcesses that share nothing but a folder or a bucket: some are
// killed and started again, others run twice at the same time, and what they
// publish, once, is byte for byte what one process makes.
func TestShardsAreProcesses(t *testing.T) {
	feeds := serveFeeds(t)
	alone := filepath.Join(t.TempDir(), "models")
	machines{t, feeds, []string{"--models", alone}}.run()
	folder, err := modelstore.Open(alone)
	if err != nil {
		t.Fatal(err)
	}
	_, want := storetest.Current(t, folder)

	shared := filepath.Join(t.TempDir(), "models")
	server := buckettest.Start(t)
	sharedFolder, err := modelstore.Open(shared)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		at    []string
		store storetest.Models
	}{
		"folder": {[]string{"--models", shared}, sharedFolder},
		"bucket": {[]string{"--models", buckettest.URL("shared"), "--s3-endpoint", server.Endpoint, "--s3-credentials-dir", credentialsDir(t)}, server.Open(t, "shared")},
	} {
		t.Run(name, func(t *testing.T) {
			m := machines{t, feeds, test.at}
			const shards = 3
			shard := func(i int) []string { return []string{"--run", "nightly", "--shard", fmt.Sprintf("%d/%d", i, shards)} }
			// Shard 0 is killed at some moment, three times.
			for round := range 3 {
				cmd := m.command(shard(0)...)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				timer := time.AfterFunc(time.Duration(100+150*round)*time.Millisecond, func() { _ = cmd.Process.Kill() })
				_ = cmd.Wait()
				timer.Stop()
			}
			// Two attempts at each shard at the same time.
			var (
				wg  sync.WaitGroup
				mu  sync.Mutex
				all bytes.Buffer
			)
			for i := range 2 * shards {
				wg.Go(func() {
					out := m.run(shard(i % shards)...)
					mu.Lock()
					defer mu.Unlock()
					all.WriteString(out)
				})
			}
			wg.Wait()
			if !strings.Contains(all.String(), "published") {
				t.Errorf("nobody says that the model is published:\n%s", &all)
			}
			if out := m.run(shard(1)...); !strings.Contains(out, "published before") {
				t.Errorf("a late attempt says\n%s", out)
			}
			if names := storetest.List(t, test.store); len(names) != 1 {
				t.Errorf("the models are %v, want one", names)
			}
			if name, content := storetest.Current(t, test.store); content != want {
				t.Errorf("%s of three processes is not what one process made", name)
			}
		})
	}
}
