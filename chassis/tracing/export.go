package tracing

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/octavo-books/octavo/chassis/secret"
)

const (
	maxQueue    = 4096 // spans that wait, about a megabyte
	maxBatch    = 512  // spans of one upload
	uploadEvery = 2 * time.Second
	uploadLimit = 10 * time.Second
	// Between attempts at one upload.
	minRetry   = 500 * time.Millisecond
	maxRetry   = 5 * time.Second
	tracesPath = "/v1/traces"
)

// Config is where and what to export.
type Config struct {
	Service, Version string

	// Endpoint is the collector's URL, http://127.0.0.1:4317. With https its
	// certificate is checked.
	Endpoint string
	// HTTP chooses OTLP over HTTP instead of gRPC. The path is /v1/traces
	// unless the endpoint has one.
	HTTP bool
	// Headers are sent with each upload.
	Headers map[string]secret.Bytes

	// Ratio is the share of traces to export, 0 to 1, of those that begin here.
	Ratio float64
	// Slow is from when on a request is exported although not sampled.
	Slow time.Duration

	Log *slog.Logger

	uploadLimit time.Duration // 0 means uploadLimit
}

// exporter sends spans to the collector, in batches. Those that have to wait
// are bounded in number.
type exporter struct {
	client   otlptrace.Client
	resource *resourcepb.Resource
	log      *slog.Logger
	limit    time.Duration // of one upload

	spans                  *prometheus.CounterVec
	exported, full, failed prometheus.Counter

	mu    sync.Mutex
	queue []record
	ready chan struct{} // has an element when there is a batch

	end   context.CancelFunc
	ended chan struct{}
}

// New makes a Tracer that exports, from now until Close. Whether the collector
// can be reached is not tried.
func New(c Config) (*Tracer, error) {
	endpoint, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("read the collector's address: %w", err)
	}
	if endpoint.Scheme != "http" && endpoint.Scheme != "https" || endpoint.Host == "" {
		return nil, fmt.Errorf("the collector's address %q is no URL such as http://127.0.0.1:4317", c.Endpoint)
	}
	if !(c.Ratio >= 0 && c.Ratio <= 1) { // nor NaN
		return nil, fmt.Errorf("the share of traces to sample is %v instead of 0 to 1", c.Ratio)
	}
	if c.uploadLimit <= 0 {
		c.uploadLimit = uploadLimit
	}
	spans := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "octavo_trace_spans_total",
		Help: "Spans that were to be exported, by what became of them: exported, or dropped because too many waited or the collector did not take them.",
	}, []string{"result"})
	ctx, end := context.WithCancel(context.Background())
	e := &exporter{
		client:   newClient(c, endpoint),
		resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.name", c.Service), text("service.version", c.Version)}},
		log:      c.Log,
		limit:    c.uploadLimit,
		spans:    spans,
		exported: spans.WithLabelValues("exported"),
		full:     spans.WithLabelValues("dropped_queue_full"),
		failed:   spans.WithLabelValues("dropped_export_failed"),
		ready:    make(chan struct{}, 1),
		end:      end,
		ended:    make(chan struct{}),
	}
	if err := e.client.Start(ctx); err != nil {
		end()
		return nil, fmt.Errorf("start the export of traces: %w", err)
	}
	go e.run(ctx)
	return &Tracer{exporter: e, threshold: threshold(c.Ratio), slow: c.Slow}, nil
}

