package endtoend

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/octavo-books/octavo/chassis/chassistest"
	"github.com/octavo-books/octavo/internal/nettest"
)

// The scripts in testdata/commands try the commands of the built programs as an
// operator would. They find in their environment BUSY, an address that
// something else listens on, and NOBODY, one that nothing does; in their folder
// train.tsv, test.tsv and folders of certificates; and as further commands
//
//	exits CODE PROGRAM ARG...   runs a program that must end with this code
//	lines FILE NUMBER           checks how many lines a file has
//	waitfile FILE               waits until a file is there
//	address NAME FILE SERVICE   sets NAME to a service's address in octavo's file
func TestCommands(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { busy.Close() })
	nobody := nettest.FreeAddress(t)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "commands"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", binaries+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("BUSY", busy.Addr().String())
			env.Setenv("NOBODY", nobody)
			writeCertificates(t, filepath.Join(env.WorkDir, "tls"))
			return writeTastes(env.WorkDir)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"lines":    lines,
			"waitfile": waitFile,
			"address":  address,
		},
	})
}

func exits(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	var ended *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); err != nil && !errors.As(err, &ended) {
		ts.Fatalf("%s: %v", args[1], err)
	}
	got := 0
	if ended != nil {
		got = ended.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s ended with %d, want %d", args[1], got, want)
	}
}

func lines(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) != 2 {
		ts.Fatalf("usage: lines FILE NUMBER")
	}
	if got := strconv.Itoa(bytes.Count([]byte(ts.ReadFile(args[0])), []byte("\n"))); got != args[1] {
		ts.Fatalf("%s has %s lines, want %s", args[0], got, args[1])
	}
}

func waitFile(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) != 1 {
		ts.Fatalf("usage: waitfile FILE")
	}
	path := ts.MkAbs(args[0])
	for deadline := time.Now().Add(firstStart); ; {
		if _, err := os.Stat(path); err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s was not there after %v", args[0], firstStart)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func address(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) != 3 {
		ts.Fatalf("usage: address NAME FILE SERVICE")
	}
	var all map[string]string
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &all))
	if all[args[2]] == "" {
		ts.Fatalf("%s has no address of %s: %v", args[1], args[2], all)
	}
	ts.Setenv(args[0], all[args[2]])
}

// writeCertificates makes folders of certificates: a good one, and those with
// which something is wrong.
func writeCertificates(t *testing.T, folder string) {
	t.Helper()
	authority := chassistest.NewAuthority(t)
	good := authority.Issue(chassistest.Certificate{Identity: "catalog"})
	mismatch := good
	mismatch.Key = authority.Issue(chassistest.Certificate{}).Key
	for name, files := range map[string]chassistest.Files{
		"good":      good,
		"mismatch":  mismatch,
		"unvouched": authority.SelfSigned(chassistest.Certificate{Identity: "catalog"}),
		"expired":   authority.Issue(chassistest.Certificate{Identity: "catalog", NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}),
	} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		files.Write(t, path)
	}
}

// writeTastes writes train.tsv and test.tsv: 120 readers with one of four
// tastes, each of which is 30 books. A reader has read ten of them, and two
// more are in the test part.
func writeTastes(folder string) error {
	random := rand.New(rand.NewPCG(1, 2))
	var train, test bytes.Buffer
	for reader := range 120 {
		taste := reader % 4
		for i, book := range random.Perm(30)[:12] {
			out := &train
			if i >= 10 {
				out = &test
			}
			fmt.Fprintf(out, "%d\t%d\n", reader+1, taste*30+book+1)
		}
	}
	return errors.Join(
		os.WriteFile(filepath.Join(folder, "train.tsv"), train.Bytes(), 0o600),
		os.WriteFile(filepath.Join(folder, "test.tsv"), test.Bytes(), 0o600),
	)
}
