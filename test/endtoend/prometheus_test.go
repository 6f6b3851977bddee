package endtoend

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
	"github.com/octavo-books/octavo/internal/nettest"
	"github.com/octavo-books/octavo/internal/waittest"
)

// unseen are the selectors that rightly select nothing here, and why.
var unseen = map[string]string{
	`ALERTS{alertstate="firing"}`:                 "nothing fires in a shop that is well",
	`tls_certificate_not_after_timestamp_seconds`: "octavo has no certificate here",
}

// TestPrometheus: a Prometheus with the configuration of deploy/prometheus
// watches octavo while visitors come. Every rule works, every panel of every
// dashboard has something to show, and each selector of any of them selects
// something, so that none of them waits for a metric that does not exist. The
// exemplars of the durations lead to traces that a collector has.
//
// The dashboards are drawn to SCREENSHOTS, when that is set.
func TestPrometheus(t *testing.T) {
	collector := startCollector(t)
	_, at := serveProcess(t, demoFolder(t), "--otlp-endpoint", collector.grpc, "--trace-sample", "1")
	watching := startPrometheus(t, at.Admin)
	begin := time.Now()
	stop := visit(t, at)
	boards := dashboards(t)
	services := []string{"octavo.recommendations.v1.RecommendationsService", "octavo.catalog.v1.CatalogService", "octavo.readers.v1.ReadersService"}

	// What must return data, and for whom.
	wanted := map[string]string{}
	for name, d := range boards {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				for _, service := range services {
					wanted[chosen(target.Expr, service)] = name + ", " + p.Title
				}
			}
		}
	}
	rules := watching.rules(t)
	for _, r := range rules {
		if r.Type == "recording" {
			wanted[r.Query] = "rule " + r.Name
		}
	}
	for expr, whose := range maps.Clone(wanted) {
		for _, s := range selectors(t, expr) {
			wanted[s] = whose
		}
	}
	for _, r := range rules {
		for _, s := range selectors(t, r.Query) {
			wanted[s] = "alert " + r.Name
		}
	}
	for expr := range unseen {
		if _, asked := wanted[expr]; !asked {
			t.Errorf("nothing asks for %s any more", expr)
		}
		delete(wanted, expr)
	}

	deadline := time.Now().Add(time.Minute)
	for len(wanted) > 0 && time.Now().Before(deadline) {
		for expr := range wanted {
			if watching.has(t, expr) {
				delete(wanted, expr)
			}
		}
	}
	for expr, whose := range wanted {
		t.Errorf("%s: no data for\n  %s", whose, expr)
	}
	for _, r := range watching.rules(t) {
		if r.Health != "ok" {
			t.Errorf("rule %s: %s %s", r.Name, r.Health, r.LastError)
		}
	}

	for _, histogram := range []string{"http_server_handling_seconds_bucket", "grpc_server_handling_seconds_bucket", "grpc_client_handling_seconds_bucket"} {
		waittest.Until(t, "an exemplar of "+histogram+" leads to a trace", 20*time.Second, func() bool {
			return slices.ContainsFunc(watching.exemplars(t, histogram, begin), collector.has)
		})
	}

	folder := os.Getenv("SCREENSHOTS")
	if folder != "" {
		waittest.Until(t, "there is something to look at", 2*time.Minute, func() bool { return time.Since(begin) > 75*time.Second })
	}
	stop()
	end := time.Now().Add(time.Second) // Prometheus is asked at whole seconds
	for name, d := range boards {
		page, empty := draw(t, d, watching, services[0], begin, end)
		if len(empty) > 0 {
			t.Errorf("%s has empty panels: %q", name, empty)
		}
		if folder != "" {
			screenshot(t, page, filepath.Join(folder, "dashboard-"+name))
		}
	}
}

func screenshot(t *testing.T, page, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".html", []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	height := regexp.MustCompile(`height:(\d+)px\}`).FindStringSubmatch(page)
	tall, err := strconv.Atoi(height[1])
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), tool(t, "chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
		"--screenshot="+path+".png", fmt.Sprintf("--window-size=1472,%d", tall+80), "file://"+path+".html")
	if printed, err := command.CombinedOutput(); err != nil {
		t.Errorf("screenshot: %v\n%s", err, printed)
	}
}

