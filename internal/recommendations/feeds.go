package recommendations

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/recommender"
)

// The pause before a feed is opened again grows from the first to the second. A
// stream that has lasted for longer than the second is gone on with at once: its
// replica is being replaced, and another one is there.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
)

// progressInterval is between lines of the log about a feed that is far behind.
const progressInterval = 5 * time.Second

// feed is how far another service's feed has been followed.
type feed struct {
	name      string
	silence   time.Duration // after which the feed counts as broken
	position  position
	check     atomic.Int64 // that came with the position; 0 when it is not known
	head      atomic.Int64 // as last heard
	connected atomic.Bool
	caughtUp  atomic.Bool // once is enough: it stays true
	// behindSince is when the feed was last known to be applied to its end; nil
	// while it is. It is a whole time, which a clock that is set does not change.
	behindSince atomic.Pointer[time.Time]
	problem     atomic.Pointer[error]
}

func (f *feed) lag() int64 { return max(0, f.head.Load()-f.position.get()) }

// fellBehind notes since when something may be missing.
func (f *feed) fellBehind() {
	if f.behindSince.Load() == nil {
		now := time.Now()
		f.behindSince.CompareAndSwap(nil, &now)
	}
}

// behind is for how long the feed has not been applied to its end, or has not
// been followed; 0 when all is known.
func (f *feed) behind() time.Duration {
	since := f.behindSince.Load()
	if since == nil {
		return 0
	}
	return time.Since(*since)
}

// ready is nil once the feed has caught up, otherwise it says how far it is.
func (f *feed) ready() error {
	if f.caughtUp.Load() {
		return nil
	}
	if problem := f.problem.Load(); problem != nil {
		return fault.Wrap(fault.Unavailable, *problem, "%s cannot be followed", f.name)
	}
	return fault.New(fault.Unavailable, "%s followed up to %d of %d", f.name, f.position.get(), f.head.Load())
}

// page is a message of a feed.
type page interface {
	GetPosition() int64
	GetHead() int64
	GetCheck() int64 // of the entry at the position, when that is another than before
}

// stream is the client's side of a feed.
type stream[P page] interface {
	Recv() (P, error)
}

// source opens a feed behind its position and takes in its pages. restart
// forgets all that was taken in.
type source[P page] struct {
	open    func(ctx context.Context) (stream[P], error)
	apply   func(P)
	restart func()
}

// errReplaced is the end of a stream whose feed is not the one it once was. The
// services answer Conflict when asked for what is beyond their end, and when
// their log has another entry at the position.
var errReplaced = errors.New("the feed is not the one it was: its database has been replaced")

// errSilent is the end of a stream on which heartbeats failed to come.
var errSilent = errors.New("the feed has been silent for too long")

// follow takes in a feed until ctx ends, and comes back to it after every
// failure. A feed that went back is taken in from the start.
func follow[P page](ctx context.Context, log *slog.Logger, f *feed, s source[P]) {
	pause := firstPause
	for ctx.Err() == nil {
		f.fellBehind()
		before, began := f.position.get(), time.Now()
		err := followOnce(ctx, log, f, s)
		lasted := f.connected.Swap(false) && time.Since(began) > lastPause
		if ctx.Err() == nil && f.problem.Load() == nil {
			log.Warn("feed interrupted; answers go on from what is known", "feed", f.name, "position", f.position.get(), "error", err)
		}
		f.problem.Store(&err)
		if errors.Is(err, errReplaced) {
			s.restart()
			f.check.Store(0)
			f.position.set(0)
			pause = firstPause
			continue
		}
		if lasted || f.position.get() != before {
			pause = firstPause
		}
		if lasted {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, lastPause)
	}
}

