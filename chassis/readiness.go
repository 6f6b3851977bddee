package chassis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var errNotStarted = errors.New("starting")

// readiness knows whether each server wants requests. It is not liveness: a
// process that is not ready is left alone, one that is not alive is restarted.
type readiness struct {
	mu      sync.Mutex
	log     *slog.Logger
	running bool
	err     error // why nothing is ready: not started, or stopping
	checks  []*check
}

// check is the readiness of one server.
type check struct {
	name    string
	addr    string
	ready   func() error // nil: always
	publish func(ready bool)
	err     error
}

func (r *readiness) add(name, addr string, ready func() error, publish func(bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checks = append(r.checks, &check{name: name, addr: addr, ready: ready, publish: publish, err: errNotStarted})
}

// start makes the first round, so that what is ready from the beginning never
// says otherwise.
func (r *readiness) start(log *slog.Logger) {
	r.mu.Lock()
	r.running, r.log = true, log
	r.mu.Unlock()
	r.poll()
}

func (r *readiness) run(ctx context.Context) {
	ticker := time.NewTicker(readinessInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			r.poll()
		}
	}
}

// poll asks every server and publishes what changed.
func (r *readiness) poll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.running {
		return
	}
	for _, c := range r.checks {
		was := c.err
		c.err = nil
		if c.ready != nil {
			c.err = c.ready()
		}
		switch {
		case c.err == nil && was != nil:
			c.publish(true)
			r.log.Info("ready", "server", c.name, "addr", c.addr)
		case c.err != nil && was == nil:
			c.publish(false)
			r.log.Warn("not ready", "server", c.name, "reason", c.err)
		}
	}
}

// stop tells everybody that nothing is ready any more, for good.
func (r *readiness) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running, r.err = false, errStopping
	for _, c := range r.checks {
		c.publish(false)
	}
}

var readyDesc = prometheus.NewDesc("octavo_ready", "1 while the server wants requests.", []string{"server"}, nil)

// Describe sends the metric's description.
func (r *readiness) Describe(ch chan<- *prometheus.Desc) { ch <- readyDesc }

// Collect sends the readiness of each server.
func (r *readiness) Collect(ch chan<- prometheus.Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.checks {
		value := 0.0
		if r.running && r.err == nil && c.err == nil {
			value = 1
		}
		ch <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, value, c.name)
	}
}

// failure is why the process is not ready, nil when it is.
func (r *readiness) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	if !r.running {
		return errNotStarted
	}
	var errs []error
	for _, c := range r.checks {
		if c.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.name, c.err))
		}
	}
	return errors.Join(errs...)
}
