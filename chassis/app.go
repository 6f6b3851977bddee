// Package chassis is the ground every process of Octavo stands on: it runs
// servers and tasks, stops them in order and in bounded time, and gives each of
// them limits, request ids, metrics, logs, health and deadlines.
//
// A service does not import it and does not know it: it is handed a context, a
// *slog.Logger and clients. The chassis never imports a service, reads no flags
// and no environment, and installs nothing global.
package chassis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/octavo-books/octavo/chassis/certs"
	"github.com/octavo-books/octavo/chassis/tracing"
	"github.com/octavo-books/octavo/fault"
)

// Flags are the settings every process has. The command line's variable
// admin_addr is the default of AdminAddr. The zero value is usable: no admin
// port, level info, format auto.
type Flags struct {
	AdminAddr    string `name:"admin-addr" env:"OCTAVO_ADMIN_ADDR" default:"${admin_addr}" group:"addresses" help:"Address of metrics, probes and profiles; empty for none (${env})."`
	AdminTLS     bool   `name:"admin-tls" env:"OCTAVO_ADMIN_TLS" group:"tls" help:"Serve the admin port over TLS, with the certificate of --tls-dir. All but the probes is then for the identities octavo and prometheus (${env})."`
	AdminExposed bool   `name:"admin-exposed" env:"OCTAVO_ADMIN_EXPOSED" group:"addresses" help:"Let the admin port listen on an address that is not loopback though it asks nobody who they are: for a closed network (${env})."`
	Plaintext    bool   `name:"plaintext" env:"OCTAVO_PLAINTEXT" group:"tls" help:"Listen without TLS on addresses that are not loopback as well: for a closed network, or behind a proxy that has TLS (${env})."`
	Reflection   string `name:"reflection" env:"OCTAVO_REFLECTION" default:"auto" enum:"auto,on,off" group:"addresses" help:"Whether gRPC servers describe themselves to tools such as grpcurl: on, off, or auto, which is on without --tls-dir (${env})."`

	TLS `embed:""`

	LogLevel        string        `name:"log-level" env:"OCTAVO_LOG_LEVEL" default:"info" enum:"debug,info,warn,error" group:"logging" help:"debug, info, warn or error. At debug every request is logged, otherwise failed and slow ones (${env})."`
	LogFormat       string        `name:"log-format" env:"OCTAVO_LOG_FORMAT" default:"auto" enum:"auto,text,json" group:"logging" help:"text, json, or auto: text on a terminal, JSON elsewhere (${env})."`
	NoColor         string        `name:"no-color" env:"NO_COLOR" hidden:"" help:"Anything but empty: no colours in the log."`
	OTLPEndpoint    string        `name:"otlp-endpoint" env:"OCTAVO_OTLP_ENDPOINT" group:"telemetry" help:"URL of the OpenTelemetry collector to export traces to, such as http://127.0.0.1:4317; empty for none (${env})."`
	OTLPProtocol    string        `name:"otlp-protocol" env:"OCTAVO_OTLP_PROTOCOL" default:"grpc" enum:"grpc,http" group:"telemetry" help:"grpc, or http for OTLP over HTTP in protobuf (${env})."`
	OTLPHeadersFile string        `name:"otlp-headers-file" env:"OCTAVO_OTLP_HEADERS_FILE" type:"path" group:"telemetry" help:"File with headers for the collector, lines of 'Name: value' (${env})."`
	TraceSample     float64       `name:"trace-sample" env:"OCTAVO_TRACE_SAMPLE" default:"0.01" group:"telemetry" help:"Share of traces to export, 0 to 1. Requests that fail or are slow are exported besides (${env})."`
	TraceSlow       time.Duration `name:"trace-slow" env:"OCTAVO_TRACE_SLOW" default:"500ms" group:"telemetry" help:"From when on a request counts as slow and is exported (${env})."`
	FloodWait       time.Duration `name:"flood-wait" env:"OCTAVO_FLOOD_WAIT" default:"30s" group:"limits" help:"How long at most an address may not connect after its connections were ended for a flood: a second after the first, and twice as long after each further one. 0s for not at all, as for a proxy that sends on what its clients send (${env})."`
	Handshakes      float64       `name:"handshakes" env:"OCTAVO_HANDSHAKES" default:"100" group:"limits" help:"How many TLS connections an address may make in a second, for each port and after ten times as many at once; 0 for any number (${env})."`
	ConnectionAge   time.Duration `name:"connection-age" env:"OCTAVO_CONNECTION_AGE" default:"5m" group:"limits" help:"How old a connection over gRPC may become before its client is asked to connect anew, and so finds replicas that have been added. Calls in progress end first; streams are taken up again (${env})."`
	ShutdownDelay   time.Duration `name:"shutdown-delay" env:"OCTAVO_SHUTDOWN_DELAY" default:"0s" group:"shutdown" help:"How long to go on serving after telling load balancers to send nothing more (${env})."`
	ShutdownTimeout time.Duration `name:"shutdown-timeout" env:"OCTAVO_SHUTDOWN_TIMEOUT" default:"10s" group:"shutdown" help:"How long calls in progress may take to end at shutdown before they are cut off (${env})."`
}

