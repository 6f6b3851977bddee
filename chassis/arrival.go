package chassis

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/tap"
)

// defaultArrivalLimit is how long the first message of a call may take to
// arrive. grpc-go lets a client that opens a call and sends nothing keep its
// place for ever. The largest message takes as long at 2 Mbit/s.
const defaultArrivalLimit = 20 * time.Second

// arrival is the context of a call with what is known of how it came. It ends
// with DeadlineExceeded when the first message takes too long.
type arrival struct {
	context.Context
	at    time.Time   // when the headers came
	timer *time.Timer // until the first message has to come; nil for calls that end soon by themselves
	late  atomic.Bool
}

type arrivalKey struct{}

// Value is that of the context inside, and the arrival itself.
func (a *arrival) Value(key any) any {
	if key == (arrivalKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// Err is that of the context inside, whose end may be the arrival's.
func (a *arrival) Err() error {
	if a.late.Load() {
		return context.DeadlineExceeded
	}
	return a.Context.Err()
}

// awaitRequest notes when calls come, and gives them until the limit for their
// first message. It runs where the connection is read, before the call gets a
// goroutine: what passes until then is the wait for a processor.
func awaitRequest(limit time.Duration) tap.ServerInHandle {
	return func(ctx context.Context, _ *tap.Info) (context.Context, error) {
		a := &arrival{Context: ctx, at: time.Now()}
		if deadline, ok := ctx.Deadline(); ok && deadline.Sub(a.at) <= limit {
			return a, nil
		}
		inside, cancel := context.WithCancel(ctx)
		a.Context = inside
		a.timer = time.AfterFunc(limit, func() {
			a.late.Store(inside.Err() == nil)
			cancel()
		})
		return a, nil
	}
}

// arrived ends the wait.
func arrived(ctx context.Context) {
	if a, ok := ctx.Value(arrivalKey{}).(*arrival); ok && a.timer != nil {
		a.timer.Stop()
	}
}

// awaitStream does for streams, those of gRPC's own services too, what unary
// does for unary calls. The answers to health checks are unary and soon over.
func awaitStream(impl any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(impl, &awaitedStream{ServerStream: stream})
}

type awaitedStream struct {
	grpc.ServerStream
	arrived bool
}

// RecvMsg is that of the stream.
func (s *awaitedStream) RecvMsg(into any) error {
	err := s.ServerStream.RecvMsg(into)
	if !s.arrived && err == nil {
		s.arrived = true
		arrived(s.Context())
	}
	return err
}
