package recommender

import (
	"context"
	"slices"
)

const (
	judgedAt = 20 // the length of the answers that parameters are chosen by
	// mostTrials bounds the search.
	mostTrials = 80
	// fewJudges is how many readers the first, rough choice is made by.
	fewJudges = 1000
	// shortlist is how many neighbours of a book the search chooses among, those
	// that are strongest by the parameters it begins with.
	shortlist = 3 * perBook
)

// tuner looks for the parameters that rank the validation books best, one
// parameter after the other: as long as a step up or down its values helps, it
// is taken.
type tuner struct {
	trial    *trial
	workers  int
	progress Progress
	tried    map[Parameters]quality // by the present judges
	trials   int

	// The counts of the books that judges own, for the last counting parameters.
	counted Parameters
	matrix  *matrix
	probes  []probe
	counts  []row

	// What the last trial has for others that do not differ in what it depends on.
	selected  Parameters
	strongest []row // by book: its neighbours, before they are sharpened
	linked    Parameters
	last      *Model

	start *factors // those of the trial, for those of all data to begin with
}

// choose returns the best parameters found, beginning at start, and how good
// they are.
func (t *tuner) choose(ctx context.Context, start Parameters, o Objective) (Parameters, quality, error) {
	slow := t.slow(o)
	type round struct {
		judges      []judge
		coordinates [][]coordinate
	}
	all := t.trial.judges
	rounds := []round{{all, [][]coordinate{linking, slow, linking}}}
	if len(all) > fewJudges {
		rounds = slices.Insert(rounds, 0, round{all[:fewJudges], [][]coordinate{linking, slow}})
	}
	best := start
	var at quality
	for i, round := range rounds {
		t.trial.judges = round.judges
		t.tried, t.counts = make(map[Parameters]quality), nil
		var err error
		if best, at, err = t.begin(ctx, best, i == 0); err != nil {
			return best, at, err
		}
		for _, c := range slices.Concat(round.coordinates...) {
			if best, at, err = t.climb(ctx, c, best, at); err != nil {
				return best, at, err
			}
		}
	}
	t.progress.report("choosing parameters", mostTrials, mostTrials)
	return best, at, nil
}

// popularStarts are where the search may begin instead, when neighbours say no more
// than what is popular does: no single step from elsewhere would show it.
var popularStarts = []struct{ bookExponent, prior float64 }{{0.1, 0.1}, {0, 1}}

// begin tries p, and if it is the first to be tried and not better than popularity
// by more than the standard error, others as well. It returns the best of all.
func (t *tuner) begin(ctx context.Context, p Parameters, first bool) (Parameters, quality, error) {
	best := p
	at, err := t.try(ctx, p)
	if err != nil || !first {
		return best, at, err
	}
	popular, err := t.popularity(ctx, p)
	if err != nil || at.beats(popular) {
		return best, at, err
	}
	for _, start := range popularStarts {
		p.BookExponent, p.Prior = start.bookExponent, start.prior
		q, err := t.try(ctx, p)
		if err != nil {
			return best, at, err
		}
		if q.recall+q.ndcg > at.recall+at.ndcg {
			best, at = p, q
		}
	}
	return best, at, nil
}

// slow are the counting parameters that the log can tell something about.
func (t *tuner) slow(o Objective) []coordinate {
	kinds, ratings := t.trial.data.varied()
	return slices.DeleteFunc(slices.Clone(counting), func(c coordinate) bool {
		switch c.name {
		case "contrast":
			return !kinds
		case "stars":
			return !ratings
		case "disliked":
			return !ratings || o != Read
		default:
			return false
		}
	})
}

// opposing are the values of Against, the strongest first.
var opposing = []float64{0.5, 0.2, 0.1, 0.05}

// oppose chooses how much a book that the reader did not like pushes down what is
// like it: as much as does not make the ranking of m worse by more than the
// standard error of the difference. The last is taken at any rate: a reader who
// says "not interested" has asked for less of it. got is what m reaches without.
func (t *tuner) oppose(ctx context.Context, m *Model, p Parameters, got quality, metrics map[string]float64) (Parameters, quality, error) {
	p.Against = defaultParameters(Liked).Against
	opposed := func(p probe) bool { return slices.ContainsFunc(p.own, func(o Own) bool { return o.Weight < 0 }) }
	if t.probes = t.trial.probes(p); !slices.ContainsFunc(t.probes, opposed) {
		return p, got, nil
	}
	recall, ndcg := metricsOf(metricWithoutAgainst)
	metrics[recall], metrics[ndcg] = got.recall, got.ndcg
	for i, against := range opposing {
		p.Against = against
		t.probes = t.trial.probes(p)
		q, err := t.measure(ctx, m)
		if err != nil || !got.beats(q) || i == len(opposing)-1 {
			return p, q, err
		}
	}
	return p, got, nil
}

// climb moves one parameter up its values, or else down, while that helps.
func (t *tuner) climb(ctx context.Context, c coordinate, best Parameters, at quality) (Parameters, quality, error) {
	for _, step := range []int{1, -1} {
		moved := false
		for i := slices.Index(c.values, *c.of(&best)) + step; i >= 0 && i < len(c.values); i += step {
			next := best
			*c.of(&next) = c.values[i]
			if _, known := t.tried[next]; !known && t.trials >= mostTrials {
				break
			}
			q, err := t.try(ctx, next)
			if err != nil {
				return best, at, err
			}
			if !q.beats(at) {
				break
			}
			best, at, moved = next, q, true
		}
		if moved {
			break
		}
	}
	return best, at, nil
}

