package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/octavo-books/octavo/cmd/internal/trainerjob"
	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/trainer"
)

// shop is a log that grows and a model of it, and remembers how it was renewed.
type shop struct {
	grown               sync.Mutex // guards log; the rest is the renewer's until it ends
	log, model, trained int64
	failure             error // of the next renewals
	renewed             []string
}

func (s *shop) grow(to int64) {
	s.grown.Lock()
	defer s.grown.Unlock()
	s.log = to
}

func (s *shop) position() int64 {
	s.grown.Lock()
	defer s.grown.Unlock()
	return s.log
}

func (s *shop) renewer() *renewer {
	return &renewer{
		log:  slog.New(slog.DiscardHandler),
		head: func(context.Context) (int64, int64, error) { return s.position(), s.model, nil },
		renew: func(_ context.Context, m trainerjob.Mode) (trainer.Result, error) {
			name := "trained"
			if m.Refresh {
				name = "refreshed"
			}
			s.renewed = append(s.renewed, name)
			switch {
			case m.Refresh && s.model == 0:
				return trainer.Result{}, fault.Wrap(fault.Conflict, trainer.ErrNoModel, "train first")
			case s.failure != nil:
				return trainer.Result{}, s.failure
			}
			s.model = s.position()
			if !m.Refresh {
				s.trained = s.model
			}
			return trainer.Result{Position: s.model, LearntPosition: s.trained}, nil
		},
	}
}

func TestTheModelIsRenewed(t *testing.T) {
	const train, refresh = 24 * time.Hour, 10 * time.Minute
	for name, test := range map[string]struct {
		shop           *shop
		train, refresh time.Duration
		grows          []int64 // the log, by ten minutes
		want           []string
	}{
		"by a refresh when the log has grown": {&shop{log: 100, model: 100, trained: 100}, train, refresh,
			[]int64{100, 110, 110, 120}, []string{"refreshed", "refreshed"}},
		"by a training when it has outgrown the last": {&shop{log: 100, model: 100, trained: 100}, train, refresh,
			[]int64{124, 125, 126, 127}, []string{"refreshed", "refreshed", "trained", "refreshed"}},
		"never by a training when that is switched off": {&shop{log: 100, model: 100, trained: 100}, 0, refresh,
			[]int64{200, 201}, []string{"refreshed", "refreshed"}},
		"never by a refresh when that is switched off": {&shop{log: 100, model: 100, trained: 100}, 20 * time.Minute, 0,
			[]int64{101, 102, 103, 104}, []string{"trained", "trained"}},
		"never at all":                      {&shop{log: 100, model: 100, trained: 100}, 0, 0, []int64{200, 300}, nil},
		"by a training when there is none":  {&shop{log: 100}, train, refresh, []int64{100, 100, 101}, []string{"refreshed", "trained", "refreshed"}},
		"when there is more to learn from":  {&shop{log: 3, failure: fault.New(fault.Conflict, "too few")}, train, refresh, []int64{3, 3, 4}, []string{"refreshed", "trained", "refreshed", "trained"}},
		"again when it has failed for once": {&shop{log: 101, model: 100, failure: errors.New("disk full")}, train, refresh, []int64{101, 101}, []string{"refreshed", "refreshed"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				s := test.shop
				done := make(chan error)
				go func() { done <- s.renewer().run(ctx, test.train, test.refresh) }()
				synctest.Wait()
				for _, at := range test.grows {
					s.grow(at)
					<-time.After(refresh)
					synctest.Wait()
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if !slices.Equal(s.renewed, test.want) {
					t.Errorf("%v, want %v", s.renewed, test.want)
				}
			})
		})
	}
}

func TestTheModelIsTrainedAnewWhenRefreshesHaveTakenAllIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := shop{log: 100, model: 100, trained: 100}
		done := make(chan error)
		go func() { done <- s.renewer().run(ctx, time.Hour, 10*time.Minute) }()
		s.grow(101)
		<-time.After(119 * time.Minute)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if want := []string{"refreshed", "trained"}; !slices.Equal(s.renewed, want) {
			t.Errorf("%v, want %v", s.renewed, want)
		}
	})
}
