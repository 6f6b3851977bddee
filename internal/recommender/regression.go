package recommender

import (
	"context"

	"github.com/octavo-books/octavo/internal/vector"
)

const (
	// regressors is how many books predict one.
	regressors = 100
	// mostCommon is how many counts of all books the regression sees, about, and
	// leastCommon how many at least of each, the largest; the others are taken for
	// 0. That bounds the memory and the time. Where few books are read by many it
	// is all of them: there a count taken for 0 is far off.
	mostCommon  = 7_000_000
	leastCommon = 300
)

// commonest is how many counts of each of so many books the regression sees.
func commonest(books int) int { return min(max(mostCommon/max(books, 1), leastCommon), books) }

// evidence is what the regression is computed from: of each book the counts
// with its commonest companions, and with those that predict it.
type evidence struct {
	m         *matrix
	predicted span
	square    []float32 // by book: its count with itself
	common    []row
	predictor []row // of those predicted
}

// gather counts for the regression of each of a range of the books on its
// nearest.
func gather(ctx context.Context, m *matrix, books span, n int, done func(int)) (*evidence, error) {
	e := &evidence{
		m:         m,
		predicted: books,
		square:    make([]float32, m.books),
		common:    make([]row, m.books),
		predictor: make([]row, books.len()),
	}
	even := make([]float32, m.books)
	for b := range even {
		even[b] = 1
	}
	c := counters(m, 0, n)
	near := selectors(n, damping(m.bookSize, 3, 0.5), unordered)
	most := selectors(n, even, unordered)
	look := func(w, b int) row {
		for _, x := range m.readerWeight[m.bookRows[b]:m.bookRows[b+1]] {
			e.square[b] += x * x
		}
		counts := c[w].count(b)
		e.common[b] = most[w].shorten(counts, commonest(m.books))
		return counts
	}
	if err := parallel(ctx, n, books.len(), done, func(w, i int) {
		e.predictor[i] = near[w].shorten(look(w, int(books.from)+i), regressors)
	}); err != nil {
		return nil, err
	}
	others := e.others()
	return e, parallel(ctx, n, len(others), nil, func(w, i int) { look(w, int(others[i])) })
}

// others are the books that predict without being predicted.
func (e *evidence) others() []int32 {
	predicts := make([]bool, e.m.books)
	for _, p := range e.predictor {
		for _, b := range p.book {
			predicts[b] = true
		}
	}
	var others []int32
	for b := range int32(e.m.books) {
		if predicts[b] && (b < e.predicted.from || b >= e.predicted.to) {
			others = append(others, b)
		}
	}
	return others
}

// regress finds for each book j the weights r that predict best who reads it
// from the nearest books N its readers have read,
//
//	min Σ_u (x(u,j) - Σ_{i in N} x(u,i) r(i,j))² + ridge Σ_i r(i,j)²
//
// which is the system (G_NN + ridge I) r = g_Nj of the counts G = XᵀX: EASE
// (Steck 2019) with a neighbourhood for each book in place of all books, as SLIM
// (Ning and Karypis 2011) has it. The results, one for each ridge, list for each
// i the books j it speaks for, or against.
func (e *evidence) regress(ctx context.Context, ridges []float64, n int, done func(int)) ([]*neighbours, error) {
	solved, err := e.solve(ctx, ridges, n, done)
	if err != nil {
		return nil, err
	}
	all := make([]*neighbours, len(ridges))
	for i := range ridges {
		all[i] = turn(solved[i])
	}
	return all, nil
}

