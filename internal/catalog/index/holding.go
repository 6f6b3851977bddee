package index

import "slices"

// Holding returns up to limit books, in any order, whose titles have all of the
// words and whose authors or series have one of the names; no names ask for
// none. Words and names are folded, and looked up as they are: it costs a look
// at the books of the rarest word. more says that there are others.
func (x *Index) Holding(words, names []string, limit int) (ids []int32, more bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	numbers := make([]uint32, len(words))
	var rarest []uint32
	for i, word := range words {
		n, ok := x.words.numbers[word]
		if !ok {
			return nil, false
		}
		numbers[i] = n
		if books := x.words.books[n]; i == 0 || len(books) < len(rarest) {
			rarest = books
		}
	}
	var others []uint32
	for _, name := range names {
		if n, ok := x.words.numbers[name]; ok {
			others = append(others, n)
		}
	}
	if len(names) > 0 && len(others) == 0 {
		return nil, false
	}
	for _, slot := range rarest {
		e := &x.books[slot]
		if e.to == 0 || !hold(x.fields[e.from:e.to], numbers, others) {
			continue
		}
		if len(ids) == limit {
			return ids, true
		}
		ids = append(ids, e.id)
	}
	return ids, false
}

// hold reports whether the first field has all of the words, and a later one
// has one of the names, if there are any.
func hold(fields, words, names []uint32) bool {
	end := slices.Index(fields, gap)
	title, rest := fields[:end], fields[end:]
	for _, w := range words {
		if !slices.Contains(title, w) {
			return false
		}
	}
	return len(names) == 0 || slices.ContainsFunc(names, func(n uint32) bool { return slices.Contains(rest, n) })
}
