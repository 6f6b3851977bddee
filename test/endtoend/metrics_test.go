package endtoend

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	naming "github.com/prometheus/common/model"

	"github.com/octavo-books/octavo/internal/waittest"
)

// metric is a name with its type and its labels, as the reference has it.
type metric struct{ name, kind, labels string }

// TestMetricsReference: docs/reference/metrics.md lists exactly what a running
// octavo serves.
func TestMetricsReference(t *testing.T) {
	var uploads atomic.Int32
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		uploads.Add(1)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer collector.Close()
	_, at := serveProcess(t, demoFolder(t), "--otlp-endpoint", collector.URL, "--otlp-protocol", "http", "--trace-sample", "1")

	client := &http.Client{Timeout: 10 * time.Second}
	for _, path := range []string{"/", "/book/1", "/search?q=war"} {
		response, err := client.Get("http://" + at.HTTP + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	response, err := client.PostForm("http://"+at.HTTP+"/reader", url.Values{"reader": {"1"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	waittest.Until(t, "spans are uploaded", 10*time.Second, func() bool { return uploads.Load() > 0 })

	var served []metric
	waittest.Until(t, "the model is in use", 20*time.Second, func() bool {
		served = servedMetrics(t, client, at.Admin)
		return slices.ContainsFunc(served, func(m metric) bool { return m.name == "octavo_model_info" })
	})
	listed := listedMetrics(t)
	for _, m := range served {
		if !slices.Contains(listed, m) {
			t.Errorf("octavo serves %+v, which the reference does not list", m)
		}
	}
	for _, m := range listed {
		if !slices.Contains(served, m) {
			t.Errorf("the reference lists %+v, which octavo does not serve", m)
		}
	}
}

func servedMetrics(t *testing.T, client *http.Client, admin string) []metric {
	t.Helper()
	response, err := client.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(naming.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var all []metric
	for name, family := range families {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "promhttp_") {
			continue
		}
		var labels []string
		for _, label := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, label.GetName())
		}
		slices.Sort(labels)
		all = append(all, metric{name, strings.ToLower(family.GetType().String()), strings.Join(labels, ", ")})
	}
	return all
}

var metricRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z]+) \\| ([a-z_, ]*?) ?\\| ")

func listedMetrics(t *testing.T) []metric {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "reference", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	var all []metric
	for _, row := range metricRow.FindAllStringSubmatch(string(text), -1) {
		all = append(all, metric{row[1], row[2], row[3]})
	}
	return all
}
