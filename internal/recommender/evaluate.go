package recommender

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// EvaluateConfig says what to measure.
type EvaluateConfig struct {
	Train, Valid, Test []Event
	K                  int // books ranked for each reader; 0 is 20
	Workers            int // goroutines; 0 is one for each core
	Seed               uint64
	Progress           Progress
	// Rankings, when set, is told the books ranked for each reader of the test,
	// by their ids, best first, in the order of the readers' ids.
	Rankings func(reader int32, books []int32)
}

// Figures are what one way of ranking reached.
type Figures struct {
	Recall   float64 `json:"recall"`   // mean over readers of hits / test books
	NDCG     float64 `json:"ndcg"`     // ideal: the first min(test books, k) places
	Readers  int     `json:"readers"`  // with at least one test book
	Seconds  float64 `json:"seconds"`  // for choosing parameters, training and ranking
	Coverage float64 `json:"coverage"` // share of the books ranked for at least one reader
}

// Evaluation is the figures of the model and those of two baselines on the same
// data.
type Evaluation struct {
	Figures
	Popularity Figures            `json:"popularity"`
	ItemKNN    Figures            `json:"item_knn"`
	Parameters map[string]float64 `json:"parameters"`
	Validation map[string]float64 `json:"validation"` // what the parts reached on the validation part; see Train
	K          int                `json:"k"`
}

// ErrNoTest is returned when no test book is left to be found.
var ErrNoTest = errors.New("no reader has a test book that is not a training book too")

// Evaluate trains on Train, ranks for each reader with a test book all books
// that occur anywhere but the reader's training books, and compares with Test,
// which it uses for nothing else. Parameters are chosen on Valid, or when that
// is empty on a part held out of Train, for the objective Read: any seen book
// counts, liked or not. The model is trained on all of Train and on nothing of
// Valid. The baselines are popularity, and the neighbours by the cosine of
// their readers, 200 a book.
func Evaluate(ctx context.Context, c EvaluateConfig) (*Evaluation, error) {
	k := c.K
	if k <= 0 {
		k = 20
	}
	books := make([]Book, 0, len(c.Train)+len(c.Valid)+len(c.Test))
	for _, events := range [][]Event{c.Train, c.Valid, c.Test} {
		for _, e := range events {
			books = append(books, Book{ID: e.Book})
		}
	}
	train, test := NewDataset(c.Train, books), NewDataset(c.Test, nil)
	o := Options{Seed: c.Seed, Workers: c.Workers, Objective: Read, Progress: c.Progress}
	if len(c.Valid) > 0 {
		o.Validation = NewDataset(c.Valid, nil)
	}
	t := &trial{data: train, judges: judges(train, test, Read)}
	if len(t.judges) == 0 {
		return nil, fmt.Errorf("evaluate: %w", ErrNoTest)
	}
	v := evaluator{trial: t, k: k, workers: workers(c.Workers), progress: c.Progress}
	e := &Evaluation{K: k}
	var err error
	e.Popularity, err = v.run(ctx, "ranking by popularity", nil, func() (*Model, Parameters, error) {
		m := newMatrix(train, func(entry int) float32 { return train.weigh(cosine, entry) })
		return newModel(train, m, join(make([]row, m.books)), nil, cosine), cosine, nil
	})
	if err != nil {
		return nil, fmt.Errorf("evaluate popularity: %w", err)
	}
	e.ItemKNN, err = v.run(ctx, "ranking by item-kNN", nil, func() (*Model, Parameters, error) {
		m, err := fit(ctx, train, cosine, nil, c.Seed, v.workers, nil)
		return m, cosine, err
	})
	if err != nil {
		return nil, fmt.Errorf("evaluate item-kNN: %w", err)
	}
	e.Figures, err = v.run(ctx, "ranking", c.Rankings, func() (*Model, Parameters, error) {
		m, p, err := learn(ctx, train, o)
		if err == nil {
			e.Parameters, e.Validation = p.Map(), m.Info().Metrics
		}
		return m, p, err
	})
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	return e, nil
}

// cosine are the parameters that make neighbours of the cosine.
var cosine = Parameters{BookExponent: 0.5, OwnExponent: 0.5, Sharpness: 1, Prior: 1e-6, PriorExponent: 1, Disliked: 1}

// evaluator ranks for the same readers by one model after the other.
type evaluator struct {
	trial    *trial
	k        int
	workers  int
	progress Progress
}

func (v *evaluator) run(ctx context.Context, stage string, rankings func(int32, []int32), model func() (*Model, Parameters, error)) (Figures, error) {
	start := time.Now()
	m, p, err := model()
	if err != nil {
		return Figures{}, err
	}
	probes := v.trial.probes(p)
	done := func(n int) { v.progress.report(stage, n, len(probes)) }
	var ranked func(*probe, []int32)
	if rankings != nil {
		var ids []int32
		ranked = func(p *probe, books []int32) {
			ids = ids[:0]
			for _, b := range books {
				ids = append(ids, m.BookID(b))
			}
			rankings(p.reader, ids)
		}
	}
	q, err := measure(ctx, probes, v.k, len(m.prior), v.workers, done, m.rankBy(v.k), ranked)
	return Figures{
		Recall:   q.recall,
		NDCG:     q.ndcg,
		Coverage: q.coverage,
		Readers:  len(probes),
		Seconds:  time.Since(start).Seconds(),
	}, err
}
