package recommender

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/octavo-books/octavo/internal/vector"
)

// factors are the books as points such that the product of two, K(i,j), says how
// much being a reader of the one book says about being a reader of the other. A
// reader with the own books H of weights x has the score
//
//	f(u,i) = Σ_h y(h) K(i,h)  where  (K_HH + diag 1/x) y = 1
//
// which is what implicit alternating least squares would predict after learning
// that reader too: the ridge regression of the reader on the books' factors,
// written with the books as the unknowns (Woodbury's identity).
type factors struct {
	width int
	point []float32 // by book, width numbers each

	// raw are the books' factors as learning left them. Not kept in a model.
	raw []float32
}

func (f *factors) of(book int32) []float32 {
	at := int(book) * f.width
	return f.point[at : at+f.width : at+f.width]
}

const (
	// shrinkage is λ of the factorisation, for each unit of evidence.
	shrinkage = 0.01
	// factorRounds are the passes over the data that learn factors from nothing,
	// refiningRounds those that take them from a part of the data to all of it.
	factorRounds   = 12
	refiningRounds = 3
)

// factorWidth is how many factors so many books are given: a multiple of 32, for
// the loops of package vector.
func factorWidth(books int) int {
	return min(max(books/32, 32), 128) &^ 31
}

// factorise learns factors by implicit alternating least squares: of all
// placements of readers a(u) and books b(i) that with the least
//
//	Σ_{u,i read} x(u,i) (1 - a(u)·b(i))² + α Σ_{u,i} (a(u)·b(i))² + Σ_u λ_u |a(u)|² + Σ_i λ_i |b(i)|²
//
// where α is unobserved, and λ_u, λ_i are shrinkage times the evidence there is
// on a reader or a book on the average (Hu, Koren and Volinsky 2008; the
// weighting of the λ after Rendle, Krichene, Zhang and Koren 2022). It begins
// with the factors of start when given.
func factorise(ctx context.Context, m *matrix, unobserved float64, width, rounds int, start []float32, seed uint64, n int, done func(int)) (*factors, error) {
	f := &factors{width: width}
	readers := make([]float32, (len(m.readerRows)-1)*width)
	f.raw = make([]float32, m.books*width)
	f.point = make([]float32, len(f.raw))
	if start != nil {
		copy(f.raw, start)
	} else {
		random := rand.New(rand.NewPCG(seed, uint64(width)))
		spread := 0.1 / math.Sqrt(float64(width))
		for i := range f.raw {
			f.raw[i] = float32(random.NormFloat64() * spread)
		}
	}
	readerRidge := shrinkage * (average(m.readerSize) + unobserved*float64(m.books))
	bookRidge := shrinkage * (average(m.bookSize) + unobserved*float64(len(m.readerSize)))
	solvers := make([]solver, n)
	for round := range rounds {
		basis, err := f.whiten(ctx, f.raw, f.point, unobserved, readerRidge, n)
		if err != nil {
			return nil, err
		}
		err = parallel(ctx, n, len(m.readerSize), nil, func(w, r int) {
			from, to := m.readerRows[r], m.readerRows[r+1]
			place := readers[r*width : r*width+width]
			solvers[w].place(f.point, width, m.book[from:to], m.bookWeight[from:to], place)
			solvers[w].unwhiten(basis, place)
		})
		if err != nil {
			return nil, err
		}
		if basis, err = f.whiten(ctx, readers, readers, unobserved, bookRidge, n); err != nil {
			return nil, err
		}
		err = parallel(ctx, n, m.books, nil, func(w, b int) {
			from, to := m.bookRows[b], m.bookRows[b+1]
			place := f.raw[b*width : b*width+width]
			solvers[w].place(readers, width, m.reader[from:to], m.readerWeight[from:to], place)
			solvers[w].unwhiten(basis, place)
		})
		if err != nil {
			return nil, err
		}
		if done != nil {
			done((round + 1) * m.books / rounds)
		}
	}
	if _, err := f.whiten(ctx, f.raw, f.point, unobserved, readerRidge, n); err != nil {
		return nil, err
	}
	return f, nil
}

// average is the mean of the sizes above 0.
func average(sizes []float32) float64 {
	var sum float64
	n := 0
	for _, s := range sizes {
		if s > 0 {
			sum += float64(s)
			n++
		}
	}
	return sum / float64(max(n, 1))
}

// basis changes coordinates. With A = α XᵀX + λI = C Cᵀ, it holds C⁻¹ by rows
// and by columns; what is 0 is there too.
type basis struct {
	width         int
	rows, columns []float32
}

// whiten writes to out the rows of x in the coordinates in which the penalty on
// all pairs, unobserved XᵀX + ridge I, is the identity.
func (f *factors) whiten(ctx context.Context, x, out []float32, unobserved, ridge float64, n int) (*basis, error) {
	d := f.width
	a, err := gram(ctx, x, d, n)
	if err != nil {
		return nil, err
	}
	for i := range d {
		for j := range i + 1 {
			a[i*d+j] *= unobserved
		}
		a[i*d+i] += ridge
	}
	inverse := invertRoot(a, d)
	b := &basis{width: d, rows: make([]float32, d*d), columns: make([]float32, d*d)}
	for i := range d {
		for j := range i + 1 {
			b.rows[i*d+j] = float32(inverse[i*d+j])
			b.columns[j*d+i] = float32(inverse[i*d+j])
		}
	}
	scratch := make([][]float32, n)
	for w := range scratch {
		scratch[w] = make([]float32, d)
	}
	return b, parallel(ctx, n, len(x)/d, nil, func(w, row int) {
		from := scratch[w]
		copy(from, x[row*d:row*d+d])
		to := out[row*d : row*d+d]
		for k := range to {
			end := min((k/32+1)*32, d)
			to[k] = vector.Dot(b.rows[k*d:k*d+end], from[:end])
		}
	})
}

