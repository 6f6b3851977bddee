// Package tutorials does what the tutorials say, and checks what they promise.
package tutorials

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/octavo-books/octavo/internal/nettest"
	"github.com/octavo-books/octavo/internal/waittest"
)

const (
	root = "../.."
	// ownLines is how much code a new service may take. Package clauses and
	// imports, which editors write, do not count, nor do contracts, tests and
	// manifests.
	ownLines = 60
	// patience covers the first start, with import and training, on a busy machine.
	patience = 2 * time.Minute
)

func TestAddAService(t *testing.T) {
	copied := copyRepository(t)
	text, err := os.ReadFile(filepath.Join(copied, "docs", "tutorials", "add-a-service.md"))
	if err != nil {
		t.Fatal(err)
	}
	free := [...]string{nettest.FreeAddress(t), nettest.FreeAddress(t)}
	folder := t.TempDir()
	file := filepath.Join(folder, "addresses.json")
	s := shell{dir: copied, env: append(environment(),
		"GOFLAGS=-buildvcs=false", "GOPROXY=off",
		"OCTAVO_DATA_DIR="+filepath.Join(folder, "data"), "OCTAVO_ADDRESSES_FILE="+file,
		"OCTAVO_HTTP_ADDR=127.0.0.1:0", "OCTAVO_RECOMMENDATIONS_ADDR=127.0.0.1:0", "OCTAVO_CATALOG_ADDR=127.0.0.1:0",
		"OCTAVO_READERS_ADDR=127.0.0.1:0", "OCTAVO_CHALLENGES_ADDR=127.0.0.1:0",
	)}
	own, answers, programs, manifests := 0, 0, 0, 0
	var at struct{ Challenges, Readers, Admin string }
	for _, b := range blocks(t, string(text)) {
		switch {
		case b.file != "" && b.language == "diff":
			own += edit(t, filepath.Join(copied, b.file), b)
		case b.file != "":
			own += create(t, filepath.Join(copied, b.file), b)
		case strings.HasPrefix(b.text, "bin/octavo "):
			programs++
			s.start(t, b.text, "OCTAVO_ADMIN_ADDR=127.0.0.1:0")
			waittest.Until(t, "octavo is ready", patience, func() bool {
				content, err := os.ReadFile(file)
				return err == nil && json.Unmarshal(content, &at) == nil
			})
			s.replace = []string{"127.0.0.1:50054", at.Challenges, "127.0.0.1:50053", at.Readers, "127.0.0.1:50064", free[0]}
		case strings.HasPrefix(b.text, "bin/"):
			programs++
			s.start(t, b.text, "OCTAVO_ADMIN_ADDR="+free[1])
			waittest.Until(t, "the program is ready", patience, func() bool { return strings.Contains(fetch(t, "http://"+free[1]+"/readyz"), "ready") })
		case strings.Contains(b.text, "buf curl"):
			answers++
			s.checkProgress(t, s.run(t, b.text))
			s.call = b.text
		case strings.Contains(b.text, "test/manifests"):
			manifests++
			s.run(t, b.text) // says so when the service is not deployed
			s.checkPolicies(t)
		default:
			s.run(t, b.text)
		}
	}
	if manifests != 1 {
		t.Errorf("the tutorial checks its manifests %d times", manifests)
	}
	if answers == 0 || programs != 2 {
		t.Fatalf("the tutorial starts %d programs and asks %d times", programs, answers)
	}
	checkMetrics(t, at.Admin)

	s.replace[1] = free[0] // the same question to the service's own program
	s.checkProgress(t, s.run(t, s.call))
	checkMetrics(t, free[1])

	t.Logf("the service takes %d lines", own)
	if own > ownLines {
		t.Errorf("the service takes %d lines, want at most %d", own, ownLines)
	}
}

// checkProgress checks the answer for simulated reader 7 with a goal of 500.
func (s *shell) checkProgress(t *testing.T, output string) {
	t.Helper()
	var answer struct {
		BookIDs []int `json:"bookIds"`
		Left    int
	}
	if err := json.Unmarshal([]byte(output), &answer); err != nil {
		t.Fatalf("the answer is not JSON: %v\n%s", err, output)
	}
	if len(answer.BookIDs) == 0 || answer.Left != 500-len(answer.BookIDs) {
		t.Errorf("the reader has finished %d books, and %d of 500 are left", len(answer.BookIDs), answer.Left)
	}
}

// checkPolicies checks that a policy that was forgotten is told of.
func (s *shell) checkPolicies(t *testing.T) {
	t.Helper()
	path := filepath.Join(s.dir, "deploy", "kubernetes", "components", "network-policies", "servers.yaml")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(content, []byte("challenges, "), nil, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	const want = "challenges to readers, port 50053 is closed, and it dials dns:///readers:50053"
	out, err := s.command(t.Context(), "go test -C test/manifests -run TestOverlays/production .").CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte(want)) {
		t.Errorf("without its policy: %v, want %q in\n%s", err, want, out)
	}
}

