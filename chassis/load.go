package chassis

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/octavo-books/octavo/chassis/certs"
	"github.com/octavo-books/octavo/chassis/overload"
	"github.com/octavo-books/octavo/fault"
)

// maxOpenStreams is how many streams a server has open at once, over all
// connections. They are followers of feeds, which last, and do not count
// against the limit of calls.
const maxOpenStreams = 1000

const tooMuch = "there is more to do than can be done now; try again in a moment"

// What a refused caller is told. The code is RESOURCE_EXHAUSTED, not
// UNAVAILABLE: clients do not repeat it on their own, which under overload
// would be more load, and do not hold it against this replica, which is alive.
// The statuses are made once, so that a refusal costs next to nothing; the
// request id is in the trailer.
var (
	errOverloaded  = fault.Status(&fault.Error{Kind: fault.Exhausted, Message: tooMuch, RetryAfter: time.Second}, "").Err()
	errTooManyOpen = fault.Status(&fault.Error{Kind: fault.Exhausted, Message: "too many streams are open; close some, or try again later", RetryAfter: 10 * time.Second}, "").Err()
	errHopeless    = fault.Status(fault.New(fault.DeadlineExceeded, "too little time is left: the answer usually takes longer"), "").Err()
)

// Background makes calls of these methods, named /service/method, background
// work where the caller does not say what they are. It is to be called before
// GRPC adds the server that has them.
func (a *App) Background(fullMethods ...string) {
	for _, m := range fullMethods {
		a.background[m] = true
	}
}

// newLimiter makes the limiter of a server, with its metrics.
func (a *App) newLimiter(server string) *overload.Limiter {
	l := overload.New(server, a.log)
	a.registry.MustRegister(l)
	return l
}

// limitLoad takes as many calls as can be answered in good time, see package
// overload, and streams up to a number.
func (s *grpcServer) limitLoad(ctx context.Context, c *call) error {
	if c.method.streaming {
		defer s.openStreams.Add(-1)
		if s.openStreams.Add(1) > maxOpenStreams {
			return errTooManyOpen
		}
		return c.next(ctx)
	}
	began := time.Now()
	asked := overload.Call{Priority: c.method.priority}
	if said, ok := saidPriority(ctx); ok {
		asked.Priority = said
	} else if asked.Priority != overload.Interactive {
		ctx = overload.WithPriority(ctx, asked.Priority)
	}
	if arrived, ok := ctx.Value(arrivalKey{}).(*arrival); ok {
		asked.Waited = began.Sub(arrived.at)
	}
	if deadline, ok := ctx.Deadline(); ok {
		asked.Left = max(0, deadline.Sub(began)) // one that is over is not this step's
	}
	operation := c.method.operation
	switch s.limiter.Admit(operation, asked) {
	case overload.Admitted:
	case overload.Hopeless:
		c.shed = true
		return errHopeless
	default:
		c.shed = true
		return errOverloaded
	}
	telling := false
	defer func() { s.limiter.Done(operation, time.Since(began), telling) }()
	err := c.next(ctx)
	telling = err == nil || (asked.Left > 0 && status.Code(err) == codes.DeadlineExceeded)
	return err
}

// saidPriority is the priority that a caller gave its call, as far as it may:
// anybody can say that a call is less important than it would be otherwise, and
// only services that it is more.
func saidPriority(ctx context.Context) (overload.Priority, bool) {
	values := metadata.ValueFromIncomingContext(ctx, overload.MetadataKey)
	if len(values) != 1 {
		return overload.Interactive, false
	}
	p, ok := overload.ParsePriority(values[0])
	return p, ok && (p == overload.Background || fromService(ctx))
}

// fromService is whether a call comes from somebody with an identity or, without
// TLS, from this machine.
func fromService(ctx context.Context) bool {
	if who, ok := certs.PeerOf(ctx); ok {
		return who.Identity != ""
	}
	p, ok := peer.FromContext(ctx)
	if !ok {
		return false
	}
	addr := p.Addr
	if bounded, ok := addr.(remoteAddr); ok {
		addr = bounded.Addr
	}
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// rootPriority is the priority of everything done in ctx: that of the page or
// job at the root, or that of the call which is being handled.
func rootPriority(ctx context.Context) (overload.Priority, bool) {
	if p, ok := overload.PriorityOf(ctx); ok {
		return p, true
	}
	return saidPriority(ctx)
}

// limitLoad is the same step for pages. Its place is held until the answer
// begins: from then on its receiver sets the pace, as the sender of a body does
// before. Neither may keep others out by being slow.
func (s *httpServer) limitLoad(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		method := s.limiter.Operation(httpMethod(r.Method))
		p, e := requestPriority(r), w.(*exchange)
		e.context.Context = overload.WithPriority(e.context.Context, p)
		if s.limiter.Admit(method, overload.Call{Priority: p}) != overload.Admitted {
			e.shed = true
			fault.Respond(e, r, &fault.Error{Kind: fault.Unavailable, Message: tooMuch, RetryAfter: time.Second}, RequestID(r.Context()), func(fault.Problem) error { return overloadPage(e) })
			return
		}
		if r.ContentLength != 0 {
			s.limiter.Done(method, 0, false)
			next.ServeHTTP(e, r)
			return
		}
		e.answering = func() {
			e.answering = nil
			operation := s.limiter.Operation(httpMethod(r.Method) + " " + r.Pattern)
			s.limiter.Done(operation, time.Since(began), e.code() < http.StatusInternalServerError && r.Context().Err() == nil)
		}
		defer e.answers()
		next.ServeHTTP(e, r)
	})
}

// overloadPage is all that is sent to a visitor who is refused.
func overloadPage(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, err := w.Write([]byte("<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>" +
		"<title>One moment</title><h1>One moment</h1><p>More readers are here than can be served at once. Please load the page again in a few seconds.\n"))
	return err
}

// requestPriority tells what a visitor waits for from what a browser fetches in
// case it will be wanted.
func requestPriority(r *http.Request) overload.Priority {
	if strings.Contains(r.Header.Get("Sec-Purpose"), "prefetch") || r.Header.Get("Purpose") == "prefetch" {
		return overload.Background
	}
	return overload.Interactive
}
