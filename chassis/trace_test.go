package chassis_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/chassis/tracing/tracingtest"
	"github.com/octavo-books/octavo/fault"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

// hops are a storefront over HTTP and a service over gRPC, each a process of
// its own, that export to one receiver.
type hops struct {
	store, service *process
	receiver       *tracingtest.Receiver
	url            string
}

// slow is from when on a request is so: longer than a fast one takes on a machine
// that is busy, and shorter than the deadline of a call.
const slow = time.Second

// newHops serves GET /book/{id}, which calls the service twice. Book 13 fails,
// book 99 takes its time.
func newHops(t *testing.T, change func(*chassis.Flags)) *hops {
	t.Helper()
	h := &hops{}
	var endpoint string
	h.receiver, endpoint = tracingtest.NewGRPC(t)
	flags := func(f *chassis.Flags) {
		f.OTLPEndpoint, f.TraceSlow = endpoint, slow
		change(f)
	}
	h.service = newProcess(t, flags)
	shelf := &service{plain: func(ctx context.Context, r *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
		h.service.Log().InfoContext(ctx, "looking")
		switch r.GetUserId() {
		case 13:
			return nil, fault.New(fault.Internal, "the shelf has fallen")
		case 99:
			select { // a slow disk
			case <-ctx.Done():
			case <-time.After(slow):
			}
		}
		return &recommendationspb.RecommendationResponse{}, nil
	}}
	addr := h.service.listen(nil, shelf.register)
	h.service.start()
	if err := h.service.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}

	h.store = newProcess(t, flags)
	conn := h.store.dial(addr.String())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /book/{id}", func(w http.ResponseWriter, r *http.Request) {
		h.store.Log().InfoContext(r.Context(), "looking")
		var id int32
		if _, err := fmt.Sscan(r.PathValue("id"), &id); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		for _, user := range []int32{1, id} {
			// A page comes also without it.
			_, _ = recommendationspb.NewRecommendationsClient(conn).Recommend(r.Context(), &recommendationspb.RecommendationRequest{UserId: user})
		}
	})
	h.url, _ = servePages(t, h.store, mux)
	return h
}

func (h *hops) get(t *testing.T, path string, header ...string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}

// stop ends both processes, which exports all they have.
func (h *hops) stop(t *testing.T) []tracingtest.Span {
	t.Helper()
	for _, p := range []*process{h.store, h.service} {
		if err := p.stop(); err != nil {
			t.Fatal(err)
		}
	}
	return h.receiver.Spans()
}

