package recommender

import (
	"math/bits"
	"slices"
)

// idIndex finds the dense index of an id among sorted ids. Ids that lie close
// together, as a database gives them, are looked up in a table.
type idIndex struct {
	ids   []int32 // strictly increasing
	table []int32 // index+1 by id-ids[0]; nil when the ids lie far apart
}

func newIDIndex(ids []int32) idIndex {
	x := idIndex{ids: ids}
	if len(ids) == 0 {
		return x
	}
	if span := int64(ids[len(ids)-1]) - int64(ids[0]) + 1; span <= 4*int64(len(ids))+1024 {
		x.table = make([]int32, span)
		for i, id := range ids {
			x.table[int64(id)-int64(ids[0])] = int32(i) + 1
		}
	}
	return x
}

func (x idIndex) find(id int32) (int32, bool) {
	if x.table == nil {
		i, ok := slices.BinarySearch(x.ids, id)
		return int32(i), ok
	}
	at := int64(id) - int64(x.ids[0])
	if at < 0 || at >= int64(len(x.table)) || x.table[at] == 0 {
		return 0, false
	}
	return x.table[at] - 1, true
}

// distinct returns the n ids that at gives, each once, in increasing order.
func distinct(n int, at func(int) int32) []int32 {
	if n == 0 {
		return nil
	}
	low, high := at(0), at(0)
	for i := range n {
		low, high = min(low, at(i)), max(high, at(i))
	}
	if span := int64(high) - int64(low) + 1; span <= 64*int64(n) {
		return distinctDense(n, at, low, span)
	}
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = at(i)
	}
	slices.Sort(ids)
	return slices.Clip(slices.Compact(ids))
}

func distinctDense(n int, at func(int) int32, low int32, span int64) []int32 {
	set := make([]uint64, (span+63)/64)
	for i := range n {
		k := int64(at(i)) - int64(low)
		set[k/64] |= 1 << (k % 64)
	}
	count := 0
	for _, word := range set {
		count += bits.OnesCount64(word)
	}
	ids := make([]int32, 0, count)
	for w, word := range set {
		for ; word != 0; word &= word - 1 {
			ids = append(ids, int32(int64(low)+int64(w)*64+int64(bits.TrailingZeros64(word))))
		}
	}
	return ids
}
