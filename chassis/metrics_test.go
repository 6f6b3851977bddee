package chassis

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
)

func testSeries(c *calls) *series {
	return c.of("/s/M", func() []string { return []string{"unary", "s", "M"} })
}

func TestCalls(t *testing.T) {
	c := newServerCalls()
	s := testSeries(c)
	for range 4 {
		s.begin()
	}
	s.end(int(codes.OK), 100*time.Microsecond) // a bound belongs to its bucket
	s.end(int(codes.OK), time.Hour)
	s.end(99, 3*time.Millisecond) // no code of gRPC

	want := `
# HELP grpc_server_handled_total How many calls to this server ended, by outcome.
# TYPE grpc_server_handled_total counter
grpc_server_handled_total{grpc_code="OK",grpc_method="M",grpc_service="s",grpc_type="unary"} 2
grpc_server_handled_total{grpc_code="Unknown",grpc_method="M",grpc_service="s",grpc_type="unary"} 1
# HELP grpc_server_in_flight How many calls to this server are in progress.
# TYPE grpc_server_in_flight gauge
grpc_server_in_flight{grpc_method="M",grpc_service="s",grpc_type="unary"} 1
# HELP grpc_server_started_total How many calls to this server began.
# TYPE grpc_server_started_total counter
grpc_server_started_total{grpc_method="M",grpc_service="s",grpc_type="unary"} 4
`
	if err := testutil.CollectAndCompare(c, strings.NewReader(want),
		"grpc_server_handled_total", "grpc_server_in_flight", "grpc_server_started_total"); err != nil {
		t.Error(err)
	}

	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "grpc_server_handling_seconds" {
			continue
		}
		ok := family.GetMetric()[0].GetHistogram()
		if got := ok.GetBucket()[0]; got.GetCumulativeCount() != 1 || got.GetUpperBound() != 0.0001 {
			t.Errorf("first bucket is %v", got)
		}
		if got := ok.GetBucket()[len(bounds)-1]; got.GetCumulativeCount() != 1 || got.GetUpperBound() != 10 {
			t.Errorf("last bucket is %v", got)
		}
		if got := ok.GetSampleSum(); ok.GetSampleCount() != 2 || got < 3600 || got > 3600.001 {
			t.Errorf("%d calls took %v s in all", ok.GetSampleCount(), got)
		}
		return
	}
	t.Error("there is no histogram")
}

// BenchmarkObserve is why the buckets are our own: one call counted and timed,
// here and with client_golang's vectors, their children looked up before.
func BenchmarkObserve(b *testing.B) {
	b.Run("own", func(b *testing.B) {
		s := testSeries(newServerCalls())
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				s.begin()
				s.end(int(codes.OK), 20*time.Microsecond)
			}
		})
	})
	b.Run("client_golang", func(b *testing.B) {
		labels := []string{"grpc_type", "grpc_service", "grpc_method"}
		values := []string{"unary", "s", "M"}
		var seconds []float64
		for _, bound := range bounds {
			seconds = append(seconds, bound.Seconds())
		}
		started := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "started"}, labels).WithLabelValues(values...)
		handled := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "handled"}, labels).WithLabelValues(values...)
		inFlight := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "in_flight"}, labels).WithLabelValues(values...)
		took := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "seconds", Buckets: seconds}, labels).WithLabelValues(values...)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				started.Inc()
				inFlight.Inc()
				took.Observe((20 * time.Microsecond).Seconds())
				handled.Inc()
				inFlight.Dec()
			}
		})
	})
}
