package chassis_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

// TestATaskThatPanics is row 19 of the faults for background work: calls go on,
// the panic is counted and logged, and the task is begun again.
func TestATaskThatPanics(t *testing.T) {
	t.Parallel()
	t.Run("once", func(t *testing.T) {
		t.Parallel()
		p := newProcess(t)
		var runs atomic.Int32
		p.Go("follower", func(ctx context.Context) error {
			if runs.Add(1) == 1 {
				panic("a bad message")
			}
			<-ctx.Done()
			return ctx.Err()
		})
		s := &service{plain: func(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
			return &recommendationspb.RecommendationResponse{}, nil
		}}
		client := recommendationspb.NewRecommendationsClient(p.serve(s.register))
		eventually(t, "the task runs again", 30*time.Second, func() bool { return runs.Load() == 2 })
		if _, err := client.Recommend(t.Context(), nil); err != nil {
			t.Errorf("a call afterwards: %v", err)
		}
		if !p.hasMetric(`task_panics_total{task="follower"} 1`) {
			t.Error("the panic is not counted")
		}
		records := p.log.records(t, "a task panicked")
		if len(records) != 1 || records[0]["error"] != "panic: a bad message" || !strings.Contains(records[0]["stack"].(string), "tasks_test.go") {
			t.Errorf("the log has %v", records)
		}
		if err := p.stop(); err != nil {
			t.Errorf("the process ends with %v", err)
		}
	})
	t.Run("always", func(t *testing.T) {
		t.Parallel()
		p := newProcess(t)
		closed := errors.New("closed in order")
		p.OnClose("store", func() error { return closed })
		p.Go("follower", func(context.Context) error { panic("broken") })
		err := p.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "follower: panic: broken") || !errors.Is(err, closed) {
			t.Errorf("the process ends with %v", err)
		}
		if n := len(p.log.records(t, "a task panicked")); n != 5 {
			t.Errorf("%d panics are in the log, want 5", n)
		}
	})
}
