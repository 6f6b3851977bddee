package recommender

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Part is what one of several machines contributes to a model: the neighbours of
// a range of the books, before those of all books are scaled, and in the first
// part the factors and the metrics too. Merge makes the model of all parts.
type Part struct {
	info       PartInfo
	parameters Parameters
	shelf            // of its books; what it was learnt from is in info
	near       []row // by book of the range
	predicted  []row // by book of the range: what speaks for it; nil without a regression
	factors    factors

	mapping []byte // nil for a part that was not opened from a file
}

// PartInfo describes a part. All but the index, the first book and the metrics
// is the same in all parts of one model.
type PartInfo struct {
	Index, Count int // the first has index 0
	First        int // its first book's index in the model
	Books        int // of the model
	Readers      int
	Interactions int64
	Position     int64
	Seed         uint64
	Digest       string // of the dataset, hexadecimal
	Parameters   map[string]float64
	Metrics      map[string]float64 // in the first part alone; see Train
}

// Info describes the part. The maps are the caller's own.
func (p *Part) Info() PartInfo {
	i := p.info
	i.Parameters, i.Metrics = p.parameters.Map(), maps.Clone(i.Metrics)
	return i
}

// mostParts bounds how many parts there may be.
const mostParts = 10_000

// TrainPart does what part index of count has to do for the model that Train
// would make of the same dataset and options. Unless the parameters are given,
// each part chooses them, which takes as long for one as for the whole. The
// metrics are measured for the first part alone when they are.
func TrainPart(ctx context.Context, d *Dataset, o Options, index, count int) (*Part, error) {
	if count < 1 || count > mostParts || index < 0 || index >= count {
		return nil, fmt.Errorf("train part %d of %d: parts are numbered from 0, and are at most %d", index, count, mostParts)
	}
	fail := func(err error) (*Part, error) { return nil, fmt.Errorf("train part %d of %d: %w", index, count, err) }
	var c choice
	var err error
	switch {
	case index > 0 && o.Parameters != nil && !d.learnable():
		err = ErrNoData
	case index > 0 && o.Parameters != nil:
		c.parameters = *o.Parameters
	default:
		c, err = decide(ctx, d, o)
	}
	if err != nil {
		return fail(err)
	}
	p, err := fitPart(ctx, d, c, index, count, o.Seed, workers(o.Workers), func(done int) { o.Progress.report("training", done, d.Books()) })
	if err != nil {
		return fail(err)
	}
	p.info.Position, p.info.Digest = o.Position, d.Digest()
	if index == 0 {
		p.info.Metrics = c.metrics
	}
	return p, nil
}

// Merge makes the model of all its parts, given in any order: byte for byte that
// which Train makes of the whole. It refuses parts that are not all there or do
// not belong together, and says why.
func Merge(parts []*Part) (*Model, error) {
	parts = slices.Clone(parts)
	slices.SortStableFunc(parts, func(a, b *Part) int { return a.info.Index - b.info.Index })
	if err := belongTogether(parts); err != nil {
		return nil, fmt.Errorf("merge: %w", err)
	}
	m := assemble(parts)
	if err := m.checkFactors(); err != nil {
		return nil, fmt.Errorf("merge: %w", err)
	}
	first := parts[0].Info()
	m.info.Metrics = first.Metrics
	m.info.Position, m.info.LearntPosition, m.info.Seed = first.Position, first.Position, first.Seed
	return m, m.seal()
}

// belongTogether looks at parts in the order of their index.
func belongTogether(parts []*Part) error {
	if len(parts) == 0 {
		return errors.New("there are no parts")
	}
	first := parts[0].info
	if len(parts) != first.Count {
		return fmt.Errorf("%d parts, want %d", len(parts), first.Count)
	}
	next, last := 0, int64(-1)
	for i, p := range parts {
		got := p.info
		if got.Index != i {
			return fmt.Errorf("part %d is missing", i)
		}
		for _, same := range []struct {
			what        string
			ours, other any
		}{
			{"how many parts there are", first.Count, got.Count},
			{"the position of the log", first.Position, got.Position},
			{"the data", first.Digest, got.Digest},
			{"the seed", first.Seed, got.Seed},
			{"how many books there are", first.Books, got.Books},
			{"how many readers there are", first.Readers, got.Readers},
			{"how many interactions there are", first.Interactions, got.Interactions},
			{"the parameters", parts[0].parameters, p.parameters},
		} {
			if same.ours != same.other {
				return fmt.Errorf("parts 0 and %d disagree on %s: %v and %v", i, same.what, same.ours, same.other)
			}
		}
		if got.First != next {
			return fmt.Errorf("part %d begins with book %d, want %d", i, got.First, next)
		}
		next += len(p.books.ids)
		for _, id := range p.books.ids {
			if int64(id) <= last {
				return fmt.Errorf("part %d has a book of id %d after %d", i, id, last)
			}
			last = int64(id)
		}
	}
	if next != first.Books {
		return fmt.Errorf("the parts have %d books, want %d", next, first.Books)
	}
	return nil
}

// assemble makes a model, without metrics, of parts that belong together.
func assemble(parts []*Part) *Model {
	first := parts[0]
	p := first.parameters
	all := shelf{readers: first.info.Readers, interactions: first.info.Interactions}
	var ids []int32
	var near, predicted []row
	for _, part := range parts {
		ids = append(ids, part.books.ids...)
		all.categories = append(all.categories, part.categories...)
		all.readersOf = append(all.readersOf, part.readersOf...)
		all.size = append(all.size, part.size...)
		near = append(near, part.near...)
		predicted = append(predicted, part.predicted...)
	}
	all.books = newIDIndex(ids)
	joined := join(near)
	if p.Regression > 0 {
		joined = joined.plus(turn(predicted), p.regressions(all.size))
	}
	var f *factors
	if p.Factors > 0 {
		f = &factors{width: first.factors.width, point: slices.Clone(first.factors.point)}
	}
	return all.model(joined, f, p)
}

// Digest is the SHA-256 of all that a training depends on, hexadecimal.
func (d *Dataset) Digest() string {
	marks := make([]byte, len(d.marks))
	for e, m := range d.marks {
		marks[e] = byte(m)
	}
	h := sha256.New()
	sizes := []int64{d.entries}
	for _, r := range d.rows {
		sizes = append(sizes, int64(r))
	}
	for _, part := range [][]byte{
		encode(sizes), encode(d.books.ids), d.categories, encode(d.readers), encode(d.book), encode(d.weight), marks,
	} {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))
}
