package chassis

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/octavo-books/octavo/chassis/secret"
	"github.com/octavo-books/octavo/chassis/tracing"
)

// flushLimit is how long traces may take to be exported at the end.
const flushLimit = 2 * time.Second

const defaultTraceSlow = 500 * time.Millisecond

// newTracer makes what traces requests. Without an endpoint it only makes the
// ids that calls carry from process to process and that logs show.
func newTracer(name, version string, f Flags, log *slog.Logger) (*tracing.Tracer, error) {
	if f.OTLPEndpoint == "" {
		return &tracing.Tracer{}, nil
	}
	headers, err := readHeaders(f.OTLPHeadersFile)
	if err != nil {
		return nil, err
	}
	if f.TraceSlow <= 0 {
		f.TraceSlow = defaultTraceSlow
	}
	return tracing.New(tracing.Config{
		Service: name, Version: version,
		Endpoint: f.OTLPEndpoint, HTTP: f.OTLPProtocol == "http", Headers: headers,
		Ratio: f.TraceSample, Slow: f.TraceSlow,
		Log: log,
	})
}

// flushTraces exports what waits and ends the export, in bounded time.
func (a *App) flushTraces() {
	ctx, cancel := context.WithTimeout(context.Background(), flushLimit)
	defer cancel()
	if err := a.tracer.Close(ctx); err != nil {
		a.log.Warn("the last traces were not exported", "error", err)
	}
}

// readHeaders reads lines of "Name: value". They may hold a secret, so that
// errors do not quote them.
func readHeaders(path string) (map[string]secret.Bytes, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the headers for the collector: %w", err)
	}
	headers := map[string]secret.Bytes{}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("read the headers for the collector: line %d of %s is not of the form 'Name: value'", number, path)
		}
		headers[name] = secret.Of([]byte(strings.TrimSpace(value)))
	}
	return headers, nil
}

// trace begins the span of a call, whose parent is the caller's.
func (s *grpcServer) trace(ctx context.Context, c *call) error {
	began := time.Now()
	s.tracer.Start(&c.span, tracing.GRPCServer, c.method.fullName[1:], remoteSpan(ctx), began)
	c.context = requestContext{Context: ctx, span: &c.span}
	err := c.next(&c.context)
	took := time.Since(began)
	d := tracing.Details{RequestID: c.id, Code: int(status.Code(err)), Endless: c.method.streaming}
	d.Failed = failed(codes.Code(d.Code), d.Endless)
	if c.span.Kept(took, d.Failed, d.Endless) {
		d.Message = status.Convert(err).Message()
		if p, ok := peer.FromContext(ctx); ok {
			d.Peer = p.Addr.String()
		}
	}
	c.span.End(took, d)
	return err
}

// remoteSpan is what a caller says about its span.
func remoteSpan(ctx context.Context) tracing.Context {
	parents := metadata.ValueFromIncomingContext(ctx, tracing.ParentHeader)
	if len(parents) != 1 {
		return tracing.Context{}
	}
	return tracing.Parse(parents[0], strings.Join(metadata.ValueFromIncomingContext(ctx, tracing.StateHeader), ","))
}

// failed is whether a call's trace is worth keeping for its code. What a client
// did wrong is its own affair, and what is refused under load must cost little;
// streams end with Unavailable when their server stops.
func failed(code codes.Code, streaming bool) bool {
	switch code {
	case codes.Unknown, codes.DeadlineExceeded, codes.Unimplemented, codes.Internal, codes.DataLoss:
		return true
	case codes.Unavailable:
		return !streaming
	default:
		return false
	}
}

// traceCall begins the span of an outgoing call: a child of the request that
// is being handled, or the first of a trace.
func (d *dialler) traceCall(ctx context.Context, span *tracing.Span, fullMethod string, began time.Time) {
	name := strings.TrimPrefix(fullMethod, "/")
	if parent := spanOf(ctx); parent != nil {
		parent.StartChild(span, tracing.GRPCClient, name, began)
	} else {
		d.tracer.Start(span, tracing.GRPCClient, name, tracing.Context{}, began)
	}
}

// endCall ends the span of an outgoing call and counts the call.
func (s *series) endCall(span *tracing.Span, err error, took time.Duration, target, requestID string, streaming bool) {
	code := status.Code(err)
	s.end(int(code), took)
	details := tracing.Details{RequestID: requestID, Code: int(code), Peer: target, Endless: streaming, Failed: failed(code, streaming)}
	if err != nil {
		details.Message = status.Convert(err).Message()
	}
	s.exemplify(span, int(code), took, details.Failed, streaming)
	span.End(took, details)
}

// trace is the outermost step of HTTP: it begins the span of a request.
func (s *httpServer) trace(next httpStep) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		e := &exchange{ResponseWriter: w}
		var remote tracing.Context
		if parents := r.Header.Values(tracing.ParentHeader); len(parents) == 1 {
			remote = tracing.Parse(parents[0], strings.Join(r.Header.Values(tracing.StateHeader), ","))
		}
		s.tracer.Start(&e.span, tracing.HTTPServer, "", remote, began)
		e.context = requestContext{Context: r.Context(), span: &e.span}
		r = r.WithContext(&e.context)
		next(e, r)
		d := tracing.Details{
			RequestID: e.context.id, Code: e.code(), Failed: e.failed(), Peer: r.RemoteAddr,
			Method: httpMethod(r.Method), Route: r.Pattern, Path: r.URL.Path,
		}
		if e.cause != nil {
			d.Message = e.cause.Error()
		}
		e.span.End(time.Since(began), d)
		if e.aborted {
			panic(http.ErrAbortHandler) // how net/http is told, without a word
		}
	})
}

// failed is whether the server is to blame for how a request ended.
func (e *exchange) failed() bool { return e.code() >= 500 }
