package recommender

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// solved is the solution of a·x = b, by Gauss and Jordan; a and b are lost.
func solved(a [][]float64, b []float64) []float64 {
	for i := range a {
		for j := range a {
			if i == j {
				continue
			}
			by := a[j][i] / a[i][i]
			for c := range a[j] {
				a[j][c] -= by * a[i][c]
			}
			b[j] -= by * b[i]
		}
	}
	for i := range a {
		b[i] /= a[i][i]
	}
	return b
}

func square(n int) [][]float64 {
	a := make([][]float64, n)
	for i := range a {
		a[i] = make([]float64, n)
	}
	return a
}

// everything weighs all entries by the default parameters.
func everything(d *Dataset) *matrix {
	p := defaultParameters(Liked)
	return newMatrix(d, d.weights(p))
}

// TestFoldingInIsLearning: the place that a reader is given by products of
// points is the one that the least squares of the factorisation have, solved
// for the raw factors in float64.
func TestFoldingInIsLearning(t *testing.T) {
	m := everything(NewDataset(shop(120, 60, 20, 5)))
	const unobserved, width = 0.05, 32
	f, err := factorise(context.Background(), m, unobserved, width, 4, nil, 1, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	ridge := shrinkage * (average(m.readerSize) + unobserved*float64(m.books))
	var s solver
	for r := range 30 {
		from, to := m.readerRows[r], m.readerRows[r+1]
		own, weights := m.book[from:to], m.bookWeight[from:to]
		a, b := square(width), make([]float64, width)
		add := func(book int32, each float64) {
			v := f.raw[int(book)*width : int(book+1)*width]
			for i := range a {
				for j := range a {
					a[i][j] += each * float64(v[i]) * float64(v[j])
				}
			}
		}
		for book := range int32(m.books) {
			add(book, unobserved)
		}
		for k, book := range own {
			add(book, float64(weights[k]))
			for i := range b {
				b[i] += float64(weights[k] * f.raw[int(book)*width+i])
			}
		}
		for i := range a {
			a[i][i] += ridge
		}
		place := solved(a, b)
		whitened := make([]float32, width)
		for k, y := range s.dual(f.point, width, own, weights) {
			for i, v := range f.of(own[k]) {
				whitened[i] += y * v
			}
		}
		placed := make([]float32, width)
		s.place(f.point, width, own, weights, placed)
		for book := range int32(m.books) {
			var want, got, long float64
			for i, v := range f.of(book) {
				want += place[i] * float64(f.raw[int(book)*width+i])
				got += float64(v * whitened[i])
				long += float64(v * placed[i])
			}
			if math.Abs(got-want) > 1e-3 || math.Abs(long-want) > 1e-3 {
				t.Fatalf("reader %d with %d books scores book %d %v, %v; least squares %v", r, len(own), book, got, long, want)
			}
		}
	}
}

// TestFactorsFitTheReaders: a round never makes the sum that is to be least
// greater, beyond rounding.
func TestFactorsFitTheReaders(t *testing.T) {
	m := everything(NewDataset(shop(150, 80, 15, 6)))
	const unobserved, width = 0.05, 32
	loss := func(rounds int) float64 {
		f, err := factorise(context.Background(), m, unobserved, width, rounds, nil, 1, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		readerRidge := shrinkage * (average(m.readerSize) + unobserved*float64(m.books))
		bookRidge := shrinkage * (average(m.bookSize) + unobserved*float64(len(m.readerSize)))
		var sum float64
		for _, v := range f.raw {
			sum += bookRidge * float64(v) * float64(v)
		}
		// In the coordinates of the points the penalties of a reader are its length.
		var s solver
		place := make([]float32, width)
		for r := range m.readerSize {
			from, to := m.readerRows[r], m.readerRows[r+1]
			s.place(f.point, width, m.book[from:to], m.bookWeight[from:to], place)
			for _, v := range place {
				sum += float64(v) * float64(v)
			}
			for e := from; e < to; e++ {
				var score float64
				for i, v := range f.of(m.book[e]) {
					score += float64(v * place[i])
				}
				sum += float64(m.bookWeight[e]) * (1 - score) * (1 - score)
			}
		}
		if math.IsNaN(sum) || readerRidge <= 0 {
			t.Fatalf("after %d rounds the sum is %v", rounds, sum)
		}
		return sum
	}
	before := loss(1)
	for rounds := 2; rounds <= 6; rounds++ {
		after := loss(rounds)
		if after > before*1.0001 {
			t.Errorf("round %d: from %v to %v", rounds, before, after)
		}
		before = after
	}
}

// TestRegressionFollowsTheFormula solves the system of every book anew.
func TestRegressionFollowsTheFormula(t *testing.T) {
	m := everything(NewDataset(shop(80, 30, 8, 3)))
	e, err := gather(context.Background(), m, m.all(), 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	ridges := []float64{1, 10}
	all, err := e.regress(context.Background(), ridges, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	count := square(m.books)
	for r := range m.readerSize {
		for a := m.readerRows[r]; a < m.readerRows[r+1]; a++ {
			for b := m.readerRows[r]; b < m.readerRows[r+1]; b++ {
				count[m.book[a]][m.book[b]] += float64(m.bookWeight[a]) * float64(m.bookWeight[b])
			}
		}
	}
	for at, ridge := range ridges {
		for j := range m.books {
			var near []int
			for i := range m.books {
				if i != j && count[i][j] > 0 {
					near = append(near, i)
				}
			}
			a, b := square(len(near)), make([]float64, len(near))
			for x, i := range near {
				b[x] = count[i][j]
				for y, k := range near {
					a[x][y] = count[i][k]
				}
				a[x][x] += ridge
			}
			for x, want := range solved(a, b) {
				if got := float64(all[at].weigh(int32(near[x]), int32(j))); math.Abs(got-want) > 1e-3 {
					t.Errorf("ridge %v: book %d speaks for %d by %v, want %v", ridge, near[x], j, got, want)
				}
			}
		}
	}
}

func TestPlusAddsAndKeepsTheStrongest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		books := rapid.IntRange(1, 2*perBlend).Draw(t, "books")
		list := func(name string) *neighbours {
			n := &neighbours{rows: []int64{0}}
			for b := range int32(books) {
				if rapid.Bool().Draw(t, name) {
					n.book = append(n.book, b)
					n.weight = append(n.weight, float32(rapid.IntRange(-9, 9).Draw(t, "weight")))
				}
			}
			n.rows = append(n.rows, int64(len(n.book)))
			return n
		}
		a, b := list("in the one"), list("in the other")
		factors := make([]float32, books)
		for i := range factors {
			factors[i] = 0.5 / float32(1+i%2)
		}
		got := a.plus(b, factors)
		var sums []float32
		for i := range int32(books) {
			if v := a.weigh(0, i) + factors[i]*b.weigh(0, i); v != 0 {
				sums = append(sums, magnitude(v))
			}
		}
		slices.Sort(sums)
		dropped := max(0, len(sums)-perBlend)
		if len(got.book) != len(sums)-dropped || got.rows[1] != int64(len(got.book)) || !slices.IsSorted(got.book) {
			t.Fatalf("%d books kept of %d", len(got.book), len(sums))
		}
		for k, i := range got.book {
			if want := a.weigh(0, i) + factors[i]*b.weigh(0, i); got.weight[k] != want {
				t.Fatalf("book %d has %v, want %v", i, got.weight[k], want)
			}
			if dropped > 0 && magnitude(got.weight[k]) < sums[dropped-1] {
				t.Fatalf("book %d with %v is kept, %v is not", i, got.weight[k], sums[dropped-1])
			}
		}
	})
}

func TestRankKeysAreInTheOrderOfTheScores(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		score := rapid.Float32Range(-1e20, 1e20)
		a, b := Scored{rapid.Int32Range(0, 9).Draw(t, "a"), score.Draw(t, "of a")}, Scored{rapid.Int32Range(0, 9).Draw(t, "b"), score.Draw(t, "of b")}
		if rapid.Bool().Draw(t, "equal") {
			b.Score = a.Score
		}
		before := a.Score > b.Score || a.Score == b.Score && a.Book < b.Book
		if a.Score == 0 && b.Score == 0 {
			return // 0 and -0
		}
		if got := rankKey(a.Score, a.Book) > rankKey(b.Score, b.Book); got != before {
			t.Fatalf("%v before %v: %v", a, b, got)
		}
		if got := rankOf(rankKey(a.Score, a.Book)); got != a {
			t.Fatalf("%v comes back as %v", a, got)
		}
	})
}

