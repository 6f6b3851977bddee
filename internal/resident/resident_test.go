package resident

import "testing"

func TestThePeakIsReadFromTheStatus(t *testing.T) {
	for name, test := range map[string]struct {
		status string
		want   int64
		ok     bool
	}{
		"as Linux writes it": {"VmPeak:\t  300 kB\nVmHWM:\t   20480 kB\nVmRSS:\t 1 kB\n", 20 << 20, true},
		"among others":       {"Name:\tx\nVmHWM:\t   12345 kB\nVmRSS:\t 1 kB\n", 12345 << 10, true},
		"not there":          {"VmPeak:\t  300 kB\n", 0, false},
		"no number":          {"VmHWM:\t much\n", 0, false},
		"nothing":            {"", 0, false},
	} {
		if got, ok := parse([]byte(test.status)); got != test.want || ok != test.ok {
			t.Errorf("%s: %d, %v; want %d, %v", name, got, ok, test.want, test.ok)
		}
	}
}
