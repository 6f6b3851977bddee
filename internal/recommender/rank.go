package recommender

import "math"

// A rank key orders books by score, and books of equal score by index, the
// lower first: the greater key is the better book.
func rankKey(score float32, book int32) uint64 {
	return uint64(ordered(score))<<32 | uint64(^uint32(book))
}

func rankOf(key uint64) Scored {
	return Scored{Book: int32(^uint32(key)), Score: fromOrdered(uint32(key >> 32))}
}

// ordered are bits that compare as the numbers do: of those below 0 all are
// turned round, of others the sign alone.
func ordered(v float32) uint32 {
	b := math.Float32bits(v)
	return b ^ (uint32(int32(b)>>31) | 1<<31)
}

// fromOrdered is the reverse of ordered.
func fromOrdered(b uint32) float32 {
	return math.Float32frombits(b ^ (uint32(^int32(b)>>31) | 1<<31))
}

// keepGreatest moves the n greatest keys to the front, in no particular order.
func keepGreatest(keys []uint64, n int) {
	low, high := 0, len(keys)-1
	for low < high {
		pivot := middle(keys[low], keys[low+(high-low)/2], keys[high])
		i, j := low, high
		for i <= j {
			for keys[i] > pivot {
				i++
			}
			for keys[j] < pivot {
				j--
			}
			if i <= j {
				keys[i], keys[j] = keys[j], keys[i]
				i++
				j--
			}
		}
		switch {
		case n-1 <= j:
			high = j
		case n-1 >= i:
			low = i
		default:
			return
		}
	}
}

func middle(a, b, c uint64) uint64 {
	return max(min(a, b), min(max(a, b), c))
}

// best holds the greatest keys given to it, a min-heap of at most limit.
type best struct {
	keys  []uint64
	limit int
}

func (h *best) full() bool { return len(h.keys) == h.limit }

// least is the key a further one must beat once the heap is full.
func (h *best) least() uint64 { return h.keys[0] }

func (h *best) add(key uint64) {
	if len(h.keys) < h.limit {
		h.keys = append(h.keys, key)
		for i := len(h.keys) - 1; i > 0; {
			parent := (i - 1) / 2
			if h.keys[parent] <= h.keys[i] {
				break
			}
			h.keys[parent], h.keys[i] = h.keys[i], h.keys[parent]
			i = parent
		}
		return
	}
	if key <= h.keys[0] {
		return
	}
	h.keys[0] = key
	h.sink(0, len(h.keys))
}

func (h *best) sink(i, n int) {
	for {
		child := 2*i + 1
		if child >= n {
			return
		}
		if child+1 < n && h.keys[child+1] < h.keys[child] {
			child++
		}
		if h.keys[i] <= h.keys[child] {
			return
		}
		h.keys[i], h.keys[child] = h.keys[child], h.keys[i]
		i = child
	}
}

// sorted puts the keys in order, greatest first, and returns them. The heap is
// of no further use.
func (h *best) sorted() []uint64 {
	for n := len(h.keys) - 1; n > 0; n-- {
		h.keys[0], h.keys[n] = h.keys[n], h.keys[0]
		h.sink(0, n)
	}
	return h.keys
}
