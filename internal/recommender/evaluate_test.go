package recommender

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"testing"
)

// parts splits a made-up log by its readers' events.
func parts(events []Event) (train, valid, test []Event) {
	met := map[[2]int32]bool{}
	for i, e := range events {
		if met[[2]int32{e.Reader, e.Book}] {
			continue
		}
		met[[2]int32{e.Reader, e.Book}] = true
		switch i % 8 {
		case 0:
			valid = append(valid, Event{Reader: e.Reader, Book: e.Book, Kind: Finished})
		case 1:
			test = append(test, Event{Reader: e.Reader, Book: e.Book, Kind: Finished})
		default:
			train = append(train, Event{Reader: e.Reader, Book: e.Book, Kind: Finished})
		}
	}
	return train, valid, test
}

// TestEvaluateMeasuresWhatItSays computes the figures anew from the rankings.
func TestEvaluateMeasuresWhatItSays(t *testing.T) {
	events, _ := shop(300, 100, 12, 1)
	train, valid, test := parts(events)
	for _, k := range []int{5, 20} {
		rankings := map[int32][]int32{}
		var order []int32
		got, err := Evaluate(context.Background(), EvaluateConfig{
			Train: train, Valid: valid, Test: test, K: k, Seed: 1,
			Rankings: func(reader int32, books []int32) {
				order = append(order, reader)
				rankings[reader] = slices.Clone(books)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		wanted := map[int32]map[int32]bool{}
		for _, e := range test {
			if wanted[e.Reader] == nil {
				wanted[e.Reader] = map[int32]bool{}
			}
			wanted[e.Reader][e.Book] = true
		}
		books := map[int32]bool{}
		for _, e := range slices.Concat(train, valid, test) {
			books[e.Book] = true
		}
		owned := map[[2]int32]bool{}
		for _, e := range train {
			owned[[2]int32{e.Reader, e.Book}] = true
		}
		var recall, ndcg float64
		shown := map[int32]bool{}
		for reader, want := range wanted {
			var hits, gain, ideal float64
			if len(rankings[reader]) != k {
				t.Fatalf("reader %d: %d books, want %d", reader, len(rankings[reader]), k)
			}
			for at, book := range rankings[reader] {
				shown[book] = true
				if owned[[2]int32{reader, book}] {
					t.Errorf("reader %d is recommended training book %d", reader, book)
				}
				if want[book] {
					hits++
					gain += 1 / math.Log2(float64(at+2))
				}
			}
			for at := range min(k, len(want)) {
				ideal += 1 / math.Log2(float64(at+2))
			}
			recall += hits / float64(len(want))
			ndcg += gain / ideal
		}
		n := float64(len(wanted))
		if math.Abs(got.Recall-recall/n) > 1e-9 || math.Abs(got.NDCG-ndcg/n) > 1e-9 {
			t.Errorf("k %d: recall %v, NDCG %v; the rankings say %v, %v", k, got.Recall, got.NDCG, recall/n, ndcg/n)
		}
		if got.Readers != len(wanted) || got.K != k || !slices.Equal(order, slices.Sorted(maps.Keys(wanted))) {
			t.Errorf("%d readers, k %d", got.Readers, got.K)
		}
		if want := float64(len(shown)) / float64(len(books)); math.Abs(got.Coverage-want) > 1e-9 {
			t.Errorf("coverage %v, want %v", got.Coverage, want)
		}
		if got.Recall <= got.Popularity.Recall || got.ItemKNN.Recall <= got.Popularity.Recall {
			t.Errorf("recall %v, item-kNN %v, popularity %v", got.Recall, got.ItemKNN.Recall, got.Popularity.Recall)
		}
	}
}

// TestTheTestPartTeachesNothing: with another test part, same parameters and
// same answers.
func TestTheTestPartTeachesNothing(t *testing.T) {
	events, _ := shop(200, 60, 10, 1)
	train, valid, test := parts(events)
	for _, valid := range [][]Event{valid, nil} {
		var parameters [2]map[string]float64
		var rankings [2]map[int32][]int32
		for i, test := range [][]Event{test, test[:len(test)/2]} {
			rankings[i] = map[int32][]int32{}
			got, err := Evaluate(context.Background(), EvaluateConfig{
				Train: train, Valid: valid, Test: test,
				Rankings: func(reader int32, books []int32) { rankings[i][reader] = slices.Clone(books) },
			})
			if err != nil {
				t.Fatal(err)
			}
			parameters[i] = got.Parameters
		}
		if !maps.Equal(parameters[0], parameters[1]) {
			t.Errorf("parameters %v, with another test %v", parameters[0], parameters[1])
		}
		for reader, books := range rankings[1] {
			if !slices.Equal(books, rankings[0][reader]) {
				t.Errorf("reader %d: %v, with another test %v", reader, rankings[0][reader], books)
			}
		}
	}
}

func TestEvaluateNeedsSomethingToFind(t *testing.T) {
	train := []Event{{Reader: 1, Book: 1, Kind: Finished}, {Reader: 1, Book: 2, Kind: Finished}}
	for name, test := range map[string][]Event{"no test": nil, "only training books": train} {
		if _, err := Evaluate(context.Background(), EvaluateConfig{Train: train, Test: test}); !errors.Is(err, ErrNoTest) {
			t.Errorf("%s: %v, want ErrNoTest", name, err)
		}
	}
	got, err := Evaluate(context.Background(), EvaluateConfig{Train: train, Test: []Event{{Reader: 9, Book: 2, Kind: Finished}, {Reader: 9, Book: 7, Kind: Finished}}})
	if err != nil || got.Recall != 1 || got.Readers != 1 {
		t.Errorf("a reader without training books: %+v, %v; there are three books, all are ranked", got, err)
	}
}
