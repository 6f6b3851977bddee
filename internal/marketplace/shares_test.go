package marketplace

import (
	"math"
	"testing"

	"github.com/octavo-books/octavo/internal/marketplace/view"
)

func TestSharesAreToldAsTheyAre(t *testing.T) {
	for name, test := range map[string]struct {
		shares   []float32
		percents []int
		rest     int
	}{
		"a part of the whole":       {[]float32{0.5, 0.25}, []int{50, 25}, 25},
		"the whole":                 {[]float32{1}, []int{100}, 0},
		"others speak against it":   {[]float32{0.9, 0.4}, []int{90, 40}, -30},
		"one is more than the rest": {[]float32{1.2}, []int{120}, -20},
		"no number":                 {[]float32{float32(math.NaN()), -0.5}, []int{0, 0}, 100},
		"beyond all bounds":         {[]float32{1e30}, []int{999}, -899},
	} {
		t.Run(name, func(t *testing.T) {
			var reasons []view.Reason
			for i, share := range test.shares {
				got := percent(share)
				if got != test.percents[i] {
					t.Errorf("%v is told as %d %%, want %d", share, got, test.percents[i])
				}
				reasons = append(reasons, view.Reason{Percent: got})
			}
			if got := rest(reasons); got != test.rest {
				t.Errorf("the rest is %d %%, want %d", got, test.rest)
			}
		})
	}
}
