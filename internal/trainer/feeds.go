package trainer

import (
	"context"
	"fmt"
	"slices"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/recommender"
)

// read makes a dataset of both feeds, of the log up to a position, or up to its
// end for 0, and returns the position reached.
func (j *job) read(ctx context.Context, until int64) (*recommender.Dataset, int64, error) {
	j.watch.enter(StageCatalogue)
	books, err := readCatalogue(ctx, j.Config)
	if err != nil {
		return nil, 0, fmt.Errorf("read the catalogue: %w", err)
	}
	j.watch.enter(StageLog)
	events, position, err := readLog(ctx, j.Config, until)
	if err != nil {
		return nil, 0, fmt.Errorf("read the log: %w", err)
	}
	j.watch.enter(StageSort)
	d := recommender.NewDataset(events, books)
	j.result.Books, j.result.Readers = d.Books(), d.Readers()
	j.result.Interactions, j.result.Position = d.Interactions(), position
	return d, position, nil
}

// page is a message of a feed.
type page interface {
	GetPosition() int64
	GetHead() int64
}

// readFeed takes in a feed up to a position, which must not lie beyond the head
// that its first page names, or for 0 up to that head, so that a feed that grows
// while it is read still ends. It returns the position reached.
func readFeed[P page](progress recommender.Progress, stage string, until int64, recv func() (P, error), take func(P) error) (int64, error) {
	end := int64(-1)
	for {
		p, err := recv()
		if err != nil {
			return 0, err
		}
		if end < 0 {
			end = p.GetHead()
			if until > end {
				return 0, fault.New(fault.Conflict, "position %d is asked for, and the log ends at %d: it is not the log that the position was taken from", until, end)
			}
			if until > 0 {
				end = until
			}
		}
		if err := take(p); err != nil {
			return 0, err
		}
		if progress != nil {
			progress(stage, int(min(p.GetPosition(), end)), int(end))
		}
		if p.GetPosition() >= end {
			return p.GetPosition(), nil
		}
	}
}

// readCatalogue returns each book in its last state, in the order of the first.
func readCatalogue(ctx context.Context, c Config) ([]recommender.Book, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	feed, err := c.Catalog.WatchBooks(ctx, &catalogv1.WatchBooksRequest{})
	if err != nil {
		return nil, err
	}
	var books []recommender.Book
	at := make(map[int32]int)
	_, err = readFeed(c.Progress, StageCatalogue, 0, feed.Recv, func(p *catalogv1.WatchBooksResponse) error {
		for _, b := range p.GetBooks() {
			book := recommender.Book{ID: b.GetId(), Category: uint8(b.GetCategory()), Authors: b.GetAuthors()}
			if i, again := at[book.ID]; again {
				books[i] = book
				continue
			}
			at[book.ID] = len(books)
			books = append(books, book)
		}
		return nil
	})
	return books, err
}

// readLog returns the events of the log up to a position, or up to its end for
// 0, without those of readers who were erased while it was read, or who at its
// end have paused what is made of them. It is TooLarge when there are more than a
// training can take.
func readLog(ctx context.Context, c Config, until int64) ([]recommender.Event, int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	feed, err := c.Readers.WatchInteractions(ctx, &readersv1.WatchInteractionsRequest{})
	if err != nil {
		return nil, 0, err
	}
	limit := c.MaxInteractions
	if limit == 0 {
		limit = recommender.MaxEvents
	}
	var events []recommender.Event
	without := make(map[int32]bool)
	position, err := readFeed(c.Progress, StageLog, until, feed.Recv, func(p *readersv1.WatchInteractionsResponse) error {
		for _, i := range p.GetInteractions() {
			if until > 0 && i.GetPosition() > until {
				continue
			}
			switch i.GetKind() {
			case readersv1.InteractionKind_INTERACTION_KIND_ERASED, readersv1.InteractionKind_INTERACTION_KIND_PAUSED:
				without[i.GetReaderId()] = true
			case readersv1.InteractionKind_INTERACTION_KIND_RESUMED:
				delete(without, i.GetReaderId())
			}
			kind, known := recommender.KindOf(i.GetKind())
			if !known {
				continue
			}
			if len(events) == limit {
				return fault.New(fault.TooLarge, "a training takes %d interactions at most, and the log has more; parts of a training on several machines read as many. The model stays as it is. Train with --position=%d, which leaves out what is newer, or divide the readers among several shops, as docs/operations/scale.md says",
					limit, i.GetPosition()-1)
			}
			events = append(events, recommender.Event{
				Reader: i.GetReaderId(),
				Book:   i.GetBookId(),
				Kind:   kind,
				Value:  i.GetValue(),
				Time:   i.GetOccurredAt().GetSeconds(),
			})
		}
		return nil
	})
	if until > 0 {
		position = until
	}
	if len(without) > 0 {
		events = slices.DeleteFunc(events, func(e recommender.Event) bool { return without[e.Reader] })
	}
	return events, position, err
}

// head is the position of the last line of the log.
func head(ctx context.Context, c Config) (int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	feed, err := c.Readers.WatchInteractions(ctx, &readersv1.WatchInteractionsRequest{})
	if err != nil {
		return 0, err
	}
	first, err := feed.Recv()
	return first.GetHead(), err
}
