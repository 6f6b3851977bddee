package recommender

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// EvaluateConfig says what to measure.
type EvaluateConfig struct {
	Train, Valid, Test []Event
	// ByTime says that the parts follow one another in time, as SplitByTime makes
	// them. What is measured is then trained on Train and Valid, all of the past,
	// and readers and books without a past are told apart.
	ByTime   bool
	K        int // books ranked for each reader; 0 is 20
	Workers  int // goroutines; 0 is one for each core
	Seed     uint64
	Progress Progress
	// Rankings, when set, is told the books ranked for each reader of the test,
	// by their ids, best first, in the order of the readers' ids.
	Rankings func(reader int32, books []int32)
	// PeakMemory, when set, returns the most memory that was in use since it was
	// last called, in bytes.
	PeakMemory func() int64
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
	Data       Sizes              `json:"data"`
	// Knob is what the diversity of a query costs and brings, on some readers.
	Knob        []KnobSetting `json:"diversity_knob"`
	KnobReaders int           `json:"diversity_knob_readers"`
	Time        *TimeCut      `json:"time,omitempty"` // of a split by time
}

// TimeCut says where a log was cut.
type TimeCut struct {
	ValidFrom int64 `json:"valid_from"` // the first event of the part, Unix seconds
	TestFrom  int64 `json:"test_from"`
	NewBooks  int   `json:"new_books"` // books of the test that nobody has read in the past
}

// Sizes are those of the data.
type Sizes struct {
	Books       int `json:"books"`      // of the catalogue: all that occur anywhere
	HeadBooks   int `json:"head_books"` // the most-read books, with 80 % of the training interactions
	Readers     int `json:"readers"`    // of the training part
	TrainEvents int `json:"train_events"`
	ValidEvents int `json:"valid_events"`
	TestEvents  int `json:"test_events"`
}

// KnobSetting is what answers are like at one Query.Diversity.
type KnobSetting struct {
	Knob      float64 `json:"knob"`
	Recall    float64 `json:"recall"`
	NDCG      float64 `json:"ndcg"`
	Diversity float64 `json:"diversity"`
	Coverage  float64 `json:"coverage"` // of the catalogue, by the answers for the readers of the sample
}

// ErrNoTest is returned when no test book is left to be found.
var ErrNoTest = errors.New("no reader has a test book that is not a training book too")

// Evaluate trains on Train, ranks for each reader with a test book all books
// that occur anywhere but the reader's training books, and compares with Test,
// which it uses for nothing else. Parameters are chosen on Valid, or when that
// is empty on a part held out of Train, for the objective Read: any seen book
// counts, liked or not. The model is trained on all of Train and, unless ByTime,
// on nothing of Valid. The baselines are popularity, and the neighbours by the
// cosine of their readers, 200 a book. Whatever the number of workers, the
// figures are the same, those of time and memory apart.
func Evaluate(ctx context.Context, c EvaluateConfig) (*Evaluation, error) {
	books := make([]Book, 0, len(c.Train)+len(c.Valid)+len(c.Test))
	for _, events := range [][]Event{c.Train, c.Valid, c.Test} {
		for _, e := range events {
			books = append(books, Book{ID: e.Book})
		}
	}
	chosenOn := NewDataset(c.Train, books)
	train, test := chosenOn, NewDataset(c.Test, nil)
	if c.ByTime {
		train = NewDataset(slices.Concat(c.Train, c.Valid), books)
	}
	v := newEvaluator(c, train, test)
	if len(v.trial.judges) == 0 {
		return nil, fmt.Errorf("evaluate: %w", ErrNoTest)
	}
	e := &Evaluation{K: v.k, Data: Sizes{
		Books: train.Books(), HeadBooks: v.shelf.head, Readers: train.Readers(),
		TrainEvents: len(c.Train), ValidEvents: len(c.Valid), TestEvents: len(c.Test),
	}}
	if c.ByTime {
		e.Time = v.timeCut(c, test)
	}
	var err error
	e.Popularity, _, err = v.run(ctx, "ranking by popularity", nil, func() (*Model, Parameters, error) {
		m := newMatrix(train, train.weights(cosine))
		return newModel(train, m, join(make([]row, m.books)), nil, cosine), cosine, nil
	})
	if err != nil {
		return nil, fmt.Errorf("evaluate popularity: %w", err)
	}
	e.ItemKNN, _, err = v.run(ctx, "ranking by item-kNN", nil, func() (*Model, Parameters, error) {
		m, err := fit(ctx, train, cosine, nil, c.Seed, v.workers, nil)
		return m, cosine, err
	})
	if err != nil {
		return nil, fmt.Errorf("evaluate item-kNN: %w", err)
	}
	o := Options{Seed: c.Seed, Workers: c.Workers, Objective: Read, Progress: c.Progress}
	if len(c.Valid) > 0 {
		o.Validation = NewDataset(c.Valid, nil)
	}
	var ranked ranked
	e.Figures, ranked, err = v.run(ctx, "ranking", c.Rankings, func() (*Model, Parameters, error) {
		m, p, err := learn(ctx, chosenOn, o)
		if err != nil {
			return nil, p, err
		}
		e.Parameters, e.Validation = p.Map(), m.Info().Metrics
		if train != chosenOn {
			m, err = fit(ctx, train, p, nil, c.Seed, v.workers, nil)
		}
		return m, p, err
	})
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	e.Knob, e.KnobReaders, err = v.turnKnob(ctx, ranked)
	if err != nil {
		return nil, fmt.Errorf("evaluate the diversity knob: %w", err)
	}
	return e, nil
}

