// Package outlier is a load balancer for gRPC clients: round robin over the
// healthy replicas, without those whose calls fail. It is the circuit breaker
// of each replica, and so of a service with one.
//
// A replica is ejected as soon as at least half of its recent calls failed, and
// is let back by single calls that succeed: the first a second later, then two
// and four. Replicas that answer with errors go only while most of the others
// stay; those from which no answer comes always do. If all are ejected, calls
// fail at once.
//
// grpc-go has outlier detection (gRFC A50) in an internal package that only
// its xDS client registers; to import that brings the whole of Envoy's
// control plane, and its sweep ejects after an interval, not at once.
//
// It never ejects for what a living replica says about a call: a refusal under
// load, a deadline that was too short, a request that is wrong.
package outlier

import (
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/roundrobin"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"
)

// Name is the balancer's name in a service config.
const Name = "octavo_outlier_round_robin"

const (
	// interval is how long calls count: those of this one and of the one before.
	interval = time.Second
	// minFailures is how many calls have to fail before a replica is ejected.
	minFailures = 10

	firstEjection = time.Second
	maxEjection   = 4 * time.Second
	// readmission is how many single calls in a row must succeed.
	readmission = 3
	// probeTimeout is after how long a single call is taken for lost.
	probeTimeout = 5 * time.Second
)

// ErrEjected is what calls fail with while all replicas are ejected.
var ErrEjected = status.Error(codes.Unavailable, "the service has failed too often; it is being tried again, one call at a time")

// builder builds balancers around round robin.
type builder struct{ now func() time.Time }

// NewBuilder makes a builder to be registered with grpc-go.
func NewBuilder() balancer.Builder { return builder{time.Now} }

// Name is that in a service config.
func (builder) Name() string { return Name }

// Build makes the balancer of one connection.
func (b builder) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	watched := &watcher{ClientConn: cc, now: b.now, replicas: make(map[balancer.SubConn]*replica)}
	return balancer.Get(roundrobin.Name).Build(watched, opts)
}

// watcher stands between round robin and the connection, and puts a picker of
// its own around round robin's.
type watcher struct {
	balancer.ClientConn
	now func() time.Time

	mu       sync.Mutex
	replicas map[balancer.SubConn]*replica
}

// NewSubConn forgets replicas whose connections have been shut down.
func (w *watcher) NewSubConn(addrs []resolver.Address, opts balancer.NewSubConnOptions) (balancer.SubConn, error) {
	var made balancer.SubConn
	listener := opts.StateListener
	opts.StateListener = func(s balancer.SubConnState) {
		if s.ConnectivityState == connectivity.Shutdown {
			w.mu.Lock()
			delete(w.replicas, made)
			w.mu.Unlock()
		}
		listener(s)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	conn, err := w.ClientConn.NewSubConn(addrs, opts) //nolint:staticcheck // as round robin does, with the one address it gives
	made = conn
	return conn, err
}

// UpdateState wraps round robin's picker.
func (w *watcher) UpdateState(s balancer.State) {
	if s.ConnectivityState == connectivity.Ready {
		s.Picker = &picker{Picker: s.Picker, watcher: w}
	}
	w.ClientConn.UpdateState(s)
}

// replica finds what is known of a connection to a replica.
func (w *watcher) replica(conn balancer.SubConn) *replica {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.replicas[conn]
	if r == nil {
		r = &replica{}
		w.replicas[conn] = r
	}
	return r
}

// ejectable is whether a replica may go for failures that may be due to the
// calls: only while most of the others stay.
func (w *watcher) ejectable() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ejected int
	for _, r := range w.replicas {
		if r.ejected.Load() {
			ejected++
		}
	}
	return 2*(ejected+1) < len(w.replicas)+1
}

type picker struct {
	balancer.Picker
	watcher  *watcher
	replicas sync.Map // of *replica by balancer.SubConn
}

