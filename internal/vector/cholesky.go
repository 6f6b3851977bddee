package vector

import "math"

// Solve solves A·x = b for a symmetric positive definite A of n = len(b) rows,
// by Cholesky's factorisation (Golub and Van Loan, Matrix Computations, 4.2)
// from the last row to the first, A = RᵀR for the lower triangular R. So each
// step takes the multiple of a row from the beginnings of those before it; four
// steps are taken at once. a holds A by rows; only the lower triangle is read,
// and all of a is overwritten. b is overwritten with x. It is false, and both are
// useless, when A is not positive definite within float32.
func Solve(a, b []float32) bool {
	n := len(b)
	var scale [4]float32
	for end := n; end > 0; {
		begin := max(end-len(scale), 0)
		for k := end - 1; k >= begin; k-- {
			row := a[k*n : k*n+k+1]
			pivot := row[k]
			if !(pivot > 0) || math.IsInf(float64(pivot), 1) {
				return false
			}
			inverse := float32(1 / math.Sqrt(float64(pivot)))
			for i := range row {
				row[i] *= inverse
			}
			// The diagonal holds the inverse, which is what both uses of it need.
			row[k] = inverse
			for i := begin; i < k; i++ {
				AddScaled(a[i*n:i*n+i+1], -row[i], row[:i+1])
			}
		}
		four := a[begin*n:]
		for i := range begin { // none when fewer than four are left
			for t := range scale {
				scale[t] = -four[t*n+i]
			}
			// Whole lanes; what is behind the diagonal is never read.
			AddFour(a[i*n:i*n+min((i|7)+1, n)], &scale, four, n)
		}
		end = begin
	}
	for k := n - 1; k >= 0; k-- {
		b[k] *= a[k*n+k]
		AddScaled(b[:k], -b[k], a[k*n:k*n+k])
	}
	for i := range n {
		row := a[i*n : i*n+i+1]
		b[i] = float32(b[i]-Dot(row[:i], b[:i])) * row[i]
	}
	return true
}
