package load_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/load"
)

// TestRateIsKept: calls are sent at their rate and in their proportions,
// whatever becomes of them, and every one is counted.
func TestRateIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		result, err := load.Run(t.Context(), load.Config{
			Calls: []load.Call{
				{Name: "slow", Weight: 3, Do: func(context.Context) error { <-time.After(time.Second); return nil }},
				{Name: "refused", Weight: 1, Do: func(context.Context) error { return fault.New(fault.Exhausted, "no") }},
			},
			Steps: []load.Step{{Rate: 100, Duration: 10 * time.Second}, {Rate: 300, Duration: 10 * time.Second}},
		})
		if err != nil {
			t.Fatal(err)
		}
		total := result.Total()
		if total.Sent < 3800 || total.Sent > 4200 {
			t.Errorf("%d calls were sent, want about 4000", total.Sent)
		}
		if share := float64(total.By["exhausted"]) / float64(total.Sent); share < 0.22 || share > 0.28 {
			t.Errorf("a share of %.2f was refused, want 0.25", share)
		}
		if total.By[load.OK]+total.By["exhausted"] != total.Sent {
			t.Errorf("%v do not add up to %d", total.By, total.Sent)
		}
		slow := result.Calls[0]
		if p50 := slow.Quantile(50); p50 < 990*time.Millisecond || p50 > 1010*time.Millisecond {
			t.Errorf("the median is %v", p50)
		}
		if n := len(result.Seconds); n != 20 {
			t.Errorf("%d seconds, want 20", n)
		}
	})
}

// TestAStallIsCharged: a server that stalls for a second delays all calls that
// were meant for it. A tool that waits for answers would count one.
func TestAStallIsCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stalled := time.Now().Add(5 * time.Second)
		until := stalled.Add(time.Second)
		result, err := load.Run(t.Context(), load.Config{
			Calls: []load.Call{{Name: "page", Weight: 1, Do: func(context.Context) error {
				if now := time.Now(); now.After(stalled) && now.Before(until) {
					<-time.After(time.Until(until))
				}
				return nil
			}}},
			Steps: []load.Step{{Rate: 1000, Duration: 10 * time.Second}},
		})
		if err != nil {
			t.Fatal(err)
		}
		total := result.Total()
		if p95 := total.Quantile(95); p95 < 400*time.Millisecond || p95 > 600*time.Millisecond {
			t.Errorf("the 95th percentile is %v, want half a second", p95)
		}
	})
}

// TestMemoryIsBounded: calls that would be too many at once are not sent, and
// not forgotten.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		result, err := load.Run(t.Context(), load.Config{
			Calls:       []load.Call{{Name: "hung", Weight: 1, Do: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}},
			Steps:       []load.Step{{Rate: 100, Duration: 5 * time.Second}},
			MaxInFlight: 10, Timeout: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		total := result.Total()
		if total.By["deadline exceeded"] != 10 || total.By[load.Unsent] != total.Sent-10 {
			t.Errorf("of %d: %v", total.Sent, total.By)
		}
	})
}

func TestNothingToSend(t *testing.T) {
	call := load.Call{Name: "page", Weight: 1, Do: func(context.Context) error { return nil }}
	step := load.Step{Rate: 1, Duration: time.Second}
	for name, c := range map[string]load.Config{
		"no calls":    {Steps: []load.Step{step}},
		"no steps":    {Calls: []load.Call{call}},
		"no weight":   {Calls: []load.Call{{Name: "page"}}, Steps: []load.Step{step}},
		"no rate":     {Calls: []load.Call{call}, Steps: []load.Step{{Duration: time.Second}}},
		"no duration": {Calls: []load.Call{call}, Steps: []load.Step{{Rate: 1}}},
	} {
		if _, err := load.Run(t.Context(), c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
