package chassis

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

type limitedKey struct{}

// TestLimitedContext: it is like a context of context.WithDeadline, whether
// somebody waits from the start, later or not at all.
func TestLimitedContext(t *testing.T) {
	for name, test := range map[string]struct {
		happens func(cancel func(), end func())
		want    error
	}{
		"nothing":              {func(func(), func()) {}, nil},
		"the deadline":         {func(func(), func()) { <-time.After(time.Second) }, context.DeadlineExceeded},
		"the parent ends":      {func(cancel, _ func()) { cancel() }, context.Canceled},
		"the call is over":     {func(_, end func()) { end() }, context.Canceled},
		"over, then too late":  {func(_, end func()) { end(); <-time.After(2 * time.Second) }, context.Canceled},
		"just before the time": {func(func(), func()) { <-time.After(time.Second - 1) }, nil},
	} {
		for _, waits := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				parent, cancel := context.WithCancel(context.WithValue(t.Context(), limitedKey{}, "the parent's"))
				defer cancel()
				var c limitedContext
				c.begin(parent, time.Now().Add(time.Second))
				defer c.end()
				if waits {
					_ = c.Done()
				}
				test.happens(cancel, c.end)
				synctest.Wait()
				if err := c.Err(); !errors.Is(err, test.want) || err == nil != (test.want == nil) {
					t.Errorf("%s, waits %v: the error is %v, want %v", name, waits, err, test.want)
				}
				if cause := context.Cause(&c); !errors.Is(cause, test.want) {
					t.Errorf("%s, waits %v: the cause is %v, want %v", name, waits, cause, test.want)
				}
				closed := false
				select {
				case <-c.Done():
					closed = true
				default:
				}
				if closed != (test.want != nil) {
					t.Errorf("%s, waits %v: that it is done is %v", name, waits, closed)
				}
				if c.Value(limitedKey{}) != "the parent's" {
					t.Errorf("%s, waits %v: the parent's value is not there", name, waits)
				}
			})
		}
	}
}

// TestLimitedContextEndsThoseMadeOfIt, and starts no goroutine for them.
func TestLimitedContextEndsThoseMadeOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c limitedContext
		c.begin(t.Context(), time.Now().Add(time.Second))
		before := runtime.NumGoroutine()
		child, cancel := context.WithCancel(&c)
		defer cancel()
		if after := runtime.NumGoroutine(); after != before {
			t.Errorf("%d goroutines more", after-before)
		}
		if child.Err() != nil {
			t.Error("ended before its parent")
		}
		c.end()
		synctest.Wait()
		if child.Err() != context.Canceled {
			t.Errorf("the error is %v after its parent has ended", child.Err())
		}
	})
}

// TestLimitedContextCostsNothing until somebody waits.
func TestLimitedContextCostsNothing(t *testing.T) {
	parent, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := new(limitedContext)
	if n := testing.AllocsPerRun(100, func() {
		c.inner, c.cancel, c.ended = nil, nil, false
		c.begin(parent, time.Now().Add(time.Second))
		if c.Err() != nil {
			t.Error("ended at once")
		}
		c.end()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
