package chassis

import (
	"encoding/binary"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/credentials"

	"github.com/octavo-books/octavo/chassis/certs"
)

// How many frames of HTTP/2 a client may send that make work and carry nothing,
// on one connection: so many a second, and so many more at once.
const (
	// Streams that are opened and reset. A client whose calls all run into
	// their deadline resets as many as it has open.
	resetsPerSecond, resetsAtOnce = 1000, maxStreams
	// The same for a client over TLS without an identity. It may call nothing, so
	// that it has nothing to give up.
	strangerResetsPerSecond, strangerResetsAtOnce = 10, 100
	// SETTINGS, PRIORITY, CONTINUATION, DATA without data, and frames of a type
	// that nobody knows. A client in order sends a few of them in all.
	idlePerSecond, idleAtOnce = 50, 500
)

// Clients ping to measure how fast data comes, once in a round trip while there
// is some. So pings are paid for by frames that carry something: so many for
// each from the client, so many for each large write to it. A connection begins
// with enough for hours of keepalive. grpc-go too tells off who pings too often,
// but goes on reading for a while.
const (
	pingsAtFirst  = 1000
	pingsPerFrame = 2
	pingsPerWrite = 10
	largeWrite    = 1 << 10 // bytes; answers to pings are written fewer at once
	mostPings     = 10_000
)

var errFlood = errors.New("the client floods the connection")

// bucket is a token bucket that is full at first.
type bucket struct {
	used float64
	last time.Time
}

// take says whether there was one left.
func (b *bucket) take(now time.Time, perSecond, atOnce float64) bool {
	b.used = max(0, b.used-now.Sub(b.last).Seconds()*perSecond) + 1
	b.last = now
	return b.used <= atOnce
}

// frameGuard is the credentials of a gRPC server with a count of the frames that
// clients send. It stands behind the handshake, so that it sees frames with and
// without TLS.
type frameGuard struct {
	credentials.TransportCredentials
}

// ServerHandshake is that of the credentials inside.
func (g frameGuard) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := g.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	bounded, _ := raw.(*connection)
	guarded := newGuardedConn(conn, bounded)
	if who, ok := info.(certs.Peer); ok {
		guarded.stranger = who.Identity == ""
		if bounded != nil {
			bounded.trusted.Store(!guarded.stranger)
		}
	}
	return guarded, info, nil
}

// Clone is a copy.
func (g frameGuard) Clone() credentials.TransportCredentials {
	return frameGuard{g.TransportCredentials.Clone()}
}

// guardedConn follows the frames that a client sends without looking into them,
// and ends the connection of one that floods it.
type guardedConn struct {
	net.Conn
	connection *connection // below TLS; may be nil
	stranger   bool        // over TLS, without an identity

	skip   int // bytes until the next frame begins
	header [frameHeaderLength]byte
	have   int // bytes of the header
	resets bucket
	idle   bucket
	pings  atomic.Int64 // that are paid for
}

func newGuardedConn(conn net.Conn, below *connection) *guardedConn {
	c := &guardedConn{Conn: conn, connection: below, skip: len(http2.ClientPreface)}
	c.pings.Store(pingsAtFirst)
	return c
}

// Write is that of the connection.
func (c *guardedConn) Write(p []byte) (int, error) {
	if len(p) >= largeWrite {
		c.payPings(pingsPerWrite)
	}
	return c.Conn.Write(p)
}

func (c *guardedConn) payPings(n int64) {
	if c.pings.Add(n) > mostPings {
		c.pings.Store(mostPings)
	}
}

// frameHeaderLength is RFC 9113's section 4.1.
const frameHeaderLength = 9

// Read is that of the connection. It fails once the client has sent too many
// frames of one sort.
func (c *guardedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if too := c.follow(p[:n]); too != "" {
		if c.connection != nil {
			c.connection.disconnect(too)
		}
		return 0, errFlood
	}
	return n, err
}

// follow goes through bytes of the stream of frames. It returns what there is
// too much of, empty for nothing.
func (c *guardedConn) follow(p []byte) (too string) {
	for len(p) > 0 {
		if c.skip > 0 {
			n := min(c.skip, len(p))
			c.skip -= n
			p = p[n:]
			continue
		}
		n := copy(c.header[c.have:], p)
		c.have += n
		p = p[n:]
		if c.have < frameHeaderLength {
			return ""
		}
		c.have = 0
		c.skip = int(binary.BigEndian.Uint32(c.header[:4]) >> 8)
		if too := c.count(http2.FrameType(c.header[3]), http2.Flags(c.header[4]), c.skip); too != "" {
			return too
		}
	}
	return ""
}

func (c *guardedConn) count(kind http2.FrameType, flags http2.Flags, length int) (too string) {
	switch kind {
	case http2.FrameWindowUpdate, http2.FrameGoAway:
		return ""
	case http2.FrameHeaders:
		c.payPings(pingsPerFrame)
		return ""
	case http2.FramePing:
		if c.pings.Add(-1) < 0 {
			return "PING frames"
		}
		return ""
	case http2.FrameData:
		if length > 0 || flags.Has(http2.FlagDataEndStream) {
			c.payPings(pingsPerFrame)
			return ""
		}
	case http2.FrameRSTStream:
		perSecond, atOnce := float64(resetsPerSecond), float64(resetsAtOnce)
		if c.stranger {
			perSecond, atOnce = strangerResetsPerSecond, strangerResetsAtOnce
		}
		if !c.resets.take(time.Now(), perSecond, atOnce) {
			return "streams that were reset"
		}
		return ""
	}
	if !c.idle.take(time.Now(), idlePerSecond, idleAtOnce) {
		return kind.String() + " frames"
	}
	return ""
}
