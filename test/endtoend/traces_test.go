package endtoend

import (
	"bufio"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/octavo-books/octavo/internal/waittest"
)

// TestTraces: a receiver of the OpenTelemetry Collector is sent one trace for a
// page, across the marketplace and all that it called.
func TestTraces(t *testing.T) {
	collector := startCollector(t)
	for name, test := range map[string]struct {
		protocol, url string
		separate      bool
	}{
		"octavo, over gRPC":   {protocol: "grpc", url: collector.grpc},
		"octavo, over HTTP":   {protocol: "http", url: collector.http},
		"programs, over gRPC": {protocol: "grpc", url: collector.grpc, separate: true},
	} {
		t.Run(name, func(t *testing.T) {
			flags := []string{"--otlp-endpoint", test.url, "--otlp-protocol", test.protocol, "--trace-sample", "1"}
			var shop string
			if test.separate {
				shop = startSeparate(t, func(string) []string { return flags }).url
			} else {
				_, at := serveProcess(t, demoFolder(t), flags...)
				shop = "http://" + at.HTTP
			}
			v := newVisitor(t, shop)
			waittest.Until(t, "the shop answers", firstStart, func() bool { page, err := v.try("/"); return err == nil && page.status == http.StatusOK })
			v.becomeDemoReader()
			waittest.Until(t, "the first page is personal", firstStart, func() bool { return v.get("/").personal() })

			request := v.requestID(v.get("/").books()[0])
			var page trace
			waittest.Until(t, "the page's trace is received", 20*time.Second, func() bool {
				page = collector.trace(request)
				return page.complete()
			})
			page.check(t, test.separate)
		})
	}
}

// TestTracesOfFailures: a page that a service was missing for is exported,
// although none is sampled; one that went well is not.
func TestTracesOfFailures(t *testing.T) {
	collector := startCollector(t)
	s := startSeparate(t, func(string) []string {
		return []string{"--otlp-endpoint", collector.grpc, "--trace-sample", "0", "--trace-slow", "1h"}
	})
	v := newVisitor(t, s.url)
	waittest.Until(t, "the shop answers", firstStart, func() bool { page, err := v.try("/"); return err == nil && page.status == http.StatusOK })
	v.becomeDemoReader()
	waittest.Until(t, "the first page is personal", firstStart, func() bool { return v.get("/").personal() })

	well := v.requestID("/")
	s.recommendations.kill(t)
	broken := v.requestID("/book/1")
	var page trace
	waittest.Until(t, "the broken page's trace is received", 20*time.Second, func() bool {
		page = collector.trace(broken)
		return page.root() != nil
	})
	if page.root().Name != "GET /book/{id}" || page.root().service != "marketplace" {
		t.Errorf("the page is %+v", page.root())
	}
	failed := slices.IndexFunc(page, func(s span) bool { return s.Status.Code == statusError })
	switch {
	case failed < 0:
		t.Errorf("no span of %+v has failed", page)
	case !strings.HasPrefix(page[failed].Name, "octavo.recommendations.") || page[failed].ParentSpanID != page.root().SpanID || page[failed].Status.Message == "":
		t.Errorf("the span that has failed is %+v", page[failed])
	}
	if !slices.ContainsFunc(page, func(s span) bool { return strings.HasPrefix(s.Name, "octavo.readers.") && s.Status.Code != statusError }) {
		t.Errorf("what went well on the same page is missing: %+v", page)
	}
	// Spans are exported in order.
	if page := collector.trace(well); len(page) > 0 {
		t.Errorf("a page that went well is exported: %+v", page)
	}
}

// requestID asks for a page and returns what its request is called.
func (v *visitor) requestID(path string) string {
	v.t.Helper()
	response, err := v.client.Get(v.shop + path)
	if err != nil {
		v.t.Fatal(err)
	}
	defer response.Body.Close()
	id := response.Header.Get("X-Request-Id")
	if response.StatusCode != http.StatusOK || id == "" {
		v.t.Fatalf("%s: %s, request %q", path, response.Status, id)
	}
	return id
}

// Numbers of OTLP.
const (
	kindServer, kindClient = 2, 3
	statusError            = 2
)

// span is what OTLP's JSON says of one.
type span struct {
	TraceID      string
	SpanID       string
	ParentSpanID string
	Name         string
	Kind         int
	Status       struct {
		Code    int
		Message string
	}
	Attributes attributes
	service    string // of the process
}

type attributes []struct {
	Key   string
	Value struct{ StringValue string }
}

