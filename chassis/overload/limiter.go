// Package overload decides which calls a server takes when more arrive than it
// can answer: as many at once as it answers in good time, those that somebody
// waits for before those that can come later, and none that would be answered
// too late. Whoever is refused is told at once; nothing is queued, so that
// overload takes no memory.
//
// It knows neither gRPC nor HTTP, and starts no goroutine. It does not bound
// streams, which last as long as they like.
package overload

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	initialLimit = 32
	minLimit     = 4
	maxLimit     = 1000

	// window is how much time the limiter looks at before it decides, longer
	// when calls are slow or few.
	window     = 100 * time.Millisecond
	longWindow = time.Second
	minSamples = 10

	// tolerance is how many times the usual time calls may take before the
	// limit is lowered.
	tolerance = 1.25
	smoothing = 0.7
	// calming is the share of the way back to the initial limit that is gone in a
	// window of calm, so that the next burst fits.
	calming = 0.1
	// negligible is a time that nobody notices: calls that are faster are not
	// worth fewer calls, however much slower than usual they are.
	negligible = 2 * time.Millisecond

	// Under lasting overload, a probe every probeEvery lets few calls in for
	// two windows, to see what they take without one another.
	probeEvery  = 10 * time.Second
	firstProbe  = time.Second
	probeDivide = 4

	backgroundShare = 0.25

	// Controlled delay: when no call of a window was begun within standingWait
	// of its arrival, there is a queue that does not go away.
	standingWait    = 10 * time.Millisecond
	standingSamples = 20

	// A method's typical time counts once it was seen trustedCalls times.
	trustedCalls = 32

	logEvery = 10 * time.Second
)

// Reason is why a call is refused.
type Reason uint8

// The reasons.
const (
	Admitted Reason = iota
	Full            // as many calls as the server answers in good time are in progress
	Delayed         // calls wait for a processor, this one too long already
	Hopeless        // the caller's deadline is nearer than the answer
	reasons
)

// String is the reason's name in metrics.
func (r Reason) String() string {
	return [reasons]string{"admitted", "full", "delayed", "hopeless"}[r]
}

// Limiter bounds how many calls are in progress at once.
//
// The bound follows what calls take, as TCP Vegas and Netflix's
// concurrency-limits do (gradient2): every window compares the time calls took
// with their usual time, method by method, so that a change in the mix of
// calls is not mistaken for a change in load. While calls take no longer than
// tolerance × usual, the bound grows when it is reached; otherwise it shrinks
// in proportion. The usual time is learned while there is room; under lasting
// overload, probes with few calls keep it true (as BBR probes the round-trip
// time).
//
// Background calls get backgroundShare of the bound. The rest is free for
// interactive ones to come in at any time without a queue.
//
// Work that keeps processors busy does not show in what calls take once begun.
// For that there is controlled delay as in Facebook's "Fail at Scale" (Maurer,
// ACM Queue 2015): see Call.Waited.
type Limiter struct {
	server       string
	log          *slog.Logger
	descriptions descriptions

	inFlight  atomic.Int64
	limits    [priorities]atomic.Int64
	windowEnd atomic.Int64 // nanoseconds since start
	start     time.Time

	// Of this window.
	peak     atomic.Int64
	admitted [priorities]atomic.Int64
	refused  [priorities]atomic.Int64
	minWait  atomic.Int64 // nanoseconds, 0 for a call whose arrival is unknown
	standing atomic.Bool

	operations sync.Map // of *Operation by name

	mu        sync.Mutex // held by who ends a window
	limit     float64
	probing   int // windows left
	nextProbe time.Duration
	untested  bool // a usual time was learned under load
	unlogged  [priorities]int64
	lastLog   time.Duration
}

// Operation is one kind of calls to a server: a method, a route.
type Operation struct {
	name    string
	refused [priorities][reasons]atomic.Uint64

	// Of this window.
	took  atomic.Int64 // nanoseconds
	calls atomic.Int64

	usual time.Duration // of an unhindered call; guarded by Limiter.mu

	typical atomic.Int64  // median, nanoseconds
	seen    atomic.Uint32 // up to trustedCalls
}

