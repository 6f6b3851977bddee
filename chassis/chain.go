package chassis

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/octavo-books/octavo/chassis/certs"
	"github.com/octavo-books/octavo/chassis/overload"
	"github.com/octavo-books/octavo/chassis/tracing"
	"github.com/octavo-books/octavo/fault"
)

const (
	// handlingLimit is the deadline of a unary call whose caller set none.
	handlingLimit = 30 * time.Second
	// slowCall is what makes a successful unary call worth a record.
	slowCall = 500 * time.Millisecond
)

// middleware is one step around the handling of a call, unary or streaming. It
// goes on with call.next and may look at what that returns.
type middleware func(ctx context.Context, c *call) error

// chain is every middleware, outermost first. This is the one place where the
// order is decided:
//
//   - tracing is before everything, so that a span is as long as the call, and
//     the request id comes next, so that all others can name the request;
//   - metrics and access log are outside of recovery, so that a panic is
//     counted and logged;
//   - overload comes before all other work, so that refusing is cheap;
//   - whoever may not call learns nothing about the request;
//   - the deadline is checked before work is put into validation;
//   - fault mapping is innermost, so that all others see final codes.
func (s *grpcServer) chain() []middleware {
	return []middleware{
		s.trace,
		identify,
		measure,
		s.logAccess,
		recoverPanic,
		s.limitLoad,
		s.authorize,
		limitTime,
		s.validate,
		mapFault,
		handle,
	}
}

// call is one call on its way through the chain.
type call struct {
	method *method
	step   int // the next middleware
	id     string
	span   tracing.Span
	invoke func(ctx context.Context) error // the handler

	context requestContext // what the chain passes on
	limited limitedContext // of a call that came without a deadline

	request    any   // of a unary call
	requestErr error // why request could not be decoded
	cause      error // what went wrong, for the log only
	shed       bool  // refused for lack of room or time
	stack      []byte
}

// method is what is known about a method before it is first called.
type method struct {
	fullName  string
	chain     []middleware
	series    *series
	streaming bool
	validated bool     // whether its requests have rules, or may have
	callers   []string // the identities that may call it
	operation *overload.Operation
	priority  overload.Priority // unless the caller says
}

// next runs the rest of the chain.
func (c *call) next(ctx context.Context) error {
	m := c.method.chain[c.step]
	c.step++
	return m(ctx, c)
}

func handle(ctx context.Context, c *call) error { return c.invoke(ctx) }

// identify gives the call an id: the caller's, or a new one. The caller is told
// in the header. An error of a unary call has it in the trailer instead: a
// header would commit the caller to this answer and forbid trying another
// server.
func identify(ctx context.Context, c *call) error {
	conn := connectionOf(ctx)
	conn.begin()
	defer func() { conn.end(ctx.Err() == nil) }()
	var given string
	if values := metadata.ValueFromIncomingContext(ctx, requestIDKey); len(values) == 1 {
		given = values[0]
	}
	c.id = requestIDOr(given)
	c.context.id = c.id
	if c.method.streaming {
		announce(ctx, c.id, grpc.SetHeader)
		return c.next(ctx)
	}
	err := c.next(ctx)
	if err != nil {
		announce(ctx, c.id, grpc.SetTrailer)
	} else {
		announce(ctx, c.id, grpc.SetHeader)
	}
	return err
}

// measure counts the call and the time it took.
func measure(ctx context.Context, c *call) error {
	began := time.Now()
	c.method.series.begin()
	err := c.next(ctx)
	code, took := status.Code(err), time.Since(began)
	c.method.series.end(int(code), took)
	c.method.series.exemplify(&c.span, int(code), took, failed(code, c.method.streaming), c.method.streaming)
	return err
}

