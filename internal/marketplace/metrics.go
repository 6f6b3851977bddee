package marketplace

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of the storefront.
type metrics struct {
	pages   *prometheus.CounterVec // by page, whether degraded
	without *prometheus.CounterVec // by service
	covers  *prometheus.CounterVec // by source
}

// newMetrics makes the metrics and registers them when there is a registry.
// Series are 0 until something happens, not absent.
func newMetrics(registry prometheus.Registerer, known *bookshelf) *metrics {
	m := &metrics{
		pages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "octavo_pages_total",
			Help: "Pages asked for, by kind, and whether they had to do without a service.",
		}, []string{"page", "degraded"}),
		without: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "octavo_pages_without_total",
			Help: "Pages that had to do without a service, by service.",
		}, []string{"service"}),
		covers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "octavo_bookshelf_lookups_total",
			Help: "Books to show, by result: hit, their cover was drawn before, or miss.",
		}, []string{"result"}),
	}
	for _, service := range []string{"catalog", "readers", "recommendations"} {
		m.without.WithLabelValues(service)
	}
	known.hits, known.misses = m.covers.WithLabelValues("hit"), m.covers.WithLabelValues("miss")
	if registry != nil {
		registry.MustRegister(m.pages, m.without, m.covers, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "octavo_bookshelf_books",
			Help: "Books the storefront holds in memory with their covers.",
		}, func() float64 { return float64(known.size()) }))
	}
	return m
}

// count are the counters of a kind of page.
func (m *metrics) count(page string) (whole, degraded prometheus.Counter) {
	return m.pages.WithLabelValues(page, "false"), m.pages.WithLabelValues(page, "true")
}

// remindEvery is how often the log says that an outage goes on.
const remindEvery = time.Minute

// outages keeps what is the same for every page during an outage from filling
// the log. The zero value is ready to use.
type outages struct {
	mu  sync.Mutex
	all map[string]*outage
}

type outage struct {
	told  time.Time
	pages int // since then
}

// tell is whether to log that a page lacks something, with the number of pages
// since that was last logged: the first time, and every minute while it lasts.
func (o *outages) tell(what string, now time.Time) (pages int, tell bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := o.all[what]
	if out == nil {
		if o.all == nil {
			o.all = make(map[string]*outage)
		}
		out = &outage{}
		o.all[what] = out
	}
	out.pages++
	if now.Sub(out.told) < remindEvery {
		return 0, false
	}
	pages, out.pages, out.told = out.pages, 0, now
	return pages, true
}
