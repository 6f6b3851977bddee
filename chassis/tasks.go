package chassis

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A task that panics is begun again after a pause, so that one bad message does
// not take the process and everybody's calls with it. One that goes on
// panicking ends the process in order, as one that fails does.
const (
	taskPause   = 100 * time.Millisecond // doubled with each panic
	taskPanics  = 5                      // in a row
	taskRecover = time.Minute            // after so long without, it is not in a row
)

func newTaskPanics() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "task_panics_total", Help: "Panics of background tasks, each of which was begun again or ended the process.",
	}, []string{"task"})
}

// keepRunning runs a task until it ends, and again when it panics.
func keepRunning(ctx context.Context, t task, log *slog.Logger, panics *prometheus.CounterVec) error {
	pause := taskPause
	for inARow := 0; ; {
		began := time.Now()
		panicked, err := runOnce(ctx, t, log)
		if !panicked {
			return err
		}
		panics.WithLabelValues(t.name).Inc()
		if time.Since(began) > taskRecover {
			inARow, pause = 0, taskPause
		}
		if inARow++; inARow == taskPanics {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause *= 2
	}
}

func runOnce(ctx context.Context, t task, log *slog.Logger) (panicked bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			panicked, err = true, fmt.Errorf("panic: %v", p)
			log.ErrorContext(ctx, "a task panicked", "task", t.name, "error", err, "stack", string(debug.Stack()))
		}
	}()
	return false, t.run(ctx)
}