func (a attributes) get(key string) string {
	for _, attribute := range a {
		if attribute.Key == key {
			return attribute.Value.StringValue
		}
	}
	return ""
}

// trace is all spans of a request.
type trace []span

// root is the span without a parent, nil while it has not come.
func (all trace) root() *span {
	for i := range all {
		if all[i].ParentSpanID == "" {
			return &all[i]
		}
	}
	return nil
}

// complete says whether the page is there, and both sides of each of its calls.
func (all trace) complete() bool {
	sides := map[int]int{}
	for _, s := range all {
		sides[s.Kind]++
	}
	return all.root() != nil && sides[kindServer] == sides[kindClient]+1
}

// check compares the trace with what the page of a book does: it calls all
// others, and each call is handled on the other side.
func (all trace) check(t *testing.T, separate bool) {
	t.Helper()
	process := func(name string) string {
		if separate {
			return name
		}
		return "octavo"
	}
	root := all.root()
	if root.Kind != kindServer || root.Name != "GET /book/{id}" || root.service != process("marketplace") {
		t.Errorf("the page is %+v", *root)
	}
	byID := map[string]span{}
	for _, s := range all {
		byID[s.SpanID] = s
	}
	called := map[string]bool{}
	for _, s := range all {
		parent, known := byID[s.ParentSpanID]
		service, _, _ := strings.Cut(strings.TrimPrefix(s.Name, "octavo."), ".")
		switch {
		case s.TraceID != root.TraceID:
			t.Errorf("%s is in another trace than the page", s.Name)
		case s.SpanID == root.SpanID:
		case !known:
			t.Errorf("%s has a parent that is not there", s.Name)
		case s.Kind == kindClient && (parent.SpanID != root.SpanID || s.service != process("marketplace")):
			t.Errorf("the call of %s was made by %s in %s", s.Name, parent.Name, s.service)
		case s.Kind == kindServer && (parent.Kind != kindClient || parent.Name != s.Name || s.service != process(service)):
			t.Errorf("%s was handled in %s for %s", s.Name, s.service, parent.Name)
		case s.Kind == kindServer:
			called[service] = true
		}
	}
	if want := []string{"catalog", "readers", "recommendations"}; !slices.Equal(slices.Sorted(maps.Keys(called)), want) {
		t.Errorf("the page called %v, want %v", slices.Sorted(maps.Keys(called)), want)
	}
}

// collector is a running receiver of the OpenTelemetry Collector.
type collector struct {
	grpc, http string // where it listens

	mu       sync.Mutex
	received []span
}

// trace is what has been received of a request.
func (c *collector) trace(request string) trace {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found trace
	for _, s := range c.received {
		if s.Attributes.get("request.id") == request {
			found = append(found, s)
		}
	}
	return found
}

// has says whether anything of a trace has been received.
func (c *collector) has(traceID string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.received, func(s span) bool { return s.TraceID == traceID })
}

// startCollector builds the collector, a module of its own, and runs it until
// the end of the test.
func startCollector(t *testing.T) *collector {
	t.Helper()
	program := filepath.Join(binaries, "otlp-collector")
	build := exec.Command("go", "build", "-C", "collector", "-o", program, ".")
	if printed, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the collector: %v\n%s", err, printed)
	}
	command := exec.Command(program)
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	first, err := lines.ReadString('\n')
	if err != nil {
		t.Fatalf("the collector did not start: %v, %v", err, command.Wait())
	}
	addresses := strings.Fields(first)
	c := &collector{grpc: "http://" + addresses[0], http: "http://" + addresses[1]}
	read := make(chan error, 1)
	go func() { read <- c.read(json.NewDecoder(lines)) }()
	t.Cleanup(func() {
		_ = stdin.Close()
		if err := <-read; err != nil {
			t.Errorf("read what the collector received: %v", err)
		}
		if err := command.Wait(); err != nil {
			t.Errorf("the collector: %v", err)
		}
	})
	return c
}

// read takes in what the collector prints: OTLP's JSON, whose ids are
// hexadecimal.
func (c *collector) read(uploads *json.Decoder) error {
	for uploads.More() {
		var upload struct {
			ResourceSpans []struct {
				Resource   struct{ Attributes attributes }
				ScopeSpans []struct{ Spans []span }
			}
		}
		if err := uploads.Decode(&upload); err != nil {
			return err
		}
		c.mu.Lock()
		for _, resource := range upload.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				for _, s := range scope.Spans {
					s.service = resource.Resource.Attributes.get("service.name")
					c.received = append(c.received, s)
				}
			}
		}
		c.mu.Unlock()
	}
	return nil
}
