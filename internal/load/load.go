// Package load sends calls at a given rate, whatever becomes of them, and
// measures each from the moment it was meant to be sent: a server that stalls is
// charged for every call that had to wait (no coordinated omission).
//
// It knows no service: what a call is, it is given. It never repeats a call, so
// that no failure is lost.
package load

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/octavo-books/octavo/fault"
)

// Call is one kind of call in a mix.
type Call struct {
	Name   string
	Weight float64 // relative to the others; above 0
	Do     func(context.Context) error
}

// Step is a stretch of time with one rate.
type Step struct {
	Rate     float64 // calls a second, above 0
	Duration time.Duration
}

// Config says what to send.
type Config struct {
	Calls []Call
	Steps []Step
	// MaxInFlight bounds memory: calls beyond it are not sent and counted as
	// Unsent. 0 means 10,000.
	MaxInFlight int
	// Timeout is the deadline of a call from when it is sent. 0 means 10 s.
	Timeout time.Duration
	// Seed chooses the calls and their distances.
	Seed uint64
}

// Unsent is the outcome of a call that was not sent because too many were in
// progress.
const Unsent = "unsent"

// OK is the outcome of a call that succeeded.
const OK = "ok"

// Outcomes is what became of calls.
type Outcomes struct {
	Name  string
	Sent  int64                   // meant to be sent, Unsent ones too
	By    map[string]int64        // by outcome: OK, Unsent, or the kind of the error
	Times *hdrhistogram.Histogram // of those that succeeded, in microseconds
}

// Second is what became of the calls that were meant for one second.
type Second struct {
	Rate           float64
	OK, Failed     int64
	P50, P99, Most time.Duration // of those that succeeded
}

// Result is what a run has measured.
type Result struct {
	Took    time.Duration
	Calls   []Outcomes
	Seconds []Second
}

// The range of times that are told apart, in microseconds.
const (
	shortest, longest = 1, int64(10 * time.Minute / time.Microsecond)
	digits            = 3
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(shortest, longest, digits) }

// recorder gathers outcomes.
type recorder struct {
	mu      sync.Mutex
	calls   []Outcomes
	seconds []second
}

type second struct {
	Second
	times *hdrhistogram.Histogram
}

func (r *recorder) record(call, at int, outcome string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, s := &r.calls[call], &r.seconds[at]
	c.Sent++
	c.By[outcome]++
	if outcome != OK {
		s.Failed++
		return
	}
	s.OK++
	// Out of range is impossible: deadlines are shorter.
	_ = c.Times.RecordValue(max(shortest, took.Microseconds()))
	if s.times == nil {
		s.times = hdrhistogram.New(shortest, longest, 2)
	}
	_ = s.times.RecordValue(max(shortest, took.Microseconds()))
}

// Run sends calls until the steps are over or ctx ends, and waits for those in
// progress. Calls come at random (a Poisson process), as those of many people
// do.
func Run(ctx context.Context, c Config) (*Result, error) {
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = 10_000
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	var weights, total float64
	for _, call := range c.Calls {
		if call.Weight <= 0 {
			return nil, errors.New("a call has no weight")
		}
		weights += call.Weight
	}
	for _, s := range c.Steps {
		if s.Rate <= 0 || s.Duration <= 0 {
			return nil, errors.New("a step has no rate or no duration")
		}
		total += s.Duration.Seconds()
	}
	if weights == 0 || total == 0 {
		return nil, errors.New("there is nothing to send")
	}
	r := &recorder{seconds: make([]second, int(total)+1)}
	for _, call := range c.Calls {
		r.calls = append(r.calls, Outcomes{Name: call.Name, By: map[string]int64{}, Times: newHistogram()})
	}
	random := rand.New(rand.NewPCG(c.Seed, 1))
	slots := make(chan struct{}, c.MaxInFlight)
	began := time.Now()
	var wg sync.WaitGroup
	var stepBegan time.Duration
	for _, step := range c.Steps {
		end := stepBegan + step.Duration
		for at := stepBegan; ; {
			at += time.Duration(random.ExpFloat64() / step.Rate * float64(time.Second))
			if at >= end || !waitUntil(ctx, began.Add(at)) {
				break
			}
			which := choose(c.Calls, random.Float64()*weights)
			inSecond := int(at / time.Second)
			r.seconds[inSecond].Rate = step.Rate
			select {
			case slots <- struct{}{}:
			default:
				r.record(which, inSecond, Unsent, 0)
				continue
			}
			wg.Go(func() {
				defer func() { <-slots }()
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.Timeout)
				defer cancel()
				err := c.Calls[which].Do(ctx)
				r.record(which, inSecond, outcome(err), time.Since(began.Add(at)))
			})
		}
		stepBegan = end
	}
	took := time.Since(began)
	wg.Wait()
	return r.result(took), nil
}

// waitUntil waits for a moment, and is false when ctx ended before.
func waitUntil(ctx context.Context, moment time.Time) bool {
	wait := time.Until(moment)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func choose(calls []Call, at float64) int {
	for i := range calls {
		if at -= calls[i].Weight; at < 0 {
			return i
		}
	}
	return len(calls) - 1
}

func outcome(err error) string {
	if err == nil {
		return OK
	}
	return fault.KindOf(err).String()
}

func (r *recorder) result(took time.Duration) *Result {
	result := &Result{Took: took, Calls: r.calls}
	for _, s := range r.seconds {
		if s.Rate == 0 {
			continue
		}
		if s.times != nil {
			s.P50, s.P99, s.Most = quantile(s.times, 50), quantile(s.times, 99), quantile(s.times, 100)
		}
		result.Seconds = append(result.Seconds, s.Second)
	}
	return result
}

// Total is all calls as one.
func (r *Result) Total() Outcomes {
	total := Outcomes{Name: "all", By: map[string]int64{}, Times: newHistogram()}
	for _, c := range r.Calls {
		total.Sent += c.Sent
		for outcome, n := range c.By {
			total.By[outcome] += n
		}
		total.Times.Merge(c.Times)
	}
	return total
}

// Quantile is the time within which a share of the calls succeeded that
// succeeded at all, in percent: 50 is the median.
func (o *Outcomes) Quantile(percent float64) time.Duration { return quantile(o.Times, percent) }

func quantile(h *hdrhistogram.Histogram, percent float64) time.Duration {
	return time.Duration(h.ValueAtQuantile(percent)) * time.Microsecond
}
