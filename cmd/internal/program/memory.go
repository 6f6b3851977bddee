package program

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How far the heap may grow between collections. A server that lives from small
// short-lived messages spends a fifth of its time collecting with Go's default,
// which lets it double; but what is little for tens of megabytes is gigabytes
// for the hundreds that the histories of a million readers take.
const (
	mostGarbage  = 256 << 20 // bytes, until leastPercent is more
	mostPercent  = 400       // of what lives
	leastPercent = 25
)

// tuneRuntime keeps the heap within these bounds from now on. GOGC, when set,
// is respected; GOMEMLIMIT holds besides.
func tuneRuntime() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(mostPercent)
		afterEachCollection(func() { followHeap(mostGarbage) })
	}
}

// followHeap sets how far the heap may grow by what lived at the last
// collection. Setting it stops the world for some microseconds, so that small
// changes are let be.
func followHeap(garbage uint64) {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	live, now := sample[0].Value.Uint64(), sample[1].Value.Uint64()
	want := gcPercent(live, garbage)
	if difference := max(want, now) - min(want, now); difference > now/8 {
		debug.SetGCPercent(int(want))
	}
}

// gcPercent is how far a heap may grow of which so many bytes live.
func gcPercent(live, garbage uint64) uint64 {
	percent := 100 * garbage / max(live, 1)
	if live > garbage {
		// As much again on top of a large heap would be more than a machine has
		// to spare.
		percent = percent * garbage / live
	}
	return min(max(percent, leastPercent), mostPercent)
}

// afterEachCollection calls f soon after each collection: an object nobody
// holds is found at each, and then the next one is made.
func afterEachCollection(f func()) {
	runtime.AddCleanup(new([64]byte), func(f func()) {
		f()
		afterEachCollection(f)
	}, f)
}
