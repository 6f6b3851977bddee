package tracing

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"

	"github.com/octavo-books/octavo/chassis/secret"
	"github.com/octavo-books/octavo/chassis/tracing/tracingtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newTracer exports to a receiver; its Close exports all that waits.
func newTracer(t *testing.T, change func(*Config)) (*Tracer, *tracingtest.Receiver) {
	t.Helper()
	receiver, url := tracingtest.NewGRPC(t)
	c := Config{Service: "test", Version: "v1", Endpoint: url, Slow: time.Second, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&c)
	}
	tracer, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tracer.Close(context.Background()) })
	return tracer, receiver
}

func closeTracer(t *testing.T, tracer *Tracer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := tracer.Close(ctx); err != nil {
		t.Error(err)
	}
}

// handled is a request with one call inside, each with its outcome.
type handled struct {
	remote       Context
	took, inside time.Duration
	failed       bool // the request
	insideFailed bool // the call
	endless      bool
}

func (h handled) run(tracer *Tracer) (server, client *Span) {
	began := time.Now()
	server, client = &Span{}, &Span{}
	tracer.Start(server, GRPCServer, "s/Outer", h.remote, began)
	server.StartChild(client, GRPCClient, "s/Inner", began)
	client.End(h.inside, Details{Failed: h.insideFailed})
	server.End(h.took, Details{Failed: h.failed, Endless: h.endless})
	return server, client
}

// TestSampling: a tracer that samples nothing keeps what failed and what was
// slow, and all that belongs to it here.
func TestSampling(t *testing.T) {
	remote := Context{Trace: TraceID{1}, Span: SpanID{2}}
	sampledRemote := remote
	sampledRemote.Sampled = true
	for _, test := range []struct {
		name    string
		handled handled
		ratio   float64
		want    int // spans exported
	}{
		{"fast and well", handled{}, 0, 0},
		{"the request fails", handled{failed: true}, 0, 2},
		{"the call fails", handled{insideFailed: true}, 0, 2},
		{"the request is slow", handled{took: time.Second}, 0, 2},
		{"the call is slow", handled{inside: time.Second}, 0, 2},
		{"a stream is no slow request", handled{took: time.Hour, endless: true}, 0, 0},
		{"all are sampled", handled{}, 1, 2},
		{"the caller samples", handled{remote: sampledRemote}, 0, 2},
		{"the caller does not sample", handled{remote: remote}, 1, 0},
		{"the caller does not sample, but it fails", handled{remote: remote, failed: true}, 1, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			tracer, receiver := newTracer(t, func(c *Config) { c.Ratio = test.ratio })
			server, client := test.handled.run(tracer)
			kept := server.Kept(test.handled.took, test.handled.failed, test.handled.endless)
			if kept != (test.want > 0) {
				t.Errorf("kept is %t", kept)
			}
			closeTracer(t, tracer)
			spans := receiver.Spans()
			if len(spans) != test.want {
				t.Fatalf("%d spans were exported, want %d", len(spans), test.want)
			}
			for _, s := range spans {
				own, parent := server, test.handled.remote.Span
				if s.GetName() == "s/Inner" {
					own, parent = client, server.Span
				}
				if !bytes.Equal(s.GetTraceId(), server.Trace[:]) || !bytes.Equal(s.GetSpanId(), own.Span[:]) ||
					parent != (SpanID{}) && !bytes.Equal(s.GetParentSpanId(), parent[:]) || s.Service != "test" {
					t.Errorf("exported %v", s)
				}
			}
		})
	}
}

// TestTheRatioIsKept, and two tracers with the same one agree on every trace.
func TestTheRatioIsKept(t *testing.T) {
	const n = 100_000
	for _, ratio := range []float64{0, 0.01, 0.5, 1} {
		count := 0
		for range n {
			if sampled(newTraceID(), threshold(ratio)) {
				count++
			}
		}
		if got := float64(count) / n; math.Abs(got-ratio) > 0.01 || ratio == 0 && got > 0 || ratio == 1 && got < 1 {
			t.Errorf("at %v, %v of all traces are sampled", ratio, got)
		}
	}
}

