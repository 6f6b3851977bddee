// Package followtest checks of a feed that who follows it misses nothing,
// however many write to it and however late some of them commit.
//
// It knows no store: tests tell it how to write a line and how to read on.
package followtest

import (
	"context"
	"fmt"
	"sync"
)

// Line is what one writer wrote as its Nth, from 1.
type Line struct{ Writer, N int }

// Feed is a feed under test. Its functions are called at the same time.
type Feed struct {
	// Write commits one line. The lines of a writer are written one after the
	// other.
	Write func(ctx context.Context, line Line) error
	// Next returns the lines after a position, some of them or all, and the
	// position of the last. With none it returns the position it was given.
	Next func(ctx context.Context, after int64) (lines []Line, position int64, err error)
}

// Follow has so many writers write so many lines each, and follows the feed
// meanwhile from position to position. It returns an error that says which
// lines the follower missed, saw twice, or saw in another order than that of
// their writer.
func Follow(ctx context.Context, feed Feed, writers, lines int) error {
	// The first error ends everything, and is the one to tell.
	ctx, end := context.WithCancelCause(ctx)
	var tasks sync.WaitGroup
	for w := range writers {
		tasks.Go(func() {
			for n := 1; n <= lines; n++ {
				if err := feed.Write(ctx, Line{w, n}); err != nil {
					end(fmt.Errorf("writer %d: %w", w, err))
					return
				}
			}
		})
	}
	written := make(chan struct{})
	go func() {
		tasks.Wait()
		close(written)
	}()
	last := make([]int, writers)
	err := follow(ctx, feed, written, last)
	for w, n := range last {
		if err == nil && n != lines {
			err = fmt.Errorf("the follower saw %d lines of writer %d, want %d", n, w, lines)
		}
	}
	if err != nil {
		end(err)
	}
	<-written
	err = context.Cause(ctx)
	end(nil)
	return err
}

// follow reads until it is at the end of what all have written. It counts the
// lines of each writer in last.
func follow(ctx context.Context, feed Feed, written <-chan struct{}, last []int) error {
	position := int64(0)
	for done := false; ; {
		lines, next, err := feed.Next(ctx, position)
		if err != nil {
			return fmt.Errorf("follow after %d: %w", position, err)
		}
		for _, l := range lines {
			if l.N != last[l.Writer]+1 {
				return fmt.Errorf("line %d of writer %d follows its line %d", l.N, l.Writer, last[l.Writer])
			}
			last[l.Writer] = l.N
		}
		if len(lines) > 0 && next <= position {
			return fmt.Errorf("position %d follows %d", next, position)
		}
		position = next
		if done && len(lines) == 0 {
			return nil
		}
		select {
		case <-written:
			done = true
		default:
		}
	}
}
