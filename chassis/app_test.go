package chassis_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/fault"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

func TestRunEndsWithItsContext(t *testing.T) {
	p := newProcess(t)
	p.Go("a task that obeys", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	p.Go("a task that has an end", func(context.Context) error { return nil })
	p.listen(nil, (&service{}).register)
	p.start()
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.stop(); err != nil {
		t.Errorf("Run returned %v", err)
	}
}

func TestFirstFailureStopsTheRest(t *testing.T) {
	p := newProcess(t)
	boom := errors.New("the disk is full")
	var told error
	p.Go("other", func(ctx context.Context) error {
		<-ctx.Done()
		told = context.Cause(ctx)
		return ctx.Err()
	})
	p.Go("writer", func(context.Context) error { return boom })
	p.start()
	err := <-p.ended
	p.ended <- err
	if !errors.Is(err, boom) || err.Error() != "writer: the disk is full" {
		t.Errorf("Run returned %v", err)
	}
	if told == nil {
		t.Error("the other task was not told")
	}
}

// TestOrderOfTheEnd records what happens at shutdown, in order.
func TestOrderOfTheEnd(t *testing.T) {
	var mu sync.Mutex
	var events []string
	happened := func(event string) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, event)
	}
	p := newProcess(t, func(f *chassis.Flags) { f.ShutdownDelay = 50 * time.Millisecond })
	for _, store := range []string{"first", "second"} {
		p.OnClose(store, func() error { happened("close " + store + " store"); return nil })
	}
	p.Go("task", func(ctx context.Context) error {
		<-ctx.Done()
		happened("task told")
		return nil
	})
	inCall, inPage := make(chan struct{}), make(chan struct{})
	finishCall, finishPage := make(chan struct{}), make(chan struct{})
	s := &service{plain: func(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
		close(inCall)
		<-finishCall
		happened("call ends")
		return &recommendationspb.RecommendationResponse{}, nil
	}}
	conn := p.dial(p.listen(nil, s.register).String())
	page, err := p.HTTP("http", "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(inPage)
		<-finishPage
		happened("page ends")
		fmt.Fprint(w, "a page")
	}))
	if err != nil {
		t.Fatal(err)
	}
	p.start()
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}

	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := recommendationspb.NewRecommendationsClient(conn).Recommend(within(t), nil); err != nil {
			t.Errorf("the call in progress failed: %v", err)
		}
	})
	wg.Go(func() {
		response, err := http.Get("http://" + page.String())
		if err != nil {
			t.Errorf("the request in progress failed: %v", err)
			return
		}
		defer response.Body.Close()
		if body, err := io.ReadAll(response.Body); err != nil || string(body) != "a page" {
			t.Errorf("the request in progress got %q, %v", body, err)
		}
	})
	<-inCall
	<-inPage

	p.cancel()
	eventually(t, "not ready", 30*time.Second, func() bool {
		code, body := p.admin("/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "stopping")
	})
	happened("not ready")
	close(finishPage)
	eventually(t, "tasks told", 30*time.Second, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.Contains(events, "task told")
	})
	close(finishCall)
	if err := p.stop(); err != nil {
		t.Errorf("Run returned %v", err)
	}
	wg.Wait()
	http.DefaultClient.CloseIdleConnections()
	want := []string{"not ready", "page ends", "task told", "call ends", "close second store", "close first store"}
	if !slices.Equal(events, want) {
		t.Errorf("happened %q\nwant     %q", events, want)
	}
}

