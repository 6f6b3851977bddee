package chassis_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/octavo-books/octavo/chassis/overload"
	"github.com/octavo-books/octavo/fault"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

// TestAFullServerRefuses fills a server with calls that hang. It tells the next
// ones at once that it is full, and goes on with what costs it little: health,
// streams, and calls after the first have ended.
func TestAFullServerRefuses(t *testing.T) {
	p := newProcess(t)
	release := make(chan struct{})
	var running atomic.Int32
	s := &service{
		plain: func(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
			running.Add(1)
			<-release
			return &recommendationspb.RecommendationResponse{}, nil
		},
		ruled: ruled{watch: func(_ *readersv1.WatchInteractionsRequest, stream grpc.ServerStreamingServer[readersv1.WatchInteractionsResponse]) error {
			return stream.Send(&readersv1.WatchInteractionsResponse{})
		}},
	}
	conn := p.serve(s.register)
	client := recommendationspb.NewRecommendationsClient(conn)
	ctx := within(t) // the calls hang for as long as the test takes
	background := metadata.AppendToOutgoingContext(ctx, overload.MetadataKey, "background")

	var wg sync.WaitGroup
	defer wg.Wait()
	released := sync.OnceFunc(func() { close(release) })
	defer released()
	fill := func(calls int32) {
		before := running.Load()
		for range calls {
			wg.Go(func() {
				if _, err := client.Recommend(ctx, nil); err != nil {
					t.Errorf("one of the first: %v", err)
				}
			})
		}
		eventually(t, "the calls are in progress", 30*time.Second, func() bool { return running.Load() == before+calls })
	}
	fill(8)
	if _, err := client.Recommend(background, nil); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a background call that takes the room of others: %v", err)
	}
	fill(32 - 8)
	_, err := client.Recommend(ctx, nil)
	if kind := fault.KindOf(err); kind != fault.Exhausted || running.Load() != 32 {
		t.Errorf("one more call: %v", err)
	}
	stream, err := readersv1.NewReadersServiceClient(conn).WatchInteractions(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Errorf("a stream: %v", err)
	}
	labels := `operation="/Recommendations/Recommend",`
	for _, line := range []string{
		`overload_refused_total{` + labels + `priority="background",reason="full",server="server"} 1`,
		`overload_refused_total{` + labels + `priority="interactive",reason="full",server="server"} 1`,
		`overload_in_flight{server="server"} 32`,
		`grpc_server_handled_total{grpc_code="ResourceExhausted",grpc_method="Recommend",grpc_service="Recommendations",grpc_type="unary"} 2`,
	} {
		if !p.hasMetric(line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
	for _, record := range p.log.records(t, "call") {
		if record["code"] == "ResourceExhausted" && record["level"] != "DEBUG" {
			t.Errorf("a refusal is logged at %v", record["level"])
		}
	}
	released()
	wg.Wait()
	if _, err := client.Recommend(background, nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestPriorityTravels: the priority at the root of a chain of calls is that of
// every hop, however the methods on the way are usually called.
func TestPriorityTravels(t *testing.T) {
	heard := make(chan []string, 1)
	hear := func(ctx context.Context) { heard <- metadata.ValueFromIncomingContext(ctx, overload.MetadataKey) }
	last := newProcess(t)
	lastConn := last.serve((&service{plain: func(ctx context.Context, _ *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
		hear(ctx)
		return &recommendationspb.RecommendationResponse{}, nil
	}}).register)

	middle := newProcess(t)
	middle.Background(recommendationsv1.RecommendationsService_Recommend_FullMethodName)
	middleConn := middle.serve((&service{ruled: ruled{recommend: func(ctx context.Context, _ *recommendationsv1.RecommendRequest) (*recommendationsv1.RecommendResponse, error) {
		_, err := recommendationspb.NewRecommendationsClient(lastConn).Recommend(ctx, nil)
		return &recommendationsv1.RecommendResponse{}, err
	}}}).register)

	root := newProcess(t)
	page, err := root.HTTP("http", "127.0.0.1:0", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := recommendationsv1.NewRecommendationsServiceClient(middleConn).Recommend(r.Context(), nil); err != nil {
			t.Error(err)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	root.start()
	visit := func(purpose string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+page.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Sec-Purpose", purpose)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	for _, test := range []struct {
		name string
		call func()
		want string
	}{
		{"a page", func() { visit("") }, "interactive"},
		{"a page fetched in advance", func() { visit("prefetch") }, "background"},
		{"a job", func() {
			_, _ = recommendationspb.NewRecommendationsClient(lastConn).Recommend(overload.WithPriority(t.Context(), overload.Background), nil)
		}, "background"},
		{"a stranger's call of a method that is background work", func() {
			_, _ = recommendationsv1.NewRecommendationsServiceClient(middleConn).Recommend(t.Context(), nil)
		}, "background"},
		{"a stranger's call", func() {
			_, _ = recommendationspb.NewRecommendationsClient(lastConn).Recommend(t.Context(), nil)
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.call()
			want := []string{test.want}
			if test.want == "" {
				want = nil
			}
			if got := <-heard; !slices.Equal(got, want) {
				t.Errorf("the last hop heard %q, want %q", got, want)
			}
		})
	}
}

// TestAFullShopSaysSo: visitors who are refused get a page that says what to do
// and when. Those who receive slowly what is ready for them keep nobody out.
func TestAFullShopSaysSo(t *testing.T) {
	p := newProcess(t)
	release := make(chan struct{})
	var running atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/answered" {
			w.WriteHeader(http.StatusOK)
		}
		running.Add(1)
		<-release
	})
	mux.HandleFunc("POST /", func(http.ResponseWriter, *http.Request) {
		running.Add(1)
		<-release
	})
	addr, err := p.HTTP("http", "127.0.0.1:0", mux)
	if err != nil {
		t.Fatal(err)
	}
	p.start()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	visit := func(method, path, accept string) (status int, header http.Header, err error) {
		var body *strings.Reader
		request, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr.String()+path, http.NoBody)
		if method == http.MethodPost {
			body = strings.NewReader("x=1")
			request, err = http.NewRequestWithContext(t.Context(), method, "http://"+addr.String()+path, body)
		}
		if err != nil {
			return 0, nil, err
		}
		request.Header.Set("Accept", accept)
		response, err := client.Do(request)
		if err != nil {
			return 0, nil, err
		}
		return response.StatusCode, response.Header, response.Body.Close()
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(release)
	fill := func(n int32, method, path string) {
		before := running.Load()
		for range n {
			wg.Go(func() {
				if got, _, err := visit(method, path, ""); err != nil || got != http.StatusOK {
					t.Errorf("%s %s: %v, %v", method, path, got, err)
				}
			})
		}
		eventually(t, "the requests are in progress", 30*time.Second, func() bool { return running.Load() == before+n })
	}
	fill(40, http.MethodGet, "/answered")
	fill(40, http.MethodPost, "/")
	// The limit may grow a little by those who were answered quickly.
	before := running.Load()
	type answer struct {
		status int
		header http.Header
	}
	refusal := func(accept string) answer {
		for {
			admitted, told := running.Load(), make(chan answer, 1)
			wg.Go(func() {
				status, header, err := visit(http.MethodGet, "/", accept)
				if err != nil {
					t.Errorf("GET /: %v", err)
				}
				told <- answer{status, header}
			})
			eventually(t, "a visitor is in, or told why not", 30*time.Second, func() bool {
				return len(told) == 1 || running.Load() > admitted
			})
			if len(told) == 1 {
				return <-told
			}
		}
	}
	for accept, want := range map[string]string{"text/html": "text/html; charset=utf-8", "application/json": fault.ProblemType} {
		got := refusal(accept)
		if admitted := running.Load() - before; admitted < 32 {
			t.Errorf("only %d visitors are in", admitted)
		}
		if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") != "1" || got.header.Get("Content-Type") != want {
			t.Errorf("to %s: %d, %v", accept, got.status, got.header)
		}
	}
}