// TestLateCalls: a call that ends after its request is exported when the
// request was, or on its own account.
func TestLateCalls(t *testing.T) {
	for _, test := range []struct {
		name              string
		requestFailed     bool
		callFailed        bool
		wantCall, wantAll int
	}{
		{"of a failed request", true, false, 1, 2},
		{"that fails", false, true, 1, 1},
		{"of no interest", false, false, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			tracer, receiver := newTracer(t, nil)
			var request, call Span
			tracer.Start(&request, HTTPServer, "", Context{}, time.Now())
			request.StartChild(&call, GRPCClient, "s/M", time.Now())
			request.End(0, Details{Failed: test.requestFailed})
			call.End(0, Details{Failed: test.callFailed})
			closeTracer(t, tracer)
			calls := 0
			for _, s := range receiver.Spans() {
				if s.GetKind() == tracepb.Span_SPAN_KIND_CLIENT {
					calls++
				}
			}
			if all := len(receiver.Spans()); calls != test.wantCall || all != test.wantAll {
				t.Errorf("%d calls of %d spans were exported, want %d of %d", calls, all, test.wantCall, test.wantAll)
			}
		})
	}
}

// TestRequestsHoldABoundedNumberOfSpans, and what is lost is counted if it
// would have been exported.
func TestRequestsHoldABoundedNumberOfSpans(t *testing.T) {
	tracer, receiver := newTracer(t, nil)
	var request Span
	tracer.Start(&request, HTTPServer, "", Context{}, time.Now())
	var calls sync.WaitGroup
	for range maxHeld + 10 {
		calls.Go(func() {
			var call Span
			request.StartChild(&call, GRPCClient, "s/M", time.Now())
			call.End(0, Details{})
		})
	}
	calls.Wait()
	request.End(time.Minute, Details{})
	closeTracer(t, tracer)
	if got := len(receiver.Spans()); got != maxHeld+1 {
		t.Errorf("%d spans were exported, want %d", got, maxHeld+1)
	}
	if got := testutil.ToFloat64(tracer.exporter.full); got != 10 {
		t.Errorf("%v were counted as dropped, want 10", got)
	}
}