// logAccess writes one record that has all there is to know about a call.
// Calls that succeed in good time are logged at debug only: a busy server
// makes nothing else, and the metrics count them.
func (s *grpcServer) logAccess(ctx context.Context, c *call) error {
	began := time.Now()
	err := c.next(ctx)
	took := time.Since(began)
	code := status.Code(err)
	level := accessLevel(code, c.method.streaming, took)
	if c.shed {
		level = slog.LevelDebug // the limiter logs their number
	}
	if !s.log.Enabled(ctx, level) {
		return err
	}
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs,
		slog.String("method", c.method.fullName),
		slog.String("code", code.String()),
		slog.Float64("ms", float64(took.Microseconds())/1000),
	)
	if p, ok := peer.FromContext(ctx); ok {
		attrs = append(attrs, slog.String("peer", p.Addr.String()))
	}
	if caller, ok := certs.PeerOf(ctx); ok {
		attrs = append(attrs, slog.String("caller", caller.Identity))
	}
	if deadline, ok := ctx.Deadline(); ok && err != nil {
		attrs = append(attrs, slog.Float64("deadline_ms", float64(deadline.Sub(began).Microseconds())/1000))
	}
	switch {
	case c.cause != nil:
		attrs = append(attrs, slog.String("error", c.cause.Error()))
	case err != nil:
		attrs = append(attrs, slog.String("error", status.Convert(err).Message()))
	}
	if c.stack != nil {
		attrs = append(attrs, slog.String("stack", string(c.stack)))
	}
	s.log.LogAttrs(ctx, level, "call", attrs...)
	return err
}

// accessLevel is how much a call matters to whoever reads the log.
func accessLevel(code codes.Code, streaming bool, took time.Duration) slog.Level {
	switch code {
	case codes.OK:
		if took >= slowCall && !streaming {
			return slog.LevelInfo
		}
		return slog.LevelDebug
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return slog.LevelError
	case codes.Canceled:
		if streaming {
			return slog.LevelDebug // how a follower ends
		}
		return slog.LevelInfo
	case codes.Unavailable:
		if streaming {
			return slog.LevelDebug // how a follower is told that the server stops
		}
		return slog.LevelWarn
	case codes.DeadlineExceeded, codes.ResourceExhausted:
		return slog.LevelWarn
	default:
		return slog.LevelInfo
	}
}

// recoverPanic turns a panic of what is inside into an INTERNAL error. The
// caller learns the request id, the log the rest.
func recoverPanic(ctx context.Context, c *call) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.cause = fmt.Errorf("panic: %v", p)
			c.stack = debug.Stack()
			err = fault.Status(c.cause, c.id).Err()
		}
	}()
	return c.next(ctx)
}

// limitTime refuses a call whose time is already over, and gives a unary call
// that came without a deadline one.
func limitTime(ctx context.Context, c *call) error {
	deadline, ok := ctx.Deadline()
	if ctx.Err() == context.Canceled {
		return fault.Status(ctx.Err(), c.id).Err()
	}
	if ok && time.Until(deadline) <= 0 {
		return fault.Status(fault.New(fault.DeadlineExceeded, "the deadline had passed before the work began"), c.id).Err()
	}
	if ok || c.method.streaming {
		return c.next(ctx)
	}
	c.limited.begin(ctx, time.Now().Add(handlingLimit))
	defer c.limited.end()
	return c.next(&c.limited)
}

// validate refuses a request that could not be decoded or breaks the rules of
// its contract. Those of a stream are checked as they are received.
func (s *grpcServer) validate(ctx context.Context, c *call) error {
	if err := s.check(c, c.request, c.requestErr); err != nil {
		return err
	}
	return c.next(ctx)
}

func (s *grpcServer) check(c *call, request any, decodeErr error) error {
	if decodeErr != nil {
		return fault.Status(fault.Wrap(fault.Invalid, decodeErr, "the request is no valid message of its type"), c.id).Err()
	}
	if request == nil || !c.method.validated {
		return nil
	}
	err := s.validator.validate(request)
	if err == nil {
		return nil
	}
	if fault.KindOf(err) == fault.Internal {
		c.cause = err
	}
	return fault.Status(err, c.id).Err()
}

// mapFault gives an error of the handler its code. The text of an unknown one
// goes to the log, by way of the access record, and no further.
func mapFault(ctx context.Context, c *call) error {
	err := c.next(ctx)
	if err == nil {
		return nil
	}
	c.cause = err
	return fault.Status(err, c.id).Err()
}
