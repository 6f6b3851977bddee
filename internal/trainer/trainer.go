// Package trainer is the job that makes a model: it reads the catalogue and
// the readers' log from their feeds, trains, checks what came out, publishes
// it, and tells the catalogue how many readers each book has. Several machines
// can share the training, of which the one that is done last merges what all have
// made. Between two trainings a model can be refreshed.
//
// It never publishes a model that fails its own check, and keeps nothing
// between two runs but the parts of a model that is not whole yet.
package trainer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/recommender"
	"github.com/octavo-books/octavo/internal/resident"
)

const (
	// popularityBatch is how many books one call to the catalogue tells about.
	popularityBatch = 5000
	// popularityLimit is the time one such call may take.
	popularityLimit = 30 * time.Second
)

// The stages of a run, beside those of the training itself. Progress is told of
// the first two and the last.
const (
	StageCatalogue  = "read the catalogue"
	StageLog        = "read the log"
	StageSort       = "sort by reader"
	StageParts      = "read the parts"
	StageMerge      = "merge"
	StageSave       = "save"
	StagePublish    = "publish"
	StagePopularity = "tell the catalogue"
)

// Models is where finished model files are kept.
type Models interface {
	Publish(ctx context.Context, write func(path string) error) (name string, err error)
	// PublishOnce is Publish, but a model that is there already, byte for byte, is
	// not added again.
	PublishOnce(ctx context.Context, write func(path string) error) (name string, err error)
	PublishRefreshed(ctx context.Context, write func(path string) error) (name string, err error)
	Current(ctx context.Context) (name, path string, err error)
}

// Config is what a run needs.
type Config struct {
	Catalog  catalogv1.CatalogServiceClient
	Readers  readersv1.ReadersServiceClient
	Models   Models
	Log      *slog.Logger
	Seed     uint64
	Progress recommender.Progress // nil when nobody watches

	// KeepParameters takes the parameters of the current model in place of
	// choosing them anew.
	KeepParameters bool
	// Position is that of the log to read up to; 0 for its end, and for parts for
	// what they have agreed upon.
	Position int64
	// MaxInteractions is how many a run takes; 0 for all that it can,
	// recommender.MaxEvents.
	MaxInteractions int
	// Parts and Run are for Shard: where the parts of models are, and a name for
	// the training that the part belongs to, unique among those of a week; empty
	// for the one that is under way.
	Parts Parts
	Run   string
}

// Result is what a run made.
type Result struct {
	Name           string             // of the model in the store; empty when there is none yet
	Version        string             // of the model that was made here; empty for a part
	Missing        []int              // the parts without which there is no model
	Books          int                // of the model
	Readers        int                // of the model
	Interactions   int64              // read from the log
	Position       int64              // of the log, up to which it was read
	LearntPosition int64              // of the training the parameters and metrics come from
	Parameters     map[string]float64 // chosen on the validation part
	Metrics        map[string]float64 // on the validation part
	Stages         []Stage            // in order
	PeakMemory     int64              // of the process so far, bytes; 0 where the system does not tell
}

// ErrNoModel is returned where a run builds on the current model, and there is
// none that can be read.
var ErrNoModel = errors.New("there is no model to go on from")

// job is one run.
type job struct {
	Config
	watch  stopwatch
	result Result
}

func begin(c Config) *job {
	j := &job{Config: c}
	j.Progress = j.watch.progress(c.Progress)
	return j
}

// end completes the result.
func (j *job) end() Result {
	j.result.Stages = j.watch.stop()
	j.result.PeakMemory, _ = resident.Peak() // 0 where the system does not tell
	return j.result
}

// Run trains one model on everything that the feeds hold at its start and
// publishes it. A log with nothing to learn from and a model that fails its
// check are Conflicts, and a log that is too long is TooLarge; nothing is
// published then.
func Run(ctx context.Context, c Config) (Result, error) {
	j := begin(c)
	err := j.train(ctx)
	return j.end(), err
}

