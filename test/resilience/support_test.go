package resilience

import (
	"context"
	"flag"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/octavo-books/octavo/chassis"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/load"
)

var long = flag.Bool("long", false, "run each test for minutes")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lasting is how long a test goes on: d, or ten times as long.
func lasting(d time.Duration) time.Duration {
	if *long {
		return 10 * d
	}
	return d
}

type (
	request  = recommendationsv1.RecommendRequest
	response = recommendationsv1.RecommendResponse
	handler  func(context.Context) error
)

// service answers Recommend, which may be repeated.
type service struct {
	recommendationsv1.UnimplementedRecommendationsServiceServer
	handle handler
}

func (s service) Recommend(ctx context.Context, _ *request) (*response, error) {
	return &response{}, s.handle(ctx)
}

// serve runs a server of the chassis until the test ends, and returns its address.
func serve(t *testing.T, handle handler) string {
	t.Helper()
	app := newApp(t)
	addr, err := app.GRPC("server", "127.0.0.1:0", nil, func(r grpc.ServiceRegistrar) {
		recommendationsv1.RegisterRecommendationsServiceServer(r, service{handle: handle})
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, app)
	return addr.String()
}

// dial makes a connection of the chassis to replicas, which ends with the test.
func dial(t *testing.T, replicas ...string) recommendationsv1.RecommendationsServiceClient {
	t.Helper()
	target := replicas[0]
	if len(replicas) > 1 {
		target = behindOneName(replicas)
	}
	app := newApp(t)
	conn, err := app.Dial("server", target)
	if err != nil {
		t.Fatal(err)
	}
	run(t, app)
	return recommendationsv1.NewRecommendationsServiceClient(conn)
}

var names struct {
	sync.Mutex
	made int
}

// behindOneName makes a name that resolves to several addresses, as that of a
// headless service does.
func behindOneName(addrs []string) string {
	names.Lock()
	defer names.Unlock()
	names.made++
	scheme := fmt.Sprintf("replicas%d", names.made)
	b := manual.NewBuilderWithScheme(scheme)
	var state resolver.State
	for _, addr := range addrs {
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: addr}}})
	}
	b.InitialState(state)
	resolver.Register(b)
	return scheme + ":///replicas"
}

func newApp(t *testing.T) *chassis.App {
	t.Helper()
	// What is logged is that calls fail, as they should.
	app, err := chassis.New("test", "test", chassis.Flags{LogLevel: "error", LogFormat: "text", ShutdownTimeout: 5 * time.Second}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

func run(t *testing.T, app *chassis.App) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	if err := app.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
}

// call is the one kind of call the tests make.
func call(client recommendationsv1.RecommendationsServiceClient) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := client.Recommend(ctx, &request{})
		return err
	}
}

// send sends calls at a rate.
func send(t *testing.T, rate float64, d time.Duration, calls ...load.Call) *load.Result {
	t.Helper()
	result, err := load.Run(t.Context(), load.Config{
		Calls: calls, Steps: []load.Step{{Rate: rate, Duration: d}}, Timeout: 2 * time.Second, Seed: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// pool is a resource that limits what a server can do, such as a database: so
// many calls at once, each so long, without using a processor. The others wait.
func pool(size int, each time.Duration) handler {
	free := make(chan struct{}, size)
	return func(ctx context.Context) error {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		defer func() { <-free }()
		return pause(ctx, each)
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
