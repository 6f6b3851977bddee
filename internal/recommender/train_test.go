package recommender

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

var trainedOnce = sync.OnceValues(func() (*Model, error) {
	return Train(context.Background(), NewDataset(shop(400, 120, 12, 1)), Options{Seed: 1, Position: 77})
})

// trained is a small model that all tests share.
func trained(t *testing.T) *Model {
	t.Helper()
	m, err := trainedOnce()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTheModelDoesNotDependOnTheWorkers(t *testing.T) {
	data := NewDataset(shop(300, 100, 10, 2))
	var first []byte
	for n := 1; n <= 4; n++ {
		m, err := Train(context.Background(), data, Options{Seed: 5, Workers: n})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "model")
		if err := m.Save(path); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = got
		}
		if !bytes.Equal(got, first) {
			t.Errorf("the file of %d workers is not that of one", n)
		}
	}
}

func TestTrainingLearnsTastes(t *testing.T) {
	m := trained(t)
	got := m.Info()
	if err := m.Check(); err != nil {
		t.Errorf("the gate: %v", err)
	}
	if got.Metrics[metricRecall] < 1.3*got.Metrics[metricPopularityRecall] {
		t.Errorf("recall %v, popularity %v: tastes are not learnt", got.Metrics[metricRecall], got.Metrics[metricPopularityRecall])
	}
	if got.Books != 120 || got.Readers != 400 || got.Position != 77 || len(got.Version) != 12 || got.Interactions == 0 {
		t.Errorf("info %+v", got)
	}
	for _, name := range []string{"book_exponent", "own_exponent", "reader_exponent", "smoothing", "sharpness", "evenness", "prior"} {
		if _, ok := got.Parameters[name]; !ok {
			t.Errorf("no parameter %s in %v", name, got.Parameters)
		}
	}
	if got.Parameters["disliked"] != 0 {
		t.Errorf("disliked books weigh %v", got.Parameters["disliked"])
	}
}

func TestAReaderNobodyKnowsGetsWhatIsPopular(t *testing.T) {
	m := trained(t)
	for _, category := range []uint8{0, 4} {
		got := m.Recommend(Query{Category: category, Limit: 5}, nil)
		if len(got) != 5 {
			t.Fatalf("category %d: %v", category, got)
		}
		for k, s := range got {
			if category != 0 && m.categories[s.Book] != category {
				t.Errorf("book %d is not of category %d", s.Book, category)
			}
			if k > 0 && m.prior[s.Book] > m.prior[got[k-1].Book] {
				t.Errorf("%v are not the popular first", got)
			}
		}
	}
}

