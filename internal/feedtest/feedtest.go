// Package feedtest has catalogues and readers' logs in memory for the tests of
// those who follow them: they serve the feeds as the contracts say, and can be
// held back, cut off and replaced.
//
// It is no model of how the real services store anything.
package feedtest

import (
	"context"
	"maps"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

// pageSize keeps pages small, so that tests of few lines see several.
const pageSize = 100

// log is what both feeds have in common.
type log[T any] struct {
	mu      sync.Mutex
	lines   []T
	visible int // lines that the feed shows, when held
	held    bool
	down    bool
	epoch   int           // ends all streams of an earlier one
	check   int64         // of every line since the last Replace; as 0, not told
	changed chan struct{} // closed at the next change
}

// update changes the log and wakes all streams.
func (l *log[T]) update(change func()) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	return int64(len(l.lines))
}

// Hold stops the feed from showing what is added from now on.
func (l *log[T]) Hold() { l.update(func() { l.held, l.visible = true, len(l.lines) }) }

// Release shows all again.
func (l *log[T]) Release() { l.update(func() { l.held = false }) }

// Down cuts all streams off and refuses new ones.
func (l *log[T]) Down() { l.update(func() { l.down = true; l.epoch++ }) }

// Up lets streams be opened again.
func (l *log[T]) Up() { l.update(func() { l.down = false }) }

// Replace puts another database in the place of this one and cuts all streams
// off.
func (l *log[T]) Replace(lines ...T) {
	l.update(func() { l.lines = lines; l.epoch++; l.check++ })
}

// Lines are all that was added, shown or not.
func (l *log[T]) Lines() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

// Tell has the lines of the log told from those of another that takes its place.
func (l *log[T]) Tell() { l.update(func() { l.check = 1 }) }

// told is the check of all lines there are.
func (l *log[T]) told() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.check
}

// compare refuses who has followed another log.
func (l *log[T]) compare(after, check int64) error {
	if check != 0 && check != l.told() {
		return fault.New(fault.Conflict, "there is another entry at %d", after)
	}
	return nil
}

// watch serves a stream.
func (l *log[T]) watch(ctx context.Context, after int64, send func(lines []T, position, head int64) error) error {
	l.mu.Lock()
	epoch := l.epoch
	l.mu.Unlock()
	for first := true; ; first = false {
		l.mu.Lock()
		if l.down || l.epoch != epoch {
			l.mu.Unlock()
			return fault.New(fault.Unavailable, "the service is down")
		}
		head := len(l.lines)
		if l.held {
			head = l.visible
		}
		if int(after) > head {
			l.mu.Unlock()
			return fault.New(fault.Conflict, "position %d is beyond the end, %d", after, head)
		}
		var lines []T
		position := min(int(after)+pageSize, head)
		if position > int(after) {
			lines = l.lines[after:position]
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		if first || len(lines) > 0 {
			if err := send(lines, int64(position), int64(head)); err != nil {
				return err
			}
			after = int64(position)
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// Catalog is a catalogue. The zero one is empty.
type Catalog struct {
	catalogv1.UnimplementedCatalogServiceServer
	log[*catalogv1.Book]

	popularity map[int32]int64
}

// Register serves it.
func (c *Catalog) Register(r grpc.ServiceRegistrar) { catalogv1.RegisterCatalogServiceServer(r, c) }

// Put adds or changes books and returns the position of the last.
func (c *Catalog) Put(books ...*catalogv1.Book) int64 {
	return c.update(func() { c.lines = append(c.lines, books...) })
}

// Popularity is all that SetPopularity was told.
func (c *Catalog) Popularity() map[int32]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.popularity)
}

// SetPopularity keeps what it is told.
func (c *Catalog) SetPopularity(_ context.Context, r *catalogv1.SetPopularityRequest) (*catalogv1.SetPopularityResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.popularity == nil {
		c.popularity = make(map[int32]int64)
	}
	for _, e := range r.GetEntries() {
		c.popularity[e.GetBookId()] = e.GetReaders()
	}
	return &catalogv1.SetPopularityResponse{}, nil
}

// WatchBooks serves the feed.
func (c *Catalog) WatchBooks(r *catalogv1.WatchBooksRequest, s grpc.ServerStreamingServer[catalogv1.WatchBooksResponse]) error {
	if err := c.compare(r.GetAfterPosition(), r.GetAfterCheck()); err != nil {
		return err
	}
	return c.watch(s.Context(), r.GetAfterPosition(), func(books []*catalogv1.Book, position, head int64) error {
		page := &catalogv1.WatchBooksResponse{Books: books, Position: position, Head: head}
		if len(books) > 0 {
			page.Check = c.told()
		}
		return s.Send(page)
	})
}

// Readers is a readers' log. The zero one is empty.
type Readers struct {
	readersv1.UnimplementedReadersServiceServer
	log[*readersv1.Interaction]
}

// Register serves it.
func (r *Readers) Register(s grpc.ServiceRegistrar) { readersv1.RegisterReadersServiceServer(s, r) }

// Record appends to the log and returns the position of the last.
func (r *Readers) Record(interactions ...*readersv1.Interaction) int64 {
	return r.update(func() { r.lines = append(r.lines, interactions...) })
}

// WatchInteractions serves the feed.
func (r *Readers) WatchInteractions(q *readersv1.WatchInteractionsRequest, s grpc.ServerStreamingServer[readersv1.WatchInteractionsResponse]) error {
	if err := r.compare(q.GetAfterPosition(), q.GetAfterCheck()); err != nil {
		return err
	}
	return r.watch(s.Context(), q.GetAfterPosition(), func(interactions []*readersv1.Interaction, position, head int64) error {
		page := &readersv1.WatchInteractionsResponse{Interactions: interactions, Position: position, Head: head}
		if check := r.told(); check != 0 && len(interactions) > 0 {
			page.Check, page.RecordedAt = check, timestamppb.Now()
		}
		return s.Send(page)
	})
}