// gram is the lower triangle of xᵀx for rows of d numbers. The rows are added up
// in parts whose number does not depend on the workers'.
func gram(ctx context.Context, x []float32, d, n int) ([]float64, error) {
	const parts = 64
	rows := len(x) / d
	sums := make([][]float32, parts)
	each := (rows + parts - 1) / parts
	err := parallelEach(ctx, n, parts, func(_, part int) {
		sum := make([]float32, d*d)
		r, last := part*each, min((part+1)*each, rows)
		var scale [4]float32
		for ; r+len(scale) <= last; r += len(scale) {
			four := x[r*d : (r+len(scale))*d]
			for k := range d {
				for t := range scale {
					scale[t] = four[t*d+k]
				}
				vector.AddFour(sum[k*d:k*d+min((k/32+1)*32, d)], &scale, four, d)
			}
		}
		for ; r < last; r++ {
			v := x[r*d : r*d+d]
			for k, scale := range v {
				end := min((k/32+1)*32, d)
				vector.AddScaled(sum[k*d:k*d+end], scale, v[:end])
			}
		}
		sums[part] = sum
	})
	if err != nil {
		return nil, err
	}
	total := make([]float64, d*d)
	for _, sum := range sums {
		for i, v := range sum {
			total[i] += float64(v)
		}
	}
	return total, nil
}

// invertRoot returns C⁻¹ for the lower triangular C with C Cᵀ = a, by rows. Of a
// only the lower triangle is read; it is overwritten.
func invertRoot(a []float64, d int) []float64 {
	for i := range d {
		for j := range i + 1 {
			sum := a[i*d+j]
			for k := range j {
				sum -= a[i*d+k] * a[j*d+k]
			}
			if i == j {
				a[i*d+i] = math.Sqrt(math.Max(sum, 1e-30))
			} else {
				a[i*d+j] = sum / a[j*d+j]
			}
		}
	}
	inverse := make([]float64, d*d)
	for j := range d {
		inverse[j*d+j] = 1 / a[j*d+j]
		for i := j + 1; i < d; i++ {
			var sum float64
			for k := j; k < i; k++ {
				sum -= a[i*d+k] * inverse[k*d+j]
			}
			inverse[i*d+j] = sum / a[i*d+i]
		}
	}
	return inverse
}

// solver places readers among books, or books among readers.
type solver struct {
	system, answer []float32
	four           []float32 // the points of four, behind one another
}

// place writes to out where one with the given points, read with these weights,
// belongs, in the coordinates of whiten.
func (s *solver) place(points []float32, width int, ids []int32, weights, out []float32) {
	clear(out)
	at := func(id int32) []float32 { return points[int(id)*width : int(id)*width+width] }
	if len(ids) <= width {
		for k, y := range s.dual(points, width, ids, weights) {
			vector.AddScaled(out, y, at(ids[k]))
		}
		return
	}
	s.grow(width)
	clear(s.system)
	var scale [4]float32
	for ; len(ids) >= len(scale); ids, weights = ids[len(scale):], weights[len(scale):] {
		s.four = s.four[:0]
		for t := range scale {
			s.four = append(s.four, at(ids[t])...)
			vector.AddScaled(out, weights[t], at(ids[t]))
		}
		for i := range width {
			for t := range scale {
				scale[t] = weights[t] * s.four[t*width+i]
			}
			vector.AddFour(s.system[i*width:i*width+min((i/32+1)*32, width)], &scale, s.four, width)
		}
	}
	for k, id := range ids {
		v := at(id)
		vector.AddScaled(out, weights[k], v)
		for i, x := range v {
			end := min((i/32+1)*32, width)
			vector.AddScaled(s.system[i*width:i*width+end], weights[k]*x, v[:end])
		}
	}
	for i := range width {
		s.system[i*width+i]++
	}
	if !vector.Solve(s.system, out) {
		clear(out)
	}
}

// dual returns y of (K + diag 1/weights) y = 1, where K are the products of the
// points; nothing when there is no solution within float32. It is good until
// the next call.
func (s *solver) dual(points []float32, width int, ids []int32, weights []float32) []float32 {
	n := len(ids)
	s.grow(n)
	for i, id := range ids {
		a := points[int(id)*width : int(id)*width+width]
		row := s.system[i*n : i*n+n]
		for j, other := range ids[:i+1] {
			row[j] = vector.Dot(a, points[int(other)*width:int(other)*width+width])
		}
		row[i] += 1 / weights[i]
		s.answer[i] = 1
	}
	if !vector.Solve(s.system, s.answer) {
		return nil
	}
	return s.answer
}

func (s *solver) grow(n int) {
	if cap(s.system) < n*n {
		s.system = make([]float32, n*n)
		s.answer = make([]float32, n)
	}
	s.system, s.answer = s.system[:n*n], s.answer[:n]
}

// unwhiten turns a place in the coordinates of whiten back, in place.
func (s *solver) unwhiten(b *basis, place []float32) {
	d := b.width
	s.grow(d)
	copy(s.answer, place)
	for k := range place {
		begin := k &^ 31
		place[k] = vector.Dot(b.columns[k*d+begin:k*d+d], s.answer[begin:])
	}
}