// TestALowRatingPullsNothingUp: two books are always read together; the one
// speaks for the other, unless the reader did not like it.
func TestALowRatingPullsNothingUp(t *testing.T) {
	events, books := shop(200, 60, 8, 4)
	for r := int32(10_000); r < 10_040; r++ {
		events = append(events, Event{Reader: r, Book: 1, Kind: Finished}, Event{Reader: r, Book: 2, Kind: Finished})
	}
	m, err := Train(context.Background(), NewDataset(events, books), Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	one, _ := m.Index(1)
	two, _ := m.Index(2)
	for _, test := range []struct {
		stars float32
		pulls bool
	}{{5, true}, {3, true}, {2, false}, {1, false}} {
		own := []Own{{one, Opinion{}.Apply(Event{Kind: Rating, Value: test.stars}).Weight}}
		because := slices.ContainsFunc(m.explain(own, two, 0), func(s Share) bool { return s.Book == one })
		if because != test.pulls {
			t.Errorf("after %v stars the book speaks for its neighbour: %v, want %v", test.stars, because, test.pulls)
		}
	}
}

// TestDislikesDoNotMakeNeighbours: what readers did not like is not read
// together with what they did.
func TestDislikesDoNotMakeNeighbours(t *testing.T) {
	events, books := shop(200, 60, 8, 4)
	for r := int32(10_000); r < 10_040; r++ {
		events = append(events, Event{Reader: r, Book: 1, Kind: Finished}, Event{Reader: r, Book: 2, Kind: Rating, Value: 1})
	}
	m, err := Train(context.Background(), NewDataset(events, books), Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	two, _ := m.Index(2)
	if got := m.Similar(two, 10, nil); len(got) != 0 {
		t.Errorf("a book nobody liked has neighbours %v", got)
	}
}

func TestTrainRefusesNothing(t *testing.T) {
	for name, events := range map[string][]Event{
		"no events":        nil,
		"one book each":    {{Reader: 1, Book: 1, Kind: Finished}, {Reader: 2, Book: 2, Kind: Finished}},
		"disliked only":    {{Reader: 1, Book: 1, Kind: NotInterested}, {Reader: 1, Book: 2, Kind: NotInterested}},
		"all taken back":   {{Reader: 1, Book: 1, Kind: Want}, {Reader: 1, Book: 2, Kind: Want}, {Reader: 1, Book: 2, Kind: Removed}},
		"one liked of two": {{Reader: 1, Book: 1, Kind: Want}, {Reader: 1, Book: 2, Kind: Rating, Value: 1}},
	} {
		if _, err := Train(context.Background(), NewDataset(events, []Book{{ID: 9}}), Options{}); !errors.Is(err, ErrNoData) {
			t.Errorf("%s: %v, want ErrNoData", name, err)
		}
	}
}

func TestTheSmallestLogMakesAModel(t *testing.T) {
	m, err := Train(context.Background(), NewDataset([]Event{
		{Reader: 1, Book: 10, Kind: Finished}, {Reader: 1, Book: 20, Kind: View},
	}, []Book{{ID: 30}}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Check(); err != nil {
		t.Errorf("the gate, with too few readers to tell: %v", err)
	}
	got := m.Recommend(Query{Own: []Own{{0, 1}}, Exclude: []int32{0}, Limit: 5}, nil)
	if len(got) != 2 || got[0].Book != 1 || got[1].Book != 2 {
		t.Errorf("%v, want books 1 and 2", got)
	}
}

func TestTrainStopsWhenTheContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	trials := 0
	_, err := Train(ctx, NewDataset(shop(300, 100, 10, 2)), Options{Progress: func(string, int, int) {
		if trials++; trials == 3 {
			cancel(why)
		}
	}})
	if !errors.Is(err, why) {
		t.Errorf("%v, want %v", err, why)
	}
}

func TestProgressEndsWhole(t *testing.T) {
	last := map[string][2]int{}
	var stages []string
	_, err := Train(context.Background(), NewDataset(shop(100, 60, 8, 2)), Options{Progress: func(stage string, done, total int) {
		if _, ok := last[stage]; !ok {
			stages = append(stages, stage)
		}
		if done < last[stage][0] && total == last[stage][1] {
			t.Errorf("%s goes back from %d to %d", stage, last[stage][0], done)
		}
		last[stage] = [2]int{done, total}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"choosing parameters", "blending", "training"}; !slices.Equal(stages, want) {
		t.Errorf("stages %v, want %v", stages, want)
	}
	for stage, at := range last {
		if at[0] != at[1] {
			t.Errorf("%s ends at %d of %d", stage, at[0], at[1])
		}
	}
}

func TestTheGate(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*Model)
		ok    bool
	}{
		{"a good model", func(*Model) {}, true},
		{"a neighbour weight that is no number", func(m *Model) { m.near.scale[3] = float32(math.NaN()) }, false},
		{"an infinite weight", func(m *Model) { m.near.scale[0] = float32(math.Inf(1)) }, false},
		{"a book that speaks against another", func(m *Model) { m.near.word[0] |= 1 << 31 }, true},
		{"a weight of nothing", func(m *Model) { m.near.word[0] &= 1<<m.near.low - 1 }, false},
		{"a prior that is no number", func(m *Model) { m.prior[5] = float32(math.NaN()) }, false},
		{"a metric that is no number", func(m *Model) { m.info.Metrics[metricRecall] = math.NaN() }, false},
		{"no better than popularity", func(m *Model) {
			m.info.Metrics[metricRecall] = m.info.Metrics[metricPopularityRecall]
			m.info.Metrics[metricNDCG] = m.info.Metrics[metricPopularityNDCG]
		}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := &Model{info: trained(t).Info()}
			m.near = trained(t).near
			m.near.word, m.near.scale = slices.Clone(m.near.word), slices.Clone(m.near.scale)
			m.prior = slices.Clone(trained(t).prior)
			test.spoil(m)
			if err := m.Check(); (err == nil) != test.ok {
				t.Errorf("Check: %v", err)
			}
		})
	}
}

func TestTheGateRefusesWhatDoesNotBeatPopularity(t *testing.T) {
	data := NewDataset(shop(400, 120, 12, 1))
	// Held back this much, the least read neighbours come first.
	bad := Parameters{BookExponent: 8, OwnExponent: 0, Smoothing: 0.5, Sharpness: 3, Prior: 1e-6, PriorExponent: 1}
	m, err := Train(context.Background(), data, Options{Parameters: &bad})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Check(); !errors.Is(err, ErrNotBetter) {
		t.Errorf("Check: %v, want ErrNotBetter; metrics %v", err, m.Info().Metrics)
	}
}
