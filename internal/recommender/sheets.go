package recommender

import (
	"context"
	"slices"

	"github.com/octavo-books/octavo/internal/vector"
)

// The parts of a score, as a sheet has them.
const (
	partNeighbours = iota
	partRegression
	partFactors
	partPrior
	allParts
)

// line is what the parts say about one book.
type line struct {
	book  int32
	parts [allParts]float32
}

// mixture is what each part counts.
type mixture [allParts]float32

// perSheet is how many lines are kept of what each part, and their sum, puts
// first: those that any mix of them can bring among the first judgedAt.
const perSheet = 100

// sheets are what the parts say to each judge about the books that may be among
// the first, so that a mix of them is measured by a few sums.
type sheets struct {
	t      *tuner
	lines  [][]line      // by judge
	judge  map[int32]int // by reader
	scales [allParts]float64
}

// write fills sheets in. r and f may be nil.
func (t *tuner) write(ctx context.Context, near, r *neighbours, f *factors, prior []float32) (*sheets, error) {
	s := &sheets{t: t, lines: make([][]line, len(t.probes)), judge: make(map[int32]int, len(t.probes))}
	writers := make([]writer, t.workers)
	for w := range writers {
		writers[w].sums = make([][2]float32, len(prior))
		writers[w].met = make([]bool, len(prior))
	}
	sample := min(len(t.probes), fewJudges)
	most := make([][allParts]float32, sample)
	if err := parallel(ctx, t.workers, sample, nil, func(w, i int) {
		writers[w].collect(&t.probes[i], near, r, f, prior)
		for _, l := range writers[w].lines {
			for part, v := range l.parts {
				most[i][part] = max(most[i][part], v)
			}
		}
	}); err != nil {
		return nil, err
	}
	for i := range most {
		for part, v := range most[i] {
			s.scales[part] += float64(v) / float64(sample)
		}
	}
	for i := range t.probes {
		s.judge[t.probes[i].reader] = i
	}
	return s, parallel(ctx, t.workers, len(t.probes), nil, func(w, i int) {
		writers[w].collect(&t.probes[i], near, r, f, prior)
		s.lines[i] = writers[w].shorten(s.scales)
	})
}

// hold returns sheets in which the regression holds well-read books back as p
// has it.
func (s *sheets) hold(p Parameters) *sheets {
	damp := damping(s.t.matrix.bookSize, p.Smoothing, p.RegressionExponent)
	held := &sheets{t: s.t, lines: make([][]line, len(s.lines)), judge: s.judge, scales: s.scales}
	var before, after float64
	for i, lines := range s.lines {
		held.lines[i] = slices.Clone(lines)
		var most, mostHeld float32
		for k := range held.lines[i] {
			l := &held.lines[i][k]
			most = max(most, l.parts[partRegression])
			l.parts[partRegression] *= damp[l.book]
			mostHeld = max(mostHeld, l.parts[partRegression])
		}
		before, after = before+float64(most), after+float64(mostHeld)
	}
	if before > 0 {
		held.scales[partRegression] *= after / before
	}
	return held
}

// writer puts one sheet together after the other.
type writer struct {
	sums   [][2]float32 // by book: neighbours and regression
	met    []bool
	books  []int32
	lines  []line
	keys   []uint64
	kept   []bool
	reader solver
	own    []int32
	weight []float32
	place  []float32
}

// collect leaves in w.lines all books of which the reader's own say something.
func (w *writer) collect(p *probe, near, r *neighbours, f *factors, prior []float32) {
	w.books, w.lines = w.books[:0], w.lines[:0]
	for _, o := range latest(p.own) {
		if o.Weight <= 0 {
			continue
		}
		for part, n := range [2]*neighbours{near, r} {
			if n == nil {
				continue
			}
			books, weights := n.of(o.Book)
			for k, b := range books {
				if !w.met[b] {
					w.met[b] = true
					w.books = append(w.books, b)
				}
				w.sums[b][part] += o.Weight * weights[k]
			}
		}
	}
	for _, b := range p.exclude {
		w.met[b] = false
	}
	if f != nil {
		w.fold(p, f)
	}
	for _, b := range w.books {
		if w.met[b] {
			l := line{book: b, parts: [allParts]float32{w.sums[b][0], w.sums[b][1], 0, prior[b]}}
			if f != nil {
				l.parts[partFactors] = vector.Dot(w.place, f.of(b))
			}
			w.lines = append(w.lines, l)
		}
		w.met[b], w.sums[b] = false, [2]float32{}
	}
}

