package storage

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/octavo-books/octavo/chassis/chassistest"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/nettest"
	"github.com/octavo-books/octavo/internal/postgrestest"
	"github.com/octavo-books/octavo/internal/readers"
)

// The network between a service and its database swallows everything and ends
// nothing. Nobody waits for longer than they want to, what waits for nobody in
// particular is given up too, and once the network is back all goes on, although
// every connection that there was stays dead.
func TestTheDatabaseIsBehindASilentNetwork(t *testing.T) {
	const (
		patient  = time.Second      // a caller
		query    = 15 * time.Second // that nobody waits for, and 5 s of it for a connection, at most
		commit   = 10 * time.Second // of a group of writers, at most
		slack    = 5 * time.Second  // for a busy machine
		together = 8                // callers, more than there are connections
	)
	direct, err := url.Parse(postgrestest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	way := nettest.Start(t, direct.Host)
	through := *direct
	through.Host = way.Addr
	store := openPostgres(t, through.String())
	server := readers.NewServer(store, slog.New(slog.DiscardHandler))
	client := readersv1.NewReadersServiceClient(chassistest.ServeTasks(t, func(r grpc.ServiceRegistrar) { server.Register(r) }, server.Run))
	created, err := client.CreateReader(t.Context(), &readersv1.CreateReaderRequest{})
	if err != nil {
		t.Fatal(err)
	}
	reader := created.GetReader().GetId()
	write := func(book int32, within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		_, err := client.RecordInteractions(ctx, &readersv1.RecordInteractionsRequest{Interactions: []*readersv1.Interaction{{
			Id: fmt.Sprint(book), ReaderId: reader, BookId: book, Kind: readersv1.InteractionKind_INTERACTION_KIND_WANT,
		}}})
		return err
	}
	read := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		_, err := client.ListShelf(ctx, &readersv1.ListShelfRequest{ReaderId: reader})
		return err
	}
	// All connections of the pool are made.
	var tasks sync.WaitGroup
	for i := range together {
		tasks.Go(func() {
			if err := write(int32(i)+1, patience); err != nil {
				t.Errorf("write: %v", err)
			}
			if err := read(patience); err != nil {
				t.Errorf("read: %v", err)
			}
		})
	}
	tasks.Wait()

	way.Silence()
	silent := time.Now()
	for i := range together {
		for name, call := range map[string]func() error{
			"write": func() error { return write(100+int32(i), patient) },
			"read":  func() error { return read(patient) },
		} {
			tasks.Go(func() {
				began := time.Now()
				err := call()
				if code := status.Code(err); code != codes.DeadlineExceeded && code != codes.Unavailable {
					t.Errorf("%s: %v, want DEADLINE_EXCEEDED or UNAVAILABLE", name, err)
				}
				if took := time.Since(began); took > patient+slack {
					t.Errorf("%s: answered after %v, and the caller had %v", name, took, patient)
				}
			})
		}
	}
	tasks.Go(func() {
		// As a feed does, whose follower may stay for days: without a deadline.
		ctx, cancel := context.WithCancel(t.Context())
		defer time.AfterFunc(query+slack, cancel).Stop()
		defer cancel()
		if _, err := store.Log(ctx, 0, 1000); err == nil {
			t.Error("the log was read through a network that is silent")
		}
		if ctx.Err() != nil {
			t.Errorf("reading the log was not given up %v after the network fell silent", time.Since(silent))
		}
	})
	tasks.Wait()

	way.Open()
	opened := time.Now()
	for name, call := range map[string]func() error{
		"writes": func() error { return write(200, patient) },
		"reads":  func() error { return read(patient) },
	} {
		for {
			err := call()
			if err == nil {
				break
			}
			if time.Since(opened) > commit+slack {
				t.Fatalf("%s fail %v after the network was back: %v", name, time.Since(opened), err)
			}
			pause(t.Context())
		}
		t.Logf("%s go on %v after the network was back", name, time.Since(opened).Round(time.Millisecond))
	}
	log, err := store.Log(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	kept := map[int32]int{}
	for _, in := range log.Interactions {
		kept[in.Book]++
	}
	for book := range int32(together) {
		if kept[book+1] != 1 {
			t.Errorf("what was acknowledged before is %d times in the log", kept[book+1])
		}
	}
	if kept[200] != 1 {
		t.Errorf("what was acknowledged after is %d times in the log", kept[200])
	}
}
