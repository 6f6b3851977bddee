package recommender

import (
	"context"
	"sort"
)

// fit trains on all of d by given parameters. The factors begin at start, when
// given. done is told how far that is, out of the number of books.
func fit(ctx context.Context, d *Dataset, p Parameters, start *factors, seed uint64, workers int, done func(int)) (*Model, error) {
	whole, err := fitPart(ctx, d, choice{parameters: p, start: start}, 0, 1, seed, workers, done)
	if err != nil {
		return nil, err
	}
	return assemble([]*Part{whole}), nil
}

// fitPart does what part index of count has to do: the neighbours of its range
// of the books, and if it is the first the factors.
func fitPart(ctx context.Context, d *Dataset, c choice, index, count int, seed uint64, workers int, done func(int)) (*Part, error) {
	p := c.parameters
	m := newMatrix(d, d.weights(p))
	s := stages{books: m.books, count: 1, done: done}
	if p.Regression > 0 {
		s.count += 2
	}
	if p.Factors > 0 && index == 0 {
		s.count++
	}
	books := m.share(index, count, p)
	part := &Part{
		parameters: p,
		shelf: shelf{
			books:      idIndex{ids: d.books.ids[books.from:books.to]},
			categories: d.categories[books.from:books.to],
			readersOf:  m.readersOf[books.from:books.to],
			size:       m.bookSize[books.from:books.to],
		},
		info: PartInfo{
			Index: index, Count: count,
			First: int(books.from), Books: m.books,
			Readers: d.Readers(), Interactions: d.Interactions(), Seed: seed,
		},
	}
	var err error
	if part.near, err = connect(ctx, m, p, books, workers, s.next(books.len())); err != nil {
		return nil, err
	}
	if p.Regression > 0 {
		e, err := gather(ctx, m, books, workers, s.next(books.len()))
		if err != nil {
			return nil, err
		}
		solved, err := e.solve(ctx, []float64{p.Ridge}, workers, s.next(books.len()))
		if err != nil {
			return nil, err
		}
		part.predicted = solved[0]
	}
	if p.Factors > 0 && index == 0 {
		rounds := factorRounds
		var from []float32
		if c.start != nil {
			rounds, from = refiningRounds, c.start.raw
		}
		f, err := factorise(ctx, m, p.Unobserved, factorWidth(m.books), rounds, from, seed, workers, s.next(m.books))
		if err != nil {
			return nil, err
		}
		part.factors = factors{width: f.width, point: f.point}
	}
	return part, nil
}

// stages tell of the progress of several works one after the other as of one,
// out of the number of books.
type stages struct {
	books, count int
	begun        int
	done         func(int)
}

// next is for the next stage, which tells of so many pieces.
func (s *stages) next(pieces int) func(int) {
	if s.done == nil {
		return nil
	}
	before := s.begun * s.books
	s.begun++
	return func(n int) { s.done((before + n*s.books/max(pieces, 1)) / s.count) }
}

// What work costs, in counts of one reader of two books.
const (
	listCost   = 2_000   // for each book, beside counting
	solveCost  = 100_000 // the regression of a book
	factorCost = 1. / 16 // a step of the factors: for each opinion their width squared, each round
)

// share is the books of part index of count: a range that is about as much work
// as that of every other part, where the first has the factors to do besides.
func (m *matrix) share(index, count int, p Parameters) span {
	first := 0
	if p.Factors > 0 {
		width := float64(factorWidth(m.books))
		first = int(factorCost * refiningRounds * width * width * float64(len(m.book)))
	}
	each := listCost
	if p.Regression > 0 {
		each += solveCost
	}
	before := make([]int, m.books+1) // by book: the work for those before it
	for b := range m.books {
		work := each
		for _, r := range m.reader[m.bookRows[b]:m.bookRows[b+1]] {
			work += m.readerRows[r+1] - m.readerRows[r]
		}
		before[b+1] = before[b] + work
	}
	border := func(i int) int32 {
		return int32(sort.Search(m.books, func(b int) bool { return (first+before[b])*count >= (first+before[m.books])*i }))
	}
	if index == 0 {
		return span{0, border(1)}
	}
	return span{border(index), border(index + 1)}
}