// Call is what is known of a call when it asks to be taken.
type Call struct {
	Priority Priority
	// Waited is how long ago the call arrived; 0 if that is not known.
	Waited time.Duration
	// Left is the time until the caller's deadline; 0 if there is none.
	Left time.Duration
}

// New makes a limiter for a server, which is named in metrics and log.
func New(server string, log *slog.Logger) *Limiter {
	l := &Limiter{server: server, log: log, descriptions: newDescriptions(server), start: time.Now(), limit: initialLimit, nextProbe: firstProbe}
	l.setLimits(initialLimit, backgroundShare*initialLimit)
	l.minWait.Store(math.MaxInt64)
	l.windowEnd.Store(int64(window))
	return l
}

// Operation finds or makes an operation. There is no end to an operation: the
// names must not be made up by clients.
func (l *Limiter) Operation(name string) *Operation {
	if o, ok := l.operations.Load(name); ok {
		return o.(*Operation)
	}
	o, _ := l.operations.LoadOrStore(name, &Operation{name: name})
	return o.(*Operation)
}

// Admit takes a call of an operation or refuses it. One that is Admitted must
// be followed by exactly one Done.
func (l *Limiter) Admit(o *Operation, c Call) Reason {
	reason := l.judge(o, c)
	if reason == Admitted {
		return Admitted
	}
	o.refused[c.Priority][reason].Add(1)
	if reason != Hopeless {
		l.refused[c.Priority].Add(1)
	}
	l.roll()
	return reason
}

func (l *Limiter) judge(o *Operation, c Call) Reason {
	if c.Left != 0 && int64(c.Left) < o.typical.Load() && o.seen.Load() >= trustedCalls {
		// So that one bad minute does not turn callers away for ever.
		o.typical.Store(o.typical.Load() * 63 / 64)
		return Hopeless
	}
	for wait := l.minWait.Load(); int64(c.Waited) < wait && !l.minWait.CompareAndSwap(wait, int64(c.Waited)); {
		wait = l.minWait.Load()
	}
	if c.Waited > standingWait && l.standing.Load() {
		return Delayed
	}
	n := l.inFlight.Add(1)
	if n > l.limits[c.Priority].Load() {
		l.inFlight.Add(-1)
		return Full
	}
	for peak := l.peak.Load(); n > peak && !l.peak.CompareAndSwap(peak, n); {
		peak = l.peak.Load()
	}
	l.admitted[c.Priority].Add(1)
	return Admitted
}

// Done ends a call that was admitted. A telling one, whose time says how fast
// the server is, did its work or ran out of time: one that failed early or was
// given up is none.
func (l *Limiter) Done(o *Operation, took time.Duration, telling bool) {
	l.inFlight.Add(-1)
	if telling {
		o.took.Add(int64(took))
		o.calls.Add(1)
		o.learnTypical(int64(took))
	}
	l.roll()
}

// learnTypical moves the median towards a time by a share of itself: "Frugal
// streaming for estimating quantiles" (Ma, Muthukrishnan and Sandler, 2013).
// Concurrent calls may overwrite one another's step, which does no harm.
func (o *Operation) learnTypical(took int64) {
	if n := o.seen.Load(); n < trustedCalls {
		o.seen.Store(n + 1)
	}
	switch typical := o.typical.Load(); {
	case typical == 0:
		o.typical.Store(took)
	case took > typical:
		o.typical.Store(typical + typical/16 + 1)
	case took < typical:
		o.typical.Store(typical - typical/16)
	}
}

// roll ends the window if it is over.
func (l *Limiter) roll() {
	now := time.Since(l.start)
	if int64(now) < l.windowEnd.Load() || !l.mu.TryLock() {
		return
	}
	defer l.mu.Unlock()
	if end := time.Duration(l.windowEnd.Load()); now >= end {
		l.endWindow(now, now-end+window >= longWindow)
	}
}

