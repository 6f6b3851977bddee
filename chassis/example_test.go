package chassis_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/fault"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

// shop is a service: it knows its contract, and nothing of the chassis.
type shop struct {
	recommendationspb.UnimplementedRecommendationsServer
}

func (shop) Recommend(_ context.Context, r *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
	if r.GetMaxResults() < 0 {
		return nil, fault.NewInvalid("max_results", "ask for one book at least")
	}
	return &recommendationspb.RecommendationResponse{
		Recommendations: []*recommendationspb.BookRecommendation{{Id: 1, Title: "Middlemarch"}},
	}, nil
}

func register(r grpc.ServiceRegistrar) {
	recommendationspb.RegisterRecommendationsServer(r, shop{})
}

// newApp is an App without an admin port, whose log nobody reads.
func newApp() *chassis.App {
	app, err := chassis.New("shop", "v1.0.0", chassis.Flags{LogLevel: "error"}, io.Discard)
	if err != nil {
		panic(err)
	}
	return app
}

// A whole small service: its store, and a server with limits, validation,
// health, metrics, logs and an end in order.
func Example() {
	app, err := chassis.New("shop", "v1.0.0", chassis.Flags{LogLevel: "error"}, io.Discard)
	if err != nil {
		fmt.Println(err)
		return
	}
	app.OnClose("store", func() error { fmt.Println("store closed"); return nil })
	if _, err := app.GRPC("shop", "127.0.0.1:0", nil, register); err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background()) // a program's ends with a signal
	app.Go("opening", func(ctx context.Context) error {
		defer stop()
		return app.WaitReady(ctx)
	})
	fmt.Println(app.Run(ctx))
	// Output:
	// store closed
	// <nil>
}

// A client's calls have deadlines, go round the healthy servers, and are
// repeated where the contract allows it. Their errors are faults again.
func ExampleApp_Dial() {
	app := newApp()
	addr, err := app.GRPC("shop", "127.0.0.1:0", nil, register)
	if err != nil {
		fmt.Println(err)
		return
	}
	conn, err := app.Dial("shop", addr.String())
	if err != nil {
		fmt.Println(err)
		return
	}
	client := recommendationspb.NewRecommendationsClient(conn)
	ctx, stop := context.WithCancel(context.Background())
	app.Go("customer", func(ctx context.Context) error {
		defer stop()
		answer, err := client.Recommend(ctx, &recommendationspb.RecommendationRequest{UserId: 7})
		if err != nil {
			return err
		}
		fmt.Println(answer.GetRecommendations()[0].GetTitle())
		_, err = client.Recommend(ctx, &recommendationspb.RecommendationRequest{MaxResults: -1})
		fmt.Println(fault.KindOf(err))
		return nil
	})
	if err := app.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// Middlemarch
	// invalid
}

// The first task that fails stops the process, and is why Run fails. The
// others end by their context.
func ExampleApp_Go() {
	app := newApp()
	app.Go("follow the feed", func(ctx context.Context) error {
		<-ctx.Done()
		fmt.Println("stopped following:", context.Cause(ctx))
		return nil
	})
	app.Go("rebuild the index", func(context.Context) error {
		return fmt.Errorf("the disk is full")
	})
	fmt.Println(app.Run(context.Background()))
	// Output:
	// stopped following: the process is stopping
	// rebuild the index: the disk is full
}

// A metric of one's own is served with those of the chassis at /metrics.
func ExampleApp_Metrics() {
	app, err := chassis.New("shop", "v1.0.0", chassis.Flags{LogLevel: "error", AdminAddr: "127.0.0.1:0"}, io.Discard)
	if err != nil {
		fmt.Println(err)
		return
	}
	sold := prometheus.NewCounter(prometheus.CounterOpts{Name: "shop_books_sold_total", Help: "Books sold."})
	app.Metrics().MustRegister(sold)
	ctx, stop := context.WithCancel(context.Background())
	app.Go("sale", func(ctx context.Context) error {
		defer stop()
		sold.Add(2)
		return printMetric(ctx, app.AdminAddr(), "shop_books_sold_total")
	})
	if err := app.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: shop_books_sold_total 2
}

func printMetric(ctx context.Context, addr, name string) error {
	body, err := page(ctx, "http://"+addr+"/metrics")
	if err != nil {
		return err
	}
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, name) {
			fmt.Print(line)
		}
	}
	return nil
}

// An HTTP server has the same around each request: id, metrics by route, access
// log, recovery from panics, and limits.
func ExampleApp_HTTP() {
	app := newApp()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /books/{id}", func(w http.ResponseWriter, r *http.Request) {
		app.Log().InfoContext(r.Context(), "somebody looks at a book") // with the request's id
		fmt.Fprintf(w, "book %s", r.PathValue("id"))
	})
	addr, err := app.HTTP("http", "127.0.0.1:0", mux)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	app.Go("visitor", func(ctx context.Context) error {
		defer stop()
		body, err := page(ctx, "http://"+addr.String()+"/books/7")
		fmt.Println(body)
		return err
	})
	if err := app.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: book 7
}

// page fetches over a connection that it closes.
func page(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}
