package recommendations

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

type metrics struct {
	modelsLoaded  prometheus.Counter
	modelsRefused prometheus.Counter
	personal      prometheus.Counter
	popular       prometheus.Counter
	paused        prometheus.Counter
	waited        prometheus.Histogram
	stale         prometheus.Counter
	keptUsed      prometheus.Counter
	keptMade      prometheus.Counter
	delay         prometheus.Histogram
}

// newMetrics makes the service's metrics and registers them when there is a
// registry.
func newMetrics(registry prometheus.Registerer, s *service) *metrics {
	lists := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "octavo_recommendations_total",
		Help: "Lists of recommendations by what they rest on: the reader's own books, popularity alone, or paused for popularity alone because the reader wants it so.",
	}, []string{"source"})
	rankings := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "octavo_kept_rankings_total",
		Help: "Rankings asked of what is kept for each reader, by whether it had them: hit or miss.",
	}, []string{"result"})
	m := &metrics{
		keptUsed: rankings.WithLabelValues("hit"),
		keptMade: rankings.WithLabelValues("miss"),
		modelsLoaded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "octavo_models_loaded_total", Help: "Models taken up since the start.",
		}),
		modelsRefused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "octavo_models_refused_total", Help: "Models refused since the start because they were damaged or failed their check.",
		}),
		personal: lists.WithLabelValues("personal"),
		popular:  lists.WithLabelValues("popular"),
		paused:   lists.WithLabelValues("paused"),
		waited: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "octavo_min_position_wait_seconds",
			Help:    "How long answers waited for the readers' log, of those that had to.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .02, .05, .1, .25, .5, 1},
		}),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "octavo_interaction_delay_seconds",
			Help: "From when an interaction was written to the readers' log, just before its commit, until answers knew it; " +
				"those that come together count as the first of them, and those of more than a minute, which are backlogs, do not count.",
			Buckets: []float64{.0025, .005, .01, .015, .02, .03, .05, .1, .25, .5, 1, 5, 60},
		}),
		stale: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "octavo_min_position_missed_total", Help: "Answers given although the readers' log had not come far enough.",
		}),
	}
	if registry == nil {
		return m
	}
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value)
	}
	for _, f := range []*feed{&s.books, &s.log} {
		labels := prometheus.Labels{"feed": f.name}
		registry.MustRegister(
			gauge("octavo_feed_position", "How far the feed has been applied.", labels, func() float64 { return float64(f.position.get()) }),
			gauge("octavo_feed_lag", "How far the applied position is behind the feed's head, as last heard.", labels, func() float64 { return float64(f.lag()) }),
			gauge("octavo_feed_behind_seconds", "For how long the feed has not been applied to its end, or not been followed; 0 when all is known.", labels, func() float64 { return f.behind().Seconds() }),
			gauge("octavo_feed_connected", "1 while the feed is being followed.", labels, func() float64 {
				if f.connected.Load() {
					return 1
				}
				return 0
			}),
		)
	}
	registry.MustRegister(
		lists, rankings, m.modelsLoaded, m.modelsRefused, m.waited, m.stale, m.delay,
		gauge("octavo_model_age_seconds", "Time since the model in use was published; 0 without one.", nil, func() float64 {
			if used := s.models.current.Load(); used != nil {
				return time.Since(used.published).Seconds()
			}
			return 0
		}),
		modelInfo{&s.models},
		gauge("octavo_catalogue_books", "Books held in memory.", nil, func() float64 { return float64(s.catalogue.size()) }),
		gauge("octavo_history_readers", "Readers whose history is held in memory.", nil, func() float64 { return float64(s.histories.Load().readers.Load()) }),
		gauge("octavo_kept_bytes", "Memory of the rankings kept for readers.", nil, func() float64 { return float64(s.histories.Load().keptBytes()) }),
		gauge("octavo_history_entries", "Books in all histories held in memory.", nil, func() float64 { return float64(s.histories.Load().entries.Load()) }),
	)
	return m
}

// observeDelays notes how long ago interactions were recorded that answers know
// now. A readers service of release 0.1 does not tell.
func (m *metrics) observeDelays(p *readersv1.WatchInteractionsResponse, now time.Time) {
	if p.GetRecordedAt() == nil {
		return
	}
	delay := now.Sub(p.GetRecordedAt().AsTime())
	if delay >= time.Minute {
		return
	}
	for range p.GetInteractions() {
		m.delay.Observe(max(0, delay).Seconds())
	}
}

// modelInfo says which model is in use.
type modelInfo struct{ models *holder }

var modelInfoDesc = prometheus.NewDesc("octavo_model_info",
	"1, with the model in use as labels; absent without one.", []string{"model", "version"}, nil)

// Describe sends the metric's description.
func (modelInfo) Describe(ch chan<- *prometheus.Desc) { ch <- modelInfoDesc }

// Collect sends the metric's value.
func (i modelInfo) Collect(ch chan<- prometheus.Metric) {
	if used := i.models.current.Load(); used != nil {
		ch <- prometheus.MustNewConstMetric(modelInfoDesc, prometheus.GaugeValue, 1, used.name, used.info.Version)
	}
}
