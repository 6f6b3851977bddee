package chassis

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// room is a listener with space for so many, and the connections it has taken.
type room struct {
	*boundedListener
	t *testing.T
}

func newRoom(t *testing.T, limit int, spare int64) *room {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &room{newBoundedListener("test", l, limit, spare, nil, newConnectionMetrics(), slog.New(slog.DiscardHandler)), t}
}

// enter is both ends of a new connection.
func (r *room) enter() (*connection, net.Conn) {
	r.t.Helper()
	client, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { client.Close() })
	c, err := r.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c.(*connection), client
}

// open tells whether the server still holds a client's connection.
func open(t *testing.T, client net.Conn) bool {
	t.Helper()
	if err := client.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, err := client.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func TestWhoMakesRoom(t *testing.T) {
	answered := func(c *connection) { c.begin(); c.end(true) }
	givenUp := func(c *connection) { c.begin(); c.end(false) }
	working := func(c *connection) { c.begin() }
	nothing := func(*connection) {}
	for name, test := range map[string]struct {
		inside []func(*connection) // in the order they came
		leaves int                 // which of them; -1 for the newcomer
	}{
		"the oldest of those who did nothing":       {[]func(*connection){nothing, nothing, nothing}, 0},
		"who did nothing, before who did something": {[]func(*connection){answered, answered, nothing}, 2},
		"who gave up what it asked for":             {[]func(*connection){answered, givenUp, answered}, 1},
		"who has been idle for longest":             {[]func(*connection){answered, answered, answered}, 0},
		"nobody who works":                          {[]func(*connection){working, answered, working}, 1},
		"the newcomer, when all work":               {[]func(*connection){working, working, working}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t, len(test.inside), 0)
			var clients []net.Conn
			for _, do := range test.inside {
				c, client := r.enter()
				do(c)
				clients = append(clients, client)
			}
			newcomer, err := net.Dial("tcp", r.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer newcomer.Close()
			accepted := make(chan net.Conn, 1)
			go func() {
				c, _ := r.Accept()
				accepted <- c
			}()
			for i, client := range clients {
				if want := i != test.leaves; test.leaves < 0 || want {
					continue
				}
				eventuallyClosed(t, client)
			}
			if test.leaves < 0 {
				eventuallyClosed(t, newcomer)
				r.Close()
			}
			if c := <-accepted; (c != nil) != (test.leaves >= 0) {
				t.Errorf("the newcomer is accepted: %v", c != nil)
			} else if c != nil {
				defer c.Close()
			}
			for i, client := range clients {
				if i != test.leaves && !open(t, client) {
					t.Errorf("connection %d was closed", i)
				}
			}
		})
	}
}

func eventuallyClosed(t *testing.T, client net.Conn) {
	t.Helper()
	if err := client.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("there is something to read")
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is still open")
	}
}

// TestAPlaceIsGivenAwayOnce: closing twice, and after having been put out, does
// not count twice.
func TestAPlaceIsGivenAwayOnce(t *testing.T) {
	r := newRoom(t, 2, 0)
	for range 10 {
		c, _ := r.enter()
		_ = c.Close()
		_ = c.Close()
	}
	first, _ := r.enter()
	r.enter()
	r.enter() // puts the first one out
	_ = first.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.conns) != 2 {
		t.Errorf("%d connections are counted, want 2", len(r.conns))
	}
}

func TestBytesThatAreWasted(t *testing.T) {
	const spare = 100_000
	send := func(t *testing.T, request func(*connection)) (received int, err error) {
		t.Helper()
		r := newRoom(t, 1, spare)
		c, client := r.enter()
		go func() {
			defer client.Close()
			for range 10 * spare / 1000 {
				if _, err := client.Write(make([]byte, 1000)); err != nil {
					return
				}
			}
		}()
		buffer := make([]byte, 1000)
		for err == nil {
			var n int
			n, err = c.Read(buffer)
			received += n
			request(c)
		}
		return received, err
	}
	t.Run("a flood", func(t *testing.T) {
		if received, err := send(t, func(*connection) {}); !errors.Is(err, errFlood) || received > spare {
			t.Errorf("%d bytes were read, then %v", received, err)
		}
	})
	t.Run("requests", func(t *testing.T) {
		if received, err := send(t, func(c *connection) { c.begin(); c.end(true) }); !errors.Is(err, io.EOF) || received != 10*spare {
			t.Errorf("%d bytes were read, then %v", received, err)
		}
	})
}

// TestWhoGivesUpManyRequests: over HTTP/2 that costs nothing to whoever does it.
func TestWhoGivesUpManyRequests(t *testing.T) {
	c, client := newRoom(t, 1, 0).enter()
	ctx, giveUp := context.WithCancel(context.WithValue(t.Context(), connectionKey{}, c))
	giveUp()
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	request.ProtoMajor = 2
	ask := new(httpServer).identify(func(*exchange, *http.Request) {})
	n := 0
	for ; !c.flooded.Load() && n < 10*givenUpAtOnce; n++ {
		ask(&exchange{ResponseWriter: httptest.NewRecorder()}, request)
	}
	if n <= givenUpAtOnce || n == 10*givenUpAtOnce {
		t.Errorf("disconnected after %d requests, want a few more than %d", n, givenUpAtOnce)
	}
	eventuallyClosed(t, client)
}

// TestTheFirstRequests: until one has been answered, only some are handled at
// once, and those that are given up while they wait are not handled at all.
func TestTheFirstRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &connection{listener: &boundedListener{}, first: make(chan struct{}, requestsAtFirst)}
		ctx, giveUp := context.WithCancel(t.Context())
		answer := make(chan struct{})
		var handled, over atomic.Int32
		ask := func(n int) {
			for range n {
				go func() {
					c.handle(ctx, func() {
						handled.Add(1)
						select {
						case <-ctx.Done():
						case <-answer:
						}
					})
					over.Add(1)
				}()
			}
			synctest.Wait()
		}
		ask(100)
		if got := handled.Load(); got != requestsAtFirst {
			t.Errorf("%d of 100 are handled, want %d", got, requestsAtFirst)
		}
		giveUp()
		synctest.Wait()
		if over.Load() != 100 || handled.Load() != requestsAtFirst {
			t.Errorf("all are given up: %d are over, %d were handled", over.Load(), handled.Load())
		}
		handled.Store(0)
		ctx = t.Context()
		ask(2 * requestsAtFirst)
		if got := handled.Load(); got != requestsAtFirst {
			t.Errorf("after others were given up %d are handled, want %d", got, requestsAtFirst)
		}
		answer <- struct{}{}
		synctest.Wait()
		ask(100)
		if got := handled.Load(); got < 100 {
			t.Errorf("after an answer %d of 100 more are handled", got)
		}
		close(answer)
		synctest.Wait()
	})
}
