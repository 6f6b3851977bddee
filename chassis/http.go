package chassis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/octavo-books/octavo/chassis/certs"
	"github.com/octavo-books/octavo/chassis/overload"
	"github.com/octavo-books/octavo/chassis/tracing"
	"github.com/octavo-books/octavo/fault"
)

// The limits of an HTTP server. net/http's own let a client hold a connection
// for ever.
const (
	httpHeaderTimeout = 5 * time.Second
	httpReadTimeout   = 30 * time.Second
	httpWriteTimeout  = time.Minute // a handler may extend it for one answer
	httpIdleTimeout   = 2 * time.Minute
	httpMaxHeader     = 32 << 10
	httpMaxBody       = 16 << 20  // bytes; an export of a lifetime's reading has 5 MiB
	httpMaxUnread     = 128 << 10 // bytes of bodies that wait to be read, on one connection of HTTP/2
	httpMaxStreams    = 100       // at once on one connection of HTTP/2
	slowRequest       = time.Second
)

type httpServer struct {
	name     string
	listener net.Listener
	server   *http.Server
	log      *slog.Logger
	calls    *calls
	tracer   *tracing.Tracer
	inFlight prometheus.Gauge
	limiter  *overload.Limiter
}

// HTTP adds an HTTP server with request ids, metrics, access log and recovery
// around h. It listens on addr at once and serves during Run. Request bodies
// end after 16 MiB.
func (a *App) HTTP(name, addr string, h http.Handler) (net.Addr, error) {
	return a.serveHTTP(name, addr, nil, h)
}

func (a *App) serveHTTP(name, addr string, public *certs.Folder, h http.Handler) (net.Addr, error) {
	listener, err := a.flags.listen(name, addr, public != nil)
	if err != nil {
		return nil, err
	}
	s := a.newHTTPServer(name, listener, a.newDoorkeeper(name, public != nil))
	s.limiter = a.newLimiter(name)
	s.useTLS(public)
	s.server.Handler = s.trace(s.identify(s.measure(s.logAccess(s.recoverPanic(s.limitLoad(h))))))
	a.readiness.add(name, listener.Addr().String(), nil, func(bool) {})
	a.http = append(a.http, s)
	return listener.Addr(), nil
}

func (a *App) newHTTPServer(name string, listener net.Listener, door *doorkeeper) *httpServer {
	return &httpServer{
		name:     name,
		listener: newBoundedListener(name, listener, maxHTTPConnections, spareBytes, door, a.connections, a.log),
		log:      a.log,
		calls:    a.httpCalls,
		tracer:   a.tracer,
		inFlight: a.httpInFlight,
		server: &http.Server{
			ReadHeaderTimeout: httpHeaderTimeout,
			ReadTimeout:       httpReadTimeout,
			WriteTimeout:      httpWriteTimeout,
			IdleTimeout:       httpIdleTimeout,
			MaxHeaderBytes:    httpMaxHeader,
			ConnContext:       withConnection,
			HTTP2: &http.HTTP2Config{
				MaxConcurrentStreams: httpMaxStreams,

				MaxReceiveBufferPerConnection: httpMaxUnread,
				MaxReceiveBufferPerStream:     httpMaxUnread,

				SendPingTimeout:  serverPing,
				PingTimeout:      pingTimeout,
				WriteByteTimeout: httpWriteTimeout,
			},
			ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
		},
	}
}

// exchange is a response on its way through the middleware.
type exchange struct {
	http.ResponseWriter
	span    tracing.Span
	context requestContext
	status  int // 0 until it is sent
	bytes   int64
	cause   error
	stack   []byte
	aborted bool // the answer is broken off in the middle
	shed    bool // refused for lack of room
	// answering is called when the answer begins; nil afterwards.
	answering func()
}

func (e *exchange) WriteHeader(status int) {
	if e.status == 0 && status >= 200 {
		e.status = status
		e.answers()
	}
	e.ResponseWriter.WriteHeader(status)
}

func (e *exchange) Write(p []byte) (int, error) {
	if e.status == 0 {
		e.status = http.StatusOK
		e.answers()
	}
	n, err := e.ResponseWriter.Write(p)
	e.bytes += int64(n)
	return n, err
}