// TLS are the settings of connections between services. The zero value is
// without TLS.
type TLS struct {
	Dir            string `name:"tls-dir" env:"OCTAVO_TLS_DIR" type:"path" placeholder:"DIR" group:"tls" help:"Folder with tls.crt, tls.key and ca.crt, as in a secret of cert-manager: gRPC is then over mutual TLS, and callers may do what their identity may. Changed files are taken up (${env})."`
	IdentityPrefix string `name:"tls-identity-prefix" env:"OCTAVO_TLS_IDENTITY_PREFIX" default:"spiffe://octavo/" group:"tls" help:"What the URI in a certificate begins with; the rest is the identity, such as marketplace (${env})."`
}

const (
	defaultShutdownTimeout = 10 * time.Second
	defaultConnectionAge   = 5 * time.Minute
	// forcedStop is how long cut-off calls get to notice it.
	forcedStop = time.Second
	// readinessInterval is how often readiness is asked for.
	readinessInterval = 100 * time.Millisecond
)

// errStopping is why the tasks' context ends at shutdown.
var errStopping = errors.New("the process is stopping")

// App is one process: its servers, connections, tasks and what has to be
// closed at the end. Everything is added before Run; none of its methods may
// be called after Run or Close has returned.
type App struct {
	name, version string
	flags         Flags
	log           *slog.Logger
	level         *slog.LevelVar
	registry      *prometheus.Registry
	serverCalls   *calls
	clientCalls   *calls
	httpCalls     *calls
	httpInFlight  prometheus.Gauge
	tracer        *tracing.Tracer
	connections   *connectionMetrics
	taskPanics    *prometheus.CounterVec
	validator     *validator
	background    map[string]bool // full names of methods
	proxied       map[string]bool // names of HTTP servers
	readiness     readiness
	certs         *certs.Folder // nil without TLS
	access        Access

	admin   *httpServer // nil without an admin address
	grpc    []*grpcServer
	http    []*httpServer
	conns   []*grpc.ClientConn
	tasks   []task
	closers []closer

	arrivalLimit time.Duration // for the first message of a call
}

type task struct {
	name string
	run  func(context.Context) error
}

type closer struct {
	name  string
	close func() error
}

// server is what Run does with a gRPC and an HTTP server alike.
type server interface {
	title() string
	serve() error
	// stop lets calls in progress end and cuts them off when ctx does.
	stop(ctx context.Context) error
	// discard closes a server that never served.
	discard()
}

// New makes an App that logs to stderr. It listens on the admin address at
// once; an App that is not run must be closed.
func New(name, version string, f Flags, stderr io.Writer) (*App, error) {
	if f.ShutdownTimeout <= 0 {
		f.ShutdownTimeout = defaultShutdownTimeout
	}
	if f.ConnectionAge == 0 {
		f.ConnectionAge = defaultConnectionAge
	}
	if f.FloodWait < 0 || f.Handshakes < 0 || f.ConnectionAge < 0 {
		return nil, errors.New("--flood-wait, --handshakes and --connection-age cannot be below 0")
	}
	log, level, err := newLogger(name, f, stderr)
	if err != nil {
		return nil, err
	}
	a := &App{
		name:        name,
		version:     version,
		flags:       f,
		log:         log,
		level:       level,
		registry:    prometheus.NewRegistry(),
		serverCalls: newServerCalls(),
		clientCalls: newClientCalls(),
		connections: newConnectionMetrics(),
		taskPanics:  newTaskPanics(),
		validator:   &validator{},
		access:      Access{},
		background:  map[string]bool{},
		proxied:     map[string]bool{},

		arrivalLimit: defaultArrivalLimit,
	}
	a.httpCalls, a.httpInFlight = newHTTPCalls()
	if err := a.openCerts(); err != nil {
		return nil, err
	}
	if a.tracer, err = newTracer(name, version, f, log); err != nil {
		return nil, err
	}
	a.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newBuildInfo(name, version),
		a.serverCalls, a.clientCalls, a.httpCalls, a.httpInFlight, a.tracer, a.connections, a.taskPanics, &a.readiness,
	)
	if f.AdminAddr != "" {
		if a.admin, err = a.newAdmin(f.AdminAddr); err != nil {
			a.flushTraces()
			return nil, err
		}
	}
	a.OnClose("export of traces", func() error {
		a.flushTraces()
		return nil
	})
	return a, nil
}

