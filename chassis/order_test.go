package chassis

import (
	"context"
	"io"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/octavo-books/octavo/chassis/overload"
	"github.com/octavo-books/octavo/chassis/tracing"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
)

// TestChain fixes the order of the middleware; the comment at chain has the
// reasons.
func TestChain(t *testing.T) {
	want := []string{"trace", "identify", "measure", "logAccess", "recoverPanic", "limitLoad", "authorize", "limitTime", "validate", "mapFault", "handle"}
	if got := ChainNames(); !slices.Equal(got, want) {
		t.Errorf("the chain is %v, want %v", got, want)
	}
}

// TestDeadlineComesBeforeValidation: no work is put into a call that is over.
func TestDeadlineComesBeforeValidation(t *testing.T) {
	log, _, err := newLogger("test", Flags{}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s := &grpcServer{log: log, calls: newServerCalls(), tracer: &tracing.Tracer{}, validator: &validator{}, limiter: overload.New("test", log)}
	m := s.method("octavo.recommendations.v1.RecommendationsService", "Recommend", "unary")
	if s.compileErr != nil {
		t.Fatal(s.compileErr)
	}
	over, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name string
		ctx  context.Context
		want codes.Code
	}{
		{"in time", t.Context(), codes.InvalidArgument},
		{"too late", over, codes.DeadlineExceeded},
		{"nobody waits", gone, codes.Canceled},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &call{
				method:  m,
				request: &recommendationsv1.RecommendRequest{MaxResults: -1},
				invoke:  func(context.Context) error { t.Error("the handler was called"); return nil },
			}
			if got := status.Code(c.next(test.ctx)); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
