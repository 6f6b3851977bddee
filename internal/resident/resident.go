// Package resident tells the most memory this process has had resident, as
// Linux counts it (VmHWM, proc(5)). Elsewhere it knows nothing.
//
// It never changes what the process uses.
package resident

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// Peak is the kernel's high-water mark of the process in bytes; it is false
// where that is not to be had.
func Peak() (int64, bool) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	return parse(status)
}

// Forget sets the mark back to what is resident now.
func Forget() error {
	return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

func parse(status []byte) (int64, bool) {
	for line := range bytes.Lines(status) {
		if value, ok := strings.CutPrefix(string(line), "VmHWM:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kilobytes << 10, err == nil
		}
	}
	return 0, false
}
