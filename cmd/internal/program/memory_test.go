package program

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"
)

func TestHeapGrowth(t *testing.T) {
	for name, test := range map[string]struct{ live, want uint64 }{
		"nothing lives yet":       {0, 400},
		"a small service":         {20 << 20, 400},
		"just up to the garbage":  {64 << 20, 400},
		"a quarter of a gigabyte": {256 << 20, 100},
		"half of that more":       {384 << 20, 44},
		"a million readers":       {512 << 20, 25},
		"more than a gigabyte":    {1 << 30, 25},
		"a very large one":        {64 << 30, 25},
		"larger than any":         {1 << 63, 25},
	} {
		t.Run(name, func(t *testing.T) {
			if got := gcPercent(test.live, mostGarbage); got != test.want {
				t.Errorf("gcPercent(%d) = %d, want %d", test.live, got, test.want)
			}
		})
	}
}

// TestHeapIsFollowed with a heap that grows and shrinks.
func TestHeapIsFollowed(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(mostPercent))
	var stopped atomic.Bool
	defer stopped.Store(true)
	const garbage = 8 << 20
	afterEachCollection(func() {
		if !stopped.Load() {
			followHeap(garbage)
		}
	})
	percent := func() uint64 {
		sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	becomes := func(what string, condition func(uint64) bool) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for !condition(percent()) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: the heap may still grow by %d %%", what, percent())
			}
			runtime.GC()
		}
	}
	lives := make([]byte, 64<<20)
	becomes("64 MB live", func(p uint64) bool { return p <= leastPercent })
	runtime.KeepAlive(lives)
	becomes("they are gone", func(p uint64) bool { return p >= 100 })
}