// newClient sets every option there is, because the clients take those that are
// not set from OTEL_EXPORTER_OTLP_ variables of the environment: a certificate,
// an encoding, headers and more.
func newClient(c Config, endpoint *url.URL) otlptrace.Client {
	headers := make(map[string]string, len(c.Headers)) // none too is better than the environment's
	for name, value := range c.Headers {
		headers[name] = string(value.Reveal())
	}
	if c.HTTP {
		path := endpoint.Path
		if path == "" || path == "/" {
			path = tracesPath
		}
		var secure *tls.Config
		if endpoint.Scheme == "https" {
			secure = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		return otlptracehttp.NewClient(
			otlptracehttp.WithEndpointURL(c.Endpoint),
			otlptracehttp.WithURLPath(path),
			otlptracehttp.WithTLSClientConfig(secure),
			otlptracehttp.WithProxy(func(*http.Request) (*url.URL, error) { return nil, nil }),
			otlptracehttp.WithHeaders(headers),
			otlptracehttp.WithEncoding(otlptracehttp.EncodingProtobuf),
			otlptracehttp.WithCompression(otlptracehttp.GzipCompression),
			otlptracehttp.WithTimeout(c.uploadLimit),
			otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: minRetry, MaxInterval: maxRetry, MaxElapsedTime: c.uploadLimit}),
		)
	}
	secure := insecure.NewCredentials()
	if endpoint.Scheme == "https" {
		secure = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	}
	return otlptracegrpc.NewClient(
		otlptracegrpc.WithEndpointURL(c.Endpoint),
		otlptracegrpc.WithTLSCredentials(secure),
		otlptracegrpc.WithDialOption(grpc.WithNoProxy()),
		otlptracegrpc.WithHeaders(headers),
		otlptracegrpc.WithCompressor("gzip"),
		otlptracegrpc.WithTimeout(c.uploadLimit),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: true, InitialInterval: minRetry, MaxInterval: maxRetry, MaxElapsedTime: c.uploadLimit}),
	)
}

// Describe sends the description of the metric that Collect sends.
func (t *Tracer) Describe(ch chan<- *prometheus.Desc) {
	if t.exporter != nil {
		t.exporter.spans.Describe(ch)
	}
}

// Collect sends how many spans were exported and dropped; nothing when none
// are exported.
func (t *Tracer) Collect(ch chan<- prometheus.Metric) {
	if t.exporter != nil {
		t.exporter.spans.Collect(ch)
	}
}

// add takes spans up that are to be exported, lost of which are gone already.
func (e *exporter) add(spans []record, lost int) {
	e.mu.Lock()
	taken := min(len(spans), maxQueue-len(e.queue))
	e.queue = append(e.queue, spans[:taken]...)
	enough := len(e.queue) >= maxBatch
	e.mu.Unlock()
	if dropped := len(spans) - taken + lost; dropped > 0 {
		e.full.Add(float64(dropped))
	}
	if enough {
		select {
		case e.ready <- struct{}{}:
		default:
		}
	}
}

func (e *exporter) take() []record {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := min(len(e.queue), maxBatch)
	batch := e.queue[:n:n]
	e.queue = e.queue[n:]
	return batch
}

func (e *exporter) run(ctx context.Context) {
	defer close(e.ended)
	ticker := time.NewTicker(uploadEvery)
	defer ticker.Stop()
	down := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-e.ready:
		}
		for batch := e.take(); len(batch) > 0 && ctx.Err() == nil; batch = e.take() {
			err := e.upload(ctx, batch)
			switch {
			case err != nil && !down && ctx.Err() == nil:
				e.log.Warn("traces cannot be exported; requests go on, spans are dropped and counted", "error", err)
			case err == nil && down:
				e.log.Info("traces are exported again")
			}
			down = err != nil
		}
	}
}

func (e *exporter) upload(ctx context.Context, batch []record) error {
	ctx, cancel := context.WithTimeout(ctx, e.limit)
	defer cancel()
	spans := make([]*tracepb.Span, len(batch))
	for i := range batch {
		spans[i] = batch[i].proto()
	}
	err := e.client.UploadTraces(ctx, []*tracepb.ResourceSpans{{
		Resource:   e.resource,
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: scope, Spans: spans}},
	}})
	if err != nil {
		e.failed.Add(float64(len(batch)))
		return fmt.Errorf("upload %d spans: %w", len(batch), err)
	}
	e.exported.Add(float64(len(batch)))
	return nil
}

// Close exports what waits, for as long as ctx allows, and ends. Spans that end
// later are lost.
func (t *Tracer) Close(ctx context.Context) error {
	e := t.exporter
	if e == nil {
		return nil
	}
	e.end()
	<-e.ended
	var errs []error
	for batch := e.take(); len(batch) > 0; batch = e.take() {
		if err := e.upload(ctx, batch); err != nil {
			errs = append(errs, err)
			break
		}
	}
	e.mu.Lock()
	e.failed.Add(float64(len(e.queue)))
	e.queue = nil
	e.mu.Unlock()
	if err := e.client.Stop(ctx); err != nil {
		errs = append(errs, fmt.Errorf("stop the export of traces: %w", err))
	}
	return errors.Join(errs...)
}

var scope = &commonpb.InstrumentationScope{Name: "github.com/octavo-books/octavo/chassis"}
