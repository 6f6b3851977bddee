package chassis

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	_ "google.golang.org/grpc/health" // clients follow their servers' health
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/dns"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/octavo-books/octavo/chassis/outlier"
	"github.com/octavo-books/octavo/chassis/overload"
	"github.com/octavo-books/octavo/chassis/tracing"
	"github.com/octavo-books/octavo/fault"
)

const (
	// callLimit is the deadline of a unary call that has none. Whoever needs
	// longer says so with a context of its own.
	callLimit = 2 * time.Second
	// A hop keeps 1/20 of the time it has left, at most maxMargin, to answer
	// its own caller when the call fails.
	marginShare = 20
	maxMargin   = 100 * time.Millisecond
	// hopeless is less time than a call can be made in.
	hopeless = 500 * time.Microsecond

	connectTimeout = 2 * time.Second
	minReconnect   = 50 * time.Millisecond
	maxReconnect   = time.Second // a peer that is back is found within about this
)

// Dial makes a connection to the gRPC server at target, host:port, or several
// of them behind one DNS name, between which calls go round; the name is
// resolved every few seconds. It connects when the App runs, or when first used,
// and is closed when the App ends.
//
// Calls fail at once while nobody healthy answers. Unary calls without a
// deadline get one of 2 s; streams have the deadline of their context only.
// Calls that failed with UNAVAILABLE are repeated if their contract says that
// they may be (idempotency_level).
func (a *App) Dial(name, target string) (*grpc.ClientConn, error) {
	config, err := serviceConfig(protoregistry.GlobalFiles)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", name, err)
	}
	return a.dial(name, target, config)
}

// DialOnce is Dial for measurements: no call is repeated, and none is kept from
// a server that fails, so that every failure is seen.
func (a *App) DialOnce(name, target string) (*grpc.ClientConn, error) {
	return a.dial(name, target, `{"loadBalancingConfig": [{"round_robin": {}}]}`)
}

func (a *App) dial(name, target, config string) (*grpc.ClientConn, error) {
	d := &dialler{calls: a.clientCalls, tracer: a.tracer}
	conn, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(a.clientCredentials()),
		grpc.WithUserAgent(a.name+"/"+a.version),
		grpc.WithNoProxy(), // services are reached directly
		grpc.WithResolvers(following{resolver.Get("dns"), resolveEvery}),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultServiceConfig(config),
		grpc.WithMaxHeaderListSize(maxHeaderListSize),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxMessageSize),
			grpc.MaxCallSendMsgSize(maxMessageSize),
		),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: clientPing, Timeout: pingTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: minReconnect, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxReconnect},
			MinConnectTimeout: connectTimeout,
		}),
		grpc.WithUnaryInterceptor(d.unary),
		grpc.WithStreamInterceptor(d.stream),
	)
	if err != nil {
		return nil, fmt.Errorf("dial %s at %s: %w", name, target, err)
	}
	a.conns = append(a.conns, conn)
	a.OnClose("connection to "+name, func() error {
		if conn.GetState() == connectivity.Shutdown {
			return nil // its user has closed it
		}
		return conn.Close()
	})
	return conn, nil
}

// dialler is the middleware of outgoing calls.
type dialler struct {
	calls  *calls
	tracer *tracing.Tracer
}

func (d *dialler) unary(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	began := time.Now()
	s := d.series(method, "unary")
	s.begin()
	var span tracing.Span
	d.traceCall(ctx, &span, method, began)
	err := d.inTime(propagate(ctx, &span), began, func(ctx context.Context) error {
		return fault.FromStatus(invoke(ctx, method, request, reply, conn, opts...))
	})
	s.endCall(&span, err, time.Since(began), conn.Target(), RequestID(ctx), false)
	return err
}

// inTime makes a call with the deadline it should have.
func (d *dialler) inTime(ctx context.Context, now time.Time, invoke func(context.Context) error) error {
	limit := callLimit
	if deadline, ok := ctx.Deadline(); ok {
		limit = deadline.Sub(now)
		limit -= min(limit/marginShare, maxMargin)
		if limit < hopeless {
			return fault.Status(fault.New(fault.DeadlineExceeded, "too little time is left to make the call"), RequestID(ctx)).Err()
		}
	}
	ctx, cancel := context.WithDeadline(ctx, now.Add(limit))
	defer cancel()
	return invoke(ctx)
}

