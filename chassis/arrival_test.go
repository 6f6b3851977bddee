package chassis_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

// TestTheRequestHasToArrive: who opens a call and sends no message loses the
// place, and who has sent one may take as long as the work takes.
func TestTheRequestHasToArrive(t *testing.T) {
	const limit, longer = 200 * time.Millisecond, 500 * time.Millisecond
	const (
		unary  = recommendationspb.Recommendations_Recommend_FullMethodName
		watch  = readersv1.ReadersService_WatchInteractions_FullMethodName
		health = healthpb.Health_Watch_FullMethodName
		own    = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
	)
	p := newProcess(t)
	p.SetArrivalLimit(limit)
	s := &service{
		plain: func(ctx context.Context, _ *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(longer):
				return &recommendationspb.RecommendationResponse{}, nil
			}
		},
		ruled: ruled{watch: func(_ *readersv1.WatchInteractionsRequest, stream grpc.ServerStreamingServer[readersv1.WatchInteractionsResponse]) error {
			select {
			case <-stream.Context().Done():
				return stream.Context().Err()
			case <-time.After(longer):
				return stream.Send(&readersv1.WatchInteractionsResponse{})
			}
		}},
	}
	addr := p.listen(nil, s.register)
	p.start()
	// The App's own dialler would set a deadline.
	conn, err := grpc.NewClient(addr.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	for _, test := range []struct {
		name, method string
		request      proto.Message // nil for none
		answer       proto.Message
		want         codes.Code
	}{
		{"unary", unary, &recommendationspb.RecommendationRequest{}, &recommendationspb.RecommendationResponse{}, codes.OK},
		{"unary without a message", unary, nil, &recommendationspb.RecommendationResponse{}, codes.DeadlineExceeded},
		{"stream", watch, &readersv1.WatchInteractionsRequest{}, &readersv1.WatchInteractionsResponse{}, codes.OK},
		{"stream without a message", watch, nil, &readersv1.WatchInteractionsResponse{}, codes.DeadlineExceeded},
		{"health without a message", health, nil, &healthpb.HealthCheckResponse{}, codes.DeadlineExceeded},
		{"reflection without a message", own, nil, &healthpb.HealthCheckResponse{}, codes.DeadlineExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			stream, err := conn.NewStream(within(t), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, test.method)
			if err != nil {
				t.Fatal(err)
			}
			if test.request != nil {
				if err := stream.SendMsg(test.request); err != nil {
					t.Fatal(err)
				}
				if err := stream.CloseSend(); err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			if err := stream.RecvMsg(test.answer); status.Code(err) != test.want {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if took := time.Since(began); took < limit/2 {
				t.Errorf("it ended after %v already", took)
			}
		})
	}
	t.Run("health goes on", func(t *testing.T) {
		t.Parallel()
		stream, err := healthpb.NewHealthClient(conn).Watch(within(t), &healthpb.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			var err error
			for err == nil {
				_, err = stream.Recv()
			}
			ended <- err
		}()
		select {
		case err := <-ended:
			t.Errorf("a watch was ended: %v", err)
		case <-time.After(longer):
		}
	})
}

// within is a context that ends the test's calls when a server does not, far
// later than any limit for a message.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
