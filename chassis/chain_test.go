package chassis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/fault"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

const requestID = "test-request-0001"

// TestOutcome follows each way a handler can end through everything that is
// around it: the code and text of the caller, the one record in the log, the
// count in the metrics.
func TestOutcome(t *testing.T) {
	secret := errors.New("pq: password of admin is hunter2")
	tests := []struct {
		name    string
		request *recommendationsv1.RecommendRequest
		handler func(context.Context) error

		code     codes.Code
		attempts int    // 1 unless said otherwise
		message  string // what the caller reads
		level    string
		logged   string // what the record's error contains
	}{
		{
			name:    "success",
			handler: func(context.Context) error { return nil },
			code:    codes.OK, level: "DEBUG",
		},
		{
			name:    "an error of a kind",
			handler: func(context.Context) error { return fault.New(fault.NotFound, "no such category") },
			code:    codes.NotFound, message: "no such category", level: "INFO", logged: "no such category",
		},
		{
			name: "an error of a kind with a cause, wrapped",
			handler: func(context.Context) error {
				return fmt.Errorf("recommend: %w", fault.Wrap(fault.Unavailable, secret, "the readers' log is away"))
			},
			code: codes.Unavailable, attempts: 3, message: "the readers' log is away", level: "WARN", logged: "hunter2",
		},
		{
			name:    "an error of no kind",
			handler: func(context.Context) error { return secret },
			code:    codes.Internal, message: "internal error, request id " + requestID, level: "ERROR", logged: "hunter2",
		},
		{
			name:    "a panic",
			handler: func(context.Context) error { panic(secret) },
			code:    codes.Internal, message: "internal error, request id " + requestID, level: "ERROR", logged: "panic: pq: password of admin is hunter2",
		},
		{
			name:    "a status with code OK is no success",
			handler: func(context.Context) error { return okError{} },
			code:    codes.Internal, message: "internal error, request id " + requestID, level: "ERROR", logged: "not OK at all",
		},
		{
			name:    "a request that breaks a rule",
			request: &recommendationsv1.RecommendRequest{MaxResults: -1},
			handler: func(context.Context) error { panic("the handler was called") },
			code:    codes.InvalidArgument, message: "max_results: must be greater than or equal to 0", level: "INFO", logged: "max_results",
		},
		{
			name:    "the caller's own end",
			handler: func(context.Context) error { return context.Canceled },
			code:    codes.Canceled, message: "the call was given up", level: "INFO", logged: "context canceled",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newProcess(t)
			s := &service{ruled: ruled{recommend: func(ctx context.Context, _ *recommendationsv1.RecommendRequest) (*recommendationsv1.RecommendResponse, error) {
				return &recommendationsv1.RecommendResponse{}, test.handler(ctx)
			}}}
			client := recommendationsv1.NewRecommendationsServiceClient(p.serve(s.register))

			ctx := metadata.AppendToOutgoingContext(t.Context(), "x-request-id", requestID)
			var trailer metadata.MD
			_, err := client.Recommend(ctx, test.request, grpc.Trailer(&trailer))

			if got := trailer.Get("x-request-id"); err != nil && !slices.Equal(got, []string{requestID}) {
				t.Errorf("the error came with request id %v", got)
			}
			attempts := max(test.attempts, 1)
			if got := status.Convert(err); got.Code() != test.code || got.Message() != test.message {
				t.Errorf("the caller got %v %q, want %v %q", got.Code(), got.Message(), test.code, test.message)
			}
			records := p.log.records(t, "call")
			if len(records) != attempts {
				t.Fatalf("%d records in the log, want %d: %v", len(records), attempts, records)
			}
			record := records[0]
			for key, want := range map[string]any{
				"level": test.level, "code": test.code.String(), "request_id": requestID,
				"method": "/octavo.recommendations.v1.RecommendationsService/Recommend", "program": "test",
			} {
				if record[key] != want {
					t.Errorf("record has %s=%v, want %v", key, record[key], want)
				}
			}
			if text, _ := record["error"].(string); !strings.Contains(text, test.logged) || (test.logged == "") != (text == "") {
				t.Errorf("record has error=%q, want %q in it", text, test.logged)
			}
			labels := `grpc_method="Recommend",grpc_service="octavo.recommendations.v1.RecommendationsService",grpc_type="unary"`
			for _, line := range []string{
				`grpc_server_started_total{` + labels + `} ` + fmt.Sprint(attempts),
				`grpc_server_in_flight{` + labels + `} 0`,
				`grpc_server_handled_total{grpc_code="` + test.code.String() + `",` + labels + `} ` + fmt.Sprint(attempts),
				`grpc_server_handling_seconds_count{grpc_code="` + test.code.String() + `",` + labels + `} ` + fmt.Sprint(attempts),
				`grpc_client_handled_total{grpc_code="` + test.code.String() + `",` + labels + `} 1`,
			} {
				if !p.hasMetric(line) {
					t.Errorf("/metrics lacks %s", line)
				}
			}
		})
	}
}

