package chassis

import (
	"context"
	"sync"
	"time"
)

// limitedContext is a context with a deadline, like that of
// context.WithDeadline, which it makes when somebody waits for its end: most
// handlers never do, and its timer and its place among the parent's children
// would be a good part of what the chain costs.
type limitedContext struct {
	context.Context // the parent
	deadline        time.Time

	mu     sync.Mutex
	ended  bool
	inner  context.Context // nil until it is needed
	cancel context.CancelFunc
}

func (c *limitedContext) begin(parent context.Context, deadline time.Time) {
	c.Context, c.deadline = parent, deadline
}

// end cancels it. It is to be called once the work is done.
func (c *limitedContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.cancel != nil {
		c.cancel()
	}
}

// wait returns the context that does the work, made at the first call.
func (c *limitedContext) wait() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		if c.ended { // before its time, whatever the time is now
			c.inner, c.cancel = context.WithCancel(c.Context)
			c.cancel()
		} else {
			c.inner, c.cancel = context.WithDeadline(c.Context, c.deadline)
		}
	}
	return c.inner
}

// Deadline is when the context ends of itself.
func (c *limitedContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Done is closed when the parent's is, at the deadline, or when the call has
// been handled.
func (c *limitedContext) Done() <-chan struct{} { return c.wait().Done() }

// Err is why Done is closed, nil while it is not.
func (c *limitedContext) Err() error {
	c.mu.Lock()
	over := c.inner != nil || c.ended || !time.Now().Before(c.deadline)
	c.mu.Unlock()
	if over {
		return c.wait().Err()
	}
	if c.Context.Err() != nil {
		return c.wait().Err()
	}
	return nil
}

// Value is the parent's. Once somebody waits it is by way of the context that is
// waited for, where package context finds it: contexts made of this one then
// end with it without a goroutine each.
func (c *limitedContext) Value(key any) any {
	c.mu.Lock()
	inner := c.inner
	c.mu.Unlock()
	if inner != nil {
		return inner.Value(key)
	}
	return c.Context.Value(key)
}
