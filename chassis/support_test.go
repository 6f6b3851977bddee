package chassis_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/octavo-books/octavo/chassis"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

// service is a fake with a unary method that has no rules, one that has some,
// and a stream. A nil function is an unimplemented method.
type service struct {
	recommendationspb.UnimplementedRecommendationsServer
	ruled

	plain func(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error)
}

type ruled struct {
	recommendationsv1.UnimplementedRecommendationsServiceServer
	readersv1.UnimplementedReadersServiceServer

	recommend func(context.Context, *recommendationsv1.RecommendRequest) (*recommendationsv1.RecommendResponse, error)
	watch     func(*readersv1.WatchInteractionsRequest, grpc.ServerStreamingServer[readersv1.WatchInteractionsResponse]) error
}

func (s *service) Recommend(ctx context.Context, r *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
	return s.plain(ctx, r)
}

func (s *ruled) Recommend(ctx context.Context, r *recommendationsv1.RecommendRequest) (*recommendationsv1.RecommendResponse, error) {
	return s.recommend(ctx, r)
}

func (s *ruled) WatchInteractions(r *readersv1.WatchInteractionsRequest, stream grpc.ServerStreamingServer[readersv1.WatchInteractionsResponse]) error {
	return s.watch(r, stream)
}

func (s *service) register(r grpc.ServiceRegistrar) {
	recommendationspb.RegisterRecommendationsServer(r, s)
	recommendationsv1.RegisterRecommendationsServiceServer(r, &s.ruled)
	readersv1.RegisterReadersServiceServer(r, &s.ruled)
}

// process is an App that runs for a test.
type process struct {
	*chassis.App
	t      *testing.T
	log    *logBuffer
	cancel context.CancelFunc
	ended  chan error
}

// newProcess makes an App with an admin port and a JSON log at debug.
func newProcess(t *testing.T, change ...func(*chassis.Flags)) *process {
	t.Helper()
	flags := chassis.Flags{AdminAddr: "127.0.0.1:0", LogLevel: "debug", LogFormat: "json", ShutdownTimeout: 5 * time.Second}
	for _, c := range change {
		c(&flags)
	}
	p := &process{t: t, log: &logBuffer{}, ended: make(chan error, 1)}
	app, err := chassis.New("test", "v1.2.3", flags, p.log)
	if err != nil {
		t.Fatal(err)
	}
	p.App = app
	return p
}

// start runs the App until the test ends or stop is called.
func (p *process) start() {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() { p.ended <- p.Run(ctx) }()
	p.t.Cleanup(func() { _ = p.stop() })
}

// stop ends the App and returns what Run did. It can be called again.
func (p *process) stop() error {
	p.cancel()
	select {
	case err := <-p.ended:
		p.ended <- err
		return err
	case <-time.After(20 * time.Second):
		p.t.Error("the app does not stop")
		return context.DeadlineExceeded
	}
}

// serve adds and starts a server and returns a connection of the App's dialler.
func (p *process) serve(register func(grpc.ServiceRegistrar)) *grpc.ClientConn {
	p.t.Helper()
	addr := p.listen(nil, register)
	conn := p.dial(addr.String())
	p.start()
	if err := p.WaitReady(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	return conn
}

func (p *process) listen(ready func() error, register func(grpc.ServiceRegistrar)) net.Addr {
	p.t.Helper()
	addr, err := p.GRPC("server", "127.0.0.1:0", ready, register)
	if err != nil {
		p.t.Fatal(err)
	}
	return addr
}

func (p *process) dial(addr string) *grpc.ClientConn {
	p.t.Helper()
	conn, err := p.Dial("server", addr)
	if err != nil {
		p.t.Fatal(err)
	}
	return conn
}

// admin gets a page of the admin port.
func (p *process) admin(path string) (status int, body string) {
	p.t.Helper()
	return get(p.t, "http://"+p.AdminAddr()+path)
}

// metric is whether /metrics has a line.
func (p *process) hasMetric(line string) bool {
	p.t.Helper()
	_, body := p.admin("/metrics")
	for have := range strings.Lines(body) {
		if strings.TrimSpace(have) == line {
			return true
		}
	}
	return false
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// eventually waits for something that happens in another goroutine.
func eventually(t *testing.T, what string, within time.Duration, is func() bool) {
	t.Helper()
	deadline := time.After(within)
	for !is() {
		select {
		case <-deadline:
			t.Fatalf("not within %v: %s", within, what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// logBuffer keeps a JSON log.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// records are those with a message.
func (l *logBuffer) records(t *testing.T, message string) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var records []map[string]any
	for line := range bytes.Lines(l.buf.Bytes()) {
		var record map[string]any
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if record["msg"] == message {
			records = append(records, record)
		}
	}
	return records
}

func insecureCredentials() grpc.DialOption {
	return grpc.WithTransportCredentials(insecure.NewCredentials())
}

func newGauge(name string, value float64) prometheus.Collector {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: "A test's."})
	gauge.Set(value)
	return gauge
}
