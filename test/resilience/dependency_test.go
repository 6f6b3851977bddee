package resilience

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/load"
	"github.com/octavo-books/octavo/internal/waittest"
)

// TestABadReplica is row 7.
func TestABadReplica(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Internal, fault.Unavailable} {
		t.Run(kind.String(), func(t *testing.T) {
			const rate, interval = 300, time.Second
			var sound, atBad, late atomic.Int64
			var firstBad atomic.Int64 // nanoseconds since began
			began := time.Now()
			well := func(context.Context) error { sound.Add(1); return nil }
			bad := func(context.Context) error {
				atBad.Add(1)
				since := time.Since(began)
				firstBad.CompareAndSwap(0, int64(since))
				if since-time.Duration(firstBad.Load()) > 2*interval {
					late.Add(1)
				}
				if rand.Float64() < 0.9 {
					return fault.New(kind, "this replica is broken")
				}
				return nil
			}
			client := dial(t, serve(t, well), serve(t, bad), serve(t, well))
			do, seen := call(client), sync.Map{}
			watched := func(ctx context.Context) error {
				err := do(ctx)
				if err != nil {
					seen.LoadOrStore(fault.Message(err), true)
				}
				return err
			}
			d := lasting(8 * time.Second)
			total := send(t, rate, d, load.Call{Name: "page", Weight: 1, Do: watched}).Total()
			seen.Range(func(text, _ any) bool { t.Logf("row 7: seen: %v", text); return true })
			// Calls for which a busy machine has no time are refused, which says
			// nothing about the bad replica.
			refused := total.By[fault.Exhausted.String()]
			handled := float64(total.Sent - refused)
			failed := (handled - float64(total.By[load.OK])) / handled
			t.Logf("row 7: one of three answers 90 %% %v for %v: users see %.2f %% of %d fail, %v; it was called %d times, %d of them after two intervals", kind, d, 100*failed, total.Sent, total.By, atBad.Load(), late.Load())
			if failed >= 0.01 {
				t.Errorf("users see %.2f %% fail, want less than 1", 100*failed)
			}
			if share := float64(late.Load()) / handled; share > 0.01 {
				t.Errorf("after two intervals the bad replica still gets %.1f %% of the calls", 100*share)
			}
			if float64(sound.Load()) < handled*0.95 {
				t.Errorf("the sound replicas answered %d of %.0f", sound.Load(), handled)
			}
			if refused > total.Sent/2 {
				t.Errorf("%d of %d calls were refused", refused, total.Sent)
			}
		})
	}
}

// TestADependencyFails is row 8: over three hops, of which the last fails.
func TestADependencyFails(t *testing.T) {
	const rate = 200
	var atLast, atMiddle atomic.Int64
	last := serve(t, func(context.Context) error {
		atLast.Add(1)
		return fault.New(fault.Unavailable, "the disk is full")
	})
	toLast := call(dial(t, last))
	middle := serve(t, func(ctx context.Context) error {
		atMiddle.Add(1)
		return toLast(ctx)
	})
	total := send(t, rate, lasting(6*time.Second), load.Call{Name: "page", Weight: 1, Do: call(dial(t, middle))}).Total()
	added := func(calls, asked int64) float64 { return float64(calls)/float64(asked) - 1 }
	first, second := added(atMiddle.Load(), total.Sent), added(atLast.Load(), atMiddle.Load())
	t.Logf("row 8: %d calls; the first hop adds %+.1f %%, the second %+.1f %%", total.Sent, 100*first, 100*second)
	if first > 0.10 || second > 0.10 {
		t.Error("want at most 10 % for each hop")
	}
	if total.By[load.OK] > 0 {
		t.Errorf("%d calls succeeded", total.By[load.OK])
	}
}

// TestAHungDependency: after a while callers are told at once, and when it is
// back they are answered within five seconds.
func TestAHungDependency(t *testing.T) {
	attempts(t, func() []string { return hungDependency(t) })
}

func hungDependency(t *testing.T) (complaints []string) {
	t.Helper()
	var hung atomic.Bool
	hung.Store(true)
	do := call(dial(t, serve(t, func(ctx context.Context) error {
		if hung.Load() {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})))
	patient := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 150*time.Millisecond)
		defer cancel()
		return do(ctx)
	}
	send(t, 100, 2*time.Second, load.Call{Name: "page", Weight: 1, Do: patient})
	var waited, asked time.Duration
	for range 50 {
		began := time.Now()
		_ = patient(t.Context())
		waited += time.Since(began)
		asked++
	}
	hung.Store(false)
	back := time.Now()
	waittest.Until(t, "all is well again", time.Minute, func() bool {
		for range 20 {
			if patient(t.Context()) != nil {
				return false
			}
		}
		return true
	})
	recovered := time.Since(back)
	t.Logf("hung dependency: %v a call while the breaker is open; back after %v", waited/asked, recovered)
	if waited/asked > 30*time.Millisecond {
		complaints = append(complaints, fmt.Sprintf("a call waits %v for a service that is known to hang", waited/asked))
	}
	if recovered > 5*time.Second {
		complaints = append(complaints, fmt.Sprintf("it is back after %v, want 5 s at most", recovered))
	}
	return complaints
}
