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
	n := workers(o.Workers)
	if !d.learnable() {
		return nil, Parameters{}, ErrNoData
	}
	t := &tuner{workers: n, progress: o.Progress, tried: make(map[Parameters]quality)}
	if o.Validation != nil {
		t.trial = given(d, o.Validation, o.Objective, o.Seed)
	} else {
		t.trial = holdOut(d, o.Objective, o.Seed)
	}
	p := defaultParameters(o.Objective)
	if o.Parameters != nil {
		p = *o.Parameters
	}
	metrics := map[string]float64{metricReaders: 0}
	if len(t.trial.judges) > 0 {
		var err error
		if p, err = t.judge(ctx, p, o, metrics); err != nil {
			return nil, p, fmt.Errorf("choose parameters: %w", err)
		}
	}
	start := t.start
	*t = tuner{} // its memory is needed

	m, err := fit(ctx, d, p, start, o.Seed, n, func(done int) { o.Progress.report("training", done, d.Books()) })
	if err != nil {
		return nil, p, err
	}
	m.info.Metrics = metrics
	m.info.Position = o.Position
	m.info.Seed = o.Seed
	return m, p, m.seal()
}

// fit trains on all of d by given parameters. The factors begin at start, when
// given. done is told how far that is, out of the number of books.
func fit(ctx context.Context, d *Dataset, p Parameters, start *factors, seed uint64, workers int, done func(int)) (*Model, error) {
	m := newMatrix(d, func(e int) float32 { return d.weigh(p, e) })
	stages := 1
	if p.Regression > 0 {
		stages += 2
	}
	if p.Factors > 0 {
		stages++
	}
	stage := -1
	next := func() func(int) {
		stage++
		if done == nil {
			return nil
		}
		before := stage * m.books
		return func(n int) { done((before + n) / stages) }
	}
	near, err := connect(ctx, m, p, workers, next())
	if err != nil {
		return nil, err
	}
	if p.Regression > 0 {
		e, err := gather(ctx, m, workers, next())
		if err != nil {
			return nil, err
		}
		r, err := e.regress(ctx, []float64{p.Ridge}, workers, next())
		if err != nil {
			return nil, err
		}
		near = near.plus(r[0], float32(p.Regression))
	}
	var f *factors
	if p.Factors > 0 {
		rounds := factorRounds
		var from []float32
		if start != nil {
			rounds, from = refiningRounds, start.raw
		}
		f, err = factorise(ctx, m, p.Unobserved, factorWidth(m.books), rounds, from, seed, workers, next())
		if err != nil {
			return nil, err
		}
		f.raw = nil
	}
	return newModel(d, m, near, f, p), nil
}

// judge chooses the parameters unless they are given, and fills in the metrics.
func (t *tuner) judge(ctx context.Context, p Parameters, o Options, metrics map[string]float64) (Parameters, error) {
	var got quality
	var err error
	if o.Parameters != nil {
		got, err = t.try(ctx, p)
	} else {
		p, got, err = t.choose(ctx, p, o.Objective)
	}
	if err != nil {
		return p, err
	}
	popular, err := t.popularity(ctx, p)
	if err != nil {
		return p, err
	}
	p, got, err = t.blend(ctx, p, got, o, metrics)
	if err != nil {
		return p, err
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
			if d.weight[e] > 0 {
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
	model := &Model{
		books:      d.books,
		categories: d.categories,
		readersOf:  m.readersOf,
		prior:      p.popularity(m.bookSize),
		near:       *near,
		info: Info{
			Books:         d.Books(),
			Readers:       d.Readers(),
			Interactions:  d.Interactions(),
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
