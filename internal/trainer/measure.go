package trainer

import (
	"time"

	"github.com/octavo-books/octavo/internal/recommender"
)

// Stage is a part of a run.
type Stage struct {
	Name    string
	Seconds float64
}

// stopwatch measures the stages of a run, which follow one another.
type stopwatch struct {
	stages []Stage
	since  time.Time
}

// enter ends the stage before. The stage under way is entered without effect.
func (w *stopwatch) enter(name string) {
	if n := len(w.stages); n > 0 && w.stages[n-1].Name == name {
		return
	}
	w.stop()
	w.stages, w.since = append(w.stages, Stage{Name: name}), time.Now()
}

// stop ends the last stage.
func (w *stopwatch) stop() []Stage {
	if n := len(w.stages); n > 0 && w.stages[n-1].Seconds == 0 {
		w.stages[n-1].Seconds = time.Since(w.since).Seconds()
	}
	return w.stages
}

// progress is next, which may be nil, with the stages it is told of measured.
func (w *stopwatch) progress(next recommender.Progress) recommender.Progress {
	return func(stage string, done, total int) {
		w.enter(stage)
		if next != nil {
			next(stage, done, total)
		}
	}
}
