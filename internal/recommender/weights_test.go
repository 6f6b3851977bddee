package recommender

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func opinionOf(events ...Event) Opinion {
	var o Opinion
	for _, e := range events {
		o = o.Apply(e)
	}
	return o
}

// TestAStrongerSignOfLikingNeverCountsLess, whatever is chosen.
func TestAStrongerSignOfLikingNeverCountsLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Parameters{
			Contrast: rapid.Float64Range(0, 8).Draw(t, "contrast"),
			Stars:    rapid.Float64Range(0, 4).Draw(t, "stars"),
			Against:  rapid.Float64Range(0, 1).Draw(t, "against"),
		}
		w := p.Weights()
		mean := rapid.Float32Range(1, 5).Draw(t, "mean")
		last := float32(0)
		for _, kind := range []Kind{View, Click, Want, Reading, Finished, Bought} {
			got := w.Of(opinionOf(Event{Kind: kind}), mean)
			if got < last || got <= 0 {
				t.Fatalf("kind %d counts %v, a weaker one %v", kind, got, last)
			}
			last = got
		}
		last = 0
		for stars := float32(2.5); stars <= 5; stars += 0.5 {
			got := w.Of(opinionOf(Event{Kind: Rating, Value: stars}), mean)
			if got < last || got < leastRated {
				t.Fatalf("%v stars count %v, fewer %v", stars, got, last)
			}
			last = got
		}
		for _, o := range []Opinion{opinionOf(Event{Kind: Rating, Value: 2}), opinionOf(Event{Kind: Finished}, Event{Kind: NotInterested})} {
			if got := w.Of(o, mean); got != float32(-p.Against) {
				t.Fatalf("a disliked book counts %v, want %v", got, -p.Against)
			}
		}
	})
}

// TestARatingCountsByItsDistanceFromTheReadersMean: four stars are much from one
// who gives two, and little from one who gives five.
func TestARatingCountsByItsDistanceFromTheReadersMean(t *testing.T) {
	w := DefaultWeights()
	four := opinionOf(Event{Kind: Rating, Value: 4})
	mean := func(stars float32) float32 {
		var r Ratings
		for range 20 {
			r.Add(opinionOf(Event{Kind: Rating, Value: stars}))
		}
		return r.Mean()
	}
	if strict, mild := w.Of(four, mean(2.5)), w.Of(four, mean(5)); !(strict > 1 && mild < 1) {
		t.Errorf("four stars count %v from a strict reader and %v from a mild one", strict, mild)
	}
	var none Ratings
	if got := w.Of(four, none.Mean()); got != 1 {
		t.Errorf("the usual rating of a reader of no others counts %v, want 1", got)
	}
}

// TestTrainingWeighsAsServingDoes: a dataset's entries have the weights that
// their opinions have when they are put to the model.
func TestTrainingWeighsAsServingDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var events []Event
		opinions := make(map[int32]Opinion)
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			e := Event{Reader: 1, Book: rapid.Int32Range(1, 8).Draw(t, "book"), Kind: Kind(rapid.IntRange(1, 9).Draw(t, "kind"))}
			if e.Kind == Rating {
				e.Value = float32(rapid.IntRange(1, 10).Draw(t, "half stars")) / 2
			}
			events = append(events, e)
			opinions[e.Book] = opinions[e.Book].Apply(e)
		}
		p := Parameters{Contrast: 1.5, Stars: 2, Against: 0.2}
		d := NewDataset(events, nil)
		weigh, w := d.weights(p), p.Weights()
		var ratings Ratings
		for _, o := range opinions {
			ratings.Add(o)
		}
		for e, b := range d.book {
			if got, want := weigh(e), w.Of(opinions[d.books.ids[b]], ratings.Mean()); got != want {
				t.Fatalf("book %d weighs %v in training, %v in serving", d.books.ids[b], got, want)
			}
		}
	})
}

// TestADislikePushesDown: no book is better off for it, its neighbours are worse
// off, and the books around a liked one stay what they were.
func TestADislikePushesDown(t *testing.T) {
	for _, p := range []Parameters{blended(), defaultParameters(Liked)} {
		m, err := Train(context.Background(), NewDataset(shop(300, 100, 10, 2)), Options{Parameters: &p})
		if err != nil {
			t.Fatal(err)
		}
		w, err := m.Weights()
		if err != nil {
			t.Fatal(err)
		}
		weight := w.Of(opinionOf(Event{Kind: NotInterested}), usualStars)
		scores := func(own []Own) map[int32]float32 {
			all := make(map[int32]float32)
			for _, s := range m.Recommend(Query{Own: own, Limit: m.Info().Books}, nil) {
				all[s.Book] = s.Score
			}
			return all
		}
		for disliked := range int32(20) {
			before := scores([]Own{{50, 1}, {60, 1}})
			after := scores([]Own{{50, 1}, {disliked, weight}, {60, 1}})
			like := m.Similar(disliked, 100, nil)
			for book, score := range before {
				near := slices.ContainsFunc(like, func(s Scored) bool { return s.Book == book })
				if near != (after[book] < score) || after[book] > score {
					t.Fatalf("book %d, a neighbour of the disliked one: %v, has %v before and %v after", book, near, score, after[book])
				}
			}
		}
	}
}

// TestWeightsAreChosenByWhatTheyAreWorth: readers look at anything, and finish
// what is of their taste. To count both alike is worse, and training finds out.
func TestWeightsAreChosenByWhatTheyAreWorth(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var events []Event
	const books, genres = 200, 10
	for reader := int32(1); reader <= 600; reader++ {
		taste := r.Int32N(genres)
		for range 8 {
			events = append(events, Event{Reader: reader, Book: taste + genres*r.Int32N(books/genres), Kind: Finished})
		}
		for range 30 {
			events = append(events, Event{Reader: reader, Book: r.Int32N(books), Kind: View})
		}
		for range 2 { // of another taste, and not liked
			events = append(events, Event{Reader: reader, Book: (taste+1)%genres + genres*r.Int32N(books/genres), Kind: Rating, Value: 1})
		}
	}
	d := NewDataset(events, nil)
	train := func(o Options) *Model {
		m, err := Train(context.Background(), d, o)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	chosen := train(Options{Seed: 1})
	p, err := chosen.Parameters()
	if err != nil {
		t.Fatal(err)
	}
	alike := p
	alike.Contrast = 0
	got, even := chosen.Info().Metrics, train(Options{Seed: 1, Parameters: &alike}).Info().Metrics
	if p.Contrast < 1 || got[metricNDCG] <= even[metricNDCG] {
		t.Errorf("contrast %v: NDCG %.4f, and %.4f when a view counts as much as a finished book", p.Contrast, got[metricNDCG], even[metricNDCG])
	}
	if p.Against < opposing[len(opposing)-1] {
		t.Errorf("a disliked book pushes down with %v", p.Against)
	}
	_, without := metricsOf("without_against")
	if _, ok := got[without]; !ok {
		t.Errorf("no metric %s in %v", without, slices.Sorted(maps.Keys(got)))
	}
}
