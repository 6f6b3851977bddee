package recommendations

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitForPosition(t *testing.T) {
	tests := []struct {
		name     string
		deadline time.Duration // of the caller; 0 for none
		advance  time.Duration // when the position comes
		want     bool
		took     time.Duration
	}{
		{name: "in time", advance: 100 * time.Millisecond, want: true, took: 100 * time.Millisecond},
		{name: "too late", advance: time.Second, want: false, took: 500 * time.Millisecond},
		{name: "the caller has no time", deadline: 100 * time.Millisecond, advance: 90 * time.Millisecond, want: false, took: 80 * time.Millisecond},
		{name: "the caller has time", deadline: 5 * time.Second, advance: 400 * time.Millisecond, want: true, took: 400 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if test.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.deadline)
					defer cancel()
				}
				var p position
				p.set(7)
				time.AfterFunc(test.advance/2, func() { p.set(8) }) // on the way, not there
				time.AfterFunc(test.advance, func() { p.set(9) })
				start := time.Now()
				if got := p.wait(ctx, 9, 500*time.Millisecond); got != test.want {
					t.Errorf("wait: %t, want %t", got, test.want)
				}
				if took := time.Since(start); took != test.took {
					t.Errorf("took %v, want %v", took, test.took)
				}
			})
		})
	}
}

func TestWaitEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		start := time.Now()
		var p position
		if p.wait(ctx, 1, time.Second) || time.Since(start) != time.Millisecond {
			t.Errorf("went on for %v after the caller had gone", time.Since(start)-time.Millisecond)
		}
	})
}
