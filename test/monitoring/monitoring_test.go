// Package monitoring tests the rules that Prometheus watches Octavo with: each
// alert by promtool, with series that make it fire and series that nearly do,
// and that the runbook knows it.
//
// Whether the rules ask for metrics that exist is tested in test/endtoend.
package monitoring

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	deployed = "../../deploy/prometheus"
	runbook  = "../../docs/operations/runbook.md"
	// runbookURL is where operators find the runbook.
	runbookURL = "https://github.com/octavo-books/octavo/blob/main/docs/operations/runbook.md"
)

// rule is what of a rule matters here.
type rule struct {
	Alert       string
	Labels      map[string]string
	Annotations map[string]string
}

// files are the deployed files of a folder, of which there must be some.
func files(t *testing.T, folder string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(deployed, folder, "*.yml"))
	if err != nil || len(found) == 0 {
		t.Fatalf("files in %s: %v, %v", folder, found, err)
	}
	return found
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// alerts are all alerts by name; some have a rule for each severity.
func alerts(t *testing.T) map[string][]rule {
	t.Helper()
	byName := map[string][]rule{}
	for _, path := range files(t, "rules") {
		var content struct{ Groups []struct{ Rules []rule } }
		read(t, path, &content)
		for _, group := range content.Groups {
			for _, r := range group.Rules {
				if r.Alert != "" {
					byName[r.Alert] = append(byName[r.Alert], r)
				}
			}
		}
	}
	if len(byName) == 0 {
		t.Fatal("there are no alerts")
	}
	return byName
}

func TestRules(t *testing.T) {
	for _, arguments := range [][]string{
		{"check", "config", filepath.Join(deployed, "prometheus.yml")},
		append([]string{"check", "rules", "--lint-fatal"}, files(t, "rules")...),
		append([]string{"test", "rules"}, files(t, "tests")...),
	} {
		t.Run(strings.Join(arguments[:2], " "), func(t *testing.T) {
			printed, err := exec.CommandContext(t.Context(), "promtool", arguments...).CombinedOutput()
			if err != nil {
				t.Errorf("promtool: %v (if it is missing, run 'make setup')\n%s", err, printed)
			}
		})
	}
}

// TestEveryAlertIsTested: promtool runs the tests that are there; this says
// which must be.
func TestEveryAlertIsTested(t *testing.T) {
	asked := regexp.MustCompile(`ALERTS\{alertname="(\w+)", alertstate="firing"\}`)
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, path := range files(t, "tests") {
		var content struct {
			Tests []struct {
				Expressions []struct {
					Expr    string
					Samples []struct{ Labels string } `yaml:"exp_samples"`
				} `yaml:"promql_expr_test"`
			}
		}
		read(t, path, &content)
		for _, test := range content.Tests {
			for _, e := range test.Expressions {
				name := asked.FindStringSubmatch(e.Expr)
				if name == nil {
					continue
				}
				silent[name[1]] = silent[name[1]] || len(e.Samples) == 0
				for _, sample := range e.Samples {
					fires[name[1]+severity(sample.Labels)] = true
				}
			}
		}
	}
	for name, rules := range alerts(t) {
		if !silent[name] {
			t.Errorf("no test has %s silent", name)
		}
		for _, r := range rules {
			if !fires[name+r.Labels["severity"]] {
				t.Errorf("no test has %s fire as a %s", name, r.Labels["severity"])
			}
		}
	}
}

func severity(labels string) string {
	if found := regexp.MustCompile(`severity="(\w+)"`).FindStringSubmatch(labels); found != nil {
		return found[1]
	}
	return ""
}

func TestEveryAlertHasAnEntryInTheRunbook(t *testing.T) {
	content, err := os.ReadFile(runbook)
	if err != nil {
		t.Fatal(err)
	}
	var entries []string
	for _, heading := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllSubmatch(content, -1) {
		entries = append(entries, string(heading[1]))
	}
	known := alerts(t)
	for name, rules := range known {
		if !slices.Contains(entries, name) {
			t.Errorf("the runbook has no entry %s", name)
		}
		for _, r := range rules {
			if got, want := r.Annotations["runbook_url"], runbookURL+"#"+strings.ToLower(name); got != want {
				t.Errorf("%s points to %q, want %q", name, got, want)
			}
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s does not say what it is", name)
			}
			if s := r.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s has the severity %q", name, s)
			}
		}
	}
	for _, entry := range entries {
		if _, ok := known[entry]; !ok {
			t.Errorf("the runbook has an entry %s, and there is no such alert; there are %v", entry, slices.Sorted(maps.Keys(known)))
		}
	}
	for _, link := range regexp.MustCompile(`\]\(#(\w+)\)`).FindAllSubmatch(content, -1) {
		if !bytes.Contains(bytes.ToLower(content), []byte("\n## "+string(link[1])+"\n")) {
			t.Errorf("the runbook points to an entry %s that it does not have", link[1])
		}
	}
}
