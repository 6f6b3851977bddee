package recommender

import (
	"math"
	"slices"
)

// bounds say what a book's score is at most, besides the sum of what the own
// books say for it. They are looked up for every candidate of an answer, and take
// little memory so that the nearest caches hold them: 50 kB for 25,000 books.
type bounds struct {
	code          []uint16 // by book: steps of the prior, and above them of the length of the point
	prior, length float32  // a step of each
}

// boundBits is how many bits either has.
const boundBits = 8

// newBounds rounds the books' priors and the lengths of their points up.
func newBounds(prior, length []float32) bounds {
	b := bounds{code: make([]uint16, len(prior))}
	if len(prior) > 0 {
		b.prior, b.length = stepOf(slices.Max(prior)), stepOf(slices.Max(length))
	}
	for i := range b.code {
		b.code[i] = stepsUp(length[i], b.length)<<boundBits | stepsUp(prior[i], b.prior)
	}
	return b
}

// stepOf leaves one step for what rounding takes away.
func stepOf(most float32) float32 {
	return max(most/(1<<boundBits-2), math.SmallestNonzeroFloat32)
}

// stepsUp is how many steps reach a value.
func stepsUp(value, step float32) uint16 {
	if !(value > 0 && step > 0) {
		return 0
	}
	steps := uint16(min(math.Ceil(float64(value)/float64(step)), 1<<boundBits-1))
	for steps < 1<<boundBits-1 && float32(float32(steps)*step) < value {
		steps++
	}
	return steps
}

// weigh writes what the scores of candidates with these sums, by book, are at
// most: without factors to sums, and to most for a reader whose place is at such
// a distance.
func (b *bounds) weigh(candidates []int32, sum []float32, distance float32, sums, most []float32) {
	sums, most = sums[:len(candidates)], most[:len(candidates)]
	prior, length := b.prior, b.length*distance
	for i, book := range candidates {
		code := b.code[book]
		v := sum[book] + float32(float32(code&(1<<boundBits-1))*prior)
		sums[i] = v
		most[i] = v + float32(float32(code>>boundBits)*length)
	}
}
