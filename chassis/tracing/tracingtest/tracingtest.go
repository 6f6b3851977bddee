// Package tracingtest receives spans in a test: the trace service of OTLP over
// gRPC and over HTTP, from OpenTelemetry's generated code. It keeps everything
// it is sent.
package tracingtest

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // uploads are compressed
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// Receiver is a collector that only collects.
type Receiver struct {
	collectorpb.UnimplementedTraceServiceServer

	mu       sync.Mutex
	received []*tracepb.ResourceSpans
	headers  []metadata.MD
}

// NewGRPC starts a receiver of OTLP over gRPC and returns its URL. It ends with
// the test.
func NewGRPC(t testing.TB) (r *Receiver, url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ServeGRPC(t, listener), "http://" + listener.Addr().String()
}

// ServeGRPC starts a receiver of OTLP over gRPC on a listener.
func ServeGRPC(t testing.TB, listener net.Listener) *Receiver {
	t.Helper()
	r := &Receiver{}
	server := grpc.NewServer()
	collectorpb.RegisterTraceServiceServer(server, r)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		// It may be stopped before it serves.
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("serve the receiver: %v", err)
		}
	})
	return r
}

// NewHTTP starts a receiver of OTLP over HTTP and returns its URL. It ends with
// the test.
func NewHTTP(t testing.TB) (r *Receiver, url string) {
	t.Helper()
	r = &Receiver{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, q *http.Request) {
		body := io.Reader(q.Body)
		if q.Header.Get("Content-Encoding") == "gzip" {
			unzipped, err := gzip.NewReader(body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			body = unzipped
		}
		raw, err := io.ReadAll(body)
		request := &collectorpb.ExportTraceServiceRequest{}
		if err == nil {
			err = proto.Unmarshal(raw, request)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		headers := metadata.MD{}
		for name, values := range q.Header {
			headers.Append(name, values...)
		}
		r.take(request, headers)
		w.Header().Set("Content-Type", "application/x-protobuf")
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return r, server.URL
}

// Export is the service.
func (r *Receiver) Export(ctx context.Context, request *collectorpb.ExportTraceServiceRequest) (*collectorpb.ExportTraceServiceResponse, error) {
	headers, _ := metadata.FromIncomingContext(ctx)
	r.take(request, headers)
	return &collectorpb.ExportTraceServiceResponse{}, nil
}

func (r *Receiver) take(request *collectorpb.ExportTraceServiceRequest, headers metadata.MD) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.received = append(r.received, request.GetResourceSpans()...)
	r.headers = append(r.headers, headers)
}

// Span is a received span with the service it comes from.
type Span struct {
	*tracepb.Span
	Service string
}

// Attribute is the text of one of the span's attributes, empty when it has
// none of that name.
func (s Span) Attribute(key string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// Spans are all received so far, by the time they began.
func (r *Receiver) Spans() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Span
	for _, resource := range r.received {
		service := ""
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				all = append(all, Span{s, service})
			}
		}
	}
	slices.SortFunc(all, func(a, b Span) int { return int(int64(a.GetStartTimeUnixNano()) - int64(b.GetStartTimeUnixNano())) })
	return all
}

// Header is the values of a header of the last upload.
func (r *Receiver) Header(name string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.headers) == 0 {
		return nil
	}
	return r.headers[len(r.headers)-1].Get(name)
}

// Wait returns the spans once there are n, and fails the test when they do not
// come in time.
func (r *Receiver) Wait(t testing.TB, n int) []Span {
	t.Helper()
	deadline := time.After(20 * time.Second)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		spans := r.Spans()
		if len(spans) >= n {
			return spans
		}
		select {
		case <-deadline:
			t.Fatalf("%d spans were received, want %d", len(spans), n)
		case <-ticker.C:
		}
	}
}