// Log is the process's log. Records that are logged with the context of a
// request carry its id.
func (a *App) Log() *slog.Logger { return a.log }

// Metrics is where a service registers metrics of its own.
func (a *App) Metrics() prometheus.Registerer { return a.registry }

// AdminAddr is the address the admin port got, empty when there is none.
func (a *App) AdminAddr() string {
	if a.admin == nil {
		return ""
	}
	return a.admin.listener.Addr().String()
}

// Go adds a task. Its context ends when the process stops; the first task that
// fails stops the process, and Run returns its error. A task may end before. One
// that panics is begun again after a pause; the fifth time in a row is a
// failure.
func (a *App) Go(name string, run func(context.Context) error) {
	a.tasks = append(a.tasks, task{name, run})
}

// OnClose adds what to close once all servers and tasks have ended. The last
// one added is closed first.
func (a *App) OnClose(name string, close func() error) {
	a.closers = append(a.closers, closer{name, close})
}

// ReadyWhen keeps the process from being ready, for /readyz and WaitReady, while
// ready returns an error, which is the reason shown. Servers are healthy for all
// that: it is for what most calls can do without, so that load balancers send none
// here while others are there, and those that come are answered. ready is asked
// about ten times a second and must be cheap.
func (a *App) ReadyWhen(name string, ready func() error) {
	a.readiness.add(name, "", ready, func(bool) {})
}

// WaitReady returns when everything is ready and the app's own connections to
// them know it. It can be called while the app runs, and fails when ctx ends
// first.
func (a *App) WaitReady(ctx context.Context) error {
	ticker := time.NewTicker(readinessInterval / 10)
	defer ticker.Stop()
	for {
		a.readiness.poll()
		err := a.readiness.failure()
		if err == nil {
			err = a.unreachable()
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until ready: %w (%w)", err, ctx.Err())
		case <-ticker.C:
		}
	}
}

// unreachable names a connection to a server of this app that has not heard
// yet that the server is healthy: its calls could still fail. One that is
// connecting may have refused calls already, as its state changes last.
func (a *App) unreachable() error {
	for _, conn := range a.conns {
		own := slices.ContainsFunc(a.grpc, func(s *grpcServer) bool { return s.listener.Addr().String() == conn.Target() })
		if state := conn.GetState(); own && (state == connectivity.TransientFailure || state == connectivity.Connecting) {
			return fmt.Errorf("the connection to %s is not up yet", conn.Target())
		}
	}
	return nil
}

