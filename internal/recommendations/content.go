package recommendations

import (
	"cmp"
	"math"
	"slices"
)

// Books are alike by their content in author, series, tags and category. The
// likeness of two is the sum of what they share: at most the first four, which
// are 1 together, and the last for the volume that follows one the reader has.
const (
	authorPart   = 0.3
	seriesPart   = 0.3
	tagsPart     = 0.35
	categoryPart = 0.05
	nextVolume   = 0.5
)

// What a book is indexed by, and how much of an index is looked at, is bounded,
// so that a question costs the same however many books there are.
const (
	indexedAuthors = 3
	indexedTags    = 10
	newestOfList   = 32  // books of one author, series, tag or category
	mostCandidates = 128 // books compared
	mostLiked      = 32  // the reader's own books they are compared with
)

// featureKind says what a feature, which is what books can share, is of.
type featureKind uint8

const (
	ofAuthor featureKind = iota
	ofSeries
	ofTag
	ofCategory
)

// feature is one that a book has, with its root of a likeness: the likeness of
// two books is the sum of the products for the features they share.
type feature struct {
	id   int32
	kind featureKind
	root float32
}

// index has the slots of the books of each feature, the newest last.
type index [][]int32

func (x *index) add(b *book) {
	for _, f := range b.features {
		for int(f.id) >= len(*x) {
			*x = append(*x, nil)
		}
		(*x)[f.id] = append((*x)[f.id], b.slot)
	}
}

func (x index) remove(b *book) {
	for _, f := range b.features {
		if at := slices.Index(x.of(f.id), b.slot); at >= 0 {
			x[f.id] = slices.Delete(x[f.id], at, at+1)
		}
	}
}

func (x index) of(feature int32) []int32 {
	if int(feature) >= len(x) {
		return nil
	}
	return x[feature]
}

// liked is a book of the reader's own, and how much it counts.
type liked struct {
	book   *book
	weight float32
}

// candidate is a book that is like some of the reader's own.
type candidate struct {
	book  *book
	score float32 // the sum of the terms of all books of the reader's own
}

// comparison is the memory that books are compared in.
type comparison struct {
	sums       []float32 // by feature; 0 between uses
	touched    []int32   // features that have a sum
	marked     []bool    // by slot; false between uses
	candidates []candidate
}

func (m *comparison) add(b *book, weight float32) {
	for _, f := range b.features {
		if int(f.id) >= len(m.sums) {
			m.sums = append(m.sums, make([]float32, int(f.id)+1-len(m.sums))...)
		}
		if m.sums[f.id] == 0 {
			m.touched = append(m.touched, f.id)
		}
		m.sums[f.id] += weight * f.root
	}
}

func (m *comparison) product(b *book) (sum float32) {
	for _, f := range b.features {
		if int(f.id) < len(m.sums) {
			sum += f.root * m.sums[f.id]
		}
	}
	return sum
}

func (m *comparison) clear() {
	for _, f := range m.touched {
		m.sums[f] = 0
	}
	m.touched = m.touched[:0]
}

// weigh gives the features of a book their roots. Those of one kind share its
// part. A tag counts the less the more books have it, with the logarithm: a word
// on every other book says little.
func (x index) weigh(b *book) {
	var sums [ofCategory + 1]float32
	for i := range b.features {
		f := &b.features[i]
		f.root = 1
		if f.kind == ofTag {
			f.root = float32(1 / (1 + math.Log(float64(1+len(x.of(f.id))))))
		}
		sums[f.kind] += f.root * f.root
	}
	parts := [...]float32{ofAuthor: authorPart, ofSeries: seriesPart, ofTag: tagsPart, ofCategory: categoryPart}
	for i := range b.features {
		f := &b.features[i]
		f.root *= float32(math.Sqrt(float64(parts[f.kind] / sums[f.kind])))
	}
}

// follows is what a book counts besides because it is the next volume.
func (b *book) follows(own *book) float32 {
	if b.series != 0 && b.series == own.series && b.place > own.place && b.place <= own.place+1 {
		return nextVolume
	}
	return 0
}

// reach says by what books are looked for.
type reach uint8

const (
	byAuthorAndSeries reach = iota
	byAll
)

// like returns the accepted books of an index that are like the reader's own,
// in no order. The list is m's. c.mu is held.
func (x index) like(c *catalogue, own []liked, by reach, accept func(*book) bool, m *comparison) []candidate {
	m.candidates = m.candidates[:0]
	if n := len(c.slots); len(m.marked) < n {
		m.marked = append(m.marked, make([]bool, n-len(m.marked))...)
	}
	for _, l := range own {
		c.collect(x.of(l.book.author), accept, m)
		c.collect(x.of(l.book.series), accept, m)
	}
	if by == byAll {
		// Rare things first, so that they are not crowded out.
		for _, kind := range [...]featureKind{ofAuthor, ofTag, ofCategory} {
			for _, l := range own {
				for _, f := range l.book.features {
					if f.kind == kind {
						c.collect(x.of(f.id), accept, m)
					}
				}
			}
		}
	}
	if len(m.candidates) == 0 {
		return nil
	}
	for _, l := range own {
		m.add(l.book, l.weight)
	}
	for i := range m.candidates {
		found := &m.candidates[i]
		m.marked[found.book.slot] = false
		found.score = m.product(found.book)
		if found.book.series == 0 {
			continue
		}
		for _, l := range own {
			found.score += l.weight * found.book.follows(l.book)
		}
	}
	m.clear()
	return m.candidates
}

// newLike returns accepted books nobody has read; see index.like.
func (c *catalogue) newLike(own []liked, by reach, accept func(*book) bool, m *comparison) []candidate {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.unread.like(c, own, by, accept, m)
}

// booksLike returns accepted books of all there are, the most alike first, of
// those the most popular.
func (c *catalogue) booksLike(own []liked, accept func(*book) bool, popularity func(*book) int64, m *comparison) []candidate {
	c.mu.RLock()
	defer c.mu.RUnlock()
	candidates := c.index.like(c, own, byAll, accept, m)
	sortCandidates(candidates, popularity)
	return candidates
}

// sortCandidates puts the most alike first, of those the most popular.
func sortCandidates(candidates []candidate, popularity func(*book) int64) {
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(popularity(b.book), popularity(a.book)), cmp.Compare(a.book.id, b.book.id))
	})
}

// collect adds the newest books of a list to the candidates.
func (c *catalogue) collect(list []int32, accept func(*book) bool, m *comparison) {
	for _, slot := range slices.Backward(list[max(0, len(list)-newestOfList):]) {
		if len(m.candidates) == mostCandidates {
			return
		}
		if b := c.slots[slot]; !m.marked[slot] && accept(b) {
			m.marked[slot] = true
			m.candidates = append(m.candidates, candidate{book: b})
		}
	}
}

// appendTerms appends what each of the reader's own books adds to the likeness
// of a book, the largest first, as its share of their sum.
func appendTerms(dst []reason, b *book, own []liked, m *comparison) []reason {
	first := len(dst)
	var sum float32
	m.add(b, 1)
	for _, l := range own {
		if term := l.weight * (m.product(l.book) + b.follows(l.book)); term > 0 {
			dst = append(dst, reason{kind: newBook, book: l.book, share: term})
			sum += term
		}
	}
	m.clear()
	terms := dst[first:]
	for i := range terms {
		terms[i].share /= sum
	}
	slices.SortStableFunc(terms, func(a, b reason) int { return cmp.Compare(b.share, a.share) })
	return dst
}
