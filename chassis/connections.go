package chassis

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/peer"
)

// How many connections a server has at once. Those that do nothing cost some
// 40 kB each with gRPC and 20 kB with HTTP.
const (
	maxGRPCConnections = 1024
	maxHTTPConnections = 4096
)

// What a client of HTTP may send beside the bodies of its requests, in bytes:
// so much at first, and so much with each request. Over HTTP/2 that is some ten
// thousand frames that are good for nothing. It is more than what of a body may
// come before it is read.
const (
	spareBytes      = 2 * httpMaxUnread
	bytesPerRequest = 2 * httpMaxHeader
)

// How many requests over HTTP/2 a client may give up: so many a second, and so
// many more at once. Each has cost a part of a page. A browser gives up what a
// page still lacks when its reader goes on to the next.
const givenUpPerSecond, givenUpAtOnce = 10, 50

// requestsAtFirst is how many requests over HTTP/2 are handled at once on a
// connection none of whose requests has been answered yet. The others wait, so
// that those that are given up soon have cost nothing and kept nobody out.
const requestsAtFirst = 8

// connectionMetrics tell how full servers are and whom they disconnect.
type connectionMetrics struct {
	open   *prometheus.GaugeVec
	closed *prometheus.CounterVec
}

func newConnectionMetrics() *connectionMetrics {
	return &connectionMetrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "server_connections", Help: "Connections that clients have open.",
		}, []string{"server"}),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "server_connections_closed_total", Help: "Connections that the server closed against the client's will: crowded, to make room for others; flood, for sending what serves nothing; waiting, from an address that has just flooded; or handshakes, from one that asks for too many.",
		}, []string{"server", "reason"}),
	}
}

// Describe implements prometheus.Collector.
func (m *connectionMetrics) Describe(ch chan<- *prometheus.Desc) {
	m.open.Describe(ch)
	m.closed.Describe(ch)
}

// Collect implements prometheus.Collector.
func (m *connectionMetrics) Collect(ch chan<- prometheus.Metric) {
	m.open.Collect(ch)
	m.closed.Collect(ch)
}

// boundedListener keeps the number of open connections below a limit. When it
// is reached, a newcomer takes the place of the least useful one: first the
// oldest of those that never got a call answered, then the one whose last call
// is longest ago. A connection with a call in progress is never taken, so that
// those who only hold connections cannot keep out those who work.
type boundedListener struct {
	net.Listener
	limit          int
	spare          int64 // bytes that a connection may waste; 0 for any number
	door           *doorkeeper
	log            *slog.Logger
	began          time.Time
	open           prometheus.Gauge
	crowded, flood prometheus.Counter
	turnedAway     map[string]prometheus.Counter // by doorkeeper's reason

	mu    sync.Mutex
	conns map[*connection]struct{}
}

func newBoundedListener(name string, l net.Listener, limit int, spare int64, door *doorkeeper, m *connectionMetrics, log *slog.Logger) *boundedListener {
	return &boundedListener{
		Listener: l,
		limit:    limit,
		spare:    spare,
		door:     door,
		log:      log,
		began:    time.Now(),
		open:     m.open.WithLabelValues(name),
		crowded:  m.closed.WithLabelValues(name, "crowded"),
		flood:    m.closed.WithLabelValues(name, "flood"),
		turnedAway: map[string]prometheus.Counter{
			"waiting":    m.closed.WithLabelValues(name, "waiting"),
			"handshakes": m.closed.WithLabelValues(name, "handshakes"),
		},
		conns: map[*connection]struct{}{},
	}
}

// Accept waits for a connection and makes room for it.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if reason := l.door.turnsAway(raw.RemoteAddr(), time.Now()); reason != "" {
			l.turnedAway[reason].Inc()
			_ = raw.Close() // it is told nothing, which would cost something
			continue
		}
		c := &connection{Conn: raw, listener: l, first: make(chan struct{}, requestsAtFirst)}
		c.used.Store(l.time())
		c.spare.Store(l.spare)
		if l.admit(c) {
			return c, nil
		}
		l.crowded.Inc()
		_ = raw.Close() // all others are at work
	}
}

func (l *boundedListener) admit(c *connection) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) >= l.limit {
		least := l.leastUseful()
		if least == nil {
			return false
		}
		l.crowded.Inc()
		l.remove(least)
		// Nobody waits for the rest of what it was sent.
		_ = least.Conn.Close()
	}
	l.conns[c] = struct{}{}
	l.open.Inc()
	return true
}

func (l *boundedListener) leastUseful() *connection {
	var least *connection
	for c := range l.conns {
		switch {
		case c.busy.Load() > 0:
		case least == nil,
			least.proven.Load() && !c.proven.Load(),
			least.proven.Load() == c.proven.Load() && c.used.Load() < least.used.Load():
			least = c
		}
	}
	return least
}