// blended are parameters with all parts.
func blended() Parameters {
	p := defaultParameters(Liked)
	p.Regression, p.Ridge, p.RegressionExponent, p.Factors, p.Unobserved = 2, 10, 0.3, 1, 0.05
	return p
}

func TestABlendDoesNotDependOnTheWorkers(t *testing.T) {
	data := NewDataset(shop(300, 100, 10, 2))
	p := blended()
	var first []byte
	for n := 1; n <= 4; n++ {
		m, err := Train(context.Background(), data, Options{Seed: 5, Workers: n, Parameters: &p})
		if err != nil {
			t.Fatal(err)
		}
		if m.factors.width == 0 || m.info.Parameters[regressionName] == 0 {
			t.Fatal("the parts that were asked for are not there")
		}
		got := fileOf(t, m)
		if first == nil {
			first = got
		}
		if !bytes.Equal(got, first) {
			t.Errorf("the file of %d workers is not that of one", n)
		}
	}
}

// TestSheetsRankAsTheModelDoes: the mixtures are chosen by what they do.
func TestSheetsRankAsTheModelDoes(t *testing.T) {
	data := NewDataset(shop(400, 150, 12, 8))
	p := blended()
	p.Against = 0 // chosen last, by the model itself
	tuner := &tuner{trial: holdOut(data, Liked, 1), workers: 2, tried: map[Parameters]quality{}}
	if _, err := tuner.try(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	metrics := map[string]float64{}
	_, got, _, err := tuner.blend(context.Background(), p, quality{}, Options{Parameters: &p}, metrics)
	if err != nil {
		t.Fatal(err)
	}
	b := &blender{t: tuner, p: p}
	if err := b.learn(context.Background()); err != nil {
		t.Fatal(err)
	}
	lists, err := connect(context.Background(), tuner.matrix, p, tuner.matrix.all(), 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	near := join(lists)
	s, err := tuner.write(context.Background(), near, b.regression, b.factors, p.popularity(tuner.matrix.bookSize))
	if err != nil {
		t.Fatal(err)
	}
	want, err := s.hold(p).measure(context.Background(), mixture{1, float32(p.Regression), float32(p.Factors), 1})
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(got.recall-want.recall) > 2e-3 || math.Abs(got.ndcg-want.ndcg) > 2e-3 {
		t.Errorf("the model reaches %v and %v, the sheets say %v and %v", got.recall, got.ndcg, want.recall, want.ndcg)
	}
	for _, part := range blendParts {
		recall, _ := metricsOf(part)
		if _, ok := metrics[recall]; !ok {
			t.Errorf("no metric %s", recall)
		}
	}
}

func TestTheGateRefusesABlendThatIsNoBetterThanAPart(t *testing.T) {
	for _, part := range blendParts {
		m := &Model{info: trained(t).Info()}
		recall, ndcg := metricsOf(part)
		m.info.Metrics[recall], m.info.Metrics[ndcg] = m.info.Metrics[metricRecall]-0.01, m.info.Metrics[metricNDCG]
		if err := m.Check(); err != nil {
			t.Errorf("%s is worse: %v", part, err)
		}
		m.info.Metrics[recall] += 0.02
		if err := m.Check(); !errors.Is(err, ErrNotBetter) {
			t.Errorf("%s is better: %v, want ErrNotBetter", part, err)
		}
	}
}

// TestTheGateAsksNoPartToBeWorseForDislikes: a blend that is better than a part
// without what dislikes push down is published, though with that it is worse than
// the part without.
func TestTheGateAsksNoPartToBeWorseForDislikes(t *testing.T) {
	m := &Model{info: trained(t).Info()}
	metrics := m.info.Metrics
	own, ownNDCG := metricsOf(metricWithoutAgainst)
	part, partNDCG := metricsOf("cooccurrence")
	metrics[own], metrics[ownNDCG] = metrics[metricRecall]+0.02, metrics[metricNDCG]
	metrics[part], metrics[partNDCG] = metrics[metricRecall]+0.01, metrics[metricNDCG]
	if err := m.Check(); err != nil {
		t.Errorf("the part is worse without dislikes: %v", err)
	}
	metrics[part] += 0.02
	if err := m.Check(); !errors.Is(err, ErrNotBetter) {
		t.Errorf("the part is better: %v, want ErrNotBetter", err)
	}
	metrics[part] -= 0.02
	metrics[metricPopularityRecall] = metrics[metricRecall] + 0.01
	metrics[metricPopularityNDCG] = metrics[metricNDCG]
	if err := m.Check(); !errors.Is(err, ErrNotBetter) {
		t.Errorf("popularity is better with dislikes: %v, want ErrNotBetter", err)
	}
}

// TestADislikedBookSpeaksForNothing, in no part of a blend, where nothing is set
// against it: not as a neighbour, not in the regression, and the factors place
// the reader as if it were not there.
func TestADislikedBookSpeaksForNothing(t *testing.T) {
	p := blended()
	m, err := Train(context.Background(), NewDataset(shop(300, 100, 10, 2)), Options{Parameters: &p})
	if err != nil {
		t.Fatal(err)
	}
	disliked := Opinion{}.Apply(Event{Kind: Rating, Value: 1}).Weight
	q := Query{Own: []Own{{3, 1}, {40, disliked}}, Limit: 30}
	got := m.Recommend(q, nil)
	q.Own = q.Own[:1]
	if want := m.Recommend(q, nil); !slices.Equal(got, want) {
		t.Errorf("with a book of one star %v, without %v", got, want)
	}
	q.Own = []Own{{3, 1}, {40, 1}}
	if same := m.Recommend(q, nil); slices.Equal(got, same) {
		t.Error("a book that is liked changes nothing")
	}
}
