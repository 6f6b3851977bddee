package recommender

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestTimeSplitNeverLeaks: no event of a part is as late as one of the next,
// and every event is in one part.
func TestTimeSplitNeverLeaks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOf(rapid.Int64Range(1, rapid.SampledFrom([]int64{1, 3, 10, 1 << 62}).Draw(t, "latest"))).Draw(t, "times")
		past := rapid.Float64Range(0.01, 0.99).Draw(t, "past")
		events := make([]Event, len(times))
		for i, at := range times {
			events[i] = Event{Reader: int32(i), Book: int32(i % 5), Kind: Finished, Time: at}
		}
		given := slices.Clone(events)
		s, err := SplitByTime(events, past)
		if !slices.Equal(events, given) {
			t.Fatal("the events given were changed")
		}
		different := slices.Clone(times)
		slices.Sort(different)
		if enough := len(slices.Compact(different)) >= 3; enough != (err == nil) || err != nil && !errors.Is(err, ErrOneTime) {
			t.Fatalf("%v with %d times", err, len(different))
		}
		if err != nil {
			return
		}
		latest := func(part []Event) int64 {
			return slices.MaxFunc(part, func(a, b Event) int { return cmp.Compare(a.Time, b.Time) }).Time
		}
		if latest(s.Train) >= s.Valid[0].Time || latest(s.Valid) >= s.Test[0].Time {
			t.Fatalf("training %v, validation %v, test %v", s.Train, s.Valid, s.Test)
		}
		all := slices.Concat(s.Train, s.Valid, s.Test)
		if !slices.IsSortedFunc(all, func(a, b Event) int { return cmp.Compare(a.Time, b.Time) }) {
			t.Fatalf("not in the order of time: %v", all)
		}
		slices.SortFunc(all, func(a, b Event) int { return cmp.Compare(a.Reader, b.Reader) })
		if !slices.Equal(all, given) {
			t.Fatalf("%v became %v", given, all)
		}
	})
}

func TestTimeSplitShares(t *testing.T) {
	var events []Event
	for i := range 100 {
		events = append(events, Event{Reader: 1, Book: int32(i), Kind: Finished, Time: int64(1000 - i)}) // latest first
	}
	s, err := SplitByTime(events, 0.8)
	if err != nil || len(s.Train) != 70 || len(s.Valid) != 10 || len(s.Test) != 20 {
		t.Errorf("%d, %d, %d events, %v; want 70, 10, 20", len(s.Train), len(s.Valid), len(s.Test), err)
	}
	if s.Train[0].Book != 99 || s.Test[19].Book != 0 {
		t.Errorf("from book %d to book %d", s.Train[0].Book, s.Test[19].Book)
	}
}

// TestTheFutureTeachesNothing: with another future, same parameters and same
// answers.
func TestTheFutureTeachesNothing(t *testing.T) {
	events, _ := shop(200, 60, 10, 1)
	for i := range events {
		events[i].Kind, events[i].Value, events[i].Time = Finished, 0, int64(1+i)
	}
	s, err := SplitByTime(events, 0.8)
	if err != nil {
		t.Fatal(err)
	}
	other := slices.Clone(s.Test)
	for i := range other { // the readers change books
		other[i].Book = s.Test[len(other)-1-i].Book
	}
	var parameters [2]map[string]float64
	var rankings [2]map[int32][]int32
	for i, test := range [][]Event{s.Test, other} {
		rankings[i] = map[int32][]int32{}
		got, err := Evaluate(context.Background(), EvaluateConfig{
			Train: s.Train, Valid: s.Valid, Test: test, ByTime: true,
			Rankings: func(reader int32, books []int32) { rankings[i][reader] = slices.Clone(books) },
		})
		if err != nil {
			t.Fatal(err)
		}
		parameters[i] = got.Parameters
	}
	if !maps.Equal(parameters[0], parameters[1]) {
		t.Errorf("parameters %v, with another future %v", parameters[0], parameters[1])
	}
	compared := 0
	for reader, books := range rankings[1] {
		if before, ok := rankings[0][reader]; ok {
			compared++
			if !slices.Equal(books, before) {
				t.Errorf("reader %d: %v, with another future %v", reader, before, books)
			}
		}
	}
	if compared < 20 {
		t.Errorf("only %d readers are in both futures", compared)
	}
}

// TestColdReadersAndNewBooksAreApart, on a log that can be counted by hand.
func TestColdReadersAndNewBooksAreApart(t *testing.T) {
	read := func(pairs ...[2]int32) (events []Event) {
		for _, p := range pairs {
			events = append(events, Event{Reader: p[0], Book: p[1], Kind: Finished})
		}
		return events
	}
	got, err := Evaluate(context.Background(), EvaluateConfig{
		Train: read([2]int32{1, 1}, [2]int32{1, 2}, [2]int32{2, 1}, [2]int32{2, 2}, [2]int32{3, 1}),
		Valid: read([2]int32{2, 3}, [2]int32{4, 3}),
		Test: read(
			[2]int32{1, 3}, [2]int32{1, 9}, // a known book and a new one
			[2]int32{3, 9},                 // a new one alone
			[2]int32{4, 2},                 // first seen in the validation part, which is past too
			[2]int32{5, 1}, [2]int32{5, 8}, // a cold reader
			[2]int32{2, 3}), // read again: nothing to find
		ByTime: true, K: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Readers != 2 || got.ColdReaders.Readers != 1 || got.NewBooks.Readers != 3 {
		t.Errorf("%d readers with a past, %d cold ones, %d of new books; want 2, 1, 3", got.Readers, got.ColdReaders.Readers, got.NewBooks.Readers)
	}
	if got.ByHistory[0].Accuracy != *got.ColdReaders {
		t.Errorf("readers without training books: %+v; cold readers: %+v", got.ByHistory[0], got.ColdReaders)
	}
	// Reader 1 has all known books but 3, which is wanted; the cold reader is
	// shown the most-read book, 1, which is wanted.
	if got.ColdReaders.Recall != 1 || got.NewBooks.Recall != 0 || got.Recall < 0.5 {
		t.Errorf("recall %v, of cold readers %v, of new books %v", got.Recall, got.ColdReaders.Recall, got.NewBooks.Recall)
	}
	if got.Time.NewBooks != 2 {
		t.Errorf("%d new books, want 8 and 9", got.Time.NewBooks)
	}
	if got.KnobReaders != 2 {
		t.Errorf("the knob was tried on %d readers, want the 2 with a past", got.KnobReaders)
	}
}

// TestOnlyColdReaders: nobody is left for the other figures, which are 0 then.
func TestOnlyColdReaders(t *testing.T) {
	read := func(reader int32, books ...int32) (events []Event) {
		for _, b := range books {
			events = append(events, Event{Reader: reader, Book: b, Kind: Finished})
		}
		return events
	}
	got, err := Evaluate(context.Background(), EvaluateConfig{Train: read(1, 1, 2), Valid: read(1, 3), Test: read(2, 1), ByTime: true})
	if err != nil || got.Readers != 0 || got.Recall != 0 || got.Knob != nil || got.ColdReaders.Recall != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := json.Marshal(got); err != nil {
		t.Error(err)
	}
}