func followOnce[P page](ctx context.Context, log *slog.Logger, f *feed, s source[P]) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A peer that hangs, or that a silent network has cut off, sends no
	// heartbeats either.
	watch := time.AfterFunc(f.silence, func() { cancel(errSilent) })
	defer watch.Stop()
	pages, err := s.open(ctx)
	if err != nil {
		return err
	}
	told, from := time.Now(), f.position.get()
	for {
		p, err := pages.Recv()
		watch.Reset(f.silence)
		if errors.Is(context.Cause(ctx), errSilent) {
			return errSilent
		}
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%s ended its feed", f.name)
		}
		if fault.KindOf(err) == fault.Conflict && f.position.get() > 0 {
			return errReplaced
		}
		if err != nil {
			return err
		}
		if p.GetPosition() < f.position.get() || p.GetHead() < f.position.get() {
			return errReplaced
		}
		s.apply(p)
		if p.GetPosition() > f.position.get() {
			f.check.Store(p.GetCheck())
		}
		f.head.Store(p.GetHead())
		f.position.set(p.GetPosition())
		f.connected.Store(true)
		f.problem.Store(nil)
		if p.GetPosition() < p.GetHead() {
			f.fellBehind()
			if since := time.Since(told); since >= progressInterval {
				rate := float64(p.GetPosition()-from) / since.Seconds()
				log.Info("catching up with a feed", "feed", f.name, "position", p.GetPosition(), "head", p.GetHead(), "per_second", int64(rate),
					"left", time.Duration(float64(f.lag())/max(rate, 1)*float64(time.Second)).Round(time.Second))
				told, from = time.Now(), p.GetPosition()
			}
			continue
		}
		f.behindSince.Store(nil)
		f.caughtUp.Store(true)
	}
}

func (s *service) followCatalogue(ctx context.Context, client catalogv1.CatalogServiceClient) {
	follow(ctx, s.logger, &s.books, source[*catalogv1.WatchBooksResponse]{
		open: func(ctx context.Context) (stream[*catalogv1.WatchBooksResponse], error) {
			return client.WatchBooks(ctx, &catalogv1.WatchBooksRequest{AfterPosition: s.books.position.get(), AfterCheck: s.books.check.Load()})
		},
		apply: func(p *catalogv1.WatchBooksResponse) {
			books := make([]listing, len(p.GetBooks()))
			for i, b := range p.GetBooks() {
				books[i] = listingFrom(b)
			}
			s.catalogue.put(books)
		},
		restart: s.catalogue.clear,
	})
}

func (s *service) followLog(ctx context.Context, client readersv1.ReadersServiceClient) {
	follow(ctx, s.logger, &s.log, source[*readersv1.WatchInteractionsResponse]{
		open: func(ctx context.Context) (stream[*readersv1.WatchInteractionsResponse], error) {
			return client.WatchInteractions(ctx, &readersv1.WatchInteractionsRequest{AfterPosition: s.log.position.get(), AfterCheck: s.log.check.Load()})
		},
		apply: func(p *readersv1.WatchInteractionsResponse) {
			histories := s.histories.Load()
			for _, i := range p.GetInteractions() {
				switch i.GetKind() {
				case readersv1.InteractionKind_INTERACTION_KIND_ERASED:
					histories.erase(i.GetReaderId())
				case readersv1.InteractionKind_INTERACTION_KIND_PAUSED:
					histories.pause(i.GetReaderId(), true)
				case readersv1.InteractionKind_INTERACTION_KIND_RESUMED:
					histories.pause(i.GetReaderId(), false)
				default:
					if kind, known := recommender.KindOf(i.GetKind()); known {
						histories.apply(eventFrom(i, kind))
					}
				}
			}
			// What came before the feed had caught up is old.
			if s.log.caughtUp.Load() {
				s.metrics.observeDelays(p, time.Now())
			}
		},
		restart: func() { s.histories.Store(newHistories(s.keptMemory)) },
	})
}

// eventFrom reads one line of the log.
func eventFrom(i *readersv1.Interaction, kind recommender.Kind) recommender.Event {
	return recommender.Event{
		Reader: i.GetReaderId(),
		Book:   i.GetBookId(),
		Kind:   kind,
		Value:  i.GetValue(),
		Time:   i.GetOccurredAt().GetSeconds(),
	}
}

// listingFrom keeps of a book what answers need. A category of a newer contract
// counts as not known.
func listingFrom(b *catalogv1.Book) listing {
	category := b.GetCategory()
	if category < 0 || category >= categories {
		category = 0
	}
	l := listing{
		book: &book{
			id:         b.GetId(),
			category:   uint8(category),
			title:      b.GetTitle(),
			popularity: b.GetPopularity(),
			place:      b.GetSeriesPosition(),
		},
		authors: b.GetAuthors(),
		series:  b.GetSeries(),
		tags:    b.GetTags(),
	}
	l.book.encode(l.authors, b.GetYear())
	return l
}