// okError claims to be a status with code OK.
type okError struct{}

func (okError) Error() string              { return "not OK at all" }
func (okError) GRPCStatus() *status.Status { return status.New(codes.OK, "") }

func TestPanicIsLoggedWithItsStack(t *testing.T) {
	p := newProcess(t)
	s := &service{plain: func(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
		panic("boom")
	}}
	client := recommendationspb.NewRecommendationsClient(p.serve(s.register))
	for range 3 { // the process goes on
		if _, err := client.Recommend(t.Context(), nil); status.Code(err) != codes.Internal {
			t.Fatalf("got %v", err)
		}
	}
	for _, record := range p.log.records(t, "call") {
		if stack, _ := record["stack"].(string); !strings.Contains(stack, "chain_test.go") {
			t.Errorf("the stack does not name where it happened: %q", stack)
		}
	}
}

func TestViolationsAreNamed(t *testing.T) {
	p := newProcess(t)
	client := recommendationsv1.NewRecommendationsServiceClient(p.serve((&service{}).register))
	_, err := client.Recommend(t.Context(), &recommendationsv1.RecommendRequest{ReaderId: -5, MaxResults: -1})
	if status.Code(err) != codes.InvalidArgument {
		t.Fatalf("got %v", err)
	}
	var told *fault.Error
	if !errors.As(err, &told) {
		t.Fatalf("got %T, want a fault", err)
	}
	var fields []string
	for _, violation := range told.Fields {
		fields = append(fields, violation.Field)
		if violation.Message == "" || violation.Rule == "" {
			t.Errorf("violation without message or rule: %v", violation)
		}
	}
	if want := []string{"reader_id", "max_results"}; !slices.Equal(fields, want) {
		t.Errorf("violations of %v, want %v", fields, want)
	}
}

func TestViolationsOfALargeRequestFitIntoAnAnswer(t *testing.T) {
	p := newProcess(t)
	client := recommendationsv1.NewRecommendationsServiceClient(p.serve((&service{}).register))
	var requests []*recommendationsv1.RecommendRequest
	for range 100 {
		requests = append(requests, &recommendationsv1.RecommendRequest{ReaderId: -1, MaxResults: -1, MinPosition: -1})
	}
	_, err := client.BatchRecommend(t.Context(), &recommendationsv1.BatchRecommendRequest{Requests: requests})
	if s := status.Convert(err); s.Code() != codes.InvalidArgument || !strings.Contains(s.Message(), "; and ") {
		t.Errorf("got %v", err)
	}
}

func TestMalformedMessageIsTheClientsMistake(t *testing.T) {
	p := newProcess(t)
	conn := p.serve((&service{}).register)
	for _, method := range []string{
		"/Recommendations/Recommend",
		"/octavo.readers.v1.ReadersService/WatchInteractions",
	} {
		t.Run(method, func(t *testing.T) {
			// Field 1 is an integer here and has the bytes of a string.
			err := conn.Invoke(t.Context(), method, rawMessage("\x0a\x02hi\xff"), new(emptypb.Empty), grpc.ForceCodec(rawCodec{}))
			if s := status.Convert(err); s.Code() != codes.InvalidArgument || s.Message() != "the request is no valid message of its type" {
				t.Errorf("got %v", err)
			}
		})
	}
	if n := len(p.log.records(t, "call")); n != 2 {
		t.Errorf("%d records in the log, want 2", n)
	}
}

type rawMessage string

// rawCodec sends bytes as they are and ignores the answer.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)   { return []byte(v.(rawMessage)), nil }
func (rawCodec) Unmarshal(_ []byte, _ any) error { return nil }
func (rawCodec) Name() string                    { return "proto" }