// TestOpenStreamsDoNotHoldUpTheEnd: services end theirs when their task's
// context ends, health watchers are ended by the chassis.
func TestOpenStreamsDoNotHoldUpTheEnd(t *testing.T) {
	p := newProcess(t, func(f *chassis.Flags) { f.ShutdownTimeout = time.Minute })
	stopping := make(chan struct{})
	p.Go("service", func(ctx context.Context) error {
		<-ctx.Done()
		close(stopping)
		return nil
	})
	s := &service{ruled: ruled{watch: func(_ *readersv1.WatchInteractionsRequest, stream grpc.ServerStreamingServer[readersv1.WatchInteractionsResponse]) error {
		if err := stream.Send(&readersv1.WatchInteractionsResponse{}); err != nil {
			return err
		}
		<-stopping
		return fault.New(fault.Unavailable, "the service is stopping")
	}}}
	addr := p.listen(nil, s.register)
	p.start()
	conn, err := grpc.NewClient(addr.String(), insecureCredentials())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	watch, err := readersv1.NewReadersServiceClient(conn).WatchInteractions(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	health, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := health.Recv(); err != nil || got.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("health is %v, %v", got, err)
	}

	if err := p.stop(); err != nil {
		t.Errorf("Run returned %v", err)
	}
	if _, err := watch.Recv(); status.Code(err) != codes.Unavailable || status.Convert(err).Message() != "the service is stopping" {
		t.Errorf("the stream ended with %v", err)
	}
	if got, err := health.Recv(); err != nil || got.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("the health watcher got %v, %v; want NOT_SERVING first", got, err)
	}
	if got := p.log.records(t, "calls in progress were cut off"); len(got) != 0 {
		t.Errorf("something was cut off: %v", got)
	}
}

func TestTheEndIsBounded(t *testing.T) {
	t.Parallel()
	t.Run("a call that does not end is cut off", func(t *testing.T) {
		p := newProcess(t, func(f *chassis.Flags) { f.ShutdownTimeout = 50 * time.Millisecond })
		inCall := make(chan struct{})
		s := &service{plain: func(ctx context.Context, _ *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
			close(inCall)
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		closed := false
		p.OnClose("store", func() error { closed = true; return nil })
		conn := p.serve(s.register)
		ended := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			_, err := recommendationspb.NewRecommendationsClient(conn).Recommend(ctx, nil)
			ended <- err
		}()
		<-inCall
		if err := p.stop(); err != nil {
			t.Errorf("Run returned %v", err)
		}
		if err := <-ended; status.Code(err) != codes.Unavailable {
			t.Errorf("the call ended with %v", err)
		}
		if got := p.log.records(t, "calls in progress were cut off"); len(got) != 1 {
			t.Errorf("log has %v", got)
		}
		if !closed {
			t.Error("the store was not closed")
		}
	})
	t.Run("a task that does not end is named", func(t *testing.T) {
		p := newProcess(t, func(f *chassis.Flags) { f.ShutdownTimeout = 20 * time.Millisecond })
		release := make(chan struct{})
		t.Cleanup(func() { close(release) })
		p.Go("deaf", func(context.Context) error { <-release; return nil })
		p.Go("obedient", func(ctx context.Context) error { <-ctx.Done(); return nil })
		p.start()
		err := p.stop()
		if err == nil || err.Error() != "still running after 20ms: deaf" {
			t.Errorf("Run returned %v", err)
		}
	})
}

func TestErrorsOfClosingAreReturned(t *testing.T) {
	p := newProcess(t)
	p.OnClose("database", func() error { return errors.New("the disk is full") })
	p.start()
	if err := p.stop(); err == nil || err.Error() != "close database: the disk is full" {
		t.Errorf("Run returned %v", err)
	}
}

func TestAnAppThatNeverRanCanBeClosed(t *testing.T) {
	p := newProcess(t)
	addr := p.listen(nil, (&service{}).register)
	p.dial(addr.String())
	closed := false
	p.OnClose("store", func() error { closed = true; return nil })
	if err := p.Close(); err != nil || !closed {
		t.Errorf("Close returned %v, store closed: %v", err, closed)
	}
	for _, a := range []string{addr.String(), p.AdminAddr()} {
		l, err := net.Listen("tcp", a)
		if err != nil {
			t.Fatalf("the port is still taken: %v", err)
		}
		l.Close()
	}
}

func TestBusyPortIsNamed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	_, port, _ := net.SplitHostPort(addr)

	p := newProcess(t)
	defer p.Close()
	_, grpcErr := p.GRPC("recommendations", addr, nil, (&service{}).register)
	_, httpErr := p.HTTP("http", addr, http.NotFoundHandler())
	_, adminErr := chassis.New("test", "", chassis.Flags{AdminAddr: addr}, io.Discard)
	for name, err := range map[string]error{"recommendations": grpcErr, "http": httpErr, "admin": adminErr} {
		want := fmt.Sprintf("listen on %s for %s: the address is in use; stop the program that has it (ss -ltnp 'sport = :%s' shows it) or choose another with --%s-addr", addr, name, port, name)
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	if _, err := p.GRPC("catalog", "nowhere", nil, (&service{}).register); err == nil || !strings.Contains(err.Error(), "--catalog-addr") {
		t.Errorf("a malformed address: %v", err)
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	p := newProcess(t)
	var mu sync.Mutex
	reason := errors.New("no model yet")
	set := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		reason = err
	}
	addr := p.listen(func() error {
		mu.Lock()
		defer mu.Unlock()
		return reason
	}, (&service{}).register)
	conn, err := grpc.NewClient(addr.String(), insecureCredentials())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	health := healthpb.NewHealthClient(conn)
	p.start()

	is := func(want healthpb.HealthCheckResponse_ServingStatus, readyz int, text string) {
		t.Helper()
		for _, service := range []string{"", "Recommendations", "octavo.readers.v1.ReadersService"} {
			eventually(t, fmt.Sprintf("%q is %v", service, want), 30*time.Second, func() bool {
				got, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
				return err == nil && got.GetStatus() == want
			})
		}
		if code, body := p.admin("/readyz"); code != readyz || strings.TrimSpace(body) != text {
			t.Errorf("/readyz is %d %q, want %d %q", code, body, readyz, text)
		}
		if code, body := p.admin("/healthz"); code != http.StatusOK {
			t.Errorf("/healthz is %d %q: not ready is not dead", code, body)
		}
		metric := `octavo_ready{server="server"} 0`
		if want == healthpb.HealthCheckResponse_SERVING {
			metric = `octavo_ready{server="server"} 1`
		}
		if _, body := p.admin("/metrics"); !strings.Contains(body, metric+"\n") {
			t.Errorf("the metrics lack %s", metric)
		}
	}
	is(healthpb.HealthCheckResponse_NOT_SERVING, http.StatusServiceUnavailable, "server: no model yet")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := p.WaitReady(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no model yet") {
		t.Errorf("WaitReady returned %v", err)
	}
	set(nil)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	is(healthpb.HealthCheckResponse_SERVING, http.StatusOK, "ready")
	set(errors.New("the feed is behind"))
	is(healthpb.HealthCheckResponse_NOT_SERVING, http.StatusServiceUnavailable, "server: the feed is behind")
	if _, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "nobody"}); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown service: %v", err)
	}
	if records := p.log.records(t, "call"); len(records) != 0 {
		t.Errorf("health checks are in the log: %v", records)
	}
}

