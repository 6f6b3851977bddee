package recommender

import (
	"cmp"
	"math"
	"slices"
)

// Dataset is a log of interactions folded into opinions. Readers and books are
// numbered densely in the order of their ids. It does not change once made.
type Dataset struct {
	books      idIndex
	categories []uint8 // by book
	readers    []int32 // ids, increasing

	// The opinions by reader, oldest first: those of reader r are
	// [rows[r], rows[r+1]).
	rows    []int
	book    []int32
	weight  []float32 // Opinion.Weight, or of a rated book the stars above the reader's mean
	marks   []mark
	entries int64 // events folded
}

// mark is what an opinion says beside its weight, and in the upper bits the kind
// it has without its rating.
type mark uint8

const (
	seen mark = 1 << iota
	disliked
	rated

	markBits = iota
)

func (m mark) kind() Kind { return Kind(m >> markBits) }

func (o Opinion) marks() mark {
	m := mark(o.kind()) << markBits
	if o.Seen {
		m |= seen
	}
	if o.Disliked() {
		m |= disliked
	}
	if o.Rating > 0 {
		m |= rated
	}
	return m
}

// weights returns what an entry weighs under p.
func (d *Dataset) weights(p Parameters) func(entry int) float32 {
	w := p.Weights()
	return func(entry int) float32 {
		switch m := d.marks[entry]; {
		case m&disliked != 0:
			return w.disliked
		case m&rated != 0:
			return w.rated(d.weight[entry])
		default:
			return w.kinds[m.kind()]
		}
	}
}

// varied reports whether unrated opinions differ in their kind, and whether any
// are rated.
func (d *Dataset) varied() (kinds, ratings bool) {
	var first Kind
	for _, m := range d.marks {
		switch {
		case m&rated != 0:
			ratings = true
		case m&disliked != 0:
		case first == 0:
			first = m.kind()
		case m.kind() != first:
			kinds = true
		}
	}
	return kinds, ratings
}

// MaxEvents is how many events a dataset can be made of: they are numbered in 31
// bits, which halves what sorting them takes.
const MaxEvents = math.MaxInt32

// NewDataset folds the events, MaxEvents at most, given in the order of the log. The catalogue is
// the given books and all others that events name; of books given twice the
// first counts.
func NewDataset(events []Event, books []Book) *Dataset {
	d := &Dataset{entries: int64(len(events))}
	d.books = newIDIndex(distinct(len(events)+len(books), func(i int) int32 {
		if i < len(events) {
			return events[i].Book
		}
		return books[i-len(events)].ID
	}))
	d.categories = make([]uint8, len(d.books.ids))
	for _, b := range slices.Backward(books) {
		i, _ := d.books.find(b.ID)
		d.categories[i] = b.Category
	}
	d.readers = distinct(len(events), func(i int) int32 { return events[i].Reader })
	d.fold(events)
	return d
}

// fold groups the events by reader, keeping their order, and each reader's by
// book.
func (d *Dataset) fold(events []Event) {
	readers := newIDIndex(d.readers)
	start := make([]int, len(d.readers)+1)
	for _, e := range events {
		r, _ := readers.find(e.Reader)
		start[r+1]++
	}
	for r := range d.readers {
		start[r+1] += start[r]
	}
	order := make([]int32, len(events))
	next := slices.Clone(start)
	for i, e := range events {
		r, _ := readers.find(e.Reader)
		order[next[r]] = int32(i)
		next[r]++
	}

	type folded struct {
		Opinion
		book int32
		last int32 // the latest event, to keep the order of the log
	}
	var own []folded
	d.rows = make([]int, len(d.readers)+1)
	d.book = make([]int32, 0, len(events))
	d.weight = make([]float32, 0, len(events))
	d.marks = make([]mark, 0, len(events))
	for r := range d.readers {
		mine := order[start[r]:start[r+1]]
		slices.SortFunc(mine, func(a, b int32) int {
			return cmp.Or(cmp.Compare(events[a].Book, events[b].Book), cmp.Compare(a, b))
		})
		own = own[:0]
		for _, i := range mine {
			e := events[i]
			b, _ := d.books.find(e.Book)
			if len(own) == 0 || own[len(own)-1].book != b {
				own = append(own, folded{book: b})
			}
			o := &own[len(own)-1]
			o.Opinion, o.last = o.Apply(e), i
		}
		slices.SortFunc(own, func(a, b folded) int {
			return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.last, b.last))
		})
		var ratings Ratings
		for _, o := range own {
			ratings.Add(o.Opinion)
		}
		for _, o := range own {
			if !o.Seen && o.Weight == 0 {
				continue
			}
			if o.Rating > 0 {
				o.Weight = o.Rating - ratings.Mean()
			}
			d.book = append(d.book, o.book)
			d.weight = append(d.weight, o.Weight)
			d.marks = append(d.marks, o.marks())
		}
		d.rows[r+1] = len(d.book)
	}
	d.book = slices.Clip(d.book)
	d.weight = slices.Clip(d.weight)
	d.marks = slices.Clip(d.marks)
}

// Books is the number of books of the catalogue.
func (d *Dataset) Books() int { return len(d.books.ids) }

// Readers is the number of readers.
func (d *Dataset) Readers() int { return len(d.readers) }

// Interactions is the number of events folded.
func (d *Dataset) Interactions() int64 { return d.entries }