// time is for how long the listener has been there, in ns: no clock that is
// set changes who came when.
func (l *boundedListener) time() int64 { return int64(time.Since(l.began)) }

// remove is called with l.mu held.
func (l *boundedListener) remove(c *connection) {
	if _, there := l.conns[c]; there {
		delete(l.conns, c)
		l.open.Dec()
	}
}

// connection is one client's connection and what it is good for.
type connection struct {
	net.Conn
	listener *boundedListener
	busy     atomic.Int32  // calls in progress
	proven   atomic.Bool   // a call has been answered
	used     atomic.Int64  // when it was opened or last ended a call, of listener.time
	spare    atomic.Int64  // bytes that it may still send for nothing
	trusted  atomic.Bool   // its client has an identity
	flooded  atomic.Bool   // and has been ended for it
	first    chan struct{} // a place for each of the requests at first
	resets   bucket        // calls that its client gave up
	resetsMu sync.Mutex
}

// Close closes the connection and gives its place away.
func (c *connection) Close() error {
	c.listener.mu.Lock()
	c.listener.remove(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// Read ends the connection when its client sends much that is part of no
// request.
func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.listener.spare > 0 && n > 0 && c.spare.Add(int64(-n)) < 0 {
		c.disconnect("bytes that are part of no request")
		return 0, errFlood
	}
	return n, err
}

// RemoteAddr is the client's address, by which connectionOf finds the
// connection of a call over gRPC.
func (c *connection) RemoteAddr() net.Addr { return remoteAddr{c.Conn.RemoteAddr(), c} }

type remoteAddr struct {
	net.Addr
	conn *connection
}

// disconnect ends an abused connection, and keeps its client away for a while
// unless it is one of the services: those misuse a connection only in distress.
func (c *connection) disconnect(what string) {
	if c.flooded.Swap(true) {
		return
	}
	c.listener.flood.Inc()
	var wait time.Duration
	if !c.trusted.Load() {
		wait = c.listener.door.flooded(c.Conn.RemoteAddr(), time.Now())
	}
	c.listener.log.Warn("a client was disconnected", "peer", c.Conn.RemoteAddr().String(), "for", "too many "+what, "waits", wait)
	_ = c.Close()
}

// begin and end surround a call. Both do nothing on nil.
func (c *connection) begin() {
	if c == nil {
		return
	}
	c.busy.Add(1)
	if c.listener.spare > 0 {
		c.credit(bytesPerRequest)
	}
}

func (c *connection) end(answered bool) {
	if c == nil {
		return
	}
	c.used.Store(c.listener.time())
	if answered {
		c.proven.Store(true)
	}
	c.busy.Add(-1)
}

// handle calls request, when its turn has come, unless ctx ends before. It may be
// called on nil.
func (c *connection) handle(ctx context.Context, request func()) {
	c.begin()
	defer func() { c.end(ctx.Err() == nil) }()
	if c != nil && !c.proven.Load() {
		select {
		case c.first <- struct{}{}:
			defer func() { <-c.first }()
		case <-ctx.Done():
		}
	}
	if ctx.Err() == nil {
		request()
	}
}

// credit lets the client send more, but never more at once than at first.
func (c *connection) credit(bytes int64) {
	if c != nil && c.spare.Add(bytes) > c.listener.spare {
		c.spare.Store(c.listener.spare)
	}
}

// gaveUp counts a call that the client opened and gave up.
func (c *connection) gaveUp() {
	if c == nil {
		return
	}
	c.resetsMu.Lock()
	within := c.resets.take(time.Now(), givenUpPerSecond, givenUpAtOnce)
	c.resetsMu.Unlock()
	if !within {
		c.disconnect("requests that were given up")
	}
}

// connectionOf is the connection of a call over gRPC, nil when it did not come
// through a boundedListener.
func connectionOf(ctx context.Context) *connection {
	if p, ok := peer.FromContext(ctx); ok {
		if addr, ok := p.Addr.(remoteAddr); ok {
			return addr.conn
		}
	}
	return nil
}

// creditedBody is the body of a request, whose bytes are not wasted.
type creditedBody struct {
	io.ReadCloser
	conn *connection
}

// Read is that of the body.
func (b creditedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.conn.credit(2 * int64(n)) // with what frames and TLS add
	return n, err
}

type connectionKey struct{}

// withConnection is the ConnContext of an HTTP server, for httpConnection.
func withConnection(ctx context.Context, c net.Conn) context.Context {
	if encrypted, ok := c.(*tls.Conn); ok {
		c = encrypted.NetConn()
	}
	return context.WithValue(ctx, connectionKey{}, c)
}

// httpConnection is the connection of a request over HTTP, nil when it did not
// come through a boundedListener.
func httpConnection(ctx context.Context) *connection {
	c, _ := ctx.Value(connectionKey{}).(*connection)
	return c
}
