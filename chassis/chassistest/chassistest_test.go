package chassistest_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/octavo-books/octavo/chassis/chassistest"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type broken struct {
	recommendationspb.UnimplementedRecommendationsServer
}

func (broken) Recommend(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
	panic("boom")
}

// TestServeIsProduction: what a test calls has the chain around it, and tasks
// run until the test ends.
func TestServeIsProduction(t *testing.T) {
	ended := make(chan struct{})
	t.Run("serve", func(t *testing.T) {
		running := make(chan struct{})
		conn := chassistest.ServeTasks(t, func(r grpc.ServiceRegistrar) {
			recommendationspb.RegisterRecommendationsServer(r, broken{})
		}, func(ctx context.Context) error {
			close(running)
			<-ctx.Done()
			close(ended)
			return ctx.Err()
		})
		<-running
		_, err := recommendationspb.NewRecommendationsClient(conn).Recommend(t.Context(), nil)
		if status.Code(err) != codes.Internal {
			t.Errorf("got %v", err)
		}
	})
	select {
	case <-ended:
	default:
		t.Error("the task still runs after the test")
	}
}
