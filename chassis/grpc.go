package chassis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // clients may compress
	protocodec "google.golang.org/grpc/encoding/proto"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/reflection"

	"github.com/octavo-books/octavo/chassis/overload"
	"github.com/octavo-books/octavo/chassis/tracing"
)

// The limits of a gRPC server and of a connection to one. grpc-go's own allow
// 16 MiB of headers, any number of streams and connections that last for ever.
const (
	maxMessageSize     = 4 << 20
	maxHeaderListSize  = 16 << 10
	maxStreams         = 1000 // at once on one connection
	maxConnectionIdle  = 15 * time.Minute
	connectionAgeGrace = time.Minute // for calls, then streams are cut off and resumed
	handshakeTimeout   = 10 * time.Second
	serverPing         = time.Minute
	clientPing         = 20 * time.Second
	minClientPing      = 10 * time.Second // who pings more often is disconnected
	pingTimeout        = 10 * time.Second
	streamWorkers      = 64 // goroutines that keep their grown stack from call to call
)

type grpcServer struct {
	name      string
	listener  net.Listener
	server    *grpc.Server
	health    *healthServer
	log       *slog.Logger
	calls     *calls
	tracer    *tracing.Tracer
	validator *validator
	methods   []*method
	enforced  bool // whether callers may do only what their identity may
	limiter   *overload.Limiter
	// background are the methods that are so unless the caller says otherwise.
	background  map[string]bool
	openStreams atomic.Int64
	// compileErr is why a contract's rules cannot be checked.
	compileErr error
}

// GRPC adds a gRPC server with the production chain, health and reflection. It
// listens on addr at once and serves during Run. ready is asked about ten
// times a second and must be cheap; its error is the reason shown at /readyz;
// nil means always ready. It drives the health of the server as a whole and of
// each service on it.
func (a *App) GRPC(name, addr string, ready func() error, register func(grpc.ServiceRegistrar)) (net.Addr, error) {
	listener, err := a.flags.listen(name, addr, a.certs != nil)
	if err != nil {
		return nil, err
	}
	s := &grpcServer{
		name:       name,
		listener:   newBoundedListener(name, listener, maxGRPCConnections, 0, a.newDoorkeeper(name, a.certs != nil), a.connections, a.log),
		health:     newHealthServer(),
		log:        a.log,
		calls:      a.serverCalls,
		tracer:     a.tracer,
		validator:  a.validator,
		server:     grpc.NewServer(append(serverOptions(a.arrivalLimit, a.flags.ConnectionAge), grpc.Creds(frameGuard{a.serverCredentials()}))...),
		enforced:   a.certs != nil,
		limiter:    a.newLimiter(name),
		background: a.background,
	}
	register(s)
	if s.compileErr != nil {
		s.discard()
		return nil, fmt.Errorf("register %s: %w", name, s.compileErr)
	}
	for service := range s.server.GetServiceInfo() {
		s.health.add(service)
	}
	healthpb.RegisterHealthServer(s.server, s.health)
	if a.reflects() {
		reflection.Register(s.server)
	}
	a.readiness.add(name, listener.Addr().String(), ready, s.health.publish)
	a.grpc = append(a.grpc, s)
	return listener.Addr(), nil
}

func serverOptions(arrivalLimit, connectionAge time.Duration) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessageSize),
		grpc.MaxSendMsgSize(maxMessageSize),
		grpc.MaxHeaderListSize(maxHeaderListSize),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle:     maxConnectionIdle,
			MaxConnectionAge:      connectionAge,
			MaxConnectionAgeGrace: connectionAgeGrace,
			Time:                  serverPing,
			Timeout:               pingTimeout,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime:             minClientPing,
			PermitWithoutStream: true,
		}),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.InTapHandle(awaitRequest(arrivalLimit)),
		grpc.StreamInterceptor(awaitStream),
		grpc.WaitForHandlers(true),
		grpc.ForceServerCodecV2(serverCodec{encoding.GetCodecV2(protocodec.Name)}),
	}
}

// RegisterService puts the chain around every method of a service. What can be
// known before the first call, such as the method's metrics and whether its
// requests have rules, is found out here.
func (s *grpcServer) RegisterService(desc *grpc.ServiceDesc, impl any) {
	wrapped := *desc
	wrapped.Methods = make([]grpc.MethodDesc, len(desc.Methods))
	for i, m := range desc.Methods {
		wrapped.Methods[i] = grpc.MethodDesc{
			MethodName: m.MethodName,
			Handler:    unary(s.method(desc.ServiceName, m.MethodName, "unary"), m.Handler),
		}
	}
	wrapped.Streams = make([]grpc.StreamDesc, len(desc.Streams))
	for i, d := range desc.Streams {
		wrapped.Streams[i] = d
		wrapped.Streams[i].Handler = s.stream(s.method(desc.ServiceName, d.StreamName, streamType(d.ClientStreams, d.ServerStreams)), d.Handler)
	}
	s.server.RegisterService(&wrapped, impl)
}