// cosine are the parameters that make neighbours of the cosine.
var cosine = Parameters{BookExponent: 0.5, OwnExponent: 0.5, Sharpness: 1, Prior: 1e-6, PriorExponent: 1, Disliked: 1, Contrast: 1}

// evaluator ranks for the same readers by one model after the other.
type evaluator struct {
	assessor
	trial    *trial
	k        int
	progress Progress
	peak     func() int64
}

func newEvaluator(c EvaluateConfig, train, test *Dataset) *evaluator {
	v := &evaluator{
		assessor: assessor{shelf: newShelfmarks(train), byTime: c.ByTime, seed: c.Seed, workers: workers(c.Workers)},
		trial:    &trial{data: train, judges: judges(train, test, Read)},
		k:        c.K,
		progress: c.Progress,
		peak:     c.PeakMemory,
	}
	if v.k <= 0 {
		v.k = 20
	}
	if v.peak == nil {
		v.peak = func() int64 { return 0 }
	}
	return v
}

func (v *evaluator) timeCut(c EvaluateConfig, test *Dataset) *TimeCut {
	earliest := func(events []Event) int64 {
		if len(events) == 0 {
			return 0
		}
		return slices.MinFunc(events, func(a, b Event) int { return cmp.Compare(a.Time, b.Time) }).Time
	}
	cut := &TimeCut{ValidFrom: earliest(c.Valid), TestFrom: earliest(c.Test)}
	for _, id := range test.books.ids {
		if b, _ := v.trial.data.books.find(id); v.shelf.isNew(b) {
			cut.NewBooks++
		}
	}
	return cut
}

// ranked is a model that readers were ranked by, and they.
type ranked struct {
	model  *Model
	probes []probe
}

// run makes a model and ranks by it. Time and memory are those of that alone.
func (v *evaluator) run(ctx context.Context, stage string, rankings func(int32, []int32), model func() (*Model, Parameters, error)) (Figures, ranked, error) {
	v.peak()
	start := time.Now()
	m, p, err := model()
	if err != nil {
		return Figures{}, ranked{}, err
	}
	trained := time.Since(start)
	probes := v.trial.probes(p)
	answers := make([][]int32, 0, len(probes))
	q, err := measure(ctx, probes, v.k, len(m.prior), v.workers,
		func(n int) { v.progress.report(stage, n, len(probes)) }, m.rankBy(v.k),
		func(_ *probe, books []int32) { answers = append(answers, books) })
	if err != nil {
		return Figures{}, ranked{}, err
	}
	f := Figures{Coverage: q.coverage, TrainSeconds: trained.Seconds(), Seconds: time.Since(start).Seconds(), PeakMemory: v.peak()}
	if rankings != nil {
		tell(rankings, m, probes, answers)
	}
	v.progress.report("comparing", 0, 0)
	err = v.assess(ctx, &f, probes, v.k, answers)
	return f, ranked{m, probes}, err
}

// tell hands out the answers by the ids of the books.
func tell(rankings func(int32, []int32), m *Model, probes []probe, answers [][]int32) {
	var ids []int32
	for i, p := range probes {
		ids = ids[:0]
		for _, b := range answers[i] {
			ids = append(ids, m.BookID(b))
		}
		rankings(p.reader, ids)
	}
}

// knobReaders is how many readers the diversity knob is tried on.
const knobReaders = 2000

// knobSettings are the values of Query.Diversity that are tried.
var knobSettings = [...]float64{0, 0.1, 0.2, 0.3, 0.5, 0.7, 1}

// turnKnob ranks for a sample of the readers of the figures at each setting of the diversity
// knob. Who is in it depends on the ids and the seed alone.
func (v *evaluator) turnKnob(ctx context.Context, by ranked) ([]KnobSetting, int, error) {
	sample := make([]probe, 0, len(by.probes))
	for _, p := range by.probes {
		if p.wanted, _ = v.tellApart(p.wanted); len(p.wanted) > 0 && (!v.byTime || len(p.exclude) > 0) {
			sample = append(sample, p)
		}
	}
	slices.SortFunc(sample, func(a, b probe) int { // in another order than those that parameters are chosen by
		return cmp.Or(cmp.Compare(mix(^v.seed, a.reader, 0), mix(^v.seed, b.reader, 0)), cmp.Compare(a.reader, b.reader))
	})
	sample = sample[:min(knobReaders, len(sample))]
	if len(sample) == 0 {
		return nil, 0, nil
	}
	settings := make([]KnobSetting, 0, len(knobSettings))
	diverse := newDiversifier(v.shelf)
	for n, knob := range knobSettings {
		v.progress.report("turning the diversity knob", n, len(knobSettings))
		var varied float64
		q, err := measure(ctx, sample, v.k, len(by.model.prior), v.workers, nil,
			func(_ int, p *probe, dst []Scored) []Scored {
				return by.model.Recommend(Query{Own: p.own, Exclude: p.exclude, Limit: v.k, Diversity: float32(knob)}, dst)
			},
			func(_ *probe, books []int32) { varied += diverse.diversity(books) })
		if err != nil {
			return nil, 0, err
		}
		settings = append(settings, KnobSetting{
			Knob: knob, Recall: q.recall, NDCG: q.ndcg, Coverage: q.coverage,
			Diversity: varied / float64(len(sample)),
		})
	}
	return settings, len(sample), nil
}
