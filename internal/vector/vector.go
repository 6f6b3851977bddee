// Package vector holds the loops in which training and answering spend their
// time: dot products, scaled sums and the solution of small positive definite
// systems, on slices of float32.
//
// Every function gives the same bits on every machine: the assembly for amd64
// with AVX2 and the Go code add up in the same order and never fuse a
// multiplication with an addition. The package allocates nothing and never
// looks beyond the lengths it is given.
package vector

// lanes is how many partial sums Dot keeps; element i goes to sum i mod lanes.
const lanes = 32

// Dot is the sum of a[i]·b[i]. It panics when b is shorter than a.
func Dot(a, b []float32) float32 {
	b = b[:len(a)]
	whole := len(a) &^ 7
	var sum float32
	if whole > 0 {
		sum = dotLanes(a[:whole], b[:whole])
	}
	for i := whole; i < len(a); i++ {
		sum += float32(a[i] * b[i])
	}
	return sum
}

// AddScaled adds scale·x[i] to y[i]. It panics when y is shorter than x.
func AddScaled(y []float32, scale float32, x []float32) {
	y = y[:len(x)]
	whole := len(x) &^ 7
	if whole > 0 {
		addScaledLanes(y[:whole], scale, x[:whole])
	}
	for i := whole; i < len(x); i++ {
		y[i] += float32(scale * x[i])
	}
}

// AddFour adds scale[t]·x[t·stride+i] to y[i] for the four rows t of x, one after
// the other: the bits are those of four times AddScaled, for a quarter of the
// reading and writing. It panics when x is shorter than its rows.
func AddFour(y []float32, scale *[4]float32, x []float32, stride int) {
	whole := len(y) &^ 7
	x = x[:3*stride+len(y)]
	if whole > 0 {
		addFourLanes(y[:whole], scale, x, stride)
	}
	for i := whole; i < len(y); i++ {
		for t, s := range scale {
			y[i] += float32(s * x[t*stride+i])
		}
	}
}

// dotLanesGo is what the assembly does, in Go: lanes partial sums, added up as
// a tree of fixed shape. The length is a multiple of 8.
func dotLanesGo(a, b []float32) float32 {
	var sums [lanes]float32
	for len(a) >= lanes && len(b) >= lanes {
		x, y := (*[lanes]float32)(a), (*[lanes]float32)(b)
		for l := range sums {
			sums[l] += float32(x[l] * y[l])
		}
		a, b = a[lanes:], b[lanes:]
	}
	for i, v := range a {
		sums[i] += float32(v * b[i])
	}
	for width := lanes / 2; width > 0; width /= 2 {
		for l := range width {
			sums[l] += sums[l+width]
		}
	}
	return sums[0]
}

func addScaledLanesGo(y []float32, scale float32, x []float32) {
	for i, v := range x {
		y[i] += float32(scale * v)
	}
}

func addFourLanesGo(y []float32, scale *[4]float32, x []float32, stride int) {
	for t, s := range scale {
		addScaledLanesGo(y, s, x[t*stride:t*stride+len(y)])
	}
}
