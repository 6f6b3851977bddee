package chassis_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/octavo-books/octavo/fault"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

func TestDialler(t *testing.T) {
	t.Parallel()
	t.Run("a unary call without a deadline gets one of two seconds", func(t *testing.T) {
		t.Parallel()
		p := newProcess(t)
		left := make(chan time.Duration, 1)
		s := &service{plain: func(ctx context.Context, _ *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
			deadline, _ := ctx.Deadline()
			left <- time.Until(deadline)
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		client := recommendationspb.NewRecommendationsClient(p.serve(s.register))
		began := time.Now()
		_, err := client.Recommend(context.Background(), nil)
		if took := time.Since(began); status.Code(err) != codes.DeadlineExceeded || took < 1900*time.Millisecond {
			t.Errorf("got %v after %v", err, took)
		}
		if l := <-left; l > 2*time.Second {
			t.Errorf("the handler had %v left", l)
		}
	})
	t.Run("a longer deadline is kept, less a margin", func(t *testing.T) {
		t.Parallel()
		p := newProcess(t)
		var left time.Duration
		s := &service{plain: func(ctx context.Context, _ *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
			deadline, _ := ctx.Deadline()
			left = time.Until(deadline)
			return &recommendationspb.RecommendationResponse{}, nil
		}}
		client := recommendationspb.NewRecommendationsClient(p.serve(s.register))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := client.Recommend(ctx, nil); err != nil {
			t.Fatal(err)
		}
		if left < 55*time.Second || left > time.Minute-100*time.Millisecond {
			t.Errorf("the handler had %v left, want 100 ms less than a minute", left)
		}
	})
	t.Run("hopeless work is not sent", func(t *testing.T) {
		t.Parallel()
		p := newProcess(t)
		s := &service{plain: func(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
			t.Error("the call was sent")
			return &recommendationspb.RecommendationResponse{}, nil
		}}
		client := recommendationspb.NewRecommendationsClient(p.serve(s.register))
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Microsecond)
		defer cancel()
		if _, err := client.Recommend(ctx, nil); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nobody there is known before the deadline", func(t *testing.T) {
		t.Parallel()
		p := newProcess(t)
		defer p.Close()
		nobody, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		nobody.Close()
		client := recommendationspb.NewRecommendationsClient(p.dial(nobody.Addr().String()))
		if _, err = client.Recommend(within(t), nil); status.Code(err) != codes.Unavailable {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a hung server costs no more than the deadline", func(t *testing.T) {
		t.Parallel()
		p := newProcess(t)
		defer p.Close()
		silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never says a word
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		client := recommendationspb.NewRecommendationsClient(p.dial(silent.Addr().String()))
		// On a machine that is busy for a moment one call may take longer.
		eventually(t, "a call ends at its deadline", time.Minute, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			began := time.Now()
			if _, err := client.Recommend(ctx, nil); status.Code(err) != codes.DeadlineExceeded {
				t.Fatalf("got %v", err)
			}
			return time.Since(began) < time.Second
		})
	})
}

// TestConnectionsAreMadeBeforeTheFirstCall: a replica that has just started does
// not let its first caller wait for them.
func TestConnectionsAreMadeBeforeTheFirstCall(t *testing.T) {
	t.Parallel()
	server := newProcess(t)
	addr := server.listen(nil, (&service{}).register).String()
	server.start()
	client := newProcess(t)
	conn := client.dial(addr)
	if state := conn.GetState(); state != connectivity.Idle {
		t.Errorf("before the app runs the connection is %v", state)
	}
	client.start()
	eventually(t, "the connection is there, without a call", 30*time.Second, func() bool { return conn.GetState() == connectivity.Ready })
}

// TestStreamsAreCounted checks the client's side of a stream, which is over
// only when its end has been received.
func TestStreamsAreCounted(t *testing.T) {
	p := newProcess(t)
	s := &service{ruled: ruled{watch: func(_ *readersv1.WatchInteractionsRequest, stream grpc.ServerStreamingServer[readersv1.WatchInteractionsResponse]) error {
		<-stream.Context().Done()
		return stream.Context().Err()
	}}}
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := readersv1.NewReadersServiceClient(p.serve(s.register)).WatchInteractions(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	labels := `grpc_method="WatchInteractions",grpc_service="octavo.readers.v1.ReadersService",grpc_type="server_stream"`
	if !p.hasMetric(`grpc_client_in_flight{` + labels + `} 1`) {
		t.Error("the open stream is not in flight")
	}
	cancel()
	if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Fatalf("got %v", err)
	}
	for _, line := range []string{
		`grpc_client_in_flight{` + labels + `} 0`,
		`grpc_client_handled_total{grpc_code="Canceled",` + labels + `} 1`,
		`grpc_server_handled_total{grpc_code="Canceled",` + labels + `} 1`,
	} {
		eventually(t, line, 30*time.Second, func() bool { return p.hasMetric(line) })
	}
}

// TestRestartedPeerIsFoundAgain replaces a server by another one at the same
// address, as a restart does.
func TestRestartedPeerIsFoundAgain(t *testing.T) {
	t.Parallel()
	client := newProcess(t)
	answer := (&service{plain: func(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
		return &recommendationspb.RecommendationResponse{}, nil
	}}).register

	first := newProcess(t)
	addr := first.listen(nil, answer).String()
	first.start()
	conn := client.dial(addr)
	client.start()
	recommend := func() error {
		_, err := recommendationspb.NewRecommendationsClient(conn).Recommend(t.Context(), nil)
		return err
	}
	eventually(t, "the first server answers", 30*time.Second, func() bool { return recommend() == nil })
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	// Long enough for the pauses between attempts to have grown.
	down := time.Now()
	eventually(t, "two seconds without a server", 10*time.Second, func() bool {
		if err := recommend(); status.Code(err) != codes.Unavailable {
			t.Fatalf("without a server: %v", err)
		}
		return time.Since(down) > 2*time.Second
	})
	second := newProcess(t)
	if _, err := second.GRPC("server", addr, nil, answer); err != nil {
		t.Fatal(err)
	}
	second.start()
	back := time.Now()
	eventually(t, "the second server answers", 30*time.Second, func() bool { return recommend() == nil })
	t.Logf("found again after %v", time.Since(back))
}

// TestOnlyWhatMayBeRepeatedIs: the contract says which calls do no harm when
// they are made twice (idempotency_level).
func TestOnlyWhatMayBeRepeatedIs(t *testing.T) {
	p := newProcess(t)
	var calls atomic.Int32
	unavailable := func() error {
		if calls.Add(1) < 3 {
			return fault.New(fault.Unavailable, "try again")
		}
		return nil
	}
	s := &service{
		plain: func(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
			return &recommendationspb.RecommendationResponse{}, unavailable()
		},
		ruled: ruled{recommend: func(context.Context, *recommendationsv1.RecommendRequest) (*recommendationsv1.RecommendResponse, error) {
			return &recommendationsv1.RecommendResponse{}, unavailable()
		}},
	}
	conn := p.serve(s.register)
	for _, test := range []struct {
		name  string
		call  func() error
		code  codes.Code
		calls int32
	}{
		{"without side effects", func() error {
			_, err := recommendationsv1.NewRecommendationsServiceClient(conn).Recommend(t.Context(), nil)
			return err
		}, codes.OK, 3},
		{"nothing said", func() error {
			_, err := recommendationspb.NewRecommendationsClient(conn).Recommend(t.Context(), nil)
			return err
		}, codes.Unavailable, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			calls.Store(0)
			if err := test.call(); status.Code(err) != test.code {
				t.Errorf("got %v, want %v", err, test.code)
			}
			if n := calls.Load(); n != test.calls {
				t.Errorf("the call was made %d times, want %d", n, test.calls)
			}
		})
	}
}
