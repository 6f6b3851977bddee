package recommender

// opposes reports whether an own book pushes down what is like it, and with what
// weight.
func (m *Model) opposes(o Own) (float32, bool) {
	ok := o.Weight < -leastWeight && o.Book >= 0 && int(o.Book) < len(m.prior)
	return min(-o.Weight, mostOwn), ok
}

// oppose takes from the sums what the own books of a weight below 0 say against
// their neighbours. A book it meets first is no candidate for that: s.touched
// has those behind the candidates. Where a book speaks against a neighbour, to
// dislike the one says nothing for the other.
func (m *Model) oppose(s *scratch, own []Own, category uint8) {
	for _, o := range latest(own) {
		w, ok := m.opposes(o)
		if !ok {
			continue
		}
		scale := w * m.near.scale[o.Book]
		for _, word := range m.within(m.near.of(o.Book), category) {
			weight := m.near.weight(word)
			if weight <= 0 {
				continue
			}
			b := m.near.book(word)
			if isUntouched(s.sum[b]) {
				s.touched = append(s.touched, b)
			}
			s.sum[b] -= float32(scale * weight)
		}
	}
}
