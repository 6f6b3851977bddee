package feed_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/feed"
)

// source is a feed of numbers and a record of what was sent of it.
type source struct {
	signal   feed.Signal
	mu       sync.Mutex
	head, at int
	messages []int // numbers in each message
	fail     error
}

func (s *source) add(n int) {
	s.mu.Lock()
	s.head += n
	s.mu.Unlock()
	s.signal.Fire()
}

// send sends three numbers at a time.
func (s *source) send(_ context.Context, heartbeat bool) (sent, more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(3, s.head-s.at)
	if s.fail != nil || n == 0 && !heartbeat {
		return false, false, s.fail
	}
	s.at += n
	s.messages = append(s.messages, n)
	return true, s.at < s.head, nil
}

func (s *source) follow(ctx context.Context, stop chan struct{}) <-chan error {
	ended := make(chan error, 1)
	go func() {
		stream := feed.Stream{Changed: s.signal.Wait, Send: s.send, Heartbeat: 15 * time.Second}
		ended <- stream.Follow(ctx, stop)
	}()
	return ended
}

func (s *source) expect(t *testing.T, when string, want ...int) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.messages, want) {
		t.Fatalf("%s: messages of %v, want %v", when, s.messages, want)
	}
	s.messages = nil
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{head: 7}
		stop := make(chan struct{})
		ended := s.follow(t.Context(), stop)
		s.expect(t, "at the start", 3, 3, 1)
		s.add(2)
		s.expect(t, "after a commit", 2)
		s.signal.Fire()
		s.expect(t, "woken for nothing")
		time.Sleep(14 * time.Second)
		s.add(1)
		s.expect(t, "14 s later", 1)
		time.Sleep(14 * time.Second)
		s.expect(t, "14 s after the last message")
		time.Sleep(time.Second)
		s.expect(t, "15 s after the last message", 0)
		time.Sleep(30 * time.Second)
		s.expect(t, "30 s later", 0, 0)
		close(stop)
		if err := <-ended; fault.KindOf(err) != fault.Unavailable {
			t.Errorf("stopped: %v, want Unavailable", err)
		}
	})
}

func TestFollowSpeaksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		ctx, cancel := context.WithCancel(t.Context())
		ended := s.follow(ctx, nil)
		s.expect(t, "at the start of an empty feed", 0)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
	})
}

func TestFollowEndsWithAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		ended := s.follow(t.Context(), nil)
		synctest.Wait()
		s.mu.Lock()
		s.fail = errors.New("disk on fire")
		s.mu.Unlock()
		s.signal.Fire()
		if err := <-ended; !errors.Is(err, s.fail) {
			t.Errorf("got %v, want %v", err, s.fail)
		}
	})
}

// A database that does not answer keeps no service from stopping.
func TestFollowStopsWhileItReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- feed.Stream{
				Changed: (&feed.Signal{}).Wait,
				Send: func(ctx context.Context, _ bool) (bool, bool, error) {
					<-ctx.Done()
					return false, false, ctx.Err()
				},
				Heartbeat: time.Second,
			}.Follow(t.Context(), stop)
		}()
		synctest.Wait()
		close(stop)
		if err := <-ended; fault.KindOf(err) != fault.Unavailable {
			t.Errorf("stopped: %v, want Unavailable", err)
		}
	})
}
