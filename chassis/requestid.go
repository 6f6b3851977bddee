package chassis

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"sync"

	"google.golang.org/grpc/metadata"

	"github.com/octavo-books/octavo/chassis/tracing"
)

// requestIDKey is the metadata key, and as X-Request-Id the HTTP header, that
// carries a request's id from hop to hop and back to the caller.
const (
	requestIDKey    = "x-request-id"
	requestIDHeader = "X-Request-Id"
)

// requestContext is the context of a request with its id and its span. It is
// part of what is allocated for the request anyway.
type requestContext struct {
	context.Context
	id   string
	span *tracing.Span
}

type requestValue struct{}

// Value is the request, or whatever the parent knows.
func (c *requestContext) Value(key any) any {
	if _, ok := key.(requestValue); ok {
		return c
	}
	return c.Context.Value(key)
}

// RequestID is the id of the request that ctx belongs to, empty outside of one.
func RequestID(ctx context.Context) string {
	if c, ok := ctx.Value(requestValue{}).(*requestContext); ok {
		return c.id
	}
	return ""
}

// spanOf is the span of the request that ctx belongs to, nil outside of one.
func spanOf(ctx context.Context) *tracing.Span {
	if c, ok := ctx.Value(requestValue{}).(*requestContext); ok {
		return c.span
	}
	return nil
}

// requestIDOr is the caller's id if it is well-formed, otherwise a new one. An
// id names a request in logs; it is no secret and proves nothing.
func requestIDOr(given string) string {
	if wellFormedID(given) {
		return given
	}
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], rand.Uint64())
	var text [2 * len(raw)]byte
	hex.Encode(text[:], raw[:])
	return string(text[:])
}

// announcement is the metadata that tells a caller the id. grpc-go copies what it
// is given, so that one serves many calls.
type announcement struct {
	md metadata.MD
	id []string
}

var announcements = sync.Pool{New: func() any {
	a := &announcement{id: make([]string, 1)}
	a.md = metadata.MD{requestIDKey: a.id}
	return a
}}

// announce tells the caller the id by way of grpc.SetHeader or grpc.SetTrailer.
func announce(ctx context.Context, id string, set func(context.Context, metadata.MD) error) {
	a := announcements.Get().(*announcement)
	a.id[0] = id
	_ = set(ctx, a.md) // cannot fail before the first answer is sent
	a.id[0] = ""
	announcements.Put(a)
}

// wellFormedID keeps foreign bytes out of logs and headers: 8 to 64 letters,
// digits, dots, dashes and underscores.
func wellFormedID(id string) bool {
	if len(id) < 8 || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
