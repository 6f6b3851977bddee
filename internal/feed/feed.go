// Package feed is what the services' feeds of changes have in common: how a
// writer wakes those who follow, and the loop of one follower's stream.
//
// It knows neither what is in a feed nor where it is kept.
package feed

import (
	"context"
	"sync"
	"time"

	"github.com/octavo-books/octavo/fault"
)

// Heartbeat is how long a stream stays silent at most.
const Heartbeat = 15 * time.Second

// Signal wakes any number of waiters at once. The zero value is ready.
type Signal struct {
	mu   sync.Mutex
	wake chan struct{}
}

// Wait returns a channel that the next Fire closes. Whoever looks for news
// takes the channel before looking, so that nothing slips in between.
func (s *Signal) Wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wake == nil {
		s.wake = make(chan struct{})
	}
	return s.wake
}

// Fire wakes everybody who waits.
func (s *Signal) Fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wake != nil {
		close(s.wake)
		s.wake = nil
	}
}

// Stream is one follower's way through a feed.
type Stream struct {
	// Changed returns a channel that is closed at the next commit.
	Changed func() <-chan struct{}
	// Send sends what comes after the position of the message before it, and
	// says whether there was something and whether there is more. With nothing
	// to send it sends a heartbeat if asked to, otherwise nothing. Its context also
	// ends when the service stops, so that no database that is silent holds that up.
	Send func(ctx context.Context, heartbeat bool) (sent, more bool, err error)
	// Heartbeat is the longest silence.
	Heartbeat time.Duration
}

var errStopping = fault.New(fault.Unavailable, "the service is stopping; connect again and resume from the last position")

// Follow sends everything there is, then each change as it comes. The first
// message goes out at once. It ends with the context's error, an error of
// Send, or Unavailable when stop is closed.
func (s Stream) Follow(ctx context.Context, stop <-chan struct{}) error {
	ctx, end := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer end(nil)
	watch.Go(func() {
		select {
		case <-stop:
			end(errStopping)
		case <-ctx.Done():
		}
	})
	timer := time.NewTimer(s.Heartbeat)
	defer timer.Stop()
	for silent := true; ; {
		changed := s.Changed()
		for more := true; more; {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			var sent bool
			var err error
			if sent, more, err = s.Send(ctx, silent); err != nil {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				return err
			}
			if sent || silent {
				timer.Reset(s.Heartbeat)
			}
			silent = false
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
			silent = true
		}
	}
}
