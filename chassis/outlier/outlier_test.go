package outlier

import (
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// clock makes a watcher of replicas whose time is the test's.
func clock(replicas int) (w *watcher, all []*replica, pass func(time.Duration)) {
	now := time.Unix(0, 0)
	w = &watcher{now: func() time.Time { return now }, replicas: map[balancer.SubConn]*replica{}}
	for range replicas {
		r := &replica{}
		all = append(all, r)
		w.replicas[&connection{}] = r
	}
	return w, all, func(d time.Duration) { now = now.Add(d) }
}

type connection struct {
	balancer.SubConn
	_ int // so that two have two addresses
}

func answer(code codes.Code, received bool) balancer.DoneInfo {
	return balancer.DoneInfo{Err: status.Error(code, ""), BytesReceived: received}
}

var (
	well   = balancer.DoneInfo{BytesReceived: true}
	broken = answer(codes.Internal, true)
	silent = answer(codes.DeadlineExceeded, false)
)

// TestWhoIsEjected: what a replica has to do, and how many may go.
func TestWhoIsEjected(t *testing.T) {
	for _, test := range []struct {
		name     string
		replicas int
		outcomes []balancer.DoneInfo // of each of 20 calls, in turn
		want     int                 // how many of the replicas go when all do that
	}{
		{"answers", 3, []balancer.DoneInfo{well}, 0},
		{"fails now and then", 3, []balancer.DoneInfo{broken, well, well}, 0},
		{"refuses under load", 3, []balancer.DoneInfo{answer(codes.ResourceExhausted, true)}, 0},
		{"does not find", 3, []balancer.DoneInfo{answer(codes.NotFound, true)}, 0},
		{"says that the deadline was too short", 3, []balancer.DoneInfo{answer(codes.DeadlineExceeded, true)}, 0},
		{"fails", 3, []balancer.DoneInfo{broken}, 1},
		{"fails, one of five", 5, []balancer.DoneInfo{broken}, 2},
		{"fails, the only one", 1, []balancer.DoneInfo{broken}, 0},
		{"lacks what it depends on", 3, []balancer.DoneInfo{answer(codes.Unavailable, true)}, 1},
		{"is silent", 3, []balancer.DoneInfo{silent}, 3},
		{"is silent, the only one", 1, []balancer.DoneInfo{silent}, 1},
		{"restarts", 3, []balancer.DoneInfo{answer(codes.Unavailable, false)}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, all, _ := clock(test.replicas)
			for i := range 20 {
				for _, r := range all {
					r.learn(w, test.outcomes[i%len(test.outcomes)])
				}
			}
			var got int
			for _, r := range all {
				if !r.admits(w.now()) {
					got++
				}
			}
			if got != test.want {
				t.Errorf("%d of %d are ejected, want %d", got, test.replicas, test.want)
			}
		})
	}
}

// TestTheWayBack: one call at a time, later and later while they fail, and all
// calls after three that succeed.
func TestTheWayBack(t *testing.T) {
	w, all, pass := clock(1)
	r := all[0]
	for range minFailures {
		r.learn(w, silent)
	}
	for _, pause := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 4 * time.Second} {
		pass(pause - time.Millisecond)
		if r.admits(w.now()) {
			t.Fatalf("it is tried before %v", pause)
		}
		pass(time.Millisecond)
		if !r.admits(w.now()) {
			t.Fatalf("it is not tried after %v", pause)
		}
		if r.admits(w.now()) {
			t.Fatal("it gets a second call before the first has ended")
		}
		r.learn(w, silent)
	}
	pass(maxEjection)
	for range readmission {
		if !r.admits(w.now()) {
			t.Fatal("it is not tried again after a success")
		}
		r.learn(w, well)
	}
	for range 2 { // at once
		if !r.admits(w.now()) {
			t.Error("it is not back")
		}
	}
}

// TestOldFailuresAreForgotten: what counts is the last two seconds.
func TestOldFailuresAreForgotten(t *testing.T) {
	w, all, pass := clock(1)
	for range 10 * minFailures {
		all[0].learn(w, silent)
		if all[0].ejected.Load() {
			t.Fatal("it is ejected for failures that are seconds apart")
		}
		pass(interval)
	}
}
