package recommendations

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// position is how far a feed has been applied, and lets others wait for more.
type position struct {
	value atomic.Int64

	mu      sync.Mutex
	changed chan struct{} // closed at the next set; nil when nobody waits
}

func (p *position) get() int64 { return p.value.Load() }

func (p *position) set(value int64) {
	p.value.Store(value)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// wait returns true as soon as the position is at least least, and false when
// that did not happen within limit or four fifths of what the context's
// deadline leaves: an answer that comes too late helps nobody.
func (p *position) wait(ctx context.Context, least int64, limit time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)*4/5)
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		changed := p.next()
		if p.get() >= least {
			return true
		}
		select {
		case <-changed:
		case <-timer.C:
			return p.get() >= least
		case <-ctx.Done():
			return p.get() >= least
		}
	}
}

func (p *position) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}
