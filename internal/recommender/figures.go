package recommender

import (
	"context"
	"math"
)

// Accuracy is how well the test books of some readers were found.
type Accuracy struct {
	Recall         float64  `json:"recall"`  // mean over readers of hits / test books
	NDCG           float64  `json:"ndcg"`    // ideal: the first min(test books, k) places
	Readers        int      `json:"readers"` // with at least one test book
	RecallInterval Interval `json:"recall_interval"`
	NDCGInterval   Interval `json:"ndcg_interval"`
}

// Figures are what one way of ranking reached. Novelty, diversity and the long
// tail are means over readers of what was ranked for them, and refer to the
// training part.
type Figures struct {
	Accuracy
	TrainSeconds      float64  `json:"train_seconds"`     // for choosing parameters and training
	Seconds           float64  `json:"seconds"`           // for these and for ranking
	PeakMemory        int64    `json:"peak_memory_bytes"` // during that time; 0 when not measured
	Coverage          float64  `json:"coverage"`          // share of the books ranked for at least one reader
	Novelty           float64  `json:"novelty"`           // mean −log₂(readers of the book / readers), bits
	NoveltyInterval   Interval `json:"novelty_interval"`
	Diversity         float64  `json:"diversity"` // 1 less the mean cosine of the readers of two books ranked together
	DiversityInterval Interval `json:"diversity_interval"`
	LongTail          float64  `json:"long_tail"` // share of books that are not among the most-read ones with 80 % of the interactions
	LongTailInterval  Interval `json:"long_tail_interval"`

	ByHistory []HistoryGroup `json:"by_history"`

	// With a split by time, where the other figures are of readers with a past
	// and test books with one: readers without, and their test books with one;
	// and test books that nobody has read in the past, of all readers.
	ColdReaders *Accuracy `json:"cold_readers,omitempty"`
	NewBooks    *Accuracy `json:"new_books,omitempty"`
}

// HistoryGroup are the readers with so many training books.
type HistoryGroup struct {
	Books string `json:"training_books"` // "0", "1-4", "5-19", "20+"
	Accuracy
}

// histories are the groups of readers, by the least number of training books.
var histories = [...]struct {
	from int
	name string
}{{0, "0"}, {1, "1-4"}, {5, "5-19"}, {20, "20+"}}

func historyGroup(books int) int {
	group := 0
	for g, h := range histories {
		if books >= h.from {
			group = g
		}
	}
	return group
}

// assessor turns what was ranked for readers into figures.
type assessor struct {
	shelf   *shelfmarks
	byTime  bool
	seed    uint64
	workers int
}

// assess fills in the figures that answers, one for each probe, decide.
func (a *assessor) assess(ctx context.Context, f *Figures, probes []probe, k int, answers [][]int32) error {
	scale := newGains(k)
	var all, cold, fresh []result
	groups := make([][]result, len(histories))
	var counted [][]int32 // the answers for the readers of all
	for i, p := range probes {
		known, unknown := a.tellApart(p.wanted)
		if len(unknown) > 0 {
			fresh = append(fresh, scale.judge(answers[i], unknown))
		}
		if len(known) == 0 {
			continue
		}
		r := scale.judge(answers[i], known)
		history := len(p.exclude)
		g := historyGroup(history)
		groups[g] = append(groups[g], r)
		if a.byTime && history == 0 {
			cold = append(cold, r)
			continue
		}
		all = append(all, r)
		counted = append(counted, answers[i])
	}
	if err := a.assessShown(ctx, f, counted); err != nil {
		return err
	}
	var err error
	accuracy := func(results []result) Accuracy {
		if err != nil {
			return Accuracy{}
		}
		var made Accuracy
		made, err = a.accuracy(ctx, results)
		return made
	}
	f.Accuracy = accuracy(all)
	for g, h := range histories {
		f.ByHistory = append(f.ByHistory, HistoryGroup{h.name, accuracy(groups[g])})
	}
	if a.byTime {
		c, n := accuracy(cold), accuracy(fresh)
		f.ColdReaders, f.NewBooks = &c, &n
	}
	return err
}

// tellApart splits wanted books, with a split by time, into those that have
// readers in the training part and those that have not.
func (a *assessor) tellApart(wanted []int32) (known, unknown []int32) {
	if !a.byTime {
		return wanted, nil
	}
	for _, b := range wanted {
		if a.shelf.isNew(b) {
			unknown = append(unknown, b)
		} else {
			known = append(known, b)
		}
	}
	return known, unknown
}

// accuracy are the means and their intervals.
func (a *assessor) accuracy(ctx context.Context, results []result) (Accuracy, error) {
	values := make([]float64, 0, 2*len(results))
	for _, r := range results {
		values = append(values, r.recall, r.ndcg)
	}
	m, i, err := a.means(ctx, values, 2)
	return Accuracy{
		Readers: len(results),
		Recall:  m[0], RecallInterval: i[0],
		NDCG: m[1], NDCGInterval: i[1],
	}, err
}

// assessShown fills in what answers are like, whatever their accuracy.
func (a *assessor) assessShown(ctx context.Context, f *Figures, answers [][]int32) error {
	values := make([]float64, 3*len(answers))
	diverse := make([]*diversifier, a.workers)
	err := parallel(ctx, a.workers, len(answers), nil, func(w, i int) {
		if diverse[w] == nil {
			diverse[w] = newDiversifier(a.shelf)
		}
		values[3*i] = a.shelf.novelty(answers[i])
		values[3*i+1] = diverse[w].diversity(answers[i])
		values[3*i+2] = a.shelf.longTail(answers[i])
	})
	if err != nil {
		return err
	}
	m, i, err := a.means(ctx, values, 3)
	f.Novelty, f.NoveltyInterval = m[0], i[0]
	f.Diversity, f.DiversityInterval = m[1], i[1]
	f.LongTail, f.LongTailInterval = m[2], i[2]
	return err
}

// means are those of the columns of values, 0 of none, and their intervals.
func (a *assessor) means(ctx context.Context, values []float64, columns int) ([]float64, []Interval, error) {
	means := make([]float64, columns)
	for i, v := range values {
		means[i%columns] += v
	}
	for c := range means {
		means[c] /= math.Max(float64(len(values)/columns), 1)
	}
	intervals, err := bootstrap(ctx, values, columns, a.seed, a.workers)
	return means, intervals, err
}
