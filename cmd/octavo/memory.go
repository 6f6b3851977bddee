package main

import (
	"bytes"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
)

// peakMemory returns a function that returns the most memory in use since it
// was last called, in bytes, and where that is read. Where the high-water mark
// cannot be set back, it is that of the whole process so far.
func peakMemory() (peak func() int64, source string) {
	if _, ok := residentPeak(); !ok {
		return runtimePeak, "what the Go runtime has had from the system since the program began (runtime/metrics)"
	}
	source = "VmHWM of /proc/self/status, set back before each row"
	if forgetResidentPeak() != nil {
		source = "VmHWM of /proc/self/status, since the program began"
	}
	return func() int64 {
		most, _ := residentPeak()
		debug.FreeOSMemory() // what is garbage now is not the next row's
		_ = forgetResidentPeak()
		return most
	}, source
}

// residentPeak is the kernel's high-water mark of the process.
func residentPeak() (int64, bool) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	return parseResidentPeak(status)
}

func parseResidentPeak(status []byte) (int64, bool) {
	for line := range bytes.Lines(status) {
		if value, ok := strings.CutPrefix(string(line), "VmHWM:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kilobytes << 10, err == nil
		}
	}
	return 0, false
}

// forgetResidentPeak sets the mark back to what is in use now (proc(5)).
func forgetResidentPeak() error {
	return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// runtimePeak never falls: memory given back is counted too.
func runtimePeak() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}
