package recommender

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestPackedWeightsAreRoundedAndNoneIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		books := rapid.SampledFrom([]int{1, 2, 3, 40, 70_000}).Draw(t, "books")
		ids := rapid.SliceOfNDistinct(rapid.Int32Range(0, int32(books-1)), 0, min(books, 30), rapid.ID[int32]).Draw(t, "neighbours")
		slices.Sort(ids)
		weights := rapid.SliceOfN(rapid.OneOf(
			rapid.Float32Range(leastWeight, mostWeight), rapid.Float32Range(-mostWeight, -leastWeight), rapid.Float32Range(0.001, 2),
		), len(ids), len(ids)).Draw(t, "weights")
		near := neighbours{rows: make([]int64, books+1), book: ids, weight: weights}
		near.rows[books] = int64(len(ids)) // of the last book
		m := &Model{categories: make([]uint8, books)}
		for b := range m.categories {
			m.categories[b] = uint8(b % 256)
		}
		m.near = pack(&near, m.categories)
		if err := m.near.check(m.categories); err != nil {
			t.Fatal(err)
		}
		if err := m.near.checkWeights(); err != nil {
			t.Fatal(err)
		}
		last := int32(books - 1)
		for k, b := range ids {
			want, scale := float64(weights[k]), float64(m.near.scale[last])
			got := scale * float64(m.near.weight(m.find(last, b)))
			if math.Abs(got-want) > scale/2+1e-6*math.Abs(want) && math.Abs(want) > scale || got*want <= 0 {
				t.Fatalf("book %d of %d has the weight %v, had %v; the scale is %v", b, books, got, want, scale)
			}
		}
		for b := range int32(min(books, 100)) {
			if m.find(last, b) != 0 != slices.Contains(ids, b) {
				t.Fatalf("book %d is found: %v", b, m.find(last, b) != 0)
			}
		}
	})
}
