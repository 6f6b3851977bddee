package recommender

import (
	"context"
	"math"
	"slices"
	"testing"
)

// fourReaders: all have read book 1, two of them 2, one 3, nobody 4.
func fourReaders() *Dataset {
	var events []Event
	for _, e := range [][2]int32{{1, 1}, {1, 2}, {2, 1}, {2, 2}, {3, 1}, {3, 3}, {4, 1}} {
		events = append(events, Event{Reader: e[0], Book: e[1], Kind: Finished})
	}
	events = append(events, Event{Reader: 4, Book: 2, Kind: View}) // a glance is no reading
	return NewDataset(events, []Book{{ID: 4}})
}

func TestAnswersAreJudgedByHand(t *testing.T) {
	shelf := newShelfmarks(fourReaders())
	if shelf.head != 2 {
		t.Errorf("the head has %d books; of 7 interactions it takes 6 to have 80 %%, books 1 and 2", shelf.head)
	}
	const one, two, three, four = 0, 1, 2, 3 // indices
	half := 1 / math.Log2(3)
	for _, tt := range []struct {
		name                         string
		answer, wanted               []int32
		recall, ndcg                 float64
		novelty, diversity, longTail float64
	}{
		{
			name: "all found in the best order", answer: []int32{one, two}, wanted: []int32{one, two},
			recall: 1, ndcg: 1,
			novelty: 0.5, diversity: 1 - 2/math.Sqrt(4*2), longTail: 0,
		},
		{
			name: "one of two found, in the second place", answer: []int32{four, two, three}, wanted: []int32{one, two},
			recall: 0.5, ndcg: half / (1 + half),
			novelty: (2. + 1 + 2) / 3, diversity: 1, longTail: 2. / 3,
		},
		{
			name: "three pairs", answer: []int32{one, two, three}, wanted: []int32{three},
			recall: 1, ndcg: 0.5,
			novelty: (0. + 1 + 2) / 3, diversity: 1 - (2/math.Sqrt(8)+1/math.Sqrt(4)+0)/3, longTail: 1. / 3,
		},
		{
			name: "one book alone", answer: []int32{three}, wanted: []int32{-5, two},
			recall: 0, ndcg: 0, novelty: 2, diversity: 0, longTail: 1,
		},
		{name: "no book", answer: nil, wanted: []int32{two}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := newGains(3).judge(tt.answer, tt.wanted)
			diverse := newDiversifier(shelf)
			for range 2 { // the second time from memory
				near(t, "diversity", diverse.diversity(tt.answer), tt.diversity)
			}
			near(t, "recall", got.recall, tt.recall)
			near(t, "NDCG", got.ndcg, tt.ndcg)
			near(t, "novelty", shelf.novelty(tt.answer), tt.novelty)
			near(t, "long tail", shelf.longTail(tt.answer), tt.longTail)
		})
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-12 {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestBootstrap(t *testing.T) {
	const n = 1000
	values := make([]float64, 0, 2*n)
	for i := range n {
		values = append(values, float64(i%2), 7)
	}
	intervals := func(seed uint64, workers int) []Interval {
		got, err := bootstrap(context.Background(), values, 2, seed, workers)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := intervals(1, 1)
	if again := intervals(1, 3); !slices.Equal(got, again) {
		t.Errorf("with one worker %v, with three %v", got, again)
	}
	if other := intervals(2, 1); slices.Equal(got, other) {
		t.Errorf("seeds 1 and 2 both give %v", got)
	}
	if got[1] != (Interval{7, 7}) {
		t.Errorf("the mean of what is always 7 lies in %v", got[1])
	}
	// The standard error of the mean of a fair coin is 0.5/√n.
	reach := 1.96 * 0.5 / math.Sqrt(n)
	if math.Abs(got[0].Low-(0.5-reach)) > reach/8 || math.Abs(got[0].High-(0.5+reach)) > reach/8 {
		t.Errorf("the mean of a fair coin lies in %v, want 0.5 ± %.3f", got[0], reach)
	}
	if none, err := bootstrap(context.Background(), nil, 2, 1, 1); err != nil || !slices.Equal(none, make([]Interval, 2)) {
		t.Errorf("of no readers: %v, %v", none, err)
	}
}

func TestReadersAreGroupedByHistory(t *testing.T) {
	for books, want := range map[int]string{0: "0", 1: "1-4", 4: "1-4", 5: "5-19", 19: "5-19", 20: "20+", 999: "20+"} {
		if got := histories[historyGroup(books)].name; got != want {
			t.Errorf("%d books: group %s, want %s", books, got, want)
		}
	}
}

// TestGroupsAndIntervalsAgreeWithTheWhole: the groups are a partition, and a
// mean lies in its interval.
func TestGroupsAndIntervalsAgreeWithTheWhole(t *testing.T) {
	events, _ := shop(300, 100, 12, 1)
	train, valid, test := parts(events)
	cold := 3
	for r := range int32(cold) {
		test = append(test, Event{Reader: 9997 + r, Book: train[0].Book, Kind: Finished})
	}
	var first *Evaluation
	for _, workers := range []int{1, 3} {
		got, err := Evaluate(context.Background(), EvaluateConfig{Train: train, Valid: valid, Test: test, Workers: workers, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []*Figures{&got.Figures, &got.Popularity, &got.ItemKNN} {
			var readers, recall float64
			for _, g := range f.ByHistory {
				readers += float64(g.Readers)
				recall += g.Recall * float64(g.Readers)
			}
			if int(readers) != f.Readers || math.Abs(recall/readers-f.Recall) > 1e-9 || f.ByHistory[0].Readers < cold {
				t.Errorf("%d readers with recall %v; the groups say %v, %v: %v", f.Readers, f.Recall, readers, recall/readers, f.ByHistory)
			}
			for what, in := range map[string][2]any{
				"recall": {f.Recall, f.RecallInterval}, "NDCG": {f.NDCG, f.NDCGInterval}, "novelty": {f.Novelty, f.NoveltyInterval},
				"diversity": {f.Diversity, f.DiversityInterval}, "long tail": {f.LongTail, f.LongTailInterval},
			} {
				mean, interval := in[0].(float64), in[1].(Interval)
				if mean < interval.Low || mean > interval.High {
					t.Errorf("%s %v is not in %v", what, mean, interval)
				}
			}
			f.TrainSeconds, f.Seconds = 0, 0
		}
		if first == nil {
			first = got
			continue
		}
		compareEvaluations(t, first, got)
	}
	knob := first.Knob
	if len(knob) != len(knobSettings) || first.KnobReaders != first.Readers || math.Abs(knob[0].Recall-first.Recall) > 1e-9 {
		t.Errorf("at 0 the knob changes nothing and all %d readers are in the sample: %d, %+v", first.Readers, first.KnobReaders, knob)
	}
	if last := knob[len(knob)-1]; last.Diversity <= knob[0].Diversity {
		t.Errorf("the knob turned up leaves diversity at %v, from %v", last.Diversity, knob[0].Diversity)
	}
}

func compareEvaluations(t *testing.T, a, b *Evaluation) {
	t.Helper()
	for _, pair := range [][2]Figures{{a.Figures, b.Figures}, {a.Popularity, b.Popularity}, {a.ItemKNN, b.ItemKNN}} {
		x, y := pair[0], pair[1]
		if !slices.Equal(x.ByHistory, y.ByHistory) {
			t.Errorf("by history %v, then %v", x.ByHistory, y.ByHistory)
		}
		x.ByHistory, y.ByHistory = nil, nil
		if x.Accuracy != y.Accuracy || x.NoveltyInterval != y.NoveltyInterval || x.DiversityInterval != y.DiversityInterval || x.Coverage != y.Coverage {
			t.Errorf("figures %+v, then %+v", x, y)
		}
	}
	if !slices.Equal(a.Knob, b.Knob) {
		t.Errorf("knob %v, then %v", a.Knob, b.Knob)
	}
}
