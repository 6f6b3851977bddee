package resilience

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/waittest"
)

// hops is a chain of three services. The last takes a while.
type hops struct {
	first          func(context.Context) error
	takes          atomic.Int64 // nanoseconds
	began, stopped atomic.Int32
	mu             sync.Mutex
	lastStop       time.Time
}

func (h *hops) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastStop = time.Now()
	h.stopped.Add(1)
}

func newHops(t *testing.T) *hops {
	t.Helper()
	h := &hops{}
	h.first = call(dial(t, serve(t, func(ctx context.Context) error {
		h.began.Add(1)
		defer h.stop()
		return pause(ctx, time.Duration(h.takes.Load()))
	})))
	for range 2 {
		next := h.first
		h.first = call(dial(t, serve(t, func(ctx context.Context) error {
			h.began.Add(1)
			defer h.stop()
			return next(ctx)
		})))
	}
	return h
}

// TestDeadlines is row 9.
func TestDeadlines(t *testing.T) {
	const stopWithin = 50 * time.Millisecond
	stops := func(t *testing.T, what string, h *hops, of time.Time) (complaints []string) {
		t.Helper()
		waittest.Until(t, "all hops stop", 30*time.Second, func() bool { return h.stopped.Load() == h.began.Load() })
		took := h.lastStop.Sub(of)
		t.Logf("row 9: %s: all %d hops had stopped after %v", what, h.stopped.Load(), took)
		if h.began.Load() != 3 || took > stopWithin {
			return []string{fmt.Sprintf("%d hops stopped within %v, want 3 within %v", h.stopped.Load(), took, stopWithin)}
		}
		return nil
	}
	measured := func(name string, measure func(*testing.T) (complaints []string)) {
		t.Run(name, func(t *testing.T) { attempts(t, func() []string { return measure(t) }) })
	}
	measured("the client gives up", func(t *testing.T) []string {
		h := newHops(t)
		h.takes.Store(int64(time.Minute))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		answered := make(chan error, 1)
		go func() { answered <- h.first(ctx) }()
		waittest.Until(t, "the call is at the last hop", 30*time.Second, func() bool { return h.began.Load() == 3 })
		gaveUp := time.Now()
		cancel()
		if err := <-answered; fault.KindOf(err) != fault.Canceled {
			t.Errorf("got %v", err)
		}
		return stops(t, "cancelled", h, gaveUp)
	})
	measured("the time is over", func(t *testing.T) []string {
		h := newHops(t)
		h.takes.Store(int64(time.Minute))
		deadline := time.Now().Add(80 * time.Millisecond)
		ctx, cancel := context.WithDeadline(t.Context(), deadline)
		defer cancel()
		if err := h.first(ctx); fault.KindOf(err) != fault.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
		return stops(t, "deadline of 80 ms", h, deadline)
	})
	measured("hopeless work is refused", func(t *testing.T) []string {
		h := newHops(t)
		h.takes.Store(int64(100 * time.Millisecond))
		var wg sync.WaitGroup
		for range 10 {
			for range 4 {
				wg.Go(func() {
					if err := h.first(t.Context()); err != nil {
						t.Errorf("with time enough: %v", err)
					}
				})
			}
			wg.Wait()
		}
		before := h.began.Load()
		began := time.Now()
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), 80*time.Millisecond)
			if err := h.first(ctx); fault.KindOf(err) != fault.DeadlineExceeded {
				t.Errorf("got %v", err)
			}
			cancel()
		}
		each := time.Since(began) / 5
		t.Logf("row 9: a call that takes 100 ms, with 80 ms left: refused after %v, %d hops began it", each, h.began.Load()-before)
		if h.began.Load() != before || each > 40*time.Millisecond {
			return []string{"work was begun that cannot be finished in time"}
		}
		return nil
	})
}
