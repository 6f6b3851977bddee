//go:build skew

package endtoend

import (
	"flag"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/octavo-books/octavo/internal/nettest"
	"github.com/octavo-books/octavo/internal/waittest"
)

var rev = flag.String("rev", "", "commit or tag of the earlier release; the one that kept the newest contracts when empty")

// TestSkew runs each program of an earlier release among those of today, and
// the other way round, as they meet while an update is rolled out, and reads in
// the shop. The clone has to have the commit of the release. 'make skew'.
func TestSkew(t *testing.T) {
	before := buildRelease(t)
	// Data are the release's own; programs that own data run from the earlier to
	// the later one, as in an update.
	folder := filepath.Join(t.TempDir(), "data")
	today := binaries
	addresses := filepath.Join(t.TempDir(), "addresses.json")
	octavo := startServeFrom(t, before, folder, addresses)
	waittest.Until(t, "octavo of the release is ready", firstStart, func() bool {
		_, err := os.Stat(addresses)
		return err == nil
	})
	octavo.stop(t)

	programs := []string{"catalog", "readers", "recommendations", "marketplace"}
	of := func(dir, except, other string) map[string]string {
		from := map[string]string{}
		for _, p := range programs {
			from[p] = dir
		}
		from[except] = other
		return from
	}
	for _, test := range []struct {
		name string
		from map[string]string
	}{
		{"all of the release", of(before, "", "")},
		{"marketplace of today among the release", of(before, "marketplace", today)},
		{"recommendations of today among the release", of(before, "recommendations", today)},
		{"catalog of today among the release", of(before, "catalog", today)},
		{"readers of today among the release", of(before, "readers", today)},
		{"marketplace of the release among today", of(today, "marketplace", before)},
		{"recommendations of the release among today", of(today, "recommendations", before)},
		{"all of today", of(today, "", "")},
	} {
		t.Run(test.name, func(t *testing.T) { readInShop(t, folder, test.from) })
	}
}

// buildRelease builds the programs of the release and returns their folder.
func buildRelease(t *testing.T) string {
	t.Helper()
	git := func(args ...string) string {
		command := exec.Command("git", args...)
		command.Dir = root
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	commit := *rev
	if commit == "" {
		commit = git("log", "-1", "--format=%H", "--", "protobufs/released")
	}
	t.Logf("the release is %s", git("log", "-1", "--format=%h %s", commit))
	source, programs := filepath.Join(t.TempDir(), "source"), t.TempDir()
	git("worktree", "add", "--detach", source, commit)
	t.Cleanup(func() { git("worktree", "remove", "--force", source) })
	build := exec.Command("go", "build", "-o", programs+string(filepath.Separator), "./cmd/...")
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the release: %v\n%s", err, out)
	}
	return programs
}

// readInShop starts the four programs, each from its folder, and does what a
// visitor does.
func readInShop(t *testing.T, folder string, from map[string]string) {
	t.Helper()
	catalog, readers, recommendations, shop := nettest.FreeAddress(t), nettest.FreeAddress(t), nettest.FreeAddress(t), nettest.FreeAddress(t)
	startFrom(t, from["catalog"], "catalog", "--addr", catalog, "--db", filepath.Join(folder, "catalog.db"), "--admin-addr", "")
	startFrom(t, from["readers"], "readers", "--addr", readers, "--db", filepath.Join(folder, "readers.db"), "--admin-addr", "")
	startFrom(t, from["recommendations"], "recommendations", "--addr", recommendations, "--catalog-addr", catalog, "--readers-addr", readers,
		"--models-dir", filepath.Join(folder, "models"), "--admin-addr", "")
	startFrom(t, from["marketplace"], "marketplace", "--addr", shop, "--catalog-addr", catalog, "--readers-addr", readers, "--recommendations-addr", recommendations,
		"--session-key-file", filepath.Join(folder, "session.key"), "--admin-addr", "")

	v := newVisitor(t, "http://"+shop)
	waittest.Until(t, "the shop answers", firstStart, func() bool {
		p, err := v.try("/")
		return err == nil && p.status == http.StatusOK
	})
	v.becomeDemoReader()
	waittest.Until(t, "the first page is personal", firstStart, func() bool { return v.get("/").personal() })
	book := v.get("/").personalBooks()[0]
	for _, path := range []string{"/", "/literature", "/search?q=the", book, "/how"} {
		if p := v.get(path); p.status != http.StatusOK || strings.Contains(p.body, "not available just now") {
			t.Errorf("%s is answered with %d, or without a part:\n%s", path, p.status, p.body)
		}
	}
	if p := v.post(book+"/rate", url.Values{"rating": {"5"}}); !strings.Contains(p.body, "5 of 5") {
		t.Errorf("the page of a book that was rated does not show the rating")
	}
	if p := v.get("/"); !p.personal() || slices.Contains(p.personalBooks(), book) {
		t.Errorf("the page after a rating does not know it")
	}
}
