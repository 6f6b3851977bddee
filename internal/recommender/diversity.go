package recommender

import "slices"

// diverseHead is how many of the best books are considered for a diverse answer.
func diverseHead(limit int) int { return min(5*limit, limit+200) }

// diversify appends to dst limit books out of head, rank keys in order, one by
// one: each time the one with the best balance between its score and its
// likeness to those already chosen (maximal marginal relevance).
func (m *Model) diversify(head []uint64, limit int, diversity float32, dst []Scored) []Scored {
	if len(head) == 0 {
		return dst
	}
	rest := make([]Scored, len(head))
	for k, key := range head {
		rest[k] = rankOf(key)
	}
	top := max(rest[0].Score, leastWeight)
	likeness := make([]float32, len(rest))
	for range min(limit, len(rest)) {
		chosen, balance := 0, float32(-2)
		for k, s := range rest {
			if b := (1-diversity)*s.Score/top - diversity*likeness[k]; b > balance {
				chosen, balance = k, b
			}
		}
		pick := rest[chosen]
		dst = append(dst, pick)
		rest = slices.Delete(rest, chosen, chosen+1)
		likeness = slices.Delete(likeness, chosen, chosen+1)
		m.liken(pick.Book, rest, likeness)
	}
	return dst
}

// liken raises the likeness of each book to that with a book just chosen: 1 for
// its nearest neighbour, 0 for a stranger.
func (m *Model) liken(chosen int32, books []Scored, likeness []float32) {
	var nearest float32
	for k, word := range m.near.of(chosen) {
		if w := m.near.weight(word); k == 0 || w > nearest {
			nearest = w
		}
	}
	if nearest == 0 {
		return
	}
	for k, s := range books {
		likeness[k] = max(likeness[k], m.near.weight(m.find(chosen, s.Book))/nearest)
	}
}
