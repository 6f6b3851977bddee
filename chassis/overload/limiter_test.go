package overload_test

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/octavo-books/octavo/chassis/overload"
)

// backend answers workers calls at once; the others wait inside, as calls do
// for a database. A call takes 5 to 15 ms.
type backend struct {
	limiter *overload.Limiter
	workers chan struct{}
	slower  float64 // how many times longer calls take than usual

	mu   sync.Mutex
	rand *rand.Rand
}

const (
	workers  = 4
	service  = 10 * time.Millisecond
	capacity = float64(workers) / 0.010 // calls a second
)

// load is a share of the arrivals, which are open-loop and random.
type load struct {
	priority overload.Priority
	rate     float64 // calls a second
}

// outcome is what became of a load.
type outcome struct {
	sent, answered int
	took           []time.Duration
}

func (o *outcome) p99() time.Duration {
	slices.Sort(o.took)
	return o.took[len(o.took)*99/100]
}

func newBackend(limiter *overload.Limiter) *backend {
	return &backend{limiter: limiter, workers: make(chan struct{}, workers), slower: 1, rand: rand.New(rand.NewPCG(1, 2))}
}

func (b *backend) random() (exponential, uniform float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rand.ExpFloat64(), b.rand.Float64()
}

// run sends loads side by side and waits for all answers.
func (b *backend) run(lasting time.Duration, loads ...load) []*outcome {
	outcomes := make([]*outcome, len(loads))
	var wg sync.WaitGroup
	for i, l := range loads {
		outcomes[i] = &outcome{}
		wg.Go(func() { b.send(lasting, l, outcomes[i]) })
	}
	wg.Wait()
	return outcomes
}

func (b *backend) send(lasting time.Duration, l load, o *outcome) {
	operation := b.limiter.Operation("op")
	var mu sync.Mutex
	var wg sync.WaitGroup
	defer wg.Wait()
	for began := time.Now(); time.Since(began) < lasting; {
		gap, _ := b.random()
		pause(time.Duration(gap / l.rate * float64(time.Second)))
		o.sent++
		if b.limiter.Admit(operation, overload.Call{Priority: l.priority}) != overload.Admitted {
			continue
		}
		wg.Go(func() {
			admitted := time.Now()
			b.workers <- struct{}{}
			_, uniform := b.random()
			pause(time.Duration((0.5 + uniform) * b.slower * float64(service)))
			<-b.workers
			took := time.Since(admitted)
			b.limiter.Done(operation, took, true)
			mu.Lock()
			defer mu.Unlock()
			o.answered++
			o.took = append(o.took, took)
		})
	}
}

// pause lets time pass, which costs none in the bubble of a test.
func pause(d time.Duration) { <-time.After(d) }

func newLimiter(t *testing.T) *overload.Limiter {
	t.Helper()
	return overload.New("test", slog.New(slog.NewTextHandler(t.Output(), nil)))
}

// TestFiveTimesTheCapacity: what is admitted is answered about as fast as ever,
// the backend is kept busy, and afterwards all is as before.
func TestFiveTimesTheCapacity(t *testing.T) {
	for _, test := range []struct {
		name string
		warm bool // whether the server has seen calm before the storm
	}{
		{"after calm", true},
		{"from the start", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(newLimiter(t))
				if test.warm {
					b.run(5*time.Second, load{rate: capacity / 2})
				} else {
					b.run(15*time.Second, load{rate: 5 * capacity})
				}
				const lasting = time.Minute
				storm := b.run(lasting, load{rate: 5 * capacity})[0]
				b.run(5*time.Second, load{rate: capacity / 2})
				calm := b.run(20*time.Second, load{rate: capacity / 2})[0]
				goodput, slower := float64(storm.answered)/lasting.Seconds()/capacity, float64(storm.p99())/float64(calm.p99())
				t.Logf("goodput %.1f %% of capacity; p99 %v, in calm %v: %.2f times", 100*goodput, storm.p99(), calm.p99(), slower)
				if goodput < 0.9 || slower >= 3 {
					t.Error("want at least 90 % and less than 3 times")
				}
				if refused := calm.sent - calm.answered; refused > calm.sent/1000 {
					t.Errorf("%d of %d are refused from five seconds after", refused, calm.sent)
				}
			})
		})
	}
}

// TestSomebodyWaits: background calls are refused first.
func TestSomebodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(newLimiter(t))
		b.run(5*time.Second, load{rate: capacity / 2})
		const lasting = time.Minute
		all := b.run(lasting, load{overload.Interactive, capacity / 2}, load{overload.Background, 4.5 * capacity})
		admitted := float64(all[0].answered) / float64(all[0].sent)
		goodput := float64(all[0].answered+all[1].answered) / lasting.Seconds() / capacity
		t.Logf("admitted: interactive %.2f %%, background %.1f %%; goodput %.1f %% of capacity", 100*admitted, 100*float64(all[1].answered)/float64(all[1].sent), 100*goodput)
		if admitted < 0.99 || goodput < 0.9 {
			t.Error("want at least 99 % of the interactive calls, and a goodput of at least 90 %")
		}
	})
}