// checkMetrics checks that an admin port counts calls to the service, and its
// calls to readers.
func checkMetrics(t *testing.T, admin string) {
	t.Helper()
	metrics := fetch(t, "http://"+admin+"/metrics")
	for _, want := range []string{
		`grpc_server_handled_total{grpc_code="OK",grpc_method="GetProgress",grpc_service="octavo.challenges.v1.ChallengesService",grpc_type="unary"} 1`,
		`grpc_client_handled_total{grpc_code="OK",grpc_method="ListShelf",grpc_service="octavo.readers.v1.ReadersService",grpc_type="unary"}`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics at %s have no %s", admin, want)
		}
	}
}

// block is one block of code of a tutorial.
type block struct {
	file     string // that it is, or changes; empty for commands
	language string
	text     string
}

var (
	fence    = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")
	fileName = regexp.MustCompile("(?m)^`([^`]+)`:\n+\\z")
)

// blocks are the blocks of a tutorial in order. A block belongs to the file that
// the line before it names.
func blocks(t *testing.T, text string) []block {
	t.Helper()
	var all []block
	for _, at := range fence.FindAllStringSubmatchIndex(text, -1) {
		b := block{language: text[at[2]:at[3]], text: text[at[4]:at[5]]}
		if name := fileName.FindStringSubmatch(text[:at[0]]); name != nil {
			b.file = name[1]
		} else if b.language != "sh" {
			t.Fatalf("a block of %s names no file:\n%s", b.language, b.text)
		}
		all = append(all, b)
	}
	return all
}

// create writes a new file, and returns how many lines of code of its own the
// service has in it.
func create(t *testing.T, path string, b block) int {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		t.Fatalf("%s is there already", b.file)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(b.text), 0o600); err != nil {
		t.Fatal(err)
	}
	if b.language != "go" || strings.HasSuffix(path, "_test.go") {
		return 0
	}
	return codeLines(t, b.text)
}

// codeLines counts lines of Go without blank ones, comments, package clause and
// imports.
func codeLines(t *testing.T, source string) int {
	t.Helper()
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, "", source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	line := func(p token.Pos) int { return files.Position(p).Line }
	without := map[int]bool{line(parsed.Package): true}
	leave := func(n ast.Node) {
		for l := line(n.Pos()); l <= line(n.End()-1); l++ {
			without[l] = true
		}
	}
	for _, d := range parsed.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
			leave(g)
		}
	}
	for _, c := range parsed.Comments {
		leave(c)
	}
	count := 0
	for i, text := range strings.Split(source, "\n") {
		if strings.TrimSpace(text) != "" && !without[i+1] {
			count++
		}
	}
	return count
}

// edit changes a file by the hunks of a block, which @@ parts, and returns how
// many lines of code are added. What a hunk changes must be there once.
func edit(t *testing.T, path string, b block) int {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	added := 0
	for hunk := range strings.SplitSeq(b.text, "@@\n") {
		var before, after strings.Builder
		for line := range strings.Lines(hunk) {
			switch line[0] {
			case '+':
				after.WriteString(line[1:])
				if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") && !strings.HasPrefix(strings.TrimSpace(line[1:]), `"github.com/`) {
					added++
				}
			case '-':
				before.WriteString(line[1:])
			default:
				before.WriteString(line[1:])
				after.WriteString(line[1:])
			}
		}
		if n := bytes.Count(content, []byte(before.String())); n != 1 {
			t.Fatalf("%s has %d times what the tutorial changes:\n%s", b.file, n, before.String())
		}
		content = bytes.Replace(content, []byte(before.String()), []byte(after.String()), 1)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return added
}

// shell runs the commands of a tutorial.
type shell struct {
	dir     string
	env     []string
	replace []string // addresses of the tutorial, and those in use
	call    string
}

func (s *shell) command(ctx context.Context, text string, env ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "sh", "-e", "-c", strings.NewReplacer(s.replace...).Replace(text))
	command.Dir, command.Env = s.dir, append(s.env, env...)
	return command
}

// run runs commands to their end, which must be a good one, and returns what
// they print.
func (s *shell) run(t *testing.T, text string) string {
	t.Helper()
	began := time.Now()
	command := s.command(t.Context(), text)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s\n%v\n%s%s", text, err, out, stderr.Bytes())
	}
	t.Logf("%v: %s", time.Since(began).Round(time.Millisecond), text)
	return string(out)
}

// start runs a program until the test ends.
func (s *shell) start(t *testing.T, text string, env ...string) {
	t.Helper()
	var output bytes.Buffer
	command := s.command(context.WithoutCancel(t.Context()), "exec "+text, env...)
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := command.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("stop %s: %v", text, err)
		}
		if err := command.Wait(); err != nil || t.Failed() {
			t.Errorf("%s ended with %v:\n%s", text, err, output.Bytes())
		}
	})
}

// copyRepository copies what git knows, and what it would be told of, into a
// repository of its own.
func copyRepository(t *testing.T) string {
	t.Helper()
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	copied := filepath.Join(t.TempDir(), "octavo")
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // deleted and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(copied, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}} {
		git := exec.Command("git", args...)
		git.Dir = copied
		if out, err := git.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return copied
}

// environment is the environment without settings of Octavo.
func environment() []string {
	var kept []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "OCTAVO_") {
			kept = append(kept, entry)
		}
	}
	return kept
}

// fetch is the body of a page, or what is in the way of it.
func fetch(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Sprintf("%s %v", response.Status, err)
	}
	return string(body)
}