// endWindow decides. It goes on looking when there were too few calls to judge
// by, unless that has lasted long.
func (l *Limiter) endWindow(now time.Duration, long bool) {
	var calls int64
	l.operations.Range(func(_, o any) bool {
		calls += o.(*Operation).calls.Load()
		return true
	})
	if calls < minSamples && !long {
		return
	}
	peak := l.peak.Swap(l.inFlight.Load())
	var admitted, refused [priorities]int64
	for p := range priorities {
		admitted[p], refused[p] = l.admitted[p].Swap(0), l.refused[p].Swap(0)
	}
	wait := l.minWait.Swap(math.MaxInt64)
	l.standing.Store(admitted[Interactive]+admitted[Background]+refused[Interactive]+refused[Background] >= standingSamples &&
		wait != math.MaxInt64 && time.Duration(wait) > standingWait)

	turnedAway := refused[Interactive]+refused[Background] > 0
	busy := turnedAway || float64(peak) >= l.limit/2
	slowdown, expected := l.learn(busy, l.probing == 1)

	switch {
	case l.probing > 1:
		l.probing--
	case l.probing == 1:
		l.probing = 0
		l.setLimits(l.limit, backgroundShare*l.limit)
	case busy && calls > 0:
		l.adjust(slowdown, turnedAway || float64(peak) >= 0.9*l.limit)
		l.setLimits(l.limit, backgroundShare*l.limit)
		if now >= l.nextProbe && turnedAway && (slowdown > tolerance || l.untested) {
			l.nextProbe, l.untested, l.probing = now+probeEvery, false, 2
			l.probe(admitted, refused)
		}
	}
	if !busy && l.limit < initialLimit {
		l.limit += calming * (initialLimit - l.limit)
		l.setLimits(l.limit, backgroundShare*l.limit)
	}
	l.report(now, refused)
	l.windowEnd.Store(int64(now + max(window, 2*min(expected, longWindow))))
}

// learn takes the times of the window in, and returns how many times the usual
// time they were, and the mean of that.
func (l *Limiter) learn(busy, probed bool) (slowdown float64, expected time.Duration) {
	var took, usually, calls float64
	l.operations.Range(func(_, value any) bool {
		o := value.(*Operation)
		n, sum := o.calls.Swap(0), o.took.Swap(0)
		if n == 0 {
			return true
		}
		mean := time.Duration(sum / n)
		switch {
		case o.usual == 0:
			o.usual = mean
			l.untested = l.untested || busy
		case probed, mean < o.usual:
			o.usual += (mean - o.usual) / 2
		case !busy:
			o.usual += (mean - o.usual) / 8
		}
		took += float64(sum)
		usually += float64(n) * float64(max(o.usual, negligible))
		calls += float64(n)
		return true
	})
	if calls == 0 {
		return 1, 0
	}
	return took / usually, time.Duration(usually / calls)
}

// adjust moves the limit, upwards only if it was reached.
func (l *Limiter) adjust(slowdown float64, reached bool) {
	gradient := min(1, max(0.5, tolerance/slowdown))
	target := l.limit * gradient
	if reached {
		target += math.Sqrt(l.limit) / 2
	}
	l.limit += smoothing * (target - l.limit)
	l.limit = min(maxLimit, max(minLimit, l.limit))
}

// probe lets in so few calls that they do not wait for one another. Where
// background calls are what is too much, doing without them is enough.
func (l *Limiter) probe(admitted, refused [priorities]int64) {
	if admitted[Background] > 0 && admitted[Interactive] >= max(minSamples/2, 10*refused[Interactive]) {
		l.setLimits(l.limit, 0)
		return
	}
	few := max(1, l.limit/probeDivide)
	l.setLimits(few, few)
}

func (l *Limiter) setLimits(interactive, background float64) {
	l.limits[Interactive].Store(int64(interactive))
	l.limits[Background].Store(int64(math.Ceil(background)))
}

// report logs, now and then, how many calls were refused: a record for each
// would be part of the problem.
func (l *Limiter) report(now time.Duration, refused [priorities]int64) {
	for p := range priorities {
		l.unlogged[p] += refused[p]
	}
	if l.unlogged == [priorities]int64{} || (l.lastLog != 0 && now-l.lastLog < logEvery) {
		return
	}
	l.log.LogAttrs(context.Background(), slog.LevelWarn, "overloaded: calls were refused",
		slog.String("server", l.server), slog.Int64("interactive", l.unlogged[Interactive]),
		slog.Int64("background", l.unlogged[Background]), slog.Int("limit", int(l.limit)))
	l.unlogged, l.lastLog = [priorities]int64{}, now
}
