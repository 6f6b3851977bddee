package recommender

import (
	"cmp"
	"slices"
)

const (
	mostJudges = 6000 // validation readers
	// halfJudges is how many of few readers are judges, rather than half of them.
	// Not all of many are, so that what is left to train on stays like the whole.
	halfJudges = 200
	// mostCounts bounds the memory of the search for parameters: how many counts
	// of co-readers it keeps, 8 bytes each.
	mostCounts = 24_000_000
)

// trial is a dataset part of which is kept from training, to measure on.
type trial struct {
	data   *Dataset
	held   map[int]bool // entries of data that are not trained on
	judges []judge
}

// judge is a validation reader.
type judge struct {
	reader   int32
	from, to int     // the reader's entries of data
	wanted   []int32 // increasing
}

// wants reports whether an entry is a book worth finding.
func (o Objective) wants(m mark) bool {
	return m&seen != 0 && (o == Read || m&disliked == 0)
}

// holdOut keeps a fifth of the books of some readers from training. Which
// readers and which books depends on the ids and the seed alone.
func holdOut(d *Dataset, o Objective, seed uint64) *trial {
	t := &trial{data: d, held: make(map[int]bool)}
	readers := make([]int32, 0, d.Readers())
	for r := range int32(d.Readers()) {
		readers = append(readers, r)
	}
	slices.SortFunc(readers, func(a, b int32) int {
		return cmp.Or(cmp.Compare(mix(seed, d.readers[a], 0), mix(seed, d.readers[b], 0)), cmp.Compare(a, b))
	})
	var worthy []int
	most := min(max(d.Readers()/2, halfJudges), mostJudges)
	for _, r := range readers {
		if len(t.judges) == most {
			break
		}
		worthy = worthy[:0]
		for e := d.rows[r]; e < d.rows[r+1]; e++ {
			if o.wants(d.marks[e]) {
				worthy = append(worthy, e)
			}
		}
		if len(worthy) < 3 {
			continue
		}
		slices.SortFunc(worthy, func(a, b int) int {
			return cmp.Or(cmp.Compare(mix(seed, d.readers[r], d.book[a]), mix(seed, d.readers[r], d.book[b])), cmp.Compare(a, b))
		})
		j := judge{reader: d.readers[r], from: d.rows[r], to: d.rows[r+1]}
		for _, e := range worthy[:max(1, len(worthy)/5)] {
			t.held[e] = true
			j.wanted = append(j.wanted, d.book[e])
		}
		slices.Sort(j.wanted)
		t.judges = append(t.judges, j)
	}
	return t
}

// given makes a trial of a validation part that comes from outside: the readers'
// books in v that are not in d.
func given(d, v *Dataset, o Objective, seed uint64) *trial {
	t := &trial{data: d, judges: judges(d, v, o)}
	if len(t.judges) > mostJudges {
		slices.SortFunc(t.judges, func(a, b judge) int {
			return cmp.Or(cmp.Compare(mix(seed, a.reader, 0), mix(seed, b.reader, 0)), cmp.Compare(a.reader, b.reader))
		})
		t.judges = t.judges[:mostJudges]
	}
	return t
}

// judges are the readers who have books in v to be found by a model of d.
func judges(d, v *Dataset, o Objective) []judge {
	readers := newIDIndex(d.readers)
	var all []judge
	for r, id := range v.readers {
		j := judge{reader: id}
		if known, ok := readers.find(id); ok {
			j.from, j.to = d.rows[known], d.rows[known+1]
		}
		for e := v.rows[r]; e < v.rows[r+1]; e++ {
			if !o.wants(v.marks[e]) {
				continue
			}
			b, ok := d.books.find(v.books.ids[v.book[e]])
			if !ok {
				b = -1 - v.book[e]
			} else if d.has(j.from, j.to, b) {
				continue
			}
			j.wanted = append(j.wanted, b)
		}
		if len(j.wanted) > 0 {
			slices.Sort(j.wanted)
			all = append(all, j)
		}
	}
	return all
}

// has reports whether a reader, given by the entries, has seen a book.
func (d *Dataset) has(from, to int, book int32) bool {
	for e := from; e < to; e++ {
		if d.book[e] == book && d.marks[e]&seen != 0 {
			return true
		}
	}
	return false
}

// probes are the judges as the model sees them under p.
func (t *trial) probes(p Parameters) []probe {
	all := make([]probe, len(t.judges))
	weigh := t.data.weights(p)
	for i, j := range t.judges {
		all[i] = probe{reader: j.reader, wanted: j.wanted}
		for e := j.from; e < j.to; e++ {
			if t.held[e] {
				continue
			}
			if w := weigh(e); w != 0 {
				all[i].own = append(all[i].own, Own{Book: t.data.book[e], Weight: w})
			}
			if t.data.marks[e]&seen != 0 {
				all[i].exclude = append(all[i].exclude, t.data.book[e])
			}
		}
	}
	return all
}

// matrix is what is trained on.
func (t *trial) matrix(p Parameters) *matrix {
	weigh := t.data.weights(p)
	return newMatrix(t.data, func(e int) float32 {
		if t.held[e] {
			return 0
		}
		return weigh(e)
	})
}

// mix makes well-spread bits of a reader and a book (splitmix64's finaliser).
func mix(seed uint64, reader, book int32) uint64 {
	x := seed ^ uint64(uint32(reader))<<32 ^ uint64(uint32(book))
	for range 2 {
		x += 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return x
}
