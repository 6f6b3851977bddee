package recommender

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"
)

func TestARefreshIsExactInAllThatReadersAreCountedFor(t *testing.T) {
	events, books := shop(400, 120, 12, 1)
	p := blended()
	old, err := Train(context.Background(), NewDataset(events[:len(events)/2], books), Options{Seed: 1, Position: 50, Parameters: &p})
	if err != nil {
		t.Fatal(err)
	}
	// Since then readers went on, and there is a new book among the others.
	books = append(books, Book{ID: 101, Category: 3})
	events = append(events, Event{Reader: 7, Book: 101, Kind: Finished}, Event{Reader: 9, Book: 101, Kind: Bought})
	d := NewDataset(events, books)
	full, err := Train(context.Background(), d, Options{Seed: 1, Position: 99, Parameters: &p})
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 3; n++ {
		got, err := Refresh(context.Background(), d, old, Options{Position: 99, Workers: n})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.near, full.near) || !slices.Equal(got.prior, full.prior) || !slices.Equal(got.readersOf, full.readersOf) {
			t.Error("neighbours, regression or prior are not those of a training with the same parameters")
		}
		for b := range int32(d.Books()) {
			want := make([]float32, old.factors.width)
			if known, ok := old.Index(got.BookID(b)); ok {
				want = old.factors.of(known)
			}
			if !slices.Equal(got.factors.of(b), want) {
				t.Fatalf("book %d has not the factors it had", got.BookID(b))
			}
		}
		info := got.Info()
		if !maps.Equal(info.Metrics, old.Info().Metrics) || !maps.Equal(info.Parameters, p.Map()) {
			t.Errorf("metrics %v and parameters %v are not those of the training", info.Metrics, info.Parameters)
		}
		if info.Position != 99 || info.LearntPosition != 50 || info.Readers != 400 || info.Interactions != int64(len(events)) {
			t.Errorf("%+v", info)
		}
		if err := got.checkNumbers(); err != nil {
			t.Errorf("the gate: %v", err)
		}
		// The file keeps where the metrics come from, through any number of refreshes.
		read, err := decodeModel(aligned(fileOf(t, got)))
		if err != nil {
			t.Fatal(err)
		}
		again, err := Refresh(context.Background(), d, read, Options{Position: 100})
		if err != nil {
			t.Fatal(err)
		}
		if info := again.Info(); info.Position != 100 || info.LearntPosition != 50 {
			t.Errorf("refreshed again: %+v", info)
		}
	}
}

func TestARefreshOfTheSameDataIsTheSameModel(t *testing.T) {
	m := trained(t)
	got, err := Refresh(context.Background(), NewDataset(shop(400, 120, 12, 1)), m, Options{Position: 77})
	if err != nil {
		t.Fatal(err)
	}
	if got.Info().Version != m.Info().Version {
		t.Errorf("%+v, before %+v", got.Info(), m.Info())
	}
}

func TestRefreshRefuses(t *testing.T) {
	if _, err := Refresh(context.Background(), NewDataset(nil, []Book{{ID: 1}}), trained(t), Options{}); !errors.Is(err, ErrNoData) {
		t.Errorf("nothing to learn from: %v", err)
	}
	for name, spoil := range map[string]func(map[string]float64){
		"a parameter missing":  func(p map[string]float64) { delete(p, "prior") },
		"one that is unknown":  func(p map[string]float64) { p["spin"] = 1 },
		"one that is negative": func(p map[string]float64) { p["prior"] = -1 },
	} {
		m := &Model{info: trained(t).Info()}
		spoil(m.info.Parameters)
		if _, err := Refresh(context.Background(), NewDataset(shop(30, 20, 5, 1)), m, Options{}); err == nil {
			t.Errorf("%s: refreshed", name)
		}
	}
}
