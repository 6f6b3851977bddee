package recommender

import (
	"context"
	"math"
)

// What the blend is chosen among. The evidence of a regression and of factors
// differs from one log to another by orders of magnitude, their best parameters
// less so when measured by it.
var (
	ridges = []float64{3, 10, 30, 100, 300, 1000, 3000}
	// unobservedRatios are α as a multiple of the share of all pairs of reader and
	// book that are read.
	unobservedRatios = []float64{1, 3, 10, 30, 100}
)

const (
	usualRidge = 2 // as a multiple of the mean number of readers of a book
	usualRatio = 2 // place in unobservedRatios
	// roughRounds learn factors well enough to choose α by.
	roughRounds = 6
	blendSteps  = 12 // about how many the progress has
)

// blender chooses what to add to the neighbours.
type blender struct {
	t          *tuner
	p          Parameters
	seed       uint64
	near       *neighbours
	prior      []float32
	regression *neighbours
	factors    *factors
	steps      int
}

// blend adds to p which further parts count and how much, those that pay, and
// to the metrics what the parts reach alone. got is what p reached before. It
// returns what the parameters reach, and the model of the trial that does. The
// factors are left in t.start.
func (t *tuner) blend(ctx context.Context, p Parameters, got quality, o Options, metrics map[string]float64) (Parameters, quality, *Model, error) {
	lists, err := list(ctx, t.matrix, p, t.matrix.all(), t.workers, nil, func(_, j int) row { return t.counts[j] })
	if err != nil {
		return p, got, nil, err
	}
	near := join(lists)
	if len(t.probes) < fewestJudges || o.Parameters != nil && p.Regression == 0 && p.Factors == 0 {
		if o.Parameters == nil {
			p.Regression, p.Factors = 0, 0
		}
		return p, got, newModel(t.trial.data, t.matrix, near, nil, p), nil
	}
	t.counts, t.strongest, t.last, t.tried = nil, nil, nil, nil // their memory is needed
	b := &blender{t: t, p: p, seed: o.Seed, near: near, prior: p.popularity(t.matrix.bookSize)}
	if o.Parameters == nil {
		err = b.choose(ctx)
	} else {
		err = b.learn(ctx)
	}
	if err != nil {
		return p, got, nil, err
	}
	if err := b.judge(ctx, o.Parameters == nil, got, metrics); err != nil {
		return p, got, nil, err
	}
	p = b.p
	if p.Regression == 0 && p.Factors == 0 {
		return p, got, newModel(t.trial.data, t.matrix, near, nil, p), nil
	}
	m, got, err := b.model(ctx, p)
	if err != nil || o.Parameters != nil {
		return p, got, m, err
	}
	// What is better alone is the model, and the others decide where it is silent.
	for part, weight := range []*float64{partRegression: &p.Regression, partFactors: &p.Factors} {
		recall, ndcg := metricsOf(blendParts[part])
		if weight == nil || *weight == 0 || metrics[recall]+metrics[ndcg] < got.recall+got.ndcg {
			continue
		}
		delete(metrics, recall)
		delete(metrics, ndcg)
		*weight *= overwhelming
		m, got, err = b.model(ctx, p)
		break
	}
	return p, got, m, err
}

// overwhelming is how many times as much as in a blend a part counts that the
// others make no better.
const overwhelming = 1000

// model is that of the trial for p, and what it reaches. The factors are left in
// t.start.
func (b *blender) model(ctx context.Context, p Parameters) (*Model, quality, error) {
	blended := b.near
	if p.Regression > 0 {
		blended = blended.plus(b.regression, p.regressions(b.t.matrix.bookSize))
	}
	var f *factors
	if p.Factors > 0 {
		f, b.t.start = b.factors, b.factors
	}
	m := newModel(b.t.trial.data, b.t.matrix, blended, f, p)
	got, err := b.t.measure(ctx, m)
	return m, got, err
}

// learn learns the parts that the parameters ask for.
func (b *blender) learn(ctx context.Context) error {
	if b.p.Regression > 0 {
		e, err := gather(ctx, b.t.matrix, b.t.matrix.all(), b.t.workers, nil)
		if err != nil {
			return err
		}
		all, err := e.regress(ctx, []float64{b.p.Ridge}, b.t.workers, nil)
		if err != nil {
			return err
		}
		b.regression = all[0]
	}
	if b.p.Factors > 0 {
		return b.factorise(ctx)
	}
	return nil
}

func (b *blender) factorise(ctx context.Context) (err error) {
	b.factors, err = factorise(ctx, b.t.matrix, b.p.Unobserved, factorWidth(b.t.matrix.books), factorRounds, nil, b.seed, b.t.workers, nil)
	return err
}

