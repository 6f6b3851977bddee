package recommender

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// workers is how many goroutines share the work: n, or one for each core.
func workers(n int) int {
	if n > 0 {
		return n
	}
	return runtime.GOMAXPROCS(0)
}

// parallel calls work once for each number below n, from several goroutines,
// each of which has a worker number of its own. What is computed for a number
// must depend on that number alone. It stops early when ctx ends.
func parallel(ctx context.Context, workers, n int, done func(int), work func(worker, i int)) error {
	return parallelChunks(ctx, workers, n, 32, done, work)
}

// parallelEach is parallel for few and long pieces of work.
func parallelEach(ctx context.Context, workers, n int, work func(worker, i int)) error {
	return parallelChunks(ctx, workers, n, 1, nil, work)
}

func parallelChunks(ctx context.Context, workers, n, chunk int, done func(int), work func(worker, i int)) error {
	var next, finished atomic.Int64
	var reporting sync.Mutex
	var group sync.WaitGroup
	for w := range min(workers, (n+chunk-1)/chunk) {
		group.Go(func() {
			for ctx.Err() == nil {
				from := int(next.Add(int64(chunk))) - chunk
				if from >= n {
					return
				}
				to := min(from+chunk, n)
				for i := from; i < to; i++ {
					work(w, i)
				}
				now := int(finished.Add(int64(to - from)))
				if done != nil && reporting.TryLock() {
					done(now)
					reporting.Unlock()
				}
			}
		})
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if done != nil {
		done(n)
	}
	return nil
}
