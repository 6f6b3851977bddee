package readers_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/octavo-books/octavo/chassis/chassistest"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/readers"
)

// endless is a store with a log that never ends.
type endless struct {
	readers.Store
	read atomic.Int64 // how far
}

func (e *endless) Changed() <-chan struct{} { return nil }

func (e *endless) Log(_ context.Context, after int64, limit int) (readers.Log, error) {
	part := readers.Log{Position: after + int64(limit), Head: 1 << 40}
	for i := range int64(limit) {
		part.Interactions = append(part.Interactions, readers.Interaction{Position: after + i + 1, Reader: 1, Book: 1, Kind: readers.Finished, OccurredAt: time.Unix(1, 0)})
	}
	e.read.Store(part.Position)
	return part, nil
}

// What a follower has not taken is not in the memory of the service: it waits,
// with some pages on their way.
func TestASlowFollowerHoldsTheServiceUp(t *testing.T) {
	const onTheirWay = 100_000 // interactions
	store := &endless{}
	client := readersv1.NewReadersServiceClient(chassistest.Serve(t, readers.NewServer(store, slog.New(slog.DiscardHandler)).Register))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pages, err := client.WatchInteractions(ctx, &readersv1.WatchInteractionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		page, err := pages.Recv()
		if err != nil {
			t.Fatal(err)
		}
		// It stands still once it has read nothing for a while.
		for before := int64(-1); before != store.read.Load(); {
			before = store.read.Load()
			if ahead := before - page.GetPosition(); ahead > onTheirWay {
				t.Fatalf("the service has read %d interactions that the follower has not taken", ahead)
			}
			<-time.After(200 * time.Millisecond)
		}
	}
}