// TestReadyWhen: what servers can do without keeps load balancers away and
// nobody else.
func TestReadyWhen(t *testing.T) {
	p := newProcess(t)
	var prepared atomic.Bool
	p.ReadyWhen("search", func() error {
		if !prepared.Load() {
			return errors.New("7 books so far")
		}
		return nil
	})
	client := recommendationspb.NewRecommendationsClient(p.dial(p.listen(nil, (&service{plain: func(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
		return &recommendationspb.RecommendationResponse{}, nil
	}}).register).String()))
	p.start()
	eventually(t, "a call is answered", 30*time.Second, func() bool {
		_, err := client.Recommend(t.Context(), nil)
		return err == nil
	})
	if code, body := p.admin("/readyz"); code != http.StatusServiceUnavailable || strings.TrimSpace(body) != "search: 7 books so far" {
		t.Errorf("/readyz is %d %q before the search is ready", code, body)
	}
	if !p.hasMetric(`octavo_ready{server="search"} 0`) || !p.hasMetric(`octavo_ready{server="server"} 1`) {
		t.Error("the metrics do not tell the server, which is ready, from the search, which is not")
	}
	prepared.Store(true)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code, body := p.admin("/readyz"); code != http.StatusOK {
		t.Errorf("/readyz is %d %q", code, body)
	}
}