// Run serves until ctx ends, which is success, or until a task or a server
// fails, which is the error it returns. It then stops in this order, each
// stage bounded, the whole within ShutdownDelay and ShutdownTimeout and a
// little:
//
//  1. readiness drops: the health services, then /readyz;
//  2. ShutdownDelay passes, so that load balancers notice;
//  3. HTTP servers finish the requests they have;
//  4. the tasks' context ends, by which services end their streams;
//  5. gRPC servers finish the calls they have;
//  6. whatever has not ended when ShutdownTimeout is over is cut off;
//  7. connections and stores are closed, last one first, and the last traces
//     exported, then the admin port is closed.
func (a *App) Run(ctx context.Context) error {
	if err := a.grantAccess(); err != nil {
		return errors.Join(err, a.Close())
	}
	failed := make(chan error, len(a.tasks)+len(a.grpc)+len(a.http)+1)
	a.readiness.start(a.log)
	// The first call is not to wait for a connection.
	for _, conn := range a.conns {
		conn.Connect()
	}

	var serving, running sync.WaitGroup
	for _, s := range a.servers() {
		serving.Go(func() {
			if err := s.serve(); err != nil {
				failed <- fmt.Errorf("serve %s: %w", s.title(), err)
			}
		})
	}
	tasksCtx, stopTasks := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopTasks(nil)
	unfinished := newNames()
	for _, t := range a.tasks {
		unfinished.add(t.name)
		running.Go(func() {
			defer unfinished.remove(t.name)
			err := keepRunning(tasksCtx, t, a.log, a.taskPanics)
			switch {
			case err == nil:
			case tasksCtx.Err() == nil:
				failed <- fmt.Errorf("%s: %w", t.name, err)
			case fault.KindOf(err) != fault.Canceled:
				a.log.Warn("a task failed while the process was stopping", "task", t.name, "error", err)
			}
		})
	}
	running.Go(func() { a.readiness.run(tasksCtx) })

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	a.log.Info("stopping", "cause", stopCause(err))

	a.readiness.stop()
	time.Sleep(a.flags.ShutdownDelay)
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.flags.ShutdownTimeout)
	defer cancel()
	err = errors.Join(err, a.stopServers(deadline, a.httpServers()))
	stopTasks(errStopping)
	err = errors.Join(err, a.stopServers(deadline, a.grpcServers()))
	if waitErr := waitFor(deadline, &running); waitErr != nil {
		err = errors.Join(err, fmt.Errorf("still running after %v: %s", a.flags.ShutdownTimeout, unfinished))
	}
	err = errors.Join(err, a.closeAll())
	if a.admin != nil {
		// Probes and scrapes are short; there is nothing to wait for.
		if stopErr := a.admin.stop(deadline); stopErr != nil {
			a.log.Debug("the admin port was cut off", "error", stopErr)
		}
	}
	if waitErr := waitFor(deadline, &serving); waitErr == nil {
		a.log.Info("stopped")
	}
	return err
}

func stopCause(err error) string {
	if err == nil {
		return "asked to"
	}
	return err.Error()
}

// Close releases what an App holds that was never run.
func (a *App) Close() error {
	for _, s := range a.servers() {
		s.discard()
	}
	return a.closeAll()
}

func (a *App) closeAll() error {
	var errs []error
	for _, c := range slices.Backward(a.closers) {
		if err := c.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", c.name, err))
		}
	}
	a.closers = nil
	return errors.Join(errs...)
}

func (a *App) grpcServers() []server {
	var all []server
	for _, s := range a.grpc {
		all = append(all, s)
	}
	return all
}

func (a *App) httpServers() []server {
	var all []server
	for _, s := range a.http {
		all = append(all, s)
	}
	return all
}

func (a *App) servers() []server {
	all := slices.Concat(a.grpcServers(), a.httpServers())
	if a.admin != nil {
		all = append(all, a.admin)
	}
	return all
}

// stopServers stops servers side by side. One that has to be cut off is
// reported in the log: it is what the deadline is for, not a failure.
func (a *App) stopServers(ctx context.Context, servers []server) error {
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() {
			err := s.stop(ctx)
			if errors.Is(err, context.DeadlineExceeded) {
				a.log.Warn("calls in progress were cut off", "server", s.title(), "after", a.flags.ShutdownTimeout)
				err = nil
			}
			if err != nil {
				errs[i] = fmt.Errorf("stop %s: %w", s.title(), err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// waitFor waits for wg, and a moment longer than ctx lasts.
func waitFor(ctx context.Context, wg *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-done:
		return nil
	case <-time.After(forcedStop):
		return ctx.Err()
	}
}

// listen listens on a TCP address. Its errors say what to do about a busy one.
func listen(name, addr string) (net.Listener, error) {
	listener, err := net.Listen("tcp", addr)
	if err == nil {
		return listener, nil
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		_, port, _ := net.SplitHostPort(addr)
		return nil, fmt.Errorf("listen on %s for %s: the address is in use; stop the program that has it (ss -ltnp 'sport = :%s' shows it) or choose another with --%s-addr", addr, name, port, name)
	}
	return nil, fmt.Errorf("listen on %s for %s: %w; choose another address with --%s-addr", addr, name, err, name)
}