// tree is the spans as "kind name" with their children indented.
func tree(spans []tracingtest.Span, parent string) string {
	var b strings.Builder
	for _, s := range spans {
		if string(s.GetParentSpanId()) != parent {
			continue
		}
		kind := strings.ToLower(strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_"))
		name := s.GetName()[strings.LastIndex(s.GetName(), ".")+1:]
		fmt.Fprintf(&b, "%s %s\n", kind, name)
		for line := range strings.Lines(tree(spans, string(s.GetSpanId()))) {
			b.WriteString("  " + line)
		}
	}
	return b.String()
}

const (
	caller  = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
	callers = "\xb7\xad\x6b\x71\x69\x20\x33\x31"
)

// TestOneTraceAcrossProcesses: a request has one trace and one request id in
// every process it reaches and in every line of their logs.
func TestOneTraceAcrossProcesses(t *testing.T) {
	h := newHops(t, func(f *chassis.Flags) { f.TraceSample = 0 })
	h.get(t, "/book/7", "traceparent", caller+"-01", "tracestate", "vendor=1", "X-Request-Id", requestID)
	spans := h.stop(t)
	want := `server GET /book/{id}
  client Recommendations/Recommend
    server Recommendations/Recommend
  client Recommendations/Recommend
    server Recommendations/Recommend
`
	if got := tree(spans, callers); got != want {
		t.Errorf("the trace is\n%s\nwant\n%s", got, want)
	}
	for _, s := range spans {
		if fmt.Sprintf("%x", s.GetTraceId()) != caller[3:35] || s.Attribute("request.id") != requestID || s.GetTraceState() != "vendor=1" {
			t.Errorf("a span has trace %x, state %q, request id %q", s.GetTraceId(), s.GetTraceState(), s.Attribute("request.id"))
		}
	}
	for _, log := range []struct {
		p       *process
		message string
		lines   int
		span    string // the name of the span they belong to
	}{
		{h.store, "looking", 1, "GET /book/{id}"},
		{h.store, "request", 1, "GET /book/{id}"},
		{h.service, "looking", 2, "Recommendations/Recommend"},
		{h.service, "call", 2, "Recommendations/Recommend"},
	} {
		records := log.p.log.records(t, log.message)
		if len(records) != log.lines {
			t.Errorf("%d records %q, want %d", len(records), log.message, log.lines)
		}
		for _, r := range records {
			if r["trace_id"] != caller[3:35] || r["request_id"] != requestID {
				t.Errorf("the record is %v", r)
			}
			found := false
			for _, s := range spans {
				found = found || fmt.Sprintf("%x", s.GetSpanId()) == r["span_id"] && s.GetName() == log.span && s.GetKind() == tracepb.Span_SPAN_KIND_SERVER
			}
			if !found {
				t.Errorf("the record %v belongs to no span %s", r, log.span)
			}
		}
	}
}

// TestWhatIsKeptOfRequestsThatAreNotSampled: all that a process did for a
// request that failed or was slow in it; other processes only what is so by
// itself.
func TestWhatIsKeptOfRequestsThatAreNotSampled(t *testing.T) {
	for _, test := range []struct{ name, path, flags, want string }{
		{"all is well", "/book/7", "", ""},
		{"a call fails", "/book/13", "", `server GET /book/{id}
  client Recommendations/Recommend
  client Recommendations/Recommend
    server Recommendations/Recommend
`},
		{"a call is slow", "/book/99", "", `server GET /book/{id}
  client Recommendations/Recommend
  client Recommendations/Recommend
    server Recommendations/Recommend
`},
		{"the caller does not sample", "/book/7", "-00", ""},
		{"the caller does not sample and it fails", "/book/13", "-00", `server GET /book/{id}
  client Recommendations/Recommend
  client Recommendations/Recommend
    server Recommendations/Recommend
`},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHops(t, func(f *chassis.Flags) { f.TraceSample = 0 })
			parent := ""
			if test.flags != "" {
				parent = callers
				h.get(t, test.path, "traceparent", caller+test.flags)
			} else {
				h.get(t, test.path)
			}
			if got := tree(h.stop(t), parent); got != test.want {
				t.Errorf("kept\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// TestExemplars: histograms lead to traces that are exported, both sides, and
// only when asked for in the format that has them.
func TestExemplars(t *testing.T) {
	h := newHops(t, func(f *chassis.Flags) { f.TraceSample = 0 })
	h.get(t, "/book/7", "traceparent", caller+"-01")
	h.get(t, "/book/8")
	for _, where := range []struct {
		p      *process
		metric string
	}{
		{h.store, `http_server_handling_seconds_bucket{code="2xx"`},
		{h.store, `grpc_client_handling_seconds_bucket{grpc_code="OK"`},
		{h.service, `grpc_server_handling_seconds_bucket{grpc_code="OK"`},
	} {
		eventually(t, where.metric, 30*time.Second, func() bool {
			for line := range strings.Lines(openMetrics(t, where.p)) {
				if strings.HasPrefix(line, where.metric) && strings.Contains(line, `# {trace_id="`+caller[3:35]+`"}`) {
					return true
				}
			}
			return false
		})
	}
	for line := range strings.Lines(openMetrics(t, h.store)) {
		if strings.Contains(line, "# {") && !strings.Contains(line, caller[3:35]) {
			t.Errorf("an exemplar names a trace that is not exported: %s", line)
		}
	}
	if _, text := h.store.admin("/metrics"); strings.Contains(text, "trace_id") {
		t.Error("the plain text format has exemplars")
	}
}

func openMetrics(t *testing.T, p *process) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.AdminAddr()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || !strings.HasPrefix(response.Header.Get("Content-Type"), "application/openmetrics-text") {
		t.Fatalf("got %q: %v", response.Header.Get("Content-Type"), err)
	}
	return string(text)
}

// TestHealthChecksLeaveNoTrace, in logs neither.
func TestHealthChecksLeaveNoTrace(t *testing.T) {
	receiver, endpoint := tracingtest.NewGRPC(t)
	p := newProcess(t, func(f *chassis.Flags) { f.OTLPEndpoint, f.TraceSample = endpoint, 1 })
	s := &service{}
	addr := p.listen(nil, s.register)
	p.start()
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(addr.String(), insecureCredentials())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		if status, _ := p.admin(path); status != http.StatusOK {
			t.Errorf("%s answers %d", path, status)
		}
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	if spans := receiver.Spans(); len(spans) != 0 {
		t.Errorf("exported %v", spans)
	}
	if records := append(p.log.records(t, "call"), p.log.records(t, "request")...); len(records) != 0 {
		t.Errorf("logged %v", records)
	}
}

// TestNoCollector: requests do not notice, and the end is bounded.
func TestNoCollector(t *testing.T) {
	p := newProcess(t, func(f *chassis.Flags) { f.OTLPEndpoint, f.TraceSample = "http://127.0.0.1:1", 1 })
	s := &service{plain: func(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
		return &recommendationspb.RecommendationResponse{}, nil
	}}
	conn := p.serve(s.register)
	for range 100 {
		if _, err := recommendationspb.NewRecommendationsClient(conn).Recommend(t.Context(), &recommendationspb.RecommendationRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.stop(); err != nil { // it also fails when the end takes too long
		t.Error(err)
	}
	if len(p.log.records(t, "the last traces were not exported"))+len(p.log.records(t, "traces cannot be exported; requests go on, spans are dropped and counted")) == 0 {
		t.Error("the log does not say that traces were lost")
	}
}

// TestCollectorHeaders come from a file, which may hold a secret.
func TestCollectorHeaders(t *testing.T) {
	for _, test := range []struct{ name, file, err string }{
		{"one", "Authorization: Bearer hunter2: x\n\n", ""},
		{"no header", "Bearer hunter2", "line 1 of"},
		{"no name", "\n: hunter2", "line 2 of"},
	} {
		t.Run(test.name, func(t *testing.T) {
			receiver, endpoint := tracingtest.NewGRPC(t)
			path := filepath.Join(t.TempDir(), "headers")
			if err := os.WriteFile(path, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			flags := chassis.Flags{OTLPEndpoint: endpoint, OTLPHeadersFile: path, TraceSample: 1}
			app, err := chassis.New("test", "v1", flags, io.Discard)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("got %v, want an error with %q that keeps the secret", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			conn, err := app.Dial("nobody", "127.0.0.1:1")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := recommendationspb.NewRecommendationsClient(conn).Recommend(t.Context(), &recommendationspb.RecommendationRequest{}); err == nil {
				t.Error("nobody answered")
			}
			if err := app.Close(); err != nil {
				t.Fatal(err)
			}
			if got := receiver.Header("authorization"); len(got) != 1 || got[0] != "Bearer hunter2: x" {
				t.Errorf("the header is %q", got)
			}
		})
	}
	if app, err := chassis.New("test", "v1", chassis.Flags{OTLPEndpoint: "http://127.0.0.1:1", OTLPHeadersFile: filepath.Join(t.TempDir(), "none")}, io.Discard); err == nil {
		_ = app.Close()
		t.Error("a file that does not exist was accepted")
	}
}
