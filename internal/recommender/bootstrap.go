package recommender

import (
	"context"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// resamples is how many times readers are drawn anew for an interval.
const resamples = 1000

// outside is how many of the means lie below an interval, and how many above.
const outside = resamples / 40

// Interval is where the mean of readers like those measured lies, with 95 %
// confidence.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// bootstrap returns the intervals of the means of some columns (the percentile
// bootstrap): as many rows as there are, one for each reader, are drawn with
// replacement, 1,000 times, and an interval is the middle 95 % of the means.
// values holds the rows one after the other. The intervals depend on them and
// on the seed alone.
func bootstrap(ctx context.Context, values []float64, columns int, seed uint64, workers int) ([]Interval, error) {
	intervals := make([]Interval, columns)
	n := len(values) / columns
	if n == 0 {
		return intervals, nil
	}
	means := make([][]float64, columns)
	for c := range means {
		means[c] = make([]float64, resamples)
	}
	err := parallel(ctx, workers, resamples, nil, func(_, sample int) {
		draw := rand.NewPCG(seed, uint64(sample))
		sums := make([]float64, columns)
		for range n {
			row, _ := bits.Mul64(draw.Uint64(), uint64(n))
			for c, v := range values[int(row)*columns : int(row+1)*columns] {
				sums[c] += v
			}
		}
		for c, sum := range sums {
			means[c][sample] = sum / float64(n)
		}
	})
	for c, m := range means {
		slices.Sort(m)
		intervals[c] = Interval{m[outside], m[resamples-1-outside]}
	}
	return intervals, err
}
