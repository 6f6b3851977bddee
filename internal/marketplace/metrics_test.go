package marketplace

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestPagesAreCounted(t *testing.T) {
	services := library()
	c := services.config(t)
	registry := prometheus.NewPedanticRegistry()
	c.Metrics = registry
	b := open(t, c)
	b.get("/")
	b.get("/book/1")
	b.get("/book/1")
	services.recommendations.set(true, false)
	b.get("/")
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[[2]string]float64{} // by page and degraded
	for _, f := range families {
		if f.GetName() == "octavo_pages_total" {
			for _, m := range f.GetMetric() {
				got[[2]string{m.GetLabel()[1].GetValue(), m.GetLabel()[0].GetValue()}] = m.GetCounter().GetValue()
			}
		}
	}
	for page, want := range map[[2]string]float64{
		{"home", "false"}: 1, {"home", "true"}: 1, {"book", "false"}: 2, {"book", "true"}: 0, {"search", "false"}: 0,
	} {
		if pages, ok := got[page]; !ok || pages != want {
			t.Errorf("%v: %v pages (there: %t), want %v", page, pages, ok, want)
		}
	}
}

// TestAnOutageDoesNotFillTheLog: pages without a service are warned of once a
// minute, however many there are.
func TestAnOutageDoesNotFillTheLog(t *testing.T) {
	services := library()
	c := services.config(t)
	var log lockedLog
	c.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	b := open(t, c)
	b.get("/")
	services.recommendations.set(true, false)
	for range 10 {
		b.get("/")
	}
	services.catalog.set(true, false)
	for range 10 {
		b.get("/science-fiction")
	}
	if got := log.count(`"service":"recommendations"`); got != 1 {
		t.Errorf("the log has %d lines on recommendations:\n%s", got, log.text())
	}
	if got := log.count(`"level":"WARN"`) + log.count(`"level":"ERROR"`); got > 3 {
		t.Errorf("the log has %d warnings and errors:\n%s", got, log.text())
	}
}

func TestOutages(t *testing.T) {
	var o outages
	began := time.Now()
	for _, test := range []struct {
		after time.Duration
		what  string
		pages int // 0: nothing is told
	}{
		{0, "catalog", 1},
		{time.Second, "catalog", 0},
		{2 * time.Second, "readers", 1},
		{59 * time.Second, "catalog", 0},
		{60 * time.Second, "catalog", 3},
		{61 * time.Second, "catalog", 0},
		{time.Hour, "catalog", 2},
		{time.Hour, "readers", 1},
	} {
		pages, tell := o.tell(test.what, began.Add(test.after))
		if pages != test.pages || tell != (test.pages > 0) {
			t.Errorf("%s after %v: %d pages, told %t; want %d", test.what, test.after, pages, tell, test.pages)
		}
	}
}

type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lockedLog) count(text string) int { return strings.Count(l.text(), text) }
