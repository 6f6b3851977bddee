package recommender

import (
	"context"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestNeighboursFollowTheFormula compares every weight with the formula of
// Parameters, written down anew.
func TestNeighboursFollowTheFormula(t *testing.T) {
	d := NewDataset(shop(60, 30, 6, 3))
	p := Parameters{BookExponent: 0.6, OwnExponent: 0.3, ReaderExponent: 0.5, Smoothing: 2, Sharpness: 1.3, Evenness: 0.4}
	m := newMatrix(d, d.weights(p))
	lists, err := connect(context.Background(), m, p, m.all(), 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	near := join(lists)

	x := make([][]float64, d.Readers())
	readerSize, bookSize := make([]float64, d.Readers()), make([]float64, d.Books())
	for r := range x {
		x[r] = make([]float64, d.Books())
		for e := d.rows[r]; e < d.rows[r+1]; e++ {
			w := float64(d.weights(p)(e))
			x[r][d.book[e]] = w
			readerSize[r] += w
			bookSize[d.book[e]] += w
		}
	}
	weights := make([][]float64, d.Books())
	var strongest, books float64
	for j := range weights {
		weights[j] = make([]float64, d.Books())
		var sum float64
		for i := range weights[j] {
			if i == j {
				continue
			}
			var c float64
			for r := range x {
				c += x[r][i] * x[r][j] / math.Pow(math.Max(readerSize[r], 1), p.ReaderExponent)
			}
			v := c / (math.Pow(bookSize[i]+p.Smoothing, p.BookExponent) * math.Pow(bookSize[j]+p.Smoothing, p.OwnExponent))
			weights[j][i] = math.Pow(v, p.Sharpness)
			sum += weights[j][i]
		}
		if sum > 0 {
			for i := range weights[j] {
				weights[j][i] /= math.Pow(sum, p.Evenness)
			}
			strongest += slices.Max(weights[j])
			books++
		}
	}
	for j := range weights {
		for i, v := range weights[j] {
			want := v * books / strongest
			if got := float64(near.weigh(int32(j), int32(i))); math.Abs(got-want) > 1e-5*(1+want) {
				t.Errorf("W(%d,%d) is %v, want %v", i, j, got, want)
			}
		}
	}
}

func TestOnlyTheStrongestNeighboursAreKept(t *testing.T) {
	var r row
	candidate := make([]float32, 1000)
	for i := range int32(1000) {
		candidate[i] = 1
		r.book = append(r.book, i)
		r.value = append(r.value, float32(1+i*617%500)) // each value twice
	}
	s := selectors(1, candidate, byIndex)[0]
	got := s.strongest(r)
	if len(got.book) != perBook || !slices.IsSorted(got.book) {
		t.Fatalf("%d neighbours, sorted %v", len(got.book), slices.IsSorted(got.book))
	}
	for k, v := range got.value {
		if v <= 400 || v != r.value[got.book[k]] {
			t.Errorf("book %d with %v is not among the strongest", got.book[k], v)
		}
	}
}

func TestKeepGreatest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.Uint64Range(0, 30), 1, 100).Draw(t, "keys")
		n := rapid.IntRange(1, len(keys)).Draw(t, "n")
		want := slices.Sorted(slices.Values(keys))[len(keys)-n:]

		h := best{limit: n}
		for _, k := range keys {
			h.add(k)
		}
		heap := h.sorted()
		slices.Reverse(heap)
		if !slices.Equal(heap, want) {
			t.Fatalf("heap %v, want %v", heap, want)
		}
		keepGreatest(keys, n)
		if got := slices.Sorted(slices.Values(keys[:n])); !slices.Equal(got, want) {
			t.Fatalf("selected %v, want %v", got, want)
		}
	})
}
