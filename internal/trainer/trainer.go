// Package trainer is the job that makes a model: it reads the catalogue and
// the readers' log from their feeds, trains, checks what came out, publishes
// it, and tells the catalogue how many readers each book has.
//
// It never publishes a model that fails its own check, and keeps nothing
// between two runs.
package trainer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/fault"
	"github.com/octavo-books/octavo/internal/recommender"
)

const (
	// popularityBatch is how many books one call to the catalogue tells about.
	popularityBatch = 5000
	// popularityLimit is the time one such call may take.
	popularityLimit = 30 * time.Second
)

// The stages that Progress is told of, beside those of the training itself.
const (
	StageCatalogue  = "read the catalogue"
	StageLog        = "read the log"
	StagePopularity = "tell the catalogue"
)

// Models takes finished model files.
type Models interface {
	Publish(ctx context.Context, write func(path string) error) (name string, err error)
}

// Config is what a run needs.
type Config struct {
	Catalog  catalogv1.CatalogServiceClient
	Readers  readersv1.ReadersServiceClient
	Models   Models
	Log      *slog.Logger
	Seed     uint64
	Progress recommender.Progress // nil when nobody watches
}

// Result is what a run made.
type Result struct {
	Name         string             // of the model in the store
	Version      string             // of the model
	Books        int                // of the model
	Readers      int                // of the model
	Interactions int64              // read from the log
	Position     int64              // of the log, up to which it was read
	Parameters   map[string]float64 // chosen on the validation part
	Metrics      map[string]float64 // on the validation part
	Seconds      Seconds
}

// Seconds is how long each stage took.
type Seconds struct {
	Read, Train, Publish, Popularity float64
}

// Run trains one model on everything that the feeds hold at its start and
// publishes it. A log with nothing to learn from and a model that fails its
// check are Conflicts; nothing is published then.
func Run(ctx context.Context, c Config) (Result, error) {
	var result Result
	start := time.Now()
	books, err := readCatalogue(ctx, c)
	if err != nil {
		return result, fmt.Errorf("read the catalogue: %w", err)
	}
	events, position, err := readLog(ctx, c)
	if err != nil {
		return result, fmt.Errorf("read the log: %w", err)
	}
	result.Interactions, result.Position = int64(len(events)), position
	result.Seconds.Read = lap(&start)

	model, err := recommender.Train(ctx, recommender.NewDataset(events, books), recommender.Options{
		Position: position,
		Seed:     c.Seed,
		Progress: c.Progress,
	})
	if errors.Is(err, recommender.ErrNoData) {
		return result, fault.Wrap(fault.Conflict, err,
			"there is nothing to learn from yet: %d books and %d interactions were found, and a model needs readers with several books each; import some, or let readers rate and shelve books", len(books), len(events))
	}
	if err != nil {
		return result, fmt.Errorf("train: %w", err)
	}
	defer model.Close()
	result.Seconds.Train = lap(&start)
	if err := model.Check(); err != nil {
		return result, fault.Wrap(fault.Conflict, err, "the new model is not published, the one before stays")
	}

	result.Name, err = c.Models.Publish(ctx, model.Save)
	if err != nil {
		return result, fmt.Errorf("publish the model: %w", err)
	}
	info := model.Info()
	result.Version, result.Books, result.Readers = info.Version, info.Books, info.Readers
	result.Parameters, result.Metrics = info.Parameters, info.Metrics
	result.Seconds.Publish = lap(&start)
	c.Log.Info("model published", "model", result.Name, "version", result.Version,
		"books", result.Books, "readers", result.Readers, "interactions", result.Interactions, "position", result.Position)

	if err := setPopularity(ctx, c, model); err != nil {
		return result, fmt.Errorf("the model is published, but the catalogue was not told how many readers books have: %w", err)
	}
	result.Seconds.Popularity = lap(&start)
	return result, nil
}

// lap returns the seconds since start and moves it to now.
func lap(start *time.Time) float64 {
	seconds := time.Since(*start).Seconds()
	*start = time.Now()
	return seconds
}

// page is a message of a feed.
type page interface {
	GetPosition() int64
	GetHead() int64
}

// readFeed takes in a feed up to the head that its first page names, so that a
// feed that grows while it is read still ends. It returns the position reached.
func readFeed[P page](progress recommender.Progress, stage string, recv func() (P, error), take func(P)) (int64, error) {
	end := int64(-1)
	for {
		p, err := recv()
		if err != nil {
			return 0, err
		}
		if end < 0 {
			end = p.GetHead()
		}
		take(p)
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
	_, err = readFeed(c.Progress, StageCatalogue, feed.Recv, func(p *catalogv1.WatchBooksResponse) {
		for _, b := range p.GetBooks() {
			book := recommender.Book{ID: b.GetId(), Category: uint8(b.GetCategory()), Authors: b.GetAuthors()}
			if i, again := at[book.ID]; again {
				books[i] = book
				continue
			}
			at[book.ID] = len(books)
			books = append(books, book)
		}
	})
	return books, err
}

func readLog(ctx context.Context, c Config) ([]recommender.Event, int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	feed, err := c.Readers.WatchInteractions(ctx, &readersv1.WatchInteractionsRequest{})
	if err != nil {
		return nil, 0, err
	}
	var events []recommender.Event
	position, err := readFeed(c.Progress, StageLog, feed.Recv, func(p *readersv1.WatchInteractionsResponse) {
		for _, i := range p.GetInteractions() {
			events = append(events, recommender.Event{
				Reader: i.GetReaderId(),
				Book:   i.GetBookId(),
				Kind:   recommender.Kind(i.GetKind()),
				Value:  i.GetValue(),
				Time:   i.GetOccurredAt().GetSeconds(),
			})
		}
	})
	return events, position, err
}

// setPopularity tells the catalogue the readers of every book that has any. A
// book without is left with what its source said.
func setPopularity(ctx context.Context, c Config, model *recommender.Model) error {
	books := int32(model.Info().Books)
	entries := make([]*catalogv1.SetPopularityRequest_Entry, 0, popularityBatch)
	for i := range books {
		if readers := model.Readers(i); readers > 0 {
			entries = append(entries, &catalogv1.SetPopularityRequest_Entry{BookId: model.BookID(i), Readers: int64(readers)})
		}
		if len(entries) == popularityBatch || i == books-1 && len(entries) > 0 {
			if err := tell(ctx, c.Catalog, entries); err != nil {
				return err
			}
			entries = entries[:0]
			if c.Progress != nil {
				c.Progress(StagePopularity, int(i)+1, int(books))
			}
		}
	}
	return nil
}

func tell(ctx context.Context, catalog catalogv1.CatalogServiceClient, entries []*catalogv1.SetPopularityRequest_Entry) error {
	ctx, cancel := context.WithTimeout(ctx, popularityLimit)
	defer cancel()
	_, err := catalog.SetPopularity(ctx, &catalogv1.SetPopularityRequest{Entries: entries})
	return err
}