// fold places the reader of a probe as Model.meet does.
func (w *writer) fold(p *probe, f *factors) {
	w.own, w.weight = w.own[:0], w.weight[:0]
	for _, o := range slices.Backward(latest(p.own)) {
		if len(w.own) == mostFolded {
			break
		}
		if o.Weight > 0 {
			w.own, w.weight = append(w.own, o.Book), append(w.weight, o.Weight)
		}
	}
	w.place = slices.Grow(w.place[:0], f.width)[:f.width]
	clear(w.place)
	for k, y := range w.reader.dual(f.point, f.width, w.own, w.weight) {
		vector.AddScaled(w.place, y, f.of(w.own[k]))
	}
}

// shorten returns the lines that may come first.
func (w *writer) shorten(scales [allParts]float64) []line {
	var all mixture
	for part, scale := range scales {
		if scale > 0 {
			all[part] = float32(1 / scale)
		}
	}
	w.kept = slices.Grow(w.kept[:0], len(w.lines))[:len(w.lines)]
	clear(w.kept)
	for _, m := range []mixture{{partNeighbours: 1, partPrior: 1}, {partRegression: 1}, {partFactors: 1}, all} {
		w.keys = w.keys[:0]
		for k := range w.lines {
			w.keys = append(w.keys, rankKey(m.of(&w.lines[k]), int32(k)))
		}
		n := min(perSheet, len(w.keys))
		if n > 0 {
			keepGreatest(w.keys, n)
		}
		for _, key := range w.keys[:n] {
			w.kept[rankOf(key).Book] = true
		}
	}
	var n int
	for _, kept := range w.kept {
		if kept {
			n++
		}
	}
	short := make([]line, 0, n)
	for k, l := range w.lines {
		if w.kept[k] {
			short = append(short, l)
		}
	}
	return short
}

func (m *mixture) of(l *line) float32 {
	var sum float32
	for part, v := range l.parts {
		sum += m[part] * v
	}
	return sum
}

// measure ranks by a mix.
func (s *sheets) measure(ctx context.Context, m mixture) (quality, error) {
	heaps := make([]best, s.t.workers)
	return measure(ctx, s.t.probes, judgedAt, s.t.matrix.books, s.t.workers, nil, func(w int, p *probe, dst []Scored) []Scored {
		h := &heaps[w]
		h.keys, h.limit = h.keys[:0], judgedAt
		lines := s.lines[s.judge[p.reader]]
		for k := range lines {
			if key := rankKey(m.of(&lines[k]), lines[k].book); !h.full() || key > h.least() {
				h.add(key)
			}
		}
		for _, key := range h.sorted() {
			dst = append(dst, rankOf(key))
		}
		return dst
	}, nil)
}

// steps are what a part may count, as a multiple of what makes it as strong as
// the neighbours.
var steps = []float64{0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 16, 32}

// neighboursAlone is a mixture of nothing else.
var neighboursAlone = mixture{partNeighbours: 1, partPrior: 1}

// search finds the best mixture of the neighbours with the given parts.
func (s *sheets) search(ctx context.Context, moving ...int) (mixture, quality, error) {
	best := neighboursAlone
	for _, part := range moving {
		best[part] = s.weight(part, 1)
	}
	at, err := s.measure(ctx, best)
	if err != nil {
		return best, at, err
	}
	place := make([]int, allParts)
	for _, part := range moving {
		place[part] = slices.Index(steps, 1)
	}
	for moved := true; moved; {
		moved = false
		for _, part := range moving {
			for _, step := range []int{1, -1} {
				stepped := false
				for i := place[part] + step; i >= 0 && i < len(steps); i += step {
					next := best
					next[part] = s.weight(part, steps[i])
					q, err := s.measure(ctx, next)
					if err != nil {
						return best, at, err
					}
					if q.recall+q.ndcg <= at.recall+at.ndcg {
						break
					}
					best, at, place[part], stepped = next, q, i, true
				}
				if stepped {
					moved = true
					break
				}
			}
		}
	}
	return best, at, nil
}

// weight is what a part counts that is step times as strong as the neighbours.
func (s *sheets) weight(part int, step float64) float32 {
	if s.scales[part] == 0 {
		return 0
	}
	return float32(step * s.scales[partNeighbours] / s.scales[part])
}
