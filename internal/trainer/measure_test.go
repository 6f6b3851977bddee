package trainer

import "testing"

func TestPeakMemoryIsReadFromTheStatus(t *testing.T) {
	for name, test := range map[string]struct {
		status string
		want   int64
	}{
		"as Linux writes it": {"VmPeak:\t  300 kB\nVmHWM:\t   20480 kB\nVmRSS:\t 1 kB\n", 20 << 20},
		"not there":          {"VmPeak:\t  300 kB\n", 0},
		"no number":          {"VmHWM:\t much\n", 0},
		"nothing":            {"", 0},
	} {
		if got := peakIn([]byte(test.status)); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}
