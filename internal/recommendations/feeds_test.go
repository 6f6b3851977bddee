package recommendations

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/octavo-books/octavo/fault"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

// replica is a stream that says where the log ends, and then nothing until its
// server stops.
type replica struct {
	ctx   context.Context
	lasts time.Duration // 0 for a server that has stopped already
	told  bool
}

func (r *replica) Recv() (*readersv1.WatchInteractionsResponse, error) {
	if !r.told && r.lasts > 0 {
		r.told = true
		return &readersv1.WatchInteractionsResponse{}, nil
	}
	select {
	case <-time.After(r.lasts):
		return nil, fault.New(fault.Unavailable, "the service is stopping")
	case <-r.ctx.Done():
		return nil, r.ctx.Err()
	}
}

// TestAFeedIsHandedOver: when its server stops after a while a feed is opened
// anew at once, also when nothing was in it. Servers that do not last are left
// more and more time.
func TestAFeedIsHandedOver(t *testing.T) {
	const old, broken, end = time.Minute, 10 * time.Millisecond, time.Hour
	tests := []struct {
		name    string
		streams []time.Duration // how long each lasts
		most    []time.Duration // of the pause after each
	}{
		{"replicas replaced one after the other", []time.Duration{old, old, old, old, end}, []time.Duration{0, 0, 0, 0}},
		{"the next one is stopping too", []time.Duration{old, 0, old, end}, []time.Duration{0, firstPause, 0}},
		{"streams end soon", []time.Duration{broken, broken, broken, end}, []time.Duration{firstPause, 2 * firstPause, 4 * firstPause}},
		{"nobody is there, then somebody", []time.Duration{0, 0, old, 0, end}, []time.Duration{firstPause, 2 * firstPause, 0, firstPause}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				var opened []time.Time
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					follow(ctx, slog.New(slog.NewTextHandler(io.Discard, nil)), &feed{name: "log", silence: 2 * end}, source[*readersv1.WatchInteractionsResponse]{
						open: func(ctx context.Context) (stream[*readersv1.WatchInteractionsResponse], error) {
							opened = append(opened, time.Now())
							return &replica{ctx: ctx, lasts: test.streams[len(opened)-1]}, nil
						},
						apply: func(*readersv1.WatchInteractionsResponse) {},
					})
				}()
				<-time.After(end / 2)
				cancel()
				<-ended
				var pauses []time.Duration
				for i := range len(opened) - 1 {
					pauses = append(pauses, opened[i+1].Sub(opened[i])-test.streams[i])
				}
				if len(pauses) != len(test.most) {
					t.Fatalf("%d streams were opened, want %d", len(opened), len(test.streams))
				}
				for i, pause := range pauses {
					if least := test.most[i] / 2; pause < least || pause > test.most[i] {
						t.Errorf("the pauses are %v, want at most %v and half of each at least", pauses, test.most)
						break
					}
				}
			})
		})
	}
}