func (d *dialler) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	began := time.Now()
	s := d.series(method, streamType(desc.ClientStreams, desc.ServerStreams))
	s.begin()
	var span tracing.Span
	d.traceCall(ctx, &span, method, began)
	opts = append(opts, grpc.OnFinish(func(err error) {
		s.endCall(&span, err, time.Since(began), conn.Target(), RequestID(ctx), true)
	}))
	opened, err := open(propagate(ctx, &span), desc, conn, method, opts...)
	if err != nil {
		return nil, fault.FromStatus(err)
	}
	return clientStream{opened}, nil
}

// clientStream makes the faults of the server again out of its statuses.
type clientStream struct{ grpc.ClientStream }

func (s clientStream) RecvMsg(into any) error {
	return fault.FromStatus(s.ClientStream.RecvMsg(into))
}

func (s clientStream) SendMsg(message any) error {
	return fault.FromStatus(s.ClientStream.SendMsg(message))
}

func (d *dialler) series(fullMethod, kind string) *series {
	return d.calls.of(fullMethod, func() []string {
		service, name := splitMethod(fullMethod)
		return []string{kind, service, name}
	})
}

// propagate sends along the call's span, and the id and the priority of the
// request that is being handled.
func propagate(ctx context.Context, span *tracing.Span) context.Context {
	told := make([]string, 0, 8)
	told = append(told, tracing.ParentHeader, span.Parent())
	if span.State != "" {
		told = append(told, tracing.StateHeader, span.State)
	}
	if id := RequestID(ctx); id != "" {
		told = append(told, requestIDKey, id)
	}
	if p, ok := rootPriority(ctx); ok {
		told = append(told, overload.MetadataKey, p.String())
	}
	return metadata.AppendToOutgoingContext(ctx, told...)
}

// init gives grpc-go what it takes in no other way: a balancer, and how often a
// name may be resolved at most. Its own 30 s are longer than a replica takes to
// be replaced.
//
//nolint:gochecknoinits // grpc-go allows both only before its first connection
func init() {
	balancer.Register(outlier.NewBuilder())
	dns.SetMinResolutionInterval(time.Second)
}

// serviceConfig is the configuration of every connection: calls go round the
// replicas that are healthy and do not fail (package outlier), and those that
// contracts call free of side effects or idempotent are tried up to three
// times. The throttle is the budget: fifty retries at once, enough until a bad
// replica is ejected, and in the long run one for ten calls that succeed, so
// that retries do not keep a server down (gRFC A6).
func serviceConfig(contracts *protoregistry.Files) (string, error) {
	type methodName struct {
		Service string `json:"service"`
		Method  string `json:"method"`
	}
	var repeatable []methodName
	contracts.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				method := service.Methods().Get(j)
				options, _ := method.Options().(*descriptorpb.MethodOptions)
				if options.GetIdempotencyLevel() != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN {
					repeatable = append(repeatable, methodName{string(service.FullName()), string(method.Name())})
				}
			}
		}
		return true
	})
	config := map[string]any{
		"loadBalancingConfig": []any{map[string]any{outlier.Name: struct{}{}}},
		"healthCheckConfig":   map[string]any{"serviceName": ""},
		"retryThrottling":     map[string]any{"maxTokens": 100, "tokenRatio": 0.1},
	}
	if len(repeatable) > 0 {
		config["methodConfig"] = []any{map[string]any{
			"name": repeatable,
			"retryPolicy": map[string]any{
				"maxAttempts": 3, "initialBackoff": "0.02s", "maxBackoff": "0.2s", "backoffMultiplier": 2,
				"retryableStatusCodes": []string{"UNAVAILABLE"},
			},
		}}
	}
	text, err := json.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("write service config: %w", err)
	}
	return string(text), nil
}
