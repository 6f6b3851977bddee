package recommender

import (
	"context"
	"fmt"
)

// Options say how to train.
type Options struct {
	Position  int64     // of the last event of the log, kept in the model
	Seed      uint64    // chooses the validation part
	Workers   int       // goroutines; 0 is one for each core. The model does not depend on it
	Objective Objective // Liked unless set
	Progress  Progress
	// Parameters, when given, are taken as they are; otherwise they are chosen on
	// the validation part.
	Parameters *Parameters
	// Validation, when given, is the validation part: books of the same readers.
	// Otherwise a part of the data is held out, and given back for the training
	// of the model that is returned.
	Validation *Dataset
}

// Train learns a model. Its metrics are those of the same parameters trained
// without the validation part and measured on it, at 20 books: for a number of
// validation_readers the validation_recall and validation_ndcg, and
// validation_popularity_recall and _ndcg of popularity alone. Where there are
// enough validation readers, so for the neighbours with_regression, with_factors
// and with_both, and for each of cooccurrence, regression and factors that the
// model is blended of, alone. It returns ErrNoData when there is nothing to learn from, and the cause when ctx ends.
func Train(ctx context.Context, d *Dataset, o Options) (*Model, error) {
	m, _, err := learn(ctx, d, o)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	return m, nil
}

// learn is Train, and says by which parameters.
func learn(ctx context.Context, d *Dataset, o Options) (*Model, Parameters, error) {
	c, err := decide(ctx, d, o)
	if err != nil {
		return nil, c.parameters, err
	}
	m, err := fit(ctx, d, c.parameters, c.start, o.Seed, workers(o.Workers), func(done int) { o.Progress.report("training", done, d.Books()) })
	if err != nil {
		return nil, c.parameters, err
	}
	m.info.Metrics = c.metrics
	m.info.Position, m.info.LearntPosition = o.Position, o.Position
	m.info.Seed = o.Seed
	return m, c.parameters, m.seal()
}

// choice is what a training begins with.
type choice struct {
	parameters Parameters
	metrics    map[string]float64
	start      *factors // those of the trial, for those of all data to begin with
}

// decide chooses the parameters, unless they are given, and measures them.
func decide(ctx context.Context, d *Dataset, o Options) (choice, error) {
	c := choice{parameters: defaultParameters(o.Objective), metrics: map[string]float64{metricReaders: 0}}
	if !d.learnable() {
		return c, ErrNoData
	}
	t := &tuner{workers: workers(o.Workers), progress: o.Progress, tried: make(map[Parameters]quality)}
	if o.Validation != nil {
		t.trial = given(d, o.Validation, o.Objective, o.Seed)
	} else {
		t.trial = holdOut(d, o.Objective, o.Seed)
	}
	if o.Parameters != nil {
		c.parameters = *o.Parameters
	}
	if len(t.trial.judges) > 0 {
		var err error
		if c.parameters, err = t.judge(ctx, c.parameters, o, c.metrics); err != nil {
			return c, fmt.Errorf("choose parameters: %w", err)
		}
	}
	c.start = t.start
	return c, nil
}

// judge chooses the parameters unless they are given, and fills in the metrics.
func (t *tuner) judge(ctx context.Context, p Parameters, o Options, metrics map[string]float64) (Parameters, error) {
	var got quality
	var err error
	if o.Parameters != nil {
		got, err = t.try(ctx, p)
	} else {
		p.Against = 0
		p, got, err = t.choose(ctx, p, o.Objective)
	}
	if err != nil {
		return p, err
	}
	popular, err := t.popularity(ctx, p)
	if err != nil {
		return p, err
	}
	p, got, m, err := t.blend(ctx, p, got, o, metrics)
	if err != nil {
		return p, err
	}
	if o.Parameters == nil && o.Objective == Liked {
		if p, got, err = t.oppose(ctx, m, p, got, metrics); err != nil {
			return p, err
		}
	}
	metrics[metricReaders] = float64(len(t.probes))
	metrics[metricRecall], metrics[metricNDCG] = got.recall, got.ndcg
	metrics[metricPopularityRecall], metrics[metricPopularityNDCG] = popular.recall, popular.ndcg
	return p, nil
}

// learnable reports whether some reader has weight for two books.
func (d *Dataset) learnable() bool {
	for r := range d.readers {
		books := 0
		for e := d.rows[r]; e < d.rows[r+1]; e++ {
			if d.marks[e]&disliked == 0 {
				books++
			}
		}
		if books > 1 {
			return true
		}
	}
	return false
}

// newModel puts a model together that can answer.
func newModel(d *Dataset, m *matrix, near *neighbours, f *factors, p Parameters) *Model {
	return (&shelf{d.books, d.categories, m.readersOf, m.bookSize, d.Readers(), d.Interactions()}).model(near, f, p)
}

// withPrior is a model of the same neighbours, and of no factors, with the prior
// of p.
func (m *Model) withPrior(p Parameters, size []float32) *Model {
	other := &Model{books: m.books, categories: m.categories, readersOf: m.readersOf, near: m.near, prior: p.popularity(size), info: m.info}
	other.info.Parameters = p.Map()
	other.prepare()
	return other
}

// shelf is what a model says of its books, and of what it was learnt from,
// beside what was learnt.
type shelf struct {
	books        idIndex
	categories   []uint8
	readersOf    []int32
	size         []float32 // as matrix has it
	readers      int
	interactions int64
}

func (s *shelf) model(near *neighbours, f *factors, p Parameters) *Model {
	model := &Model{
		books:      s.books,
		categories: s.categories,
		readersOf:  s.readersOf,
		prior:      p.popularity(s.size),
		near:       pack(near, s.categories),
		info: Info{
			Books:         len(s.books.ids),
			Readers:       s.readers,
			Interactions:  s.interactions,
			Parameters:    p.Map(),
			FormatVersion: formatVersion,
		},
	}
	if f != nil {
		model.factors = factors{width: f.width, point: f.point}
	}
	model.prepare()
	return model
}
