package recommender

import (
	"math"
	"slices"

	"github.com/octavo-books/octavo/internal/vector"
)

// mostFolded is how many of a reader's own books the factors learn a reader
// from, the latest that speak.
const mostFolded = 100

// The weight of the factors and the factors themselves are within these bounds,
// so that no product of them overflows.
const (
	mostFactor       = 1e4
	mostFactorWeight = 1e6
)

// reader is a reader placed among the factors.
type reader struct {
	known  bool      // the factors have something to say
	place  []float32 // the factor part of a book's score is place times its point
	length float32   // of place, rounded up; 0 when not known

	// The own books it was placed by, the latest first, with their weights, and
	// y with the weight of the factors in it: each says y(h) K(i,h).
	own     []int32
	weights []float32
	y       []float32

	solver   solver
	lastOwn  []int32
	lastSaid []float32
}

// meet places the reader of these own books. The reader met last is known
// again: the reasons of an answer are asked for one book after the other.
func (m *Model) meet(r *reader, own []Own) {
	if m.factorWeight == 0 {
		r.known, r.length = false, 0
		return
	}
	r.own, r.lastOwn = r.lastOwn[:0], r.own
	r.weights, r.lastSaid = r.lastSaid[:0], r.weights
	own = latest(own)
	for i := len(own) - 1; i >= 0 && len(r.own) < mostFolded; i-- {
		if w, ok := m.speaks(own[i]); ok {
			r.own = append(r.own, own[i].Book)
			r.weights = append(r.weights, w)
		}
	}
	if slices.Equal(r.own, r.lastOwn) && slices.Equal(r.weights, r.lastSaid) {
		return
	}
	d := m.factors.width
	r.place = slices.Grow(r.place[:0], d)[:d]
	clear(r.place)
	r.y = r.solver.dual(m.factors.point, d, r.own, r.weights)
	for k := range r.y {
		r.y[k] *= m.factorWeight
		vector.AddScaled(r.place, r.y[k], m.factors.of(r.own[k]))
	}
	r.length = lengthOf(r.place)
	// A history of no sense, of weights beyond all bounds, is not listened to.
	if r.known = len(r.y) > 0 && r.length <= mostWeight; !r.known {
		r.length = 0
	}
}

// likes is the factor part of a book's score.
func (r *reader) likes(m *Model, book int32) float32 {
	return vector.Dot(r.place, m.factors.of(book))
}

// lengthOf is the length of a vector, rounded up by more than the error of a
// product with it.
func lengthOf(v []float32) float32 {
	return float32(math.Sqrt(float64(vector.Dot(v, v)))*1.0001) + math.SmallestNonzeroFloat32
}