// TestExport shows all there is in a span, with both protocols.
func TestExport(t *testing.T) {
	for _, protocol := range []string{"grpc", "http"} {
		t.Run(protocol, func(t *testing.T) {
			tracer, receiver := newTracer(t, func(c *Config) {
				c.Headers = map[string]secret.Bytes{"authorization": secret.Of([]byte("Bearer secret"))}
			})
			if protocol == "http" {
				var url string
				receiver, url = tracingtest.NewHTTP(t)
				tracer, _ = newTracer(t, func(c *Config) {
					c.Endpoint, c.HTTP, c.Headers = url, true, map[string]secret.Bytes{"authorization": secret.Of([]byte("Bearer secret"))}
				})
			}
			began := time.Unix(1_700_000_000, 5)
			var page, call, handler Span
			tracer.Start(&page, HTTPServer, "", Context{Trace: TraceID{1}, Span: SpanID{2}, Sampled: true, State: "vendor=1"}, began)
			page.StartChild(&call, GRPCClient, "pkg.Service/Method", began.Add(time.Millisecond))
			tracer.Start(&handler, GRPCServer, "pkg.Service/Method", call.Context, began.Add(2*time.Millisecond))
			handler.End(time.Millisecond, Details{Code: int(codes.NotFound), Peer: "10.0.0.1:5", RequestID: "request-1"})
			call.End(3*time.Millisecond, Details{Code: int(codes.NotFound), Message: "no \xff book", Peer: "catalog:50052", RequestID: "request-1"})
			page.End(5*time.Millisecond, Details{Code: 500, Failed: true, Message: "panic", Method: "GET", Route: "GET /book/{id}", Path: "/book/7", RequestID: "request-1"})
			closeTracer(t, tracer)

			var got []string
			for _, s := range receiver.Spans() {
				line := fmt.Sprintf("%s %q %v +%v %v %q state=%s sampled=%d", s.GetKind(), s.GetName(), time.Duration(s.GetEndTimeUnixNano()-s.GetStartTimeUnixNano()),
					time.Duration(s.GetStartTimeUnixNano()-uint64(began.UnixNano())), s.GetStatus().GetCode(), s.GetStatus().GetMessage(), s.GetTraceState(), s.GetFlags()&1)
				for _, a := range s.GetAttributes() {
					line += fmt.Sprintf(" %s=%v%d", a.GetKey(), a.GetValue().GetStringValue(), a.GetValue().GetIntValue())
				}
				got = append(got, line)
			}
			want := []string{
				`SPAN_KIND_SERVER "GET /book/{id}" 5ms +0s STATUS_CODE_ERROR "panic" state=vendor=1 sampled=1 http.request.method=GET0 http.route=/book/{id}0 url.path=/book/70 http.response.status_code=500 client.address=0 request.id=request-10`,
				`SPAN_KIND_CLIENT "pkg.Service/Method" 3ms +1ms STATUS_CODE_ERROR "no ` + "\uFFFD" + ` book" state=vendor=1 sampled=1 rpc.system=grpc0 rpc.service=pkg.Service0 rpc.method=Method0 rpc.grpc.status_code=5 server.address=catalog:500520 request.id=request-10`,
				`SPAN_KIND_SERVER "pkg.Service/Method" 1ms +2ms STATUS_CODE_UNSET "" state=vendor=1 sampled=1 rpc.system=grpc0 rpc.service=pkg.Service0 rpc.method=Method0 rpc.grpc.status_code=5 client.address=10.0.0.1:50 request.id=request-10`,
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("exported\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if header := receiver.Header("authorization"); len(header) != 1 || header[0] != "Bearer secret" {
				t.Errorf("the header is %q", header)
			}
			if got := testutil.ToFloat64(tracer.exporter.exported); got != 3 {
				t.Errorf("%v spans were counted as exported", got)
			}
		})
	}
}

// TestTheEnvironmentChangesNothing: OpenTelemetry's clients would take all of
// this from the environment.
func TestTheEnvironmentChangesNothing(t *testing.T) {
	stranger := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a collector that only the environment names or trusts was sent something")
	}))
	stranger.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // its clients refuse its certificate
	stranger.EnableHTTP2 = true
	stranger.StartTLS()
	defer stranger.Close()
	certificate, key := keyPair(t, stranger.TLS.Certificates[0])
	hostile := map[string]string{
		"ENDPOINT": stranger.URL, "PROTOCOL": "http/json", "HEADERS": "authorization=stolen,x-more=1", "COMPRESSION": "none",
		"TIMEOUT": "1", "INSECURE": "true", "CERTIFICATE": certificate, "CLIENT_CERTIFICATE": certificate, "CLIENT_KEY": key,
	}
	for name, value := range hostile {
		t.Setenv("OTEL_EXPORTER_OTLP_"+name, value)
		t.Setenv("OTEL_EXPORTER_OTLP_TRACES_"+name, value)
	}
	for name, value := range map[string]string{
		"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "none", "OTEL_TRACES_SAMPLER": "always_off", "OTEL_SERVICE_NAME": "stolen",
		"OTEL_RESOURCE_ATTRIBUTES": "service.name=stolen", "OTEL_PROPAGATORS": "none", "OTEL_GO_X_OBSERVABILITY": "true",
	} {
		t.Setenv(name, value)
	}
	for protocol, receive := range map[string]func(testing.TB) (*tracingtest.Receiver, string){"grpc": tracingtest.NewGRPC, "http": tracingtest.NewHTTP} {
		t.Run(protocol, func(t *testing.T) {
			receiver, url := receive(t)
			tracer, _ := newTracer(t, func(c *Config) { c.Endpoint, c.HTTP, c.Ratio = url, protocol == "http", 1 })
			handled{}.run(tracer)
			closeTracer(t, tracer)
			spans := receiver.Spans()
			if len(spans) != 2 || spans[0].Service != "test" {
				t.Fatalf("received %v", spans)
			}
			for name, want := range map[string]string{
				"authorization": "", "x-more": "",
				"content-type":     map[string]string{"grpc": "application/grpc", "http": "application/x-protobuf"}[protocol],
				"content-encoding": map[string]string{"grpc": "", "http": "gzip"}[protocol],
			} {
				if got := strings.Join(receiver.Header(name), ","); got != want {
					t.Errorf("the header %s is %q, want %q", name, got, want)
				}
			}
		})
		t.Run(protocol+" with TLS", func(t *testing.T) {
			tracer, _ := newTracer(t, func(c *Config) {
				c.Endpoint, c.HTTP, c.Ratio, c.uploadLimit = stranger.URL, protocol == "http", 1, time.Second
			})
			handled{}.run(tracer)
			if err := tracer.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "unknown authority") {
				t.Errorf("a certificate that the system does not trust gives %v", err)
			}
		})
	}
}