// choose finds the parameters of the parts and learns them.
func (b *blender) choose(ctx context.Context) error {
	m := b.t.matrix
	e, err := gather(ctx, m, m.all(), b.t.workers, nil)
	if err != nil {
		return err
	}
	start := nearest(ridges, usualRidge*average(m.bookSize))
	// The systems of the books are put together once for the first three.
	ready := make([]*neighbours, len(ridges))
	solve := func(from, to int) error {
		all, err := e.regress(ctx, ridges[from:to], b.t.workers, nil)
		copy(ready[from:], all)
		return err
	}
	if err := solve(max(start-1, 0), min(start+2, len(ridges))); err != nil {
		return err
	}
	chosen := -1
	err = b.climb(ctx, start, len(ridges),
		func(i int) error {
			if ready[i] == nil {
				return solve(i, i+1)
			}
			return nil
		},
		func(i int) (*sheets, error) { return b.t.write(ctx, b.near, ready[i], nil, b.prior) },
		func(i int) { chosen = i },
		partRegression)
	if err != nil {
		return err
	}
	b.p.Ridge, b.regression = ridges[chosen], ready[chosen]

	density := average(m.readerSize) / float64(m.books)
	rough := max(factorWidth(m.books)/2, 32)
	var candidate *factors
	err = b.climb(ctx, usualRatio, len(unobservedRatios),
		func(i int) (err error) {
			candidate, err = factorise(ctx, m, unobservedRatios[i]*density, rough, roughRounds, nil, b.seed, b.t.workers, nil)
			return err
		},
		func(int) (*sheets, error) { return b.t.write(ctx, b.near, b.regression, candidate, b.prior) },
		func(i int) { chosen = i },
		partRegression, partFactors)
	if err != nil {
		return err
	}
	b.p.Unobserved = unobservedRatios[chosen] * density
	return b.factorise(ctx)
}

// nearest is the place of the value nearest to v, as ratios go.
func nearest(values []float64, v float64) int {
	place := 0
	for i, candidate := range values {
		if math.Abs(math.Log(candidate/v)) < math.Abs(math.Log(values[place]/v)) {
			place = i
		}
	}
	return place
}

// climb goes up the alternatives from start, or else down, as long as the best
// mixture of the moving parts gets better by more than its standard error, and
// keeps the best.
func (b *blender) climb(ctx context.Context, start, n int, learn func(int) error, write func(int) (*sheets, error), keep func(int), moving ...int) error {
	try := func(i int) (quality, error) {
		if err := learn(i); err != nil {
			return quality{}, err
		}
		s, err := write(i)
		if err != nil {
			return quality{}, err
		}
		b.steps++
		b.t.progress.report("blending", min(b.steps, blendSteps-1), blendSteps)
		_, q, err := s.search(ctx, moving...)
		return q, err
	}
	at, err := try(start)
	if err != nil {
		return err
	}
	keep(start)
	for _, step := range []int{1, -1} {
		moved := false
		for i := start + step; i >= 0 && i < n; i += step {
			q, err := try(i)
			if err != nil {
				return err
			}
			if !q.beats(at) {
				break
			}
			at, moved = q, true
			keep(i)
		}
		if moved {
			break
		}
	}
	return nil
}

// judge decides, if it may choose, which parts count and how much, and measures
// each alone. A part that does not make the ranking better by more than its
// standard error is left out. before is what the neighbours reach alone.
func (b *blender) judge(ctx context.Context, choose bool, before quality, metrics map[string]float64) error {
	s, err := b.t.write(ctx, b.near, b.regression, b.factors, b.prior)
	if err != nil {
		return err
	}
	put := func(part string, q quality) {
		recall, ndcg := metricsOf(part)
		metrics[recall], metrics[ndcg] = q.recall, q.ndcg
	}
	if choose {
		var best mixture
		var moving []int
		at, err := s.measure(ctx, neighboursAlone)
		if err != nil {
			return err
		}
		for _, mix := range []struct {
			name   string
			moving []int
		}{
			{"with_regression", []int{partRegression}},
			{"with_factors", []int{partFactors}},
			{"with_both", []int{partRegression, partFactors}},
		} {
			m, q, err := s.search(ctx, mix.moving...)
			if err != nil {
				return err
			}
			put(mix.name, q)
			// Two parts are only compared with the better of one each.
			if q.beats(at) {
				best, at, moving = m, q, mix.moving
			}
		}
		if best[partRegression] > 0 {
			if s, best, err = b.hold(ctx, s, moving, best, at); err != nil {
				return err
			}
		}
		b.p.Regression, b.p.Factors = float64(best[partRegression]), float64(best[partFactors])
	}
	b.t.progress.report("blending", blendSteps, blendSteps)
	if b.p.Regression == 0 {
		b.p.Ridge, b.p.RegressionExponent = 0, 0
	}
	if b.p.Factors == 0 {
		b.p.Unobserved = 0
	}
	if b.p.Regression > 0 || b.p.Factors > 0 {
		put(blendParts[partNeighbours], before)
	}
	if !choose {
		s = s.hold(b.p)
	}
	for part, weight := range map[int]float64{partRegression: b.p.Regression, partFactors: b.p.Factors} {
		if weight == 0 {
			continue
		}
		var alone mixture
		alone[part] = 1
		q, err := s.measure(ctx, alone)
		if err != nil {
			return err
		}
		put(blendParts[part], q)
	}
	return nil
}

// heldBack are the values of RegressionExponent that are tried, in order.
var heldBack = []float64{0.2, 0.4}

// hold chooses how much the regression holds back well-read books, beginning
// with not at all, where the best mixture of the moving parts is best and
// reaches at. It returns the sheets and the mixture for what it has chosen.
func (b *blender) hold(ctx context.Context, plain *sheets, moving []int, best mixture, at quality) (*sheets, mixture, error) {
	s := plain
	for _, exponent := range heldBack {
		p := b.p
		p.RegressionExponent = exponent
		held := plain.hold(p)
		m, q, err := held.search(ctx, moving...)
		if err != nil {
			return s, best, err
		}
		if !q.beats(at) {
			break
		}
		s, best, at, b.p = held, m, q, p
	}
	return s, best, nil
}
