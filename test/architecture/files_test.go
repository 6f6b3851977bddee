package architecture

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// forbidden is text that ties a file to one machine or one network. The
// patterns are written so that they do not match themselves.
var forbidden = []struct {
	pattern *regexp.Regexp
	reason  string
}{
	{regexp.MustCompile(`(^|[^\w.])/(roo[t]|wor[k]|hom[e]/\w+|User[s]/\w+)/`), "it is a path of somebody's machine"},
	{regexp.MustCompile(`/tm[p]/\w`), "it is a fixed name in a folder that all users share; make a temporary one"},
	{regexp.MustCompile(`\b(registry\.npmjs|registry\.yarnpkg|proxy\.golang|sum\.golang|pypi\.org|pythonhosted\.org|deb\.debian|security\.debian|docker\.io\b|ghcr\.io|quay\.io)`), "it is a package registry's host, which people behind a mirror cannot reach; their tools know theirs"},
}

func findForbidden(text []byte) (line int, found, reason string) {
	for i, l := range bytes.Split(text, []byte("\n")) {
		for _, f := range forbidden {
			if match := f.pattern.Find(l); match != nil {
				return i + 1, string(match), f.reason
			}
		}
	}
	return 0, "", ""
}

func TestNoFileNamesAMachineOrARegistry(t *testing.T) {
	t.Parallel()
	command := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	command.Dir = root
	out, err := command.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	names := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
	if len(names) < 50 {
		t.Fatalf("git knows only %d files; is this the repository?", len(names))
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // deleted and not committed yet
		}
		if err != nil {
			t.Error(err)
			continue
		}
		if bytes.IndexByte(text, 0) >= 0 {
			continue // an image
		}
		if line, found, reason := findForbidden(text); found != "" {
			t.Errorf("%s:%d: names %q: %s", name, line, found, reason)
		}
	}
}

func TestForbiddenTextIsFound(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"cd " + "/ro" + "ot/octavo":                 true,
		`open("` + "/wo" + `rk/main/x")`:            true,
		"/ho" + "me/somebody/books":                 true,
		"db = /tm" + "p/octavo.db":                  true,
		"https://registry." + "npmjs.org/axe":       true,
		"GOPROXY=https://proxy." + "golang.org":     true,
		"the page's root/ and /category/network/":   false,
		"https://example.org/work":                  false,
		"a network/ of neighbours, internal/work/x": false,
		"go.opentelemetry.io, buf.build/go/x":       false,
	} {
		if _, found, _ := findForbidden([]byte("first line\n" + text)); (found != "") != want {
			t.Errorf("%q: found %q, want a finding: %v", text, found, want)
		}
	}
}