// keyPair writes a certificate and its key to files.
func keyPair(t *testing.T, pair tls.Certificate) (certificate, key string) {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, content []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("certificate.pem", "CERTIFICATE", pair.Certificate[0]), write("key.pem", "PRIVATE KEY", private)
}

// TestOutage: while no collector answers, spans are dropped and counted, nobody
// waits, and the log has one line. When one is back, spans arrive again.
func TestOutage(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	var logged lockedBuffer
	tracer, _ := newTracer(t, func(c *Config) {
		c.Endpoint, c.Ratio, c.Log, c.uploadLimit = "http://"+addr, 1, slog.New(slog.NewTextHandler(&logged, nil)), 2*time.Second
	})
	const spans = maxQueue + 2*maxBatch
	began := time.Now()
	for range spans {
		var s Span
		tracer.Start(&s, GRPCServer, "s/M", Context{}, began)
		s.End(0, Details{})
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("requests took %v", took)
	}
	e := tracer.exporter
	wait(t, "spans are dropped because too many wait", func() bool { return testutil.ToFloat64(e.full) > 0 })
	wait(t, "an upload is given up", func() bool { return testutil.ToFloat64(e.failed) > 0 })

	if listener, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	receiver := tracingtest.ServeGRPC(t, listener)
	receiver.Wait(t, 1)
	wait(t, "every span is accounted for", func() bool {
		return testutil.ToFloat64(e.full)+testutil.ToFloat64(e.failed)+testutil.ToFloat64(e.exported) == spans
	})
	wait(t, "the log says that it is over", func() bool { return strings.Contains(logged.String(), "exported again") })
	if got := strings.Count(logged.String(), "\n"); got != 2 {
		t.Errorf("the log has %d lines:\n%s", got, logged.String())
	}
}

// TestCloseIsBounded also with a collector that accepts connections and never
// answers.
func TestCloseIsBounded(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, http := range []bool{false, true} {
		tracer, err := New(Config{Endpoint: "http://" + listener.Addr().String(), HTTP: http, Ratio: 1, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		handled{}.run(tracer)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		if err := tracer.Close(ctx); err == nil {
			t.Error("nothing was exported, and no error says so")
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if got := testutil.ToFloat64(tracer.exporter.failed); got != 2 {
			t.Errorf("%v spans were counted as dropped, want 2", got)
		}
	}
}

func TestWrongSettingsAreRefused(t *testing.T) {
	for name, c := range map[string]Config{
		"no URL":            {Endpoint: "127.0.0.1:4317"},
		"no host":           {Endpoint: "http://"},
		"another scheme":    {Endpoint: "ftp://collector"},
		"more than all":     {Endpoint: "http://collector:4317", Ratio: 1.5},
		"less than nothing": {Endpoint: "http://collector:4317", Ratio: -0.1},
		"not even a ratio":  {Endpoint: "http://collector:4317", Ratio: math.NaN()},
	} {
		if tracer, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
			closeTracer(t, tracer)
		}
	}
}

func wait(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !is() {
		select {
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		case <-ticker.C:
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// BenchmarkSpan is what a request with one outgoing call costs that is not
// exported, without and with a collector.
func BenchmarkSpan(b *testing.B) {
	b.Run("no collector", func(b *testing.B) { benchmarkSpan(b, &Tracer{}) })
	b.Run("not sampled", func(b *testing.B) {
		tracer, err := New(Config{Endpoint: "http://127.0.0.1:1", Slow: time.Second, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = tracer.Close(context.Background()) }()
		benchmarkSpan(b, tracer)
	})
}

func benchmarkSpan(b *testing.B, tracer *Tracer) {
	b.ReportAllocs()
	began := time.Now()
	for b.Loop() {
		s := &Span{}
		tracer.Start(s, GRPCServer, "s/M", Context{}, began)
		s.End(time.Millisecond, Details{RequestID: "request"})
	}
}