// visit sends visitors and callers until the function that is returned has been
// called.
func visit(t *testing.T, at addresses) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	conn, err := grpc.NewClient(at.Recommendations, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	v := newVisitor(t, "http://"+at.HTTP)
	v.post("/reader", url.Values{"reader": {demoReader.FindStringSubmatch(v.get("/reader").body)[1]}})
	go func() {
		defer close(done)
		ticker := time.NewTicker(30 * time.Millisecond)
		defer ticker.Stop()
		paths := []string{"/", "/mystery", "/search?q=dune", "/book/1", "/me", "/nothing-here", "/how", "/book/2", "/science"}
		for i := 0; ; i++ {
			// Visitors come and go.
			if wave := 6 + 5*math.Sin(float64(i)/150); float64(i%12) < wave {
				_, _ = v.try(paths[i%len(paths)])
			}
			if i%20 == 0 {
				form := url.Values{"rating": {strconv.Itoa(1 + i%5)}}.Encode()
				if r, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://%s/book/%d/rate", at.HTTP, 1+i%300), strings.NewReader(form)); err == nil {
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					_, _ = v.do(r)
				}
			}
			_, _ = recommendationspb.NewRecommendationsClient(conn).Recommend(ctx, &recommendationspb.RecommendationRequest{UserId: int32(i % 2000)})
			_, _ = recommendationsv1.NewRecommendationsServiceClient(conn).Recommend(ctx, &recommendationsv1.RecommendRequest{ReaderId: int32(i % 2500)})
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	return stop
}

// selector is a metric with what is asked of its labels; comparison is one
// question about the outcome of calls.
var (
	selector   = regexp.MustCompile(`\b(?:octavo[_:]|grpc_|http_|process_|server_|overload_|go_|tls_|ALERTS|up\b)[\w:]*(?:\{[^}]*\})?`)
	grouping   = regexp.MustCompile(`\b(?:by|on|ignoring|group_left)\s*\([^)]*\)|\blabel_replace\(vector\(0\)[^)]*\)`)
	comparison = regexp.MustCompile(`\b(grpc_code|code)(=~?)"([^"]*)"`)
)

// selectors are what an expression is about. Failures need not have happened,
// so any outcome will do; their names are compared with those that there are.
func selectors(t *testing.T, expr string) []string {
	t.Helper()
	outcomes := []string{"5xx"}
	for c := codes.OK; c <= codes.Unauthenticated; c++ {
		outcomes = append(outcomes, c.String())
	}
	found := selector.FindAllString(grouping.ReplaceAllString(expr, ""), -1)
	for i, s := range found {
		for _, asked := range comparison.FindAllStringSubmatch(s, -1) {
			for name := range strings.SplitSeq(asked[3], "|") {
				if !slices.Contains(outcomes, name) {
					t.Errorf("%s asks for an outcome %q, which does not exist", expr, name)
				}
			}
		}
		found[i] = comparison.ReplaceAllString(s, `$1=~".+"`)
	}
	return found
}

// prometheus is the address of a running one.
type prometheus string

// startPrometheus runs Prometheus over the deployed configuration, at a pace
// fit for a test: what happens every quarter of a minute there does so every
// second here.
func startPrometheus(t *testing.T, target string) prometheus {
	t.Helper()
	folder := t.TempDir()
	deployed := os.DirFS(filepath.Join(root, "deploy/prometheus"))
	if err := os.CopyFS(folder, deployed); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "rules", "*.yml"))
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(folder, "prometheus.yml")
	for _, file := range append(files, config) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.NewReplacer("127.0.0.1:9090", target, "interval: 15s", "interval: 1s", "interval: 5m", "interval: 1s").Replace(string(content))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := nettest.FreeAddress(t)
	log := &output{}
	command := exec.Command(tool(t, "prometheus"), "--config.file="+config, "--storage.tsdb.path="+filepath.Join(folder, "data"),
		"--web.listen-address="+address, "--enable-feature=exemplar-storage", "--log.level=warn")
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatalf("start prometheus: %v", err)
	}
	ended := make(chan struct{})
	go func() { _ = command.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = command.Process.Kill() // its data is thrown away
		<-ended
		if t.Failed() {
			t.Logf("prometheus printed last:\n%s", log.tail(20))
		}
	})
	p := prometheus(address)
	waittest.Until(t, "prometheus is ready", 30*time.Second, func() bool {
		select {
		case <-ended:
			t.Fatalf("prometheus ended while it started:\n%s", log)
		default:
		}
		_, err := p.get(t, "/-/ready", nil)
		return err == nil
	})
	return p
}

