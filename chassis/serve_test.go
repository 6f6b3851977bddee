package chassis_test

import (
	"context"
	"testing"

	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/chassis/chassistest"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

type shop struct {
	recommendationspb.UnimplementedRecommendationsServer
	recommend func(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error)
}

func (s shop) Recommend(ctx context.Context, r *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
	return s.recommend(ctx, r)
}

func TestServe(t *testing.T) {
	conn := chassistest.Serve(t, func(s grpc.ServiceRegistrar) {
		recommendationspb.RegisterRecommendationsServer(s, shop{recommend: func(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
			return &recommendationspb.RecommendationResponse{}, nil
		}})
	})
	if _, err := recommendationspb.NewRecommendationsClient(conn).Recommend(t.Context(), &recommendationspb.RecommendationRequest{}); err != nil {
		t.Fatal(err)
	}
}
