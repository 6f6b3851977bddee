package main

import (
	"runtime/debug"
	"runtime/metrics"

	"github.com/octavo-books/octavo/internal/resident"
)

// peakMemory returns a function that returns the most memory in use since it
// was last called, in bytes, and where that is read. Where the high-water mark
// cannot be set back, it is that of the whole process so far.
func peakMemory() (peak func() int64, source string) {
	if _, ok := resident.Peak(); !ok {
		return runtimePeak, "what the Go runtime has had from the system since the program began (runtime/metrics)"
	}
	source = "VmHWM of /proc/self/status, set back before each row"
	if resident.Forget() != nil {
		source = "VmHWM of /proc/self/status, since the program began"
	}
	return func() int64 {
		most, _ := resident.Peak()
		debug.FreeOSMemory() // what is garbage now is not the next row's
		_ = resident.Forget()
		return most
	}, source
}

// runtimePeak never falls: memory given back is counted too.
func runtimePeak() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}