// Pick passes over ejected replicas, but for the single calls that try them.
func (p *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	now := p.watcher.now()
	// Concurrent picks may have had the turns of some; twice round is enough.
	for turn := 0; turn == 0 || turn < 2*p.watcher.count(); turn++ {
		result, err := p.Picker.Pick(info)
		if err != nil {
			return result, err
		}
		r := p.of(result.SubConn)
		if !r.admits(now) {
			if result.Done != nil {
				result.Done(balancer.DoneInfo{})
			}
			continue
		}
		done := result.Done
		result.Done = func(info balancer.DoneInfo) {
			if done != nil {
				done(info)
			}
			r.learn(p.watcher, info)
		}
		return result, nil
	}
	return balancer.PickResult{}, ErrEjected
}

func (w *watcher) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.replicas)
}

func (p *picker) of(conn balancer.SubConn) *replica {
	if r, ok := p.replicas.Load(conn); ok {
		return r.(*replica)
	}
	r := p.watcher.replica(conn)
	p.replicas.Store(conn, r)
	return r
}

// replica is what its recent calls say about one.
type replica struct {
	ejected atomic.Bool // to be read without mu

	mu        sync.Mutex
	began     time.Time // of the interval
	calls     [2]int    // of this interval and the one before
	broken    [2]int    // failed, maybe because of the call
	away      [2]int    // failed because the replica does not answer
	until     time.Time // when an ejected one is tried again
	ejections int       // in a row
	probing   time.Time // when the single call under way began; zero for none
	succeeded int       // single calls in a row
}

// admits is whether a call may be sent.
func (r *replica) admits(now time.Time) bool {
	if !r.ejected.Load() {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ejected.Load() {
		return true
	}
	if now.Before(r.until) || now.Sub(r.probing) < probeTimeout {
		return false
	}
	r.probing = now
	return true
}

// learn takes the outcome of a call in.
func (r *replica) learn(w *watcher, info balancer.DoneInfo) {
	now := w.now()
	broken, away := judge(info)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ejected.Load() {
		r.tried(now, broken || away, info.Err)
		return
	}
	switch since := now.Sub(r.began); {
	case since >= 2*interval:
		r.began, r.calls, r.broken, r.away = now, [2]int{}, [2]int{}, [2]int{}
	case since >= interval:
		r.began = now
		r.calls[0], r.calls[1] = 0, r.calls[0]
		r.broken[0], r.broken[1] = 0, r.broken[0]
		r.away[0], r.away[1] = 0, r.away[0]
	}
	r.calls[0]++
	if !broken && !away {
		return
	}
	if away {
		r.away[0]++
	} else {
		r.broken[0]++
	}
	calls, gone := r.calls[0]+r.calls[1], r.away[0]+r.away[1]
	failed := gone + r.broken[0] + r.broken[1]
	if failed < minFailures || 2*failed < calls {
		return
	}
	if (gone >= minFailures && 2*gone >= calls) || w.ejectable() {
		r.eject(now)
	}
}

// tried takes in the outcome of a call to an ejected replica: the single one,
// or one sent before.
func (r *replica) tried(now time.Time, failed bool, err error) {
	if r.probing.IsZero() {
		return
	}
	r.probing = time.Time{}
	switch {
	case failed:
		r.eject(now)
	case err != nil && status.Code(err) == codes.Canceled:
		// Says nothing.
	default:
		if r.succeeded++; r.succeeded >= readmission {
			r.ejected.Store(false)
			r.ejections, r.succeeded = 0, 0
		}
	}
}

func (r *replica) eject(now time.Time) {
	r.until = now.Add(min(maxEjection, firstEjection<<r.ejections))
	r.ejections = min(r.ejections+1, 10)
	r.succeeded, r.probing = 0, time.Time{}
	r.calls, r.broken, r.away = [2]int{}, [2]int{}, [2]int{}
	r.ejected.Store(true)
}

// judge is what the outcome of a call says about the replica. One from which not
// a word came until the deadline is away. One that answers UNAVAILABLE is alive,
// and may be right: to eject all that say so would take a service down with what
// it depends on. The end of a connection is grpc-go's to deal with: a replica
// that has restarted is not to wait.
func judge(info balancer.DoneInfo) (broken, away bool) {
	switch status.Code(info.Err) {
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return true, false
	case codes.Unavailable:
		return info.BytesReceived, false
	case codes.DeadlineExceeded:
		return false, !info.BytesReceived
	default:
		return false, false
	}
}
