package resilience

import (
	"context"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/load"
)

// usage is what a leak would make grow.
type usage struct {
	goroutines, descriptors int
	heap                    uint64 // bytes in use after a collection
}

func measure(t *testing.T) usage {
	t.Helper()
	runtime.GC()
	runtime.GC() // what finalizers have released
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return usage{runtime.NumGoroutine(), len(open), m.HeapAlloc}
}

// TestSoak is row 20: five minutes with -long. Half of the load is too much, of
// a dependency that fails, hangs and answers, for clients that give up.
func TestSoak(t *testing.T) {
	work := pool(poolSize, time.Millisecond)
	last := serve(t, func(ctx context.Context) error {
		switch n := rand.IntN(100); {
		case n < 5:
			return fault.New(fault.Unavailable, "try again")
		case n < 6:
			<-ctx.Done()
			return ctx.Err()
		default:
			return work(ctx)
		}
	})
	toLast := call(dial(t, last, serve(t, work)))
	do := call(dial(t, serve(t, toLast)))
	page := load.Call{Name: "page", Weight: 9, Do: func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		return do(ctx)
	}}
	given := load.Call{Name: "given up", Weight: 1, Do: func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Duration(rand.Int64N(int64(5*time.Millisecond))))
		defer cancel()
		return do(ctx)
	}}
	const rounds = 5
	round := 2 * time.Second
	if *long {
		round = time.Minute
	}
	var first, now usage
	for n := range rounds {
		total := send(t, 500, round, page, given).Total()
		now = measure(t)
		if n == 0 {
			first = now // everything that is made once has been made
		}
		t.Logf("row 20: after %v: %d goroutines, %d descriptors, %.1f MB; of %d calls %v", time.Duration(n+1)*round, now.goroutines, now.descriptors, float64(now.heap)/1e6, total.Sent, total.By)
	}
	if now.goroutines > first.goroutines+first.goroutines/5 || now.descriptors > first.descriptors+2 || now.heap > first.heap+first.heap/4+2<<20 {
		t.Errorf("it grows: %+v, then %+v", first, now)
	}
}
