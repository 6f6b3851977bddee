package vector

import "math"

// Solve solves A·x = b for a symmetric positive definite A of n = len(b) rows,
// by Cholesky's factorisation (Golub and Van Loan, Matrix Computations, 4.2).
// a holds A by rows; only the lower triangle is read, and it is overwritten
// with the factor. b is overwritten with x. It is false, and both are useless,
// when A is not positive definite within float32.
func Solve(a, b []float32) bool {
	n := len(b)
	for i := range n {
		row := a[i*n : i*n+n]
		for j := range i {
			above := a[j*n : j*n+n]
			row[j] = float32(row[j]-Dot(row[:j], above[:j])) * above[j]
		}
		pivot := row[i] - Dot(row[:i], row[:i])
		if !(pivot > 0) || math.IsInf(float64(pivot), 1) {
			return false
		}
		// The diagonal holds the inverse, which is what both uses of it need.
		row[i] = float32(1 / math.Sqrt(float64(pivot)))
	}
	for i := range n {
		row := a[i*n : i*n+n]
		b[i] = float32(b[i]-Dot(row[:i], b[:i])) * row[i]
	}
	for i := n - 1; i >= 0; i-- {
		row := a[i*n : i*n+n]
		b[i] = float32(b[i] * row[i])
		AddScaled(b[:i], -b[i], row[:i])
	}
	return true
}