func (p prometheus) get(t *testing.T, path string, query url.Values) ([]byte, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+string(p)+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s", path, answer.Status, body)
	}
	return body, err
}

// ask decodes the data of an answer of the API.
func (p prometheus) ask(t *testing.T, path string, query url.Values, into any) {
	t.Helper()
	body, err := p.get(t, path, query)
	if err != nil {
		t.Fatalf("%s: %v", query.Get("query"), err)
	}
	if err := json.Unmarshal(body, &struct{ Data any }{into}); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
}

type runningRule struct{ Name, Query, Type, Health, LastError string }

// rules are all rules once each of them has been evaluated.
func (p prometheus) rules(t *testing.T) []runningRule {
	t.Helper()
	var all []runningRule
	waittest.Until(t, "all rules have been evaluated", 30*time.Second, func() bool {
		all = nil
		var found struct {
			Groups []struct{ Rules []runningRule }
		}
		p.ask(t, "/api/v1/rules", nil, &found)
		for _, group := range found.Groups {
			all = append(all, group.Rules...)
		}
		return len(all) > 0 && !slices.ContainsFunc(all, func(r runningRule) bool { return r.Health == "unknown" })
	})
	return all
}

// has says whether an expression has a value now.
func (p prometheus) has(t *testing.T, expr string) bool {
	t.Helper()
	var found struct{ Result []struct{ Value [2]any } }
	p.ask(t, "/api/v1/query", url.Values{"query": {expr}}, &found)
	for _, r := range found.Result {
		if r.Value[1] != "NaN" {
			return true
		}
	}
	return false
}

// exemplars are the traces that Prometheus has kept for a histogram.
func (p prometheus) exemplars(t *testing.T, histogram string, since time.Time) []string {
	t.Helper()
	var found []struct {
		Exemplars []struct {
			Labels struct {
				TraceID string `json:"trace_id"`
			}
		}
	}
	p.ask(t, "/api/v1/query_exemplars", url.Values{
		"query": {histogram}, "start": {since.UTC().Format(time.RFC3339)}, "end": {time.Now().UTC().Add(time.Second).Format(time.RFC3339)},
	}, &found)
	var traces []string
	for _, series := range found {
		for _, e := range series.Exemplars {
			traces = append(traces, e.Labels.TraceID)
		}
	}
	return traces
}

type ranged struct {
	labels map[string]string
	points []point
}

// over is an expression over a time, without the moments at which it has no value.
func (p prometheus) over(t *testing.T, expr string, begin, end time.Time) []ranged {
	t.Helper()
	var found struct {
		Result []struct {
			Metric map[string]string
			Values [][2]any
		}
	}
	stamp := func(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
	p.ask(t, "/api/v1/query_range", url.Values{"query": {expr}, "start": {stamp(begin)}, "end": {stamp(end)}, "step": {"1"}}, &found)
	series := make([]ranged, len(found.Result))
	for i, r := range found.Result {
		series[i].labels = r.Metric
		for _, v := range r.Values {
			at, isNumber := v[0].(float64)
			value, err := strconv.ParseFloat(fmt.Sprint(v[1]), 64)
			if !isNumber || err != nil {
				t.Fatalf("%s: value %v", expr, v)
			}
			if !math.IsNaN(value) && !math.IsInf(value, 0) {
				series[i].points = append(series[i].points, point{at, value})
			}
		}
	}
	return series
}