// try measures one set of parameters.
func (t *tuner) try(ctx context.Context, p Parameters) (quality, error) {
	if q, ok := t.tried[p]; ok {
		return q, nil
	}
	if err := t.count(ctx, p); err != nil {
		return quality{}, err
	}
	m, err := t.link(ctx, p)
	if err != nil {
		return quality{}, err
	}
	q, err := t.measure(ctx, m)
	if err != nil {
		return q, err
	}
	t.tried[p] = q
	t.trials++
	t.progress.report("choosing parameters", min(t.trials, mostTrials-1), mostTrials)
	return q, nil
}

// link makes the model of the neighbours of judges' books. Which these are, and
// what they weigh, is found anew only where p differs from the last in that.
func (t *tuner) link(ctx context.Context, p Parameters) (*Model, error) {
	key := p
	key.Prior, key.PriorExponent = 0, 0
	if t.last != nil && key == t.linked {
		return t.last.withPrior(p, t.matrix.bookSize), nil
	}
	if err := t.selectStrongest(ctx, p); err != nil {
		return nil, err
	}
	own := damping(t.matrix.bookSize, p.Smoothing, p.OwnExponent)
	lists := make([]row, t.matrix.books)
	if err := parallel(ctx, t.workers, len(lists), nil, func(_, j int) {
		near := t.strongest[j]
		lists[j] = row{near.book, slices.Clone(near.value)}
		sharpen(lists[j].value, own[j], p)
	}); err != nil {
		return nil, err
	}
	t.linked, t.last = key, newModel(t.trial.data, t.matrix, join(lists), nil, p)
	return t.last, nil
}

// selectStrongest leaves in t.strongest the neighbours that p chooses.
func (t *tuner) selectStrongest(ctx context.Context, p Parameters) error {
	key := Parameters{BookExponent: p.BookExponent, Smoothing: p.Smoothing}
	if t.strongest != nil && key == t.selected {
		return nil
	}
	s := selectors(t.workers, damping(t.matrix.bookSize, p.Smoothing, p.BookExponent), unordered)
	t.strongest = make([]row, t.matrix.books)
	t.selected = key
	return parallel(ctx, t.workers, len(t.strongest), nil, func(w, j int) {
		if t.counts[j].book != nil {
			t.strongest[j] = s[w].strongest(t.counts[j])
		}
	})
}

func (t *tuner) measure(ctx context.Context, m *Model) (quality, error) {
	return measure(ctx, t.probes, judgedAt, len(m.prior), t.workers, nil, m.rankBy(judgedAt), nil)
}

// popularity measures the prior alone.
func (t *tuner) popularity(ctx context.Context, p Parameters) (quality, error) {
	if err := t.count(ctx, p); err != nil {
		return quality{}, err
	}
	return t.measure(ctx, newModel(t.trial.data, t.matrix, join(make([]row, t.matrix.books)), nil, p))
}

// count makes the counts that p needs, unless they are there.
func (t *tuner) count(ctx context.Context, p Parameters) error {
	key := Parameters{ReaderExponent: p.ReaderExponent, Stars: p.Stars, Contrast: p.Contrast, Disliked: p.Disliked}
	if t.counts != nil && key == t.counted {
		return nil
	}
	t.counts, t.strongest, t.last = nil, nil, nil
	t.matrix = t.trial.matrix(p)
	t.trial.judges = affordable(t.matrix, t.trial)
	t.probes = t.trial.probes(p)
	needed := make([]bool, t.matrix.books)
	for _, probe := range t.probes {
		for _, o := range probe.own {
			needed[o.Book] = true
		}
	}
	c := counters(t.matrix, p.ReaderExponent, t.workers)
	start := defaultParameters(Liked)
	s := selectors(t.workers, damping(t.matrix.bookSize, start.Smoothing, start.BookExponent), unordered)
	counts := make([]row, t.matrix.books)
	err := parallel(ctx, t.workers, t.matrix.books, nil, func(w, j int) {
		if needed[j] {
			counts[j] = s[w].shorten(c[w].count(j), shortlist)
		}
	})
	if err != nil {
		return err
	}
	t.counted, t.counts = key, counts
	return nil
}

// affordable are the first judges whose books' counts may be kept, at least
// one.
func affordable(m *matrix, t *trial) []judge {
	counted := make([]bool, m.books)
	total := 0
	for i, j := range t.judges {
		for e := j.from; e < j.to; e++ {
			b := t.data.book[e]
			if t.held[e] || counted[b] {
				continue
			}
			counted[b] = true
			pairs := 0
			for x := m.bookRows[b]; x < m.bookRows[b+1]; x++ {
				r := m.reader[x]
				pairs += m.readerRows[r+1] - m.readerRows[r]
			}
			total += min(pairs, shortlist)
		}
		if total > mostCounts && i > 0 {
			return t.judges[:i]
		}
	}
	return t.judges
}
