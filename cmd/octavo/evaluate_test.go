package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func TestEvaluateFlagsThatDoNotGoTogether(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log.tsv")
	if err := os.WriteFile(file, []byte("1\t2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"--train F --test F":                              "",
		"--train F --test F --valid F --report page.html": "",
		"--split temporal --events F":                     "",
		"--split temporal --events F --past 0.5":          "",
		"":                                                "nothing to measure on: give --train and --test, or --split temporal",
		"--train F":                                       "--test is missing",
		"--test F":                                        "--train is missing",
		"--events F":                                      "add --split temporal",
		"--train F --test F --past 0.5":                   "--past is the share of the past in a split by time",
		"--split temporal":                                "--events is missing",
		"--split temporal --events F --train F":           "--train does not go with --split temporal",
		"--split temporal --events F --valid F":           "--valid does not go with --split temporal",
		"--split temporal --events F --past 1":            "--past is 1; it is a share",
		"--split temporal --events F --past NaN":          "--past is NaN; it is a share",
		"--split random --train F --test F":               `--split must be one of "files","temporal"`,
		"--split temporal --events " + file + ".none --past 0.5":        "no such file",
		"--train F --test F --format table --rankings ranked.tsv --k 5": "",
	} {
		parser, err := kong.New(&struct{ evaluateCommand }{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = parser.Parse(strings.Fields(strings.ReplaceAll(line, " F", " "+file)))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
}

// TestPeakMemorySeesWhatWasInUse, by whatever means this machine has.
func TestPeakMemorySeesWhatWasInUse(t *testing.T) {
	peak, source := peakMemory()
	peak()
	const size = 64 << 20
	block := make([]byte, size)
	for i := 0; i < len(block); i += 4096 {
		block[i] = 1
	}
	runtime.KeepAlive(block)
	if got := peak(); got < size || source == "" {
		t.Errorf("%d bytes by %q; %d were in use", got, source, size)
	}
}
