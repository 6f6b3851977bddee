package recommender

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
)

// A shape is a made-up log: readers and books as points, the books of the reader's
// direction and the well-read ones chosen more often, each with a rating by how
// well they fit.
type shape struct {
	name           string
	readers, books int
	each           int     // books a reader has on the mean
	tail           float64 // exponent of the books' popularity by their rank
	seed           uint64
}

// events are those to train on, and a fifth of the books of each reader to test
// on.
func (s shape) events() (train, test []Event) {
	const width = 6
	random := rand.New(rand.NewPCG(s.seed, 3))
	point := func() (p [width]float64) {
		for i := range p {
			p[i] = random.NormFloat64() / math.Sqrt(width)
		}
		return p
	}
	popular := make([]float64, s.books) // up to each book
	points := make([][width]float64, s.books)
	var sum float64
	for b := range popular {
		sum += math.Pow(float64(b+10), -s.tail)
		popular[b], points[b] = sum, point()
	}
	draw := func() int {
		at := random.Float64() * sum
		low, high := 0, s.books-1
		for low < high {
			if middle := (low + high) / 2; popular[middle] < at {
				low = middle + 1
			} else {
				high = middle
			}
		}
		return low
	}
	for r := range s.readers {
		taste := point()
		fit := func(b int) (fit float64) {
			for i, v := range points[b] {
				fit += taste[i] * v
			}
			return 3 * fit
		}
		taken := make(map[int]bool)
		n := min(max(int(float64(s.each)*math.Exp(random.NormFloat64()*0.6)), 2), s.books/3)
		for len(taken) < n {
			best := draw() // the best fit of six
			for range 5 {
				if other := draw(); fit(other) > fit(best) {
					best = other
				}
			}
			if taken[best] {
				best = draw()
			}
			if taken[best] {
				continue
			}
			taken[best] = true
			stars := math.Round(2*(3.7+1.2*fit(best)+0.8*random.NormFloat64())) / 2
			e := Event{Reader: int32(r + 1), Book: int32(best + 1), Kind: Rating, Value: float32(min(max(stars, 0.5), 5)), Time: int64(len(train))}
			if len(taken)%5 == 0 {
				test = append(test, e)
			} else {
				train = append(train, e)
			}
		}
	}
	return train, test
}

// learnsFrom evaluates for readers who are to like their books, or to read them,
// and fails when the procedure does worse than a baseline, when the gate refuses
// the model, or when the factors take what was not read for more than what was.
func (s shape) learnsFrom(t testing.TB) {
	train, test := s.events()
	e, err := Evaluate(context.Background(), EvaluateConfig{Train: train, Test: test, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d + %d events; recall and NDCG %.4f %.4f, item-kNN %.4f %.4f, popularity %.4f %.4f; training %.1f s\n%v\n%v",
		s.name, len(train), len(test), e.Recall, e.NDCG, e.ItemKNN.Recall, e.ItemKNN.NDCG, e.Popularity.Recall, e.Popularity.NDCG, e.TrainSeconds, e.Parameters, e.Validation)
	for name, f := range map[string]Figures{"item-kNN": e.ItemKNN, "popularity": e.Popularity} {
		if e.Recall+e.NDCG < f.Recall+f.NDCG {
			t.Errorf("%s: recall %.4f and NDCG %.4f, %s %.4f and %.4f", s.name, e.Recall, e.NDCG, name, f.Recall, f.NDCG)
		}
	}
	m, err := Train(context.Background(), NewDataset(train, nil), Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Check(); err != nil {
		t.Errorf("%s: the gate refuses a model for books to be liked: %v", s.name, err)
	}
	t.Logf("%s, to be liked: %v\n%v", s.name, m.Info().Parameters, m.Info().Metrics)
	for _, p := range []map[string]float64{e.Parameters, m.Info().Parameters} {
		if p[unobservedName] > 3 {
			t.Errorf("%s: the parameter %s is %v", s.name, unobservedName, p[unobservedName])
		}
	}
}

// TestOneProcedureSuitsDataOfAnyShape, without any of its settings changed.
func TestOneProcedureSuitsDataOfAnyShape(t *testing.T) {
	for _, s := range []shape{
		{"dense", 400, 250, 14, 0.5, 1},
		{"small", 300, 500, 20, 0.7, 2},
		{"of a long tail", 1500, 3000, 8, 1, 3},
	} {
		t.Run(s.name, func(t *testing.T) { s.learnsFrom(t) })
	}
}

// BenchmarkShapes is the same for data of the size that such have.
func BenchmarkShapes(b *testing.B) {
	for _, s := range []shape{
		{"dense", 6000, 3500, 140, 0.5, 1},
		{"small", 300, 500, 20, 0.7, 2},
		{"of a long tail", 20_000, 40_000, 9, 1, 3},
	} {
		b.Run(s.name, func(b *testing.B) {
			for b.Loop() {
				s.learnsFrom(b)
			}
		})
	}
}