// TestSlowerForGood: when the backend itself becomes slower, that is what is
// usual from now on; the limit follows and does not shrink for ever.
func TestSlowerForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(newLimiter(t))
		b.run(10*time.Second, load{rate: capacity / 2})
		b.slower = 4
		b.run(time.Minute, load{rate: capacity})
		after := b.run(20*time.Second, load{rate: capacity})[0]
		if goodput := float64(after.answered) / 20 / (capacity / b.slower); goodput < 0.9 {
			t.Errorf("goodput is %.0f %% of what the backend can do", 100*goodput)
		}
	})
}

// TestWorkInMemoryIsNotHeldBack: calls that nobody notices do not lower the
// limit, however much their times vary.
func TestWorkInMemoryIsNotHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t)
		operation := l.Operation("op")
		var wg sync.WaitGroup
		defer wg.Wait()
		for i := range 20_000 {
			pause(100 * time.Microsecond)
			if reason := l.Admit(operation, overload.Call{}); reason != overload.Admitted {
				t.Fatalf("call %d: %v", i, reason)
			}
			wg.Go(func() {
				took := 50 * time.Microsecond
				if i%50 < 5 {
					took = 1500 * time.Microsecond
				}
				pause(took)
				l.Done(operation, took, true)
			})
		}
	})
}

func TestHopelessCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t)
		slow, fast := l.Operation("slow"), l.Operation("fast")
		for range 100 {
			for operation, took := range map[*overload.Operation]time.Duration{slow: 100 * time.Millisecond, fast: time.Millisecond} {
				if reason := l.Admit(operation, overload.Call{}); reason != overload.Admitted {
					t.Fatal(reason)
				}
				l.Done(operation, took, true)
			}
		}
		for _, test := range []struct {
			name string
			of   *overload.Operation
			left time.Duration
			want overload.Reason
		}{
			{"too little time", slow, 80 * time.Millisecond, overload.Hopeless},
			{"time enough", slow, 120 * time.Millisecond, overload.Admitted},
			{"no deadline", slow, 0, overload.Admitted},
			{"time enough for another operation", fast, 80 * time.Millisecond, overload.Admitted},
			{"one never seen", l.Operation("new"), time.Millisecond, overload.Admitted},
		} {
			got := l.Admit(test.of, overload.Call{Left: test.left})
			if got == overload.Admitted {
				l.Done(test.of, 0, false)
			}
			if got != test.want {
				t.Errorf("%s: got %v, want %v", test.name, got, test.want)
			}
		}
		// The backend may be fast again: somebody has to try.
		for refused := 0; l.Admit(slow, overload.Call{Left: 50 * time.Millisecond}) != overload.Admitted; refused++ {
			if refused > 100 {
				t.Fatal("calls are refused for ever")
			}
		}
		l.Done(slow, 40*time.Millisecond, true)
	})
}

// TestBusyProcessors: calls that wait before they begin are refused once the
// queue is there to stay, and not because of a single hiccup.
func TestBusyProcessors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t)
		operation := l.Operation("op")
		window := func(waited time.Duration) (refused int) {
			for range 100 {
				pause(time.Millisecond)
				if reason := l.Admit(operation, overload.Call{Waited: waited}); reason == overload.Admitted {
					l.Done(operation, 50*time.Microsecond, true)
				} else {
					refused++
				}
			}
			return refused
		}
		if refused := window(time.Millisecond) + window(30*time.Millisecond); refused > 0 {
			t.Errorf("%d were refused before there was a standing queue", refused)
		}
		window(30 * time.Millisecond)
		if refused := window(30 * time.Millisecond); refused < 90 {
			t.Errorf("%d of 100 were refused in a standing queue", refused)
		}
		window(time.Millisecond)
		if refused := window(30 * time.Millisecond); refused > 5 {
			t.Errorf("%d were refused after the queue was gone", refused)
		}
	})
}

// TestRefusalsAreSeen: in metrics each one, in the log a sum now and then.
func TestRefusalsAreSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l := overload.New("readers", slog.New(slog.NewTextHandler(&log, nil)))
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(l)
		operation := l.Operation("/shop/Buy")
		for range 40 {
			l.Admit(operation, overload.Call{Priority: overload.Interactive})
		}
		l.Admit(operation, overload.Call{Priority: overload.Background})
		pause(2 * time.Second)
		l.Done(operation, 2*time.Second, true)
		if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP overload_refused_total How many calls were refused, and why.
# TYPE overload_refused_total counter
overload_refused_total{operation="/shop/Buy",priority="background",reason="full",server="readers"} 1
overload_refused_total{operation="/shop/Buy",priority="interactive",reason="full",server="readers"} 8
# HELP overload_in_flight How many calls that count against the limit are in progress.
# TYPE overload_in_flight gauge
overload_in_flight{server="readers"} 31
`), "overload_refused_total", "overload_in_flight"); err != nil {
			t.Error(err)
		}
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "interactive=8 background=1") {
			t.Errorf("the log reads %q", got)
		}
	})
}
