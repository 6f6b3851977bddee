package recommender

import (
	"context"
	"fmt"
)

// Parameters are those the model was made by.
func (m *Model) Parameters() (Parameters, error) { return parametersFrom(m.info.Parameters) }

// Refresh learns a model of d as Train does, with the parameters and the factors
// of old in place of choosing and learning them: the neighbours, the regression
// and the prior are exactly those that Train finds of d by these parameters. A
// book old does not know has no factors. The metrics stay those of old, and
// LearntPosition says so. Of the options it heeds Position, Workers and
// Progress.
func Refresh(ctx context.Context, d *Dataset, old *Model, o Options) (*Model, error) {
	p, err := old.Parameters()
	if err != nil {
		return nil, fmt.Errorf("refresh: %w", err)
	}
	if !d.learnable() {
		return nil, fmt.Errorf("refresh: %w", ErrNoData)
	}
	learnt := p
	learnt.Factors = 0
	part, err := fitPart(ctx, d, choice{parameters: learnt}, 0, 1, old.info.Seed, workers(o.Workers), func(done int) { o.Progress.report("training", done, d.Books()) })
	if err != nil {
		return nil, fmt.Errorf("refresh: %w", err)
	}
	part.parameters, part.factors = p, old.factorsFor(d)
	m := assemble([]*Part{part})
	before := old.Info()
	m.info.Metrics, m.info.Seed = before.Metrics, before.Seed
	m.info.Position, m.info.LearntPosition = o.Position, before.LearntPosition
	return m, m.seal()
}

// factorsFor are the factors of the books of d, 0 for a book m does not know.
func (m *Model) factorsFor(d *Dataset) factors {
	width := m.factors.width
	f := factors{width: width, point: make([]float32, d.Books()*width)}
	for b, id := range d.books.ids {
		if known, ok := m.Index(id); ok && width > 0 {
			copy(f.of(int32(b)), m.factors.of(known))
		}
	}
	return f
}
