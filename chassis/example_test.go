package chassis_test

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/chassis"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

// A whole small service: a store, a gRPC server that is ready once the store
// is, and a client.
func Example() {
	app, err := chassis.New("greeter", "v1.0.0", chassis.Flags{LogLevel: "error"}, io.Discard)
	if err != nil {
		fmt.Println(err)
		return
	}
	app.OnClose("store", func() error { fmt.Println("store closed"); return nil })

	shelf := &service{plain: func(ctx context.Context, r *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
		app.Log().InfoContext(ctx, "looking for a book", "reader", r.GetUserId())
		return &recommendationspb.RecommendationResponse{
			Recommendations: []*recommendationspb.BookRecommendation{{Id: 1, Title: "Middlemarch"}},
		}, nil
	}}
	addr, err := app.GRPC("recommendations", "127.0.0.1:0", nil, func(r grpc.ServiceRegistrar) {
		recommendationspb.RegisterRecommendationsServer(r, shelf)
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	conn, err := app.Dial("recommendations", addr.String())
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx, stop := context.WithCancel(context.Background())
	app.Go("customer", func(ctx context.Context) error {
		defer stop() // a server would go on until it is told to end
		answer, err := recommendationspb.NewRecommendationsClient(conn).Recommend(ctx, &recommendationspb.RecommendationRequest{UserId: 7})
		if err != nil {
			return err
		}
		fmt.Println(answer.GetRecommendations()[0].GetTitle())
		return nil
	})
	if err := app.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// Middlemarch
	// store closed
}