// TestReadyMeansCallable: whoever has waited can call at once, also over a
// connection that was made, and refused, before.
func TestReadyMeansCallable(t *testing.T) {
	p := newProcess(t)
	ready := make(chan struct{})
	s := &service{plain: func(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
		return &recommendationspb.RecommendationResponse{}, nil
	}}
	client := recommendationspb.NewRecommendationsClient(p.dial(p.listen(func() error {
		select {
		case <-ready:
			return nil
		default:
			return errors.New("not yet")
		}
	}, s.register).String()))
	p.start()
	if _, err := client.Recommend(t.Context(), nil); status.Code(err) != codes.Unavailable {
		t.Fatalf("a server that is not ready answered %v", err)
	}
	close(ready)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Recommend(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestReflection(t *testing.T) {
	p := newProcess(t)
	conn := p.serve((&service{}).register)
	want := []string{"Recommendations", "grpc.health.v1.Health", "octavo.readers.v1.ReadersService", "octavo.recommendations.v1.RecommendationsService"}
	contains := func(t *testing.T, got []string) {
		t.Helper()
		for _, name := range want {
			if !slices.Contains(got, name) {
				t.Errorf("%s is not among %v", name, got)
			}
		}
	}
	t.Run("v1", func(t *testing.T) {
		stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range answer.GetListServicesResponse().GetService() {
			got = append(got, s.GetName())
		}
		contains(t, got)
		if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "Recommendations.Recommend"}}); err != nil {
			t.Fatal(err)
		}
		if answer, err = stream.Recv(); err != nil || len(answer.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
			t.Errorf("the contract is not served: %v, %v", answer, err)
		}
	})
	t.Run("v1alpha", func(t *testing.T) {
		stream, err := reflectionv1alpha.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&reflectionv1alpha.ServerReflectionRequest{MessageRequest: &reflectionv1alpha.ServerReflectionRequest_ListServices{}}); err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range answer.GetListServicesResponse().GetService() {
			got = append(got, s.GetName())
		}
		contains(t, got)
	})
	if records := p.log.records(t, "call"); len(records) != 0 {
		t.Errorf("reflection is in the log: %v", records)
	}
}

func TestAdmin(t *testing.T) {
	p := newProcess(t)
	p.serve((&service{}).register)
	for path, want := range map[string]string{
		"/":                 "test v1.2.3",
		"/metrics":          `octavo_build_info{goversion=`,
		"/healthz":          "alive",
		"/debug/build":      `"version":"v1.2.3"`,
		"/debug/log-level":  "DEBUG",
		"/debug/pprof/":     "goroutine",
		"/debug/pprof/heap": "",
	} {
		if code, body := p.admin(path); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s is %d %.80q, want %q in it", path, code, body, want)
		}
	}
	if _, body := p.admin("/metrics"); !strings.Contains(body, "go_goroutines") || !strings.Contains(body, "process_cpu_seconds_total") {
		t.Error("/metrics lacks the runtime or the process")
	}
	if code, _ := p.admin("/nothing"); code != http.StatusNotFound {
		t.Errorf("an unknown page is %d", code)
	}
	for level, want := range map[string]int{"error": http.StatusOK, "loud": http.StatusBadRequest, strings.Repeat("x", 100): http.StatusBadRequest} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+p.AdminAddr()+"/debug/log-level", strings.NewReader(level))
		if err != nil {
			t.Fatal(err)
		}
		response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("PUT %.8s is %d, want %d", level, response.StatusCode, want)
		}
	}
	if p.Log().Enabled(t.Context(), 4) {
		t.Error("the level has not changed")
	}
}

func TestMetricsOfAService(t *testing.T) {
	p := newProcess(t)
	p.serve((&service{}).register)
	p.Metrics().MustRegister(newGauge("octavo_model_age_seconds", 12))
	if !p.hasMetric("octavo_model_age_seconds 12") {
		t.Error("/metrics lacks what the service registered")
	}
}
