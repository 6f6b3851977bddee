package recommender

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestPowerIsThePower(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.OneOf(rapid.Float64Range(1e-6, 1e6), rapid.Float64Min(0), rapid.SampledFrom([]float64{0, 1, math.Sqrt2, math.MaxFloat64, math.SmallestNonzeroFloat64})).Draw(t, "x")
		exponent := rapid.OneOf(rapid.Float64Range(-4, 4), rapid.SampledFrom([]float64{0, 1, -1, 700})).Draw(t, "exponent")
		got, want := power(x, exponent), math.Pow(x, exponent)
		if got != want && !(math.Abs(got-want) <= 1e-9*want*max(1, math.Abs(exponent))) {
			t.Fatalf("%v to the power of %v is %v, want %v", x, exponent, got, want)
		}
	})
}

func BenchmarkPower(b *testing.B) {
	for name, pow := range map[string]func(x, exponent float64) float64{"here": power, "math": math.Pow} {
		b.Run(name, func(b *testing.B) {
			x := 0.
			for b.Loop() {
				x = pow(x+1.1, 1.3) * 1e-3
			}
		})
	}
}
