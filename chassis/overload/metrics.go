package overload

import "github.com/prometheus/client_golang/prometheus"

// descriptions are those of one limiter, whose server is a constant label.
type descriptions struct{ limit, inFlight, refused *prometheus.Desc }

func newDescriptions(server string) descriptions {
	labels := prometheus.Labels{"server": server}
	return descriptions{
		limit:    prometheus.NewDesc("overload_limit", "How many calls a server takes at once, by priority.", []string{"priority"}, labels),
		inFlight: prometheus.NewDesc("overload_in_flight", "How many calls that count against the limit are in progress.", nil, labels),
		refused:  prometheus.NewDesc("overload_refused_total", "How many calls were refused, and why.", []string{"operation", "priority", "reason"}, labels),
	}
}

// Describe sends the metrics' descriptions.
func (l *Limiter) Describe(ch chan<- *prometheus.Desc) {
	ch <- l.descriptions.limit
	ch <- l.descriptions.inFlight
	ch <- l.descriptions.refused
}

// Collect sends the metrics' values. What never happened is left out, but
// for one series of each operation, by which it is known to be counted.
func (l *Limiter) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(l.descriptions.inFlight, prometheus.GaugeValue, float64(l.inFlight.Load()))
	for p := range priorities {
		ch <- prometheus.MustNewConstMetric(l.descriptions.limit, prometheus.GaugeValue, float64(l.limits[p].Load()), p.String())
	}
	l.operations.Range(func(_, value any) bool {
		o := value.(*Operation)
		for p := range priorities {
			for r := Full; r < reasons; r++ {
				if n := o.refused[p][r].Load(); n > 0 || (p == Interactive && r == Full) {
					ch <- prometheus.MustNewConstMetric(l.descriptions.refused, prometheus.CounterValue, float64(n), o.name, p.String(), r.String())
				}
			}
		}
		return true
	})
}
