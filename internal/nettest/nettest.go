// Package nettest is a network between two ends of a test. It can close, and
// then ends all connections at once. It can go silent, and then takes all bytes,
// passes none on and ends nothing, as when a firewall has forgotten a connection
// or a cable is out. FreeAddress is for what is told where to listen.
package nettest

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy passes connections on to one address.
type Proxy struct {
	// Addr is what to connect to, on loopback.
	Addr string

	to       string
	listener net.Listener
	tasks    sync.WaitGroup
	mu       sync.Mutex
	silent   bool
	closed   bool
	links    map[*link]bool
}

// link is a connection. Once silent it stays so.
type link struct {
	mu     sync.Mutex
	silent bool
	closed bool
	ends   []net.Conn
}

// Start starts a proxy to an address, which ends with the test.
func Start(t testing.TB, to string) *Proxy {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: listener.Addr().String(), to: to, listener: listener, links: map[*link]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	p.tasks.Go(func() { p.accept(ctx) })
	t.Cleanup(func() {
		cancel()
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		p.Close()
		p.tasks.Wait()
	})
	return p
}

// Silence swallows what is sent from now on, on connections that there are and
// on new ones.
func (p *Proxy) Silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
	for l := range p.links {
		l.mu.Lock()
		l.silent = true
		l.mu.Unlock()
	}
}

// Close ends all connections, and new ones as soon as they are made.
func (p *Proxy) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for l := range p.links {
		l.close()
	}
}

// Open passes new connections on again. Those that were there when it was silent
// stay dead.
func (p *Proxy) Open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent, p.closed = false, false
}

func (p *Proxy) accept(ctx context.Context) {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.tasks.Go(func() { p.serve(ctx, near) })
	}
}

func (p *Proxy) serve(ctx context.Context, near net.Conn) {
	l := &link{ends: []net.Conn{near}}
	defer l.close()
	p.mu.Lock()
	l.silent = p.silent
	closed := p.closed
	p.links[l] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
	}()
	if closed {
		return
	}
	if l.isSilent() {
		_, _ = io.Copy(io.Discard, near)
		return
	}
	far, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.to)
	if err != nil {
		return
	}
	if !l.add(far) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { l.pass(near, far) })
	l.pass(far, near)
	back.Wait()
}

func (l *link) isSilent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.silent
}

// add adds an end to a link, unless it has been closed.
func (l *link) add(end net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends = append(l.ends, end)
	if l.closed {
		_ = end.Close()
	}
	return !l.closed
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, end := range l.ends {
		_ = end.Close() // both sides may have ended it already
	}
}

// pass passes on what comes from one end, and its end, unless it is silent.
func (l *link) pass(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if !l.isSilent() && n > 0 {
			if _, failed := to.Write(buffer[:n]); failed != nil {
				err = errors.Join(err, failed)
			}
		}
		if err != nil {
			if !l.isSilent() {
				l.close()
			}
			return
		}
	}
}

// FreeAddress is an address on loopback that nothing listens on, for programs
// that must know one another's addresses before they start.
func FreeAddress(t testing.TB) string {
	t.Helper()
	address, err := FindAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}