func (e *exchange) answers() {
	if e.answering != nil {
		e.answering()
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (e *exchange) Unwrap() http.ResponseWriter { return e.ResponseWriter }

// code is the status that was or will be sent.
func (e *exchange) code() int {
	if e.status == 0 {
		return http.StatusOK
	}
	return e.status
}

// httpStep is a middleware of HTTP: the same pieces in the same order as the
// chain of gRPC, outermost first trace, identify, measure, logAccess, recoverPanic,
// limitLoad.
type httpStep func(e *exchange, r *http.Request)

func (s *httpServer) identify(next httpStep) httpStep {
	return func(e *exchange, r *http.Request) {
		e.context.id = requestIDOr(r.Header.Get(requestIDHeader))
		e.Header().Set(requestIDHeader, e.context.id)
		conn := httpConnection(r.Context())
		if r.ContentLength != 0 {
			r.Body = http.MaxBytesReader(e.ResponseWriter, creditedBody{r.Body, conn}, httpMaxBody)
		}
		conn.handle(r.Context(), func() { next(e, r) })
		if r.ProtoMajor == 2 && r.Context().Err() != nil {
			conn.gaveUp()
		}
	}
}

func (s *httpServer) measure(next httpStep) httpStep {
	return func(e *exchange, r *http.Request) {
		began := time.Now()
		s.inFlight.Inc()
		defer s.inFlight.Dec()
		next(e, r)
		// The router has written the route into the request by now.
		method := httpMethod(r.Method)
		series := s.calls.of(method+" "+r.Pattern, func() []string { return []string{method, r.Pattern} })
		series.begin()
		took := time.Since(began)
		series.end(e.code()/100, took)
		series.exemplify(&e.span, e.code()/100, took, e.failed(), false)
	}
}

// httpMethod keeps what a client makes up out of the metrics.
func httpMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "other"
	}
}

func (s *httpServer) logAccess(next httpStep) httpStep {
	return func(e *exchange, r *http.Request) {
		began := time.Now()
		next(e, r)
		took := time.Since(began)
		level := slog.LevelDebug
		switch {
		case e.shed: // the limiter logs their number
		case e.code() >= 500 && e.code() != http.StatusServiceUnavailable:
			level = slog.LevelError
		case e.code() >= 500:
			level = slog.LevelWarn
		case took >= slowRequest:
			level = slog.LevelInfo
		}
		if !s.log.Enabled(r.Context(), level) {
			return
		}
		attrs := make([]slog.Attr, 0, 10)
		attrs = append(attrs,
			slog.String("method", r.Method),
			slog.String("path", r.URL.Path),
			slog.String("route", r.Pattern),
			slog.Int("status", e.code()),
			slog.Int64("bytes", e.bytes),
			slog.Float64("ms", float64(took.Microseconds())/1000),
			slog.String("peer", r.RemoteAddr),
		)
		if e.cause != nil {
			attrs = append(attrs, slog.String("error", e.cause.Error()))
		}
		if e.stack != nil {
			attrs = append(attrs, slog.String("stack", string(e.stack)))
		}
		s.log.LogAttrs(r.Context(), level, "request", attrs...)
	}
}

// recoverPanic answers 500 with the request id when nothing has been sent yet,
// and breaks the answer off otherwise, so that half a page is not taken for one.
func (s *httpServer) recoverPanic(next http.Handler) httpStep {
	return func(e *exchange, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			e.aborted = e.status != 0 || p == http.ErrAbortHandler
			e.cause = fmt.Errorf("panic: %v", p)
			if p != http.ErrAbortHandler {
				e.stack = debug.Stack()
			}
			if e.aborted {
				e.status = http.StatusInternalServerError
				return
			}
			fault.Respond(e, r, e.cause, RequestID(r.Context()), nil)
		}()
		next.ServeHTTP(e, r)
	}
}

func (s *httpServer) title() string { return s.name }

func (s *httpServer) serve() error {
	serve := s.server.Serve
	if s.server.TLSConfig != nil {
		serve = func(l net.Listener) error { return s.server.ServeTLS(l, "", "") }
	}
	if err := serve(s.listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *httpServer) stop(ctx context.Context) error {
	err := s.server.Shutdown(ctx)
	if err != nil {
		return errors.Join(err, s.server.Close())
	}
	return nil
}

func (s *httpServer) discard() {
	// Neither has anything to lose.
	_ = s.server.Close()
	_ = s.listener.Close()
}
