package recommender

import (
	"fmt"
	"math"
	"math/bits"
)

// postings are the neighbours of every book as they are served: one word for a
// neighbour, its index in the lower bits and its weight in the others, in whole
// numbers of the scale of its list. Half the memory of an index and a float32
// is half the time it takes to fetch. Lists are in the order of the neighbours'
// categories and then of their indices, so that a category is a piece of each.
type postings struct {
	rows  []int64 // the list of book j is [rows[j], rows[j+1])
	word  []uint32
	scale []float32 // by book
	low   uint      // how many bits of a word the index takes
}

const (
	// mostBooks bounds the books of a model: the weights beside their indices
	// then have at least ten bits and a sign.
	mostBooks = 1 << 21
	// leastScale is below every scale that a list of weights in their bounds has.
	leastScale = leastWeight / (1 << 31)
)

// lowBits is how many bits the index of one of n books takes.
func lowBits(n int) uint { return uint(max(bits.Len(uint(max(n, 1)-1)), 1)) }

// steps is the greatest weight of a list, in its scale.
func (p *postings) steps() int32 { return 1<<(31-p.low) - 1 }

// pack rounds weights to what a word holds, at most half a step of their list's
// scale away and never to nothing. The order within a category is that of n.
func pack(n *neighbours, categories []uint8) postings {
	p := postings{
		rows:  n.rows,
		word:  make([]uint32, len(n.book)),
		scale: make([]float32, len(categories)),
		low:   lowBits(len(categories)),
	}
	steps := float32(p.steps())
	for j := range p.scale {
		books, weights := n.of(int32(j))
		var starts [1 << 8]int32 // by category
		var strongest float32
		for k, b := range books {
			starts[categories[b]]++
			strongest = max(strongest, magnitude(weights[k]))
		}
		if strongest == 0 {
			continue
		}
		var at int32
		for c, size := range starts {
			starts[c], at = at, at+size
		}
		scale := strongest / steps
		p.scale[j] = scale
		list := p.word[n.rows[j]:n.rows[j+1]]
		for k, b := range books {
			weight := min(max(int32(math.Round(float64(magnitude(weights[k])/scale))), 1), p.steps())
			if weights[k] < 0 {
				weight = -weight
			}
			place := &starts[categories[b]]
			list[*place] = uint32(weight)<<p.low | uint32(b)
			*place++
		}
	}
	return p
}

// of is the list of book j.
func (p *postings) of(j int32) []uint32 { return p.word[p.rows[j]:p.rows[j+1]] }

// book is the index of a neighbour.
func (p *postings) book(word uint32) int32 { return int32(word & (1<<(p.low&31) - 1)) }

// weight is a neighbour's weight in the scale of its list.
func (p *postings) weight(word uint32) float32 { return float32(int32(word) >> (p.low & 31)) }

// find is the word of book i in the list of book j, 0 when it is not there: no
// weight is 0.
func (m *Model) find(j, i int32) uint32 {
	list := m.near.of(j)
	if len(list) == 0 {
		return 0
	}
	// Without a jump that depends on the data: it would be guessed wrong half
	// the time.
	low, mask := 0, uint32(1)<<(m.near.low&31)-1
	wanted := uint64(m.categories[i])<<32 | uint64(i)
	for n := len(list); n > 1; {
		half := n / 2
		b := list[low+half] & mask
		if uint64(m.categories[b])<<32|uint64(b) <= wanted {
			low += half
		}
		n -= half
	}
	if int32(list[low]&mask) != i {
		return 0
	}
	return list[low]
}

// says is what a book of the reader's own, of a weight, says for book i as its
// neighbour; 0 when it is none.
func (m *Model) says(own int32, weight float32, i int32) float32 {
	word := m.find(own, i)
	return float32(weight*m.near.scale[own]) * m.near.weight(word)
}

// within is the piece of a list with the books of a category, all for 0.
func (m *Model) within(list []uint32, category uint8) []uint32 {
	if category == 0 {
		return list
	}
	mask := uint32(1)<<(m.near.low&31) - 1
	before := func(c int) int { // how many are of categories before c
		low := 0
		for n := len(list); n > 0; {
			half := (n + 1) / 2
			if int(m.categories[list[low+half-1]&mask]) < c {
				low += half
			}
			n -= half
		}
		return low
	}
	from := before(int(category))
	list = list[from:]
	return list[:before(int(category)+1)]
}

// check refuses lists that make no sense or weights outside their bounds.
func (p *postings) check(categories []uint8) error {
	n := len(categories)
	if p.rows[0] != 0 || p.rows[n] != int64(len(p.word)) {
		return fmt.Errorf("section neighbour_rows: from %d to %d, there are %d neighbours", p.rows[0], p.rows[n], len(p.word))
	}
	for j := range n {
		if p.rows[j+1] < p.rows[j] || p.rows[j+1] > int64(len(p.word)) {
			return fmt.Errorf("section neighbour_rows: the row of book %d goes from %d to %d", j, p.rows[j], p.rows[j+1])
		}
		last := int64(-1)
		for _, word := range p.of(int32(j)) {
			b := p.book(word)
			if int(b) >= n {
				return fmt.Errorf("section neighbours: book %d has neighbour %d of %d books", j, b, n)
			}
			if place := int64(categories[b])<<32 | int64(b); place > last {
				last = place
			} else {
				return fmt.Errorf("section neighbours: book %d has neighbour %d out of order", j, b)
			}
		}
	}
	return nil
}

// checkWeights refuses weights that are no numbers or outside their bounds.
func (p *postings) checkWeights() error {
	for j, scale := range p.scale {
		if p.rows[j] == p.rows[j+1] {
			continue
		}
		if !(scale >= leastScale && scale*float32(p.steps()) <= 1.001*mostWeight) {
			return fmt.Errorf("the scale of the neighbours of book %d is %v", j, scale)
		}
	}
	for k, word := range p.word {
		if p.weight(word) == 0 {
			return fmt.Errorf("neighbour weight %d is 0", k)
		}
	}
	return nil
}
