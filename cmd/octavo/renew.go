package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/models"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/cmd/internal/trainerjob"
	"github.com/octavo-books/octavo/fault"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/trainer"
)

// outgrown is how many times as long as it was at the last training the log may
// get before a refresh is not enough. docs/training.md has what that is from.
const outgrown = 1.25

// renewer keeps the model up to date with the log while octavo serves.
type renewer struct {
	log *slog.Logger
	// head is the position of the log, and that up to which the model in use knows
	// it, 0 for both when there is none.
	head  func(context.Context) (log, model int64, err error)
	renew func(context.Context, trainerjob.Mode) (trainer.Result, error)

	trained int64 // position of the last training; 0 when not known
	stale   bool  // the log has outgrown it
	refused int64 // position of the log of which no model could be made
}

func newRenewer(app *chassis.App, place models.Place, clients *peers.Peers) *renewer {
	return &renewer{
		log: app.Log(),
		head: func(ctx context.Context) (int64, int64, error) {
			m, err := clients.Recommendations.GetModel(ctx, &recommendationsv1.GetModelRequest{})
			return m.GetPosition(), m.GetTrainedPosition(), err
		},
		renew: func(ctx context.Context, m trainerjob.Mode) (trainer.Result, error) {
			return trainerjob.Run(ctx, app, place, clients, m, nil)
		},
	}
}

// run trains and refreshes at these intervals, 0 for never, when the log has
// grown. A failure is logged and tried again the next time.
func (r *renewer) run(ctx context.Context, trainEvery, refreshEvery time.Duration) error {
	train, stopTraining := ticks(trainEvery)
	defer stopTraining()
	refresh, stopRefreshing := ticks(refreshEvery)
	defer stopRefreshing()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-train:
			err = r.train(ctx)
		case <-refresh:
			err = r.refresh(ctx, trainEvery > 0)
		}
		if err != nil && ctx.Err() == nil {
			r.log.Warn("the model was not renewed; the one before serves on", slog.Any("error", err))
		}
	}
}

// ticks is a channel on which there is something at each interval, nothing for
// an interval of 0.
func ticks(every time.Duration) (<-chan time.Time, func()) {
	if every <= 0 {
		return nil, func() {}
	}
	t := time.NewTicker(every)
	return t.C, t.Stop
}

// train trains when the log has grown since the last training.
func (r *renewer) train(ctx context.Context) error {
	head, _, err := r.head(ctx)
	if err != nil || head == r.trained {
		return err
	}
	return r.do(ctx, trainerjob.Mode{})
}

// refresh refreshes the model when the log has grown since, or trains one where
// that is not enough and it may.
func (r *renewer) refresh(ctx context.Context, mayTrain bool) error {
	head, known, err := r.head(ctx)
	if err != nil || head == known || head == r.refused {
		return err
	}
	if r.stale && mayTrain {
		r.stale = false // also when it fails: not at every refresh
		return r.do(ctx, trainerjob.Mode{})
	}
	err = r.do(ctx, trainerjob.Mode{Refresh: true})
	if errors.Is(err, trainer.ErrNoModel) && mayTrain {
		err = r.do(ctx, trainerjob.Mode{})
	}
	if fault.KindOf(err) == fault.Conflict {
		r.refused = head
	}
	return err
}

func (r *renewer) do(ctx context.Context, m trainerjob.Mode) error {
	result, err := r.renew(ctx, m)
	if err != nil {
		return err
	}
	r.trained = result.LearntPosition
	r.stale = float64(result.Position) >= outgrown*float64(r.trained)
	r.log.Info("renewed the model", "model", result.Version, "refresh", m.Refresh, "books", result.Books, "readers", result.Readers, "interactions", result.Interactions)
	return nil
}

// train makes a model of everything.
func train(ctx context.Context, app *chassis.App, place models.Place, clients *peers.Peers) error {
	result, err := trainerjob.Run(ctx, app, place, clients, trainerjob.Mode{}, nil)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	app.Log().Info("trained", "model", result.Version, "books", result.Books, "readers", result.Readers, "interactions", result.Interactions)
	return nil
}