func (s *grpcServer) method(service, name, kind string) *method {
	m := &method{
		fullName:  "/" + service + "/" + name,
		chain:     s.chain(),
		streaming: kind != "unary",
	}
	m.operation = s.limiter.Operation(m.fullName)
	if s.background[m.fullName] {
		m.priority = overload.Background
	}
	m.series = s.calls.of(m.fullName, func() []string { return []string{kind, service, name} })
	var err error
	if m.validated, err = s.validator.prepare(service, name); err != nil {
		s.compileErr = errors.Join(s.compileErr, err)
	}
	s.methods = append(s.methods, m)
	return m
}

func streamType(clientStreams, serverStreams bool) string {
	switch {
	case clientStreams && serverStreams:
		return "bidi_stream"
	case clientStreams:
		return "client_stream"
	case serverStreams:
		return "server_stream"
	default:
		return "unary"
	}
}

// unary adapts the chain to a unary method.
func unary(m *method, handler grpc.MethodHandler) grpc.MethodHandler {
	return func(impl any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		c := &call{method: m}
		var reply any
		_, err := handler(impl, ctx,
			func(into any) error {
				e := envelope{message: into}
				err := decode(&e)
				arrived(ctx)
				c.requestErr = e.err
				return err
			},
			func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
				c.request = request
				c.invoke = func(ctx context.Context) (err error) {
					reply, err = handler(ctx, request)
					return err
				}
				return nil, c.next(ctx)
			})
		if err != nil {
			return nil, err
		}
		return reply, nil
	}
}

// stream adapts the chain to a streaming method.
func (s *grpcServer) stream(m *method, handler grpc.StreamHandler) grpc.StreamHandler {
	return func(impl any, stream grpc.ServerStream) error {
		c := &call{method: m}
		c.invoke = func(ctx context.Context) error {
			return handler(impl, &serverStream{stream, ctx, s, c})
		}
		return c.next(stream.Context())
	}
}

// serverStream has the context the chain has made, and checks what it receives.
type serverStream struct {
	grpc.ServerStream
	ctx    context.Context
	server *grpcServer
	call   *call
}

func (s *serverStream) Context() context.Context { return s.ctx }

func (s *serverStream) RecvMsg(into any) error {
	e := envelope{message: into}
	if err := s.ServerStream.RecvMsg(&e); err != nil {
		return err
	}
	return s.server.check(s.call, into, e.err)
}

// envelope carries a message through grpc-go's decoding, which would answer
// INTERNAL, out of the chain's sight, when the client sent one that is
// malformed. That is the client's mistake and has to be counted.
type envelope struct {
	message any
	err     error
}

// serverCodec is the protobuf codec, which keeps a decoding error in the
// envelope.
type serverCodec struct{ encoding.CodecV2 }

func (c serverCodec) Unmarshal(data mem.BufferSlice, into any) error {
	e, ok := into.(*envelope)
	if !ok {
		return c.CodecV2.Unmarshal(data, into)
	}
	e.err = c.CodecV2.Unmarshal(data, e.message)
	return nil
}

func (s *grpcServer) title() string { return s.name }

func (s *grpcServer) serve() error {
	if err := s.server.Serve(s.listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

func (s *grpcServer) stop(ctx context.Context) error {
	s.health.end()
	graceful := make(chan struct{})
	go func() {
		s.server.GracefulStop()
		close(graceful)
	}()
	select {
	case <-graceful:
		return nil
	case <-ctx.Done():
	}
	go s.server.Stop()
	select {
	case <-graceful:
		return ctx.Err()
	case <-time.After(forcedStop):
		return fmt.Errorf("calls that ignore the end of their context are still running")
	}
}

func (s *grpcServer) discard() {
	s.server.Stop()
	// Stop closes only listeners that were served on.
	_ = s.listener.Close()
}

// splitMethod splits /service/method.
func splitMethod(fullName string) (service, name string) {
	service, name, _ = strings.Cut(strings.TrimPrefix(fullName, "/"), "/")
	return service, name
}
