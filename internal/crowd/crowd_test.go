package crowd_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/octavo-books/octavo/internal/crowd"
)

func TestHistoriesAreAsLongAsInTheDataSet(t *testing.T) {
	var lengths []int
	readers := make([]int, 25_000) // by book
	for _, books := range (crowd.Crowd{Books: len(readers), Readers: 70_000, Seed: 1}).Histories() {
		lengths = append(lengths, len(books))
		for _, b := range books {
			readers[b]++
		}
	}
	for _, c := range []struct {
		what      string
		of        []int
		share     float64
		low, high int
	}{
		{"books of a reader", lengths, 0, 4, 4},
		{"books of a reader", lengths, 0.5, 5, 5},
		{"books of a reader", lengths, 0.9, 15, 17},
		{"books of a reader", lengths, 0.99, 65, 75},
		{"books of a reader", lengths, 1, 219, 250},
		{"readers of a book", readers, 0.5, 10, 20},
		{"readers of a book", readers, 0.9, 45, 65},
		{"readers of a book", readers, 0.99, 150, 250},
	} {
		slices.Sort(c.of)
		if got := c.of[int(c.share*float64(len(c.of)-1))]; got < c.low || got > c.high {
			t.Errorf("%s at %v: %d, want %d to %d", c.what, c.share, got, c.low, c.high)
		}
	}
}

func TestACrowdReadsTheSameBooksAgain(t *testing.T) {
	for _, c := range []crowd.Crowd{
		{Books: 1000, Readers: 300, Seed: 1},
		{Books: 1000, Readers: 300, History: 20, Seed: 1},
		{Books: 30, Readers: 300, Seed: 1},
		{Books: 2, Readers: 3, History: 1},
	} {
		read := func() [][]int {
			var all [][]int
			for _, books := range c.Histories() {
				books = slices.Clone(books)
				slices.Sort(books)
				if len(slices.Compact(slices.Clone(books))) != len(books) {
					t.Errorf("%+v: a reader has read a book twice: %v", c, books)
				}
				if len(books) == 0 || books[0] < 0 || books[len(books)-1] >= c.Books {
					t.Errorf("%+v: a reader has %v", c, books)
				}
				all = append(all, books)
			}
			return all
		}
		if first := read(); len(first) != c.Readers || !reflect.DeepEqual(first, read()) {
			t.Errorf("%+v gave two crowds", c)
		}
	}
}
