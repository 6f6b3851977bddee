package recommender

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestDatasetFoldsAndOrders(t *testing.T) {
	d := NewDataset([]Event{
		{Reader: 9, Book: 50, Kind: Want, Time: 30},
		{Reader: 2, Book: 40, Kind: Finished, Time: 20},
		{Reader: 9, Book: 10, Kind: Finished, Time: 10},
		{Reader: 9, Book: 50, Kind: Finished, Time: 40},
		{Reader: 9, Book: 40, Kind: View, Time: 35},
		{Reader: 2, Book: 10, Kind: Want, Time: 20},
		{Reader: 2, Book: 50, Kind: Want, Time: 1},
		{Reader: 2, Book: 50, Kind: Removed, Time: 2},
	}, []Book{{ID: 70, Category: 3}, {ID: 10, Category: 5}, {ID: 70, Category: 4}})

	if want := []int32{10, 40, 50, 70}; !slices.Equal(d.books.ids, want) {
		t.Errorf("books %v, want %v", d.books.ids, want)
	}
	if want := []uint8{5, 0, 0, 3}; !slices.Equal(d.categories, want) {
		t.Errorf("categories %v, want %v: the first of two counts", d.categories, want)
	}
	if want := []int32{2, 9}; !slices.Equal(d.readers, want) {
		t.Errorf("readers %v, want %v", d.readers, want)
	}
	// Reader 2: 40 and 10 at the same time, in the order of the log; 50 taken
	// back. Reader 9: by the time of the last event on each book.
	if want := []int32{1, 0, 0, 1, 2}; !slices.Equal(d.book, want) {
		t.Errorf("entries %v, want %v", d.book, want)
	}
	if want := []float32{0.9, 0.5, 0.9, 0.1, 0.9}; !slices.Equal(d.weight, want) {
		t.Errorf("weights %v, want %v", d.weight, want)
	}
	if d.Books() != 4 || d.Readers() != 2 || d.Interactions() != 8 {
		t.Errorf("%d books, %d readers, %d interactions", d.Books(), d.Readers(), d.Interactions())
	}
}

func TestIDsAreFoundWhereTheyAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOf(rapid.OneOf(rapid.Int32(), rapid.Int32Range(-50, 50))).Draw(t, "ids")
		want := slices.Compact(slices.Sorted(slices.Values(ids)))
		got := distinct(len(ids), func(i int) int32 { return ids[i] })
		if !slices.Equal(got, want) {
			t.Fatalf("distinct %v, want %v", got, want)
		}
		x := newIDIndex(got)
		for i, id := range got {
			if at, ok := x.find(id); !ok || at != int32(i) {
				t.Fatalf("find %d: %d, %v; want %d", id, at, ok, i)
			}
		}
		other := rapid.Int32().Draw(t, "other")
		if _, ok := x.find(other); ok != slices.Contains(ids, other) {
			t.Fatalf("find %d: %v", other, ok)
		}
	})
}

func FuzzNewDataset(f *testing.F) {
	f.Add([]byte{1, 2, 5, 0, 1, 3, 6, 4})
	f.Fuzz(func(t *testing.T, data []byte) {
		var events []Event
		for e := range slices.Chunk(data, 4) {
			if len(e) == 4 {
				events = append(events, Event{Reader: int32(int8(e[0])) << 24, Book: int32(int8(e[1])), Kind: Kind(e[2]), Value: float32(e[3])})
			}
		}
		d := NewDataset(events, nil)
		if d.rows[len(d.rows)-1] != len(d.book) || len(d.book) != len(d.weight) || len(d.book) > len(events) {
			t.Fatalf("%d rows end at %d, %d books, %d weights", len(d.rows), d.rows[len(d.rows)-1], len(d.book), len(d.weight))
		}
	})
}