func TestOversizeMessageIsRefused(t *testing.T) {
	p := newProcess(t)
	s := &service{}
	conn := p.serve(s.register)
	big := rawMessage("\x0a" + strings.Repeat("x", 5<<20))
	addr := conn.Target()
	loose, err := grpc.NewClient(addr, insecureCredentials(), grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(16<<20)))
	if err != nil {
		t.Fatal(err)
	}
	defer loose.Close()
	for name, c := range map[string]*grpc.ClientConn{"by the dialler": conn, "by the server": loose} {
		t.Run(name, func(t *testing.T) {
			err := c.Invoke(t.Context(), "/Recommendations/Recommend", big, new(emptypb.Empty), grpc.ForceCodec(rawCodec{}))
			if status.Code(err) != codes.ResourceExhausted {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestOversizeHeadersAreRefused(t *testing.T) {
	p := newProcess(t)
	s := &service{plain: func(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
		t.Error("the handler was called")
		return &recommendationspb.RecommendationResponse{}, nil
	}}
	client := recommendationspb.NewRecommendationsClient(p.serve(s.register))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-large", strings.Repeat("x", 32<<10))
	if _, err := client.Recommend(ctx, nil); err == nil {
		t.Error("32 KiB of headers were taken")
	}
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	t.Run("a unary call without one gets the server's", func(t *testing.T) {
		p := newProcess(t)
		var left time.Duration
		s := &service{plain: func(ctx context.Context, _ *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
			if deadline, ok := ctx.Deadline(); ok {
				left = time.Until(deadline)
			}
			return &recommendationspb.RecommendationResponse{}, nil
		}}
		foreign, err := grpc.NewClient(p.serve(s.register).Target(), insecureCredentials())
		if err != nil {
			t.Fatal(err)
		}
		defer foreign.Close()
		if _, err := recommendationspb.NewRecommendationsClient(foreign).Recommend(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		if left <= 25*time.Second || left > 30*time.Second {
			t.Errorf("the handler had %v left, want about 30s", left)
		}
	})
	t.Run("a stream without one has none", func(t *testing.T) {
		p := newProcess(t)
		limited := true
		s := &service{ruled: ruled{watch: func(_ *readersv1.WatchInteractionsRequest, stream grpc.ServerStreamingServer[readersv1.WatchInteractionsResponse]) error {
			_, limited = stream.Context().Deadline()
			return stream.Send(&readersv1.WatchInteractionsResponse{})
		}}}
		stream, err := readersv1.NewReadersServiceClient(p.serve(s.register)).WatchInteractions(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		if limited {
			t.Error("the stream has a deadline")
		}
	})
	t.Run("a handler that outlasts it is told", func(t *testing.T) {
		p := newProcess(t)
		told := make(chan struct{}, 100) // more than there are attempts
		s := &service{plain: func(ctx context.Context, _ *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
			<-ctx.Done()
			told <- struct{}{}
			return nil, ctx.Err()
		}}
		client := recommendationspb.NewRecommendationsClient(p.serve(s.register))
		// The margin is 50 ms, which a machine that is busy for a moment may use up.
		eventually(t, "the dialler keeps time for its caller to answer in", time.Minute, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := client.Recommend(ctx, nil); status.Code(err) != codes.DeadlineExceeded {
				t.Fatalf("got %v", err)
			}
			deadline, _ := ctx.Deadline()
			return time.Until(deadline) > 10*time.Millisecond
		})
		select {
		case <-told:
		case <-within(t).Done():
			t.Error("the handler was not told")
		}
	})
}

func TestRequestID(t *testing.T) {
	tests := []struct {
		name  string
		given []string
		keeps bool
	}{
		{"none", nil, false},
		{"a good one", []string{"0af7651916cd43dd-8448.eb211_c"}, true},
		{"too short", []string{"short"}, false},
		{"too long", []string{strings.Repeat("a", 65)}, false},
		{"one that would forge a record", []string{"abcdefgh\" level=ERROR"}, false},
		{"two", []string{"aaaaaaaaaa", "bbbbbbbbbb"}, false},
	}
	p := newProcess(t)
	var handled string
	s := &service{plain: func(ctx context.Context, _ *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
		handled = chassis.RequestID(ctx)
		p.Log().InfoContext(ctx, "in the handler")
		return &recommendationspb.RecommendationResponse{}, nil
	}}
	client := recommendationspb.NewRecommendationsClient(p.serve(s.register))
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx := t.Context()
			for _, id := range test.given {
				ctx = metadata.AppendToOutgoingContext(ctx, "x-request-id", id)
			}
			var header metadata.MD
			if _, err := client.Recommend(ctx, nil, grpc.Header(&header)); err != nil {
				t.Fatal(err)
			}
			if test.keeps && handled != test.given[0] {
				t.Errorf("the handler saw %q, want %q", handled, test.given[0])
			}
			if !test.keeps && (slices.Contains(test.given, handled) || len(handled) != 16) {
				t.Errorf("the handler saw %q, want a new id", handled)
			}
			if got := header.Get("x-request-id"); len(got) != 1 || got[0] != handled {
				t.Errorf("the caller was told %v, want %s", got, handled)
			}
			if got := p.log.records(t, "in the handler")[i]["request_id"]; got != handled {
				t.Errorf("the handler's record has %v, want %s", got, handled)
			}
		})
	}
}

// TestRequestIDGoesOn follows an id over two hops.
func TestRequestIDGoesOn(t *testing.T) {
	back, front := newProcess(t), newProcess(t)
	ids := make(chan string, 2)
	peer := recommendationspb.NewRecommendationsClient(back.serve((&service{plain: func(ctx context.Context, _ *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
		ids <- chassis.RequestID(ctx)
		return &recommendationspb.RecommendationResponse{}, nil
	}}).register))
	client := recommendationspb.NewRecommendationsClient(front.serve((&service{plain: func(ctx context.Context, r *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
		ids <- chassis.RequestID(ctx)
		return peer.Recommend(ctx, r)
	}}).register))
	if _, err := client.Recommend(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if first, second := <-ids, <-ids; first != second || first == "" {
		t.Errorf("the first hop had %q, the second %q", first, second)
	}
}

func TestStream(t *testing.T) {
	watch := func(t *testing.T, p *process, request *readersv1.WatchInteractionsRequest, handler func(grpc.ServerStreamingServer[readersv1.WatchInteractionsResponse]) error) error {
		t.Helper()
		s := &service{ruled: ruled{watch: func(_ *readersv1.WatchInteractionsRequest, stream grpc.ServerStreamingServer[readersv1.WatchInteractionsResponse]) error {
			return handler(stream)
		}}}
		client := readersv1.NewReadersServiceClient(p.serve(s.register))
		stream, err := client.WatchInteractions(metadata.AppendToOutgoingContext(t.Context(), "x-request-id", requestID), request)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	tests := []struct {
		name    string
		request *readersv1.WatchInteractionsRequest
		handler func(grpc.ServerStreamingServer[readersv1.WatchInteractionsResponse]) error
		code    codes.Code
	}{
		{name: "a request that breaks a rule", request: &readersv1.WatchInteractionsRequest{AfterPosition: -1}, code: codes.InvalidArgument},
		{name: "a panic", handler: func(grpc.ServerStreamingServer[readersv1.WatchInteractionsResponse]) error { panic("boom") }, code: codes.Internal},
		{name: "an error after a message", handler: func(s grpc.ServerStreamingServer[readersv1.WatchInteractionsResponse]) error {
			if err := s.Send(&readersv1.WatchInteractionsResponse{}); err != nil {
				return err
			}
			return fault.New(fault.Unavailable, "stopping")
		}, code: codes.Unavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newProcess(t)
			err := watch(t, p, test.request, test.handler)
			if status.Code(err) != test.code {
				t.Errorf("got %v, want %v", err, test.code)
			}
			records := p.log.records(t, "call")
			if len(records) != 1 || records[0]["code"] != test.code.String() || records[0]["request_id"] != requestID {
				t.Errorf("log has %v", records)
			}
			if line := `grpc_server_handled_total{grpc_code="` + test.code.String() + `",grpc_method="WatchInteractions",grpc_service="octavo.readers.v1.ReadersService",grpc_type="server_stream"} 1`; !p.hasMetric(line) {
				t.Errorf("/metrics lacks %s", line)
			}
		})
	}
}

func TestSuccessIsQuietAboveDebug(t *testing.T) {
	p := newProcess(t, func(f *chassis.Flags) { f.LogLevel = "info" })
	s := &service{plain: func(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
		return &recommendationspb.RecommendationResponse{}, nil
	}}
	if _, err := recommendationspb.NewRecommendationsClient(p.serve(s.register)).Recommend(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if records := p.log.records(t, "call"); len(records) != 0 {
		t.Errorf("logged %v", records)
	}
}
