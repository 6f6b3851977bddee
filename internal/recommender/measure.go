package recommender

import (
	"context"
	"math"
	"slices"
)

// probe is a reader to measure on.
type probe struct {
	reader  int32 // id
	own     []Own
	exclude []int32
	wanted  []int32 // the books to find, increasing; some may be below 0, unknown to the model
}

// quality is how well books were ranked for some readers.
type quality struct {
	recall, ndcg float64
	coverage     float64   // share of the books that were in at least one answer
	each         []float64 // recall + NDCG by probe
}

// beats reports whether q is better than other, on the same probes, by more than
// chance would have it: the mean difference is larger than its standard error.
func (q quality) beats(other quality) bool {
	n := float64(len(q.each))
	var sum, squares float64
	for i, v := range q.each {
		d := v - other.each[i]
		sum += d
		squares += d * d
	}
	mean := sum / n
	return mean > 0 && mean*mean*n > squares/n-mean*mean
}

// measure ranks k books for each probe. rank appends them to dst; it is called
// from several goroutines. ranked is told the answers afterwards, in order; it
// may be nil.
func measure(ctx context.Context, probes []probe, k, books, workers int, done func(int),
	rank func(worker int, p *probe, dst []Scored) []Scored, ranked func(p *probe, books []int32)) (quality, error) {
	results := make([]result, len(probes))
	answers := make([]int32, len(probes)*k)
	lengths := make([]int32, len(probes))
	buffers := make([][]Scored, workers)
	scale := newGains(k)
	err := parallel(ctx, workers, len(probes), done, func(w, i int) {
		p := &probes[i]
		buffers[w] = rank(w, p, buffers[w][:0])
		answer := answers[i*k : i*k+len(buffers[w])]
		for at, s := range buffers[w] {
			answer[at] = s.Book
		}
		lengths[i] = int32(len(answer))
		results[i] = scale.judge(answer, p.wanted)
	})
	if err != nil || len(probes) == 0 {
		return quality{}, err
	}
	var q quality
	shown := make([]bool, books)
	var distinct int
	q.each = make([]float64, len(results))
	for i, r := range results {
		q.each[i] = r.recall + r.ndcg
		q.recall += r.recall
		q.ndcg += r.ndcg
		answer := answers[i*k : i*k+int(lengths[i])]
		for _, b := range answer {
			if !shown[b] {
				shown[b] = true
				distinct++
			}
		}
		if ranked != nil {
			ranked(&probes[i], answer)
		}
	}
	q.recall /= float64(len(probes))
	q.ndcg /= float64(len(probes))
	q.coverage = float64(distinct) / float64(books)
	return q, nil
}

// result is how well books were ranked for one reader.
type result struct{ recall, ndcg float64 }

// gains are what a hit at each place of an answer is worth.
type gains struct {
	discount []float64 // by place, from 0
	ideal    []float64 // by number of wanted books: with all of them in front
}

func newGains(k int) gains {
	g := gains{discount: make([]float64, k), ideal: make([]float64, k+1)}
	for i := range k {
		g.discount[i] = 1 / math.Log2(float64(i)+2)
		g.ideal[i+1] = g.ideal[i] + g.discount[i]
	}
	return g
}

// judge compares an answer with the wanted books, which are increasing and at
// least one.
func (g gains) judge(answer, wanted []int32) result {
	var hits, gain float64
	for at, b := range answer {
		if _, ok := slices.BinarySearch(wanted, b); ok {
			hits++
			gain += g.discount[at]
		}
	}
	return result{hits / float64(len(wanted)), gain / g.ideal[min(len(g.discount), len(wanted))]}
}

// rankBy is measure's rank for a model.
func (m *Model) rankBy(k int) func(int, *probe, []Scored) []Scored {
	return func(_ int, p *probe, dst []Scored) []Scored {
		return m.Recommend(Query{Own: p.own, Exclude: p.exclude, Limit: k}, dst)
	}
}
