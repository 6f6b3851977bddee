package chassis

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	"github.com/octavo-books/octavo/chassis/tracing"
)

// bounds are the upper bounds of the duration buckets. A recommendation takes
// tens of microseconds, a page milliseconds, an import seconds.
var bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// calls counts calls by operation and outcome. It is a prometheus.Collector
// with buckets of its own: an observation is three atomic additions and no
// look-up of labels (BenchmarkObserve compares it with client_golang's).
type calls struct {
	started, handled, seconds, inFlight *prometheus.Desc

	outcomes []string
	series   sync.Map // of *series by key
}

// series is one operation: a method of a service, or a route.
type series struct {
	labels   []string
	started  atomic.Uint64
	outcomes []atomic.Pointer[histogram]
}

type histogram struct {
	buckets   [len(bounds) + 1]atomic.Uint64 // the last one has no bound
	sum       atomic.Int64                   // nanoseconds
	exemplars [len(bounds) + 1]atomic.Pointer[exemplar]
}

// exemplar is a call of a bucket whose trace is exported: the latest.
type exemplar struct {
	trace tracing.TraceID
	took  time.Duration
	ended time.Time
}

func newCalls(prefix, noun string, labels []string, outcomeLabel string, outcomes []string) *calls {
	byOutcome := append(append([]string(nil), labels...), outcomeLabel)
	return &calls{
		started:  prometheus.NewDesc(prefix+"_started_total", "How many "+noun+" began.", labels, nil),
		handled:  prometheus.NewDesc(prefix+"_handled_total", "How many "+noun+" ended, by outcome.", byOutcome, nil),
		seconds:  prometheus.NewDesc(prefix+"_handling_seconds", "How long "+noun+" took, by outcome.", byOutcome, nil),
		inFlight: prometheus.NewDesc(prefix+"_in_flight", "How many "+noun+" are in progress.", labels, nil),
		outcomes: outcomes,
	}
}

var grpcLabels = []string{"grpc_type", "grpc_service", "grpc_method"}

func newServerCalls() *calls {
	return newCalls("grpc_server", "calls to this server", grpcLabels, "grpc_code", codeNames())
}

func newClientCalls() *calls {
	return newCalls("grpc_client", "calls to other services", grpcLabels, "grpc_code", codeNames())
}

// newHTTPCalls has no gauge of its own: a request's route, which is one of the
// labels, is known only at its end.
func newHTTPCalls() (*calls, prometheus.Gauge) {
	c := newCalls("http_server", "HTTP requests", []string{"method", "route"}, "code",
		[]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"})
	c.inFlight = nil
	return c, prometheus.NewGauge(prometheus.GaugeOpts{Name: "http_server_in_flight", Help: "HTTP requests in progress."})
}

// codeNames are the names of the gRPC codes in their order.
func codeNames() []string {
	names := make([]string, codes.Unauthenticated+1)
	for i := range names {
		names[i] = codes.Code(i).String()
	}
	return names
}

// of is the series of key; labels makes its labels the first time.
func (c *calls) of(key string, labels func() []string) *series {
	if s, ok := c.series.Load(key); ok {
		return s.(*series)
	}
	s, _ := c.series.LoadOrStore(key, &series{
		labels:   labels(),
		outcomes: make([]atomic.Pointer[histogram], len(c.outcomes)),
	})
	return s.(*series)
}

func (s *series) begin() { s.started.Add(1) }

// end records a call that began. Outcomes that do not exist count as the
// third: Unknown of gRPC.
func (s *series) end(outcome int, took time.Duration) {
	if outcome < 0 || outcome >= len(s.outcomes) {
		outcome = int(codes.Unknown)
	}
	h := s.outcomes[outcome].Load()
	if h == nil {
		s.outcomes[outcome].CompareAndSwap(nil, new(histogram))
		h = s.outcomes[outcome].Load()
	}
	h.buckets[bucketOf(took)].Add(1)
	h.sum.Add(int64(took))
}

func bucketOf(took time.Duration) int {
	bucket := 0
	for bucket < len(bounds) && took > bounds[bucket] {
		bucket++
	}
	return bucket
}

// exemplify names the trace of a call that has been recorded, if that trace
// can be looked at.
func (s *series) exemplify(span *tracing.Span, outcome int, took time.Duration, failed, endless bool) {
	if !span.Kept(took, failed, endless) || outcome < 0 || outcome >= len(s.outcomes) {
		return
	}
	s.outcomes[outcome].Load().exemplars[bucketOf(took)].Store(&exemplar{span.Trace, took, time.Now()})
}

// withExemplars adds them to a histogram that is sent.
func (h *histogram) withExemplars(m prometheus.Metric) prometheus.Metric {
	var all []prometheus.Exemplar
	for i := range h.exemplars {
		if e := h.exemplars[i].Load(); e != nil {
			all = append(all, prometheus.Exemplar{
				Value: e.took.Seconds(), Timestamp: e.ended, Labels: prometheus.Labels{"trace_id": e.trace.String()},
			})
		}
	}
	if len(all) == 0 {
		return m
	}
	return prometheus.MustNewMetricWithExemplars(m, all...)
}

// Describe sends the metrics' descriptions.
func (c *calls) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.started
	ch <- c.handled
	ch <- c.seconds
	if c.inFlight != nil {
		ch <- c.inFlight
	}
}

// Collect sends the metrics' values.
func (c *calls) Collect(ch chan<- prometheus.Metric) {
	c.series.Range(func(_, value any) bool {
		s := value.(*series)
		var ended uint64
		for i := range s.outcomes {
			h := s.outcomes[i].Load()
			if h == nil {
				continue
			}
			labels := append(append([]string(nil), s.labels...), c.outcomes[i])
			cumulative := make(map[float64]uint64, len(bounds))
			var count uint64
			for b, bound := range bounds {
				count += h.buckets[b].Load()
				cumulative[bound.Seconds()] = count
			}
			count += h.buckets[len(bounds)].Load()
			ended += count
			ch <- prometheus.MustNewConstMetric(c.handled, prometheus.CounterValue, float64(count), labels...)
			ch <- h.withExemplars(prometheus.MustNewConstHistogram(c.seconds, count, time.Duration(h.sum.Load()).Seconds(), cumulative, labels...))
		}
		// Read after the ends, so that no call has ended that did not begin.
		started := s.started.Load()
		ch <- prometheus.MustNewConstMetric(c.started, prometheus.CounterValue, float64(started), s.labels...)
		if c.inFlight == nil {
			return true
		}
		ch <- prometheus.MustNewConstMetric(c.inFlight, prometheus.GaugeValue, float64(started-ended), s.labels...)
		return true
	})
}

func newBuildInfo(name, version string) prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "octavo_build_info",
		Help:        "1, with what is running as labels.",
		ConstLabels: prometheus.Labels{"program": name, "version": version, "goversion": runtime.Version()},
	})
	info.Set(1)
	return info
}
