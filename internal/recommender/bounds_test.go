package recommender

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestNoBookIsWorthMoreThanItsBound(t *testing.T) {
	value := rapid.OneOf(rapid.Just[float32](0), rapid.Just[float32](math.SmallestNonzeroFloat32), rapid.Float32Range(0, 1),
		rapid.Float32Range(0, mostWeight))
	rapid.Check(t, func(t *rapid.T) {
		priors := rapid.SliceOfN(value, 1, 20).Draw(t, "priors")
		lengths := rapid.SliceOfN(value, len(priors), len(priors)).Draw(t, "lengths")
		sums := make([]float32, len(priors))
		candidates := make([]int32, len(priors))
		for i := range candidates {
			candidates[i] = int32(len(candidates) - 1 - i)
			sums[i] = rapid.Float32Range(-1e3, 1e3).Draw(t, "sum")
		}
		far := rapid.Float32Range(0, 1e3).Draw(t, "far")
		without, most := make([]float32, len(sums)), make([]float32, len(sums))
		bounds := newBounds(priors, lengths)
		bounds.weigh(candidates, sums, far, without, most)
		for i, b := range candidates {
			// The lengths of points are rounded up by more than products are off.
			if score := sums[b] + priors[b] + float32(far*lengths[b]/1.0001); most[i] < score {
				t.Errorf("book %d has a sum of %v, a prior of %v and a length of %v: at most %v", b, sums[b], priors[b], lengths[b], most[i])
			}
			if score := sums[b] + priors[b]; without[i] < score {
				t.Errorf("book %d has a sum of %v and a prior of %v: without factors at most %v", b, sums[b], priors[b], without[i])
			}
		}
	})
}