func (j *job) train(ctx context.Context) error {
	parameters, err := j.parameters(ctx)
	if err != nil {
		return err
	}
	d, position, err := j.read(ctx, j.Position)
	if err != nil {
		return err
	}
	model, err := recommender.Train(ctx, d, j.options(position, parameters))
	if err != nil {
		return explain(d, err)
	}
	return j.publish(ctx, model, j.Models.Publish)
}

// Refresh makes the current model anew of everything that the feeds hold at its
// start, with its parameters and its factors, and publishes it. It is ErrNoModel
// when there is none, and otherwise fails as Run does.
func Refresh(ctx context.Context, c Config) (Result, error) {
	j := begin(c)
	err := j.refresh(ctx)
	return j.end(), err
}

func (j *job) refresh(ctx context.Context) error {
	old, err := j.current(ctx)
	if err != nil {
		return err
	}
	defer old.Close()
	d, position, err := j.read(ctx, j.Position)
	if err != nil {
		return err
	}
	model, err := recommender.Refresh(ctx, d, old, j.options(position, nil))
	if err != nil {
		return explain(d, err)
	}
	if info := model.Info(); info.LearntPosition == info.Position {
		return j.publish(ctx, model, j.Models.Publish) // with nothing new, it is what was trained
	}
	return j.publish(ctx, model, j.Models.PublishRefreshed)
}

func (j *job) options(position int64, parameters *recommender.Parameters) recommender.Options {
	return recommender.Options{Position: position, Seed: j.Seed, Progress: j.Progress, Parameters: parameters}
}

// parameters are those to keep, nil when they are to be chosen.
func (j *job) parameters(ctx context.Context) (*recommender.Parameters, error) {
	if !j.KeepParameters {
		return nil, nil
	}
	model, err := j.current(ctx)
	if err != nil {
		return nil, err
	}
	defer model.Close()
	p, err := model.Parameters()
	if err != nil {
		return nil, noModel(err)
	}
	return &p, nil
}

func (j *job) current(ctx context.Context) (*recommender.Model, error) {
	_, path, err := j.Models.Current(ctx)
	if err != nil {
		return nil, noModel(err)
	}
	model, err := recommender.Open(path)
	if err != nil {
		return nil, noModel(err)
	}
	return model, nil
}

func noModel(err error) error {
	return fault.Wrap(fault.Conflict, fmt.Errorf("%w: %w", ErrNoModel, err), "train a model of everything first")
}

// explain makes of a failed training what an operator can act upon.
func explain(d *recommender.Dataset, err error) error {
	if errors.Is(err, recommender.ErrNoData) {
		return fault.Wrap(fault.Conflict, err,
			"there is nothing to learn from yet: %d books and %d interactions were found, and a model needs readers with several books each; import some, or let readers rate and shelve books", d.Books(), d.Interactions())
	}
	return fmt.Errorf("train: %w", err)
}

// publish checks the model, publishes it, tells the catalogue, and closes it.
func (j *job) publish(ctx context.Context, model *recommender.Model, publish func(context.Context, func(path string) error) (string, error)) error {
	defer model.Close()
	if err := model.Check(); err != nil {
		return fault.Wrap(fault.Conflict, err, "the new model is not published, the one before stays")
	}
	j.watch.enter(StagePublish)
	info := model.Info()
	var err error
	if j.result.Name, err = publish(ctx, model.Save); err != nil {
		return fmt.Errorf("publish the model: %w", err)
	}
	j.result.Version, j.result.Books, j.result.Readers = info.Version, info.Books, info.Readers
	j.result.Interactions, j.result.Position, j.result.LearntPosition = info.Interactions, info.Position, info.LearntPosition
	j.result.Parameters, j.result.Metrics = info.Parameters, info.Metrics
	j.Log.Info("model published", "model", j.result.Name, "version", info.Version, "books", info.Books, "readers", info.Readers,
		"interactions", info.Interactions, "position", info.Position, "learnt_position", info.LearntPosition)

	j.watch.enter(StagePopularity)
	if err := setPopularity(ctx, j.Config, model); err != nil {
		return fmt.Errorf("the model is published, but the catalogue was not told how many readers books have: %w", err)
	}
	return nil
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
