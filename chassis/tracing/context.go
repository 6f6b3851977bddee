package tracing

import (
	"encoding/hex"
	"math/rand/v2"
)

// Context is what one process tells the next about the span it calls from, in
// the form of W3C Trace Context. The zero value is no context.
type Context struct {
	Trace   TraceID
	Span    SpanID
	Sampled bool   // the caller exports its span, and so should others
	State   string // tracestate: what other systems have to say, handed on unread
}

// TraceID names all spans that one request causes.
type TraceID [16]byte

// SpanID names a span within its trace.
type SpanID [8]byte

// String is the id in 32 hexadecimal digits.
func (id TraceID) String() string { return hex.EncodeToString(id[:]) }

// String is the id in 16 hexadecimal digits.
func (id SpanID) String() string { return hex.EncodeToString(id[:]) }

// The names of gRPC metadata and HTTP headers.
const (
	ParentHeader = "traceparent"
	StateHeader  = "tracestate"
)

const (
	parentLength = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	// maxState is what the recommendation asks to hand on at least, in bytes.
	maxState = 512
)

// Parse reads the headers of a request, https://www.w3.org/TR/trace-context/.
// It returns no context for a traceparent that breaks the rules: the request
// then begins a trace. A tracestate of more than 512 bytes is left out.
func Parse(traceparent, tracestate string) Context {
	var c Context
	var version, flags [1]byte
	switch p := traceparent; {
	case len(p) < parentLength,
		p[2] != '-' || p[35] != '-' || p[52] != '-',
		!decode(version[:], p[:2]) || version[0] == 0xff,
		version[0] == 0 && len(p) != parentLength,
		len(p) > parentLength && p[parentLength] != '-',
		!decode(c.Trace[:], p[3:35]) || c.Trace == TraceID{},
		!decode(c.Span[:], p[36:52]) || c.Span == SpanID{},
		!decode(flags[:], p[53:55]):
		return Context{}
	}
	c.Sampled = flags[0]&1 != 0
	if len(tracestate) <= maxState {
		c.State = tracestate
	}
	return c
}

// decode reads lower-case hexadecimal digits, twice as many as into has bytes.
func decode(into []byte, digits string) bool {
	for i := range into {
		high, low := digit(digits[2*i]), digit(digits[2*i+1])
		if high > 15 || low > 15 {
			return false
		}
		into[i] = high<<4 | low
	}
	return true
}

func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	default:
		return 0xff
	}
}

// Parent is the traceparent to send with a call.
func (c *Context) Parent() string {
	b := make([]byte, 0, parentLength)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, c.Trace[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, c.Span[:])
	if c.Sampled {
		b = append(b, "-01"...)
	} else {
		b = append(b, "-00"...)
	}
	return string(b)
}

func newTraceID() (id TraceID) {
	put(id[:8], rand.Uint64())
	put(id[8:], rand.Uint64()|1) // all zeros is no id
	return id
}

func newSpanID() (id SpanID) {
	put(id[:], rand.Uint64()|1)
	return id
}
