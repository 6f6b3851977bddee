package postgresdb

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/octavo-books/octavo/fault"
)

const (
	// The requests that share a commit are at most so many.
	groupSize = 256
	// A group is committed within this time, or not.
	groupTimeout = 10 * time.Second
)

// Group makes requests of many callers in few commits: what arrives while one
// commit waits for the disk shares the next, and is made by the same
// statements. That keeps the number of writes a second from being that of
// syncs.
type Group[In, Out any] struct {
	db       *DB
	make     func(ctx context.Context, tx pgx.Tx, head int64, in []In) ([]Out, int64, error)
	requests chan request[In, Out]
}

type request[In, Out any] struct {
	ctx  context.Context
	in   In
	done chan outcome[Out]
}

type outcome[Out any] struct {
	out Out
	err error
}

// NewGroup makes a group that ends with the database. Its function makes some
// requests inside an Update, in their order: it returns the outcome of each and
// the last position that it has given. An outcome may hold an error for its
// caller alone; an error of the function undoes them all.
func NewGroup[In, Out any](db *DB, do func(ctx context.Context, tx pgx.Tx, head int64, in []In) ([]Out, int64, error)) *Group[In, Out] {
	g := &Group[In, Out]{db: db, make: do, requests: make(chan request[In, Out])}
	db.tasks.Go(g.run)
	return g
}

// Do makes one request and returns when it is on disk. When ctx ends first the
// outcome is not known.
func (g *Group[In, Out]) Do(ctx context.Context, in In) (out Out, err error) {
	r := request[In, Out]{ctx: ctx, in: in, done: make(chan outcome[Out], 1)}
	select {
	case g.requests <- r:
	case <-ctx.Done():
		return out, ctx.Err()
	case <-g.db.stopped:
		return out, errClosed
	}
	select {
	case o := <-r.done:
		return o.out, o.err
	case <-ctx.Done():
		return out, ctx.Err()
	}
}

func (g *Group[In, Out]) run() {
	for {
		select {
		case <-g.db.stopped:
			return
		case r := <-g.requests:
			g.commit(g.gather(r))
		}
	}
}

// gather adds the requests that wait already to the first one.
func (g *Group[In, Out]) gather(first request[In, Out]) []request[In, Out] {
	group := []request[In, Out]{first}
	for len(group) < groupSize {
		select {
		case r := <-g.requests:
			group = append(group, r)
		default:
			return group
		}
	}
	return group
}

func (g *Group[In, Out]) commit(group []request[In, Out]) {
	var waiting []request[In, Out]
	for _, r := range group {
		if err := r.ctx.Err(); err != nil {
			r.done <- outcome[Out]{err: err}
			continue
		}
		waiting = append(waiting, r)
	}
	if len(waiting) == 0 {
		return
	}
	out, err := g.update(waiting)
	if err != nil && len(waiting) > 1 && fault.KindOf(Wrap(err, "")) != fault.Unavailable {
		// One of them is at fault. The others shall not suffer for it.
		for _, r := range waiting {
			g.commit([]request[In, Out]{r})
		}
		return
	}
	for i, r := range waiting {
		o := outcome[Out]{err: err}
		if err == nil {
			o.out = out[i]
		}
		r.done <- o
	}
}

func (g *Group[In, Out]) update(group []request[In, Out]) (out []Out, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), groupTimeout)
	defer cancel()
	in := make([]In, len(group))
	for i, r := range group {
		in[i] = r.in
	}
	err = g.db.Update(ctx, func(tx pgx.Tx, head int64) (after int64, err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("panic in a database change: %v\n%s", r, debug.Stack())
			}
		}()
		out, after, err = g.make(ctx, tx, head, in)
		return after, err
	})
	if err != nil && ctx.Err() != nil {
		// No caller's deadline, but that of the group.
		err = fault.Wrap(fault.Unavailable, fmt.Errorf("commit a group: %w", err), "the database does not answer; try again")
	}
	return out, err
}