// solve is regress for the books predicted: the results, one for each ridge,
// list for each of these the books that speak for it, or against.
func (e *evidence) solve(ctx context.Context, ridges []float64, n int, done func(int)) ([][]row, error) {
	type worker struct {
		place                  []uint8 // by book: its place among the predictors, plus 1
		met                    []int32 // places in a row of counts
		system, copied, answer []float32
	}
	workers := make([]worker, n)
	for w := range workers {
		workers[w] = worker{make([]uint8, e.m.books), make([]int32, commonest(e.m.books)), make([]float32, regressors*regressors), make([]float32, regressors*regressors), make([]float32, regressors)}
	}
	solved := make([][]row, len(ridges))
	for i := range solved {
		solved[i] = make([]row, len(e.predictor))
	}
	return solved, parallel(ctx, n, len(e.predictor), done, func(w, j int) {
		at := &workers[w]
		books, counts := e.predictor[j].book, e.predictor[j].value
		k := len(books)
		for i, b := range books {
			at.place[b] = uint8(i) + 1
		}
		system, answer := at.system[:k*k], at.answer[:k]
		copied := at.copied[:k*k]
		clear(system)
		for i, b := range books {
			common := e.common[b]
			met := 0
			for c, other := range common.book {
				at.met[met] = int32(c)
				if at.place[other] != 0 { // without a branch: most are not
					met++
				}
			}
			for _, c := range at.met[:met] {
				p := int(at.place[common.book[c]]) - 1
				system[max(i, p)*k+min(i, p)] = common.value[c]
			}
			system[i*k+i] = e.square[b]
		}
		for _, b := range books {
			at.place[b] = 0
		}
		for i, ridge := range ridges {
			copy(copied, system)
			copy(answer, counts)
			for d := range k {
				copied[d*k+d] += float32(ridge)
			}
			// Counts left out may spoil a system; its book is then predicted by none.
			if vector.Solve(copied, answer) {
				solved[i][j] = row{books, append([]float32(nil), answer...)}
			}
		}
	})
}

// turn lists by predictor what was found by predicted book.
func turn(solved []row) *neighbours {
	t := &neighbours{rows: make([]int64, len(solved)+1)}
	for _, r := range solved {
		for _, b := range r.book {
			t.rows[b+1]++
		}
	}
	for b := range solved {
		t.rows[b+1] += t.rows[b]
	}
	next := append([]int64(nil), t.rows...)
	t.book = make([]int32, t.rows[len(solved)])
	t.weight = make([]float32, len(t.book))
	for j, r := range solved {
		for i, b := range r.book {
			t.book[next[b]], t.weight[next[b]] = int32(j), r.value[i]
			next[b]++
		}
	}
	return t
}

// plus adds the weights of other, times the factor of the book each is a
// neighbour's, and keeps of each list the strongest, for or against.
func (n *neighbours) plus(other *neighbours, factors []float32) *neighbours {
	sum := &neighbours{rows: make([]int64, len(n.rows))}
	var merged row
	var keys []uint64
	var kept []bool
	for j := range int32(len(n.rows) - 1) {
		merged.book, merged.value = merged.book[:0], merged.value[:0]
		books, weights := n.of(j)
		more, moreWeights := other.of(j)
		for len(books)+len(more) > 0 {
			var b int32
			var v float32
			switch {
			case len(more) == 0 || len(books) > 0 && books[0] < more[0]:
				b, v = books[0], weights[0]
				books, weights = books[1:], weights[1:]
			case len(books) == 0 || more[0] < books[0]:
				b, v = more[0], factors[more[0]]*moreWeights[0]
				more, moreWeights = more[1:], moreWeights[1:]
			default:
				b, v = books[0], weights[0]+factors[books[0]]*moreWeights[0]
				books, weights = books[1:], weights[1:]
				more, moreWeights = more[1:], moreWeights[1:]
			}
			if magnitude(v) >= leastWeight {
				merged.book = append(merged.book, b)
				merged.value = append(merged.value, max(min(v, mostWeight), -mostWeight))
			}
		}
		keys, kept = keys[:0], kept[:0]
		for k, v := range merged.value {
			keys = append(keys, rankKey(magnitude(v), int32(k)))
			kept = append(kept, len(merged.book) <= perBlend)
		}
		if len(keys) > perBlend {
			keepGreatest(keys, perBlend)
			for _, key := range keys[:perBlend] {
				kept[rankOf(key).Book] = true
			}
		}
		for k, b := range merged.book {
			if kept[k] {
				sum.book = append(sum.book, b)
				sum.weight = append(sum.weight, merged.value[k])
			}
		}
		sum.rows[j+1] = int64(len(sum.book))
	}
	return sum
}

// perBlend is how many neighbours a book keeps when the regression has added to
// them.
const perBlend = 250

func magnitude(v float32) float32 { return max(v, -v) }
