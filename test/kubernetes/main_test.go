// Package kubernetes holds Octavo up on a real cluster: see README.md.
package kubernetes

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"text/tabwriter"

	"github.com/octavo-books/octavo/test/kubernetes/cluster"
)

var (
	scratchIn = flag.String("scratch", "", "`folder` to write to, 3 GB; the one for temporary files when left out")
	attach    = flag.String("cluster", "", "`folder` of a cluster that ./up has started, to run in that one and leave it up")
	report    = flag.String("report", "", "`file` for the report")

	// What TestMain finds and builds.
	repository, programs, logs string
	images                     []string
)

func TestMain(m *testing.M) {
	cluster.Main()
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	err := cluster.Preflight()
	if err == nil {
		repository, err = filepath.Abs("../..")
	}
	if err == nil {
		programs = filepath.Join(repository, "bin", "kubernetes")
		logs = filepath.Join(programs, "logs")
		images, err = cluster.Build(context.Background(), "programs", programs)
	}
	if err == nil {
		err = buildOctavo(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := writeReport(code == 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// figures are what the tests have measured, for the report.
var figures struct {
	sync.Mutex
	lines [][2]string
}

// figure keeps what was measured about a point.
func figure(t *testing.T, point, format string, args ...any) {
	t.Helper()
	text := fmt.Sprintf(format, args...)
	t.Logf("%s: %s", point, text)
	figures.Lock()
	defer figures.Unlock()
	figures.lines = append(figures.lines, [2]string{point, text})
}

// writeReport prints the figures, and writes them to the file of -report.
func writeReport(passed bool) error {
	files := []*os.File{os.Stdout}
	if *report != "" {
		file, err := os.Create(*report)
		if err != nil {
			return err
		}
		defer file.Close()
		files = append(files, file)
	}
	for _, file := range files {
		w := tabwriter.NewWriter(file, 0, 8, 2, ' ', 0)
		for _, line := range figures.lines {
			fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
		}
		if !passed {
			fmt.Fprintln(w, "FAILED: what is above is not the whole of it")
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}
