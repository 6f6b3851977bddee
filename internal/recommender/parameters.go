package recommender

import (
	"fmt"
	"math"
)

// Parameters are the numbers of the formulas
//
//	C(i,j) = Σ_u x(u,i) x(u,j) / d(u)^ReaderExponent
//	V(i,j) = (C(i,j) / ((d(i)+Smoothing)^BookExponent (d(j)+Smoothing)^OwnExponent))^Sharpness
//	W(i,j) = V(i,j) / (Σ_i V(i,j))^Evenness / scale
//	score(u,i) = Σ_j x(u,j) (W(i,j) + Regression R(i,j) / (d(i)+Smoothing)^RegressionExponent) + Factors f(u,i)
//	             + Prior (d(i)/max d)^PriorExponent
//
// where x(u,i) is the weight of reader u's opinion on book i, d(u) and d(i) are
// its sums over the reader's books and the book's readers, i runs over the
// strongest neighbours of j, j over the reader's own books, and scale makes the
// strongest neighbour of a book 1 on the average. R is found by evidence.regress
// and f by factorise; a book that is no neighbour of the reader's own has the
// last term alone.
type Parameters struct {
	BookExponent   float64 // how much a well-read book is held back
	OwnExponent    float64 // how much less a well-read book of the reader's own says
	ReaderExponent float64 // how much less one book of a long history says
	Smoothing      float64 // readers added to each book: evidence asked for
	Sharpness      float64 // above 1 near neighbours count more, far ones less
	Evenness       float64 // 1: all of the reader's own books have the same to give; 0: as the counts have it
	Prior          float64 // weight of popularity
	PriorExponent  float64 // below 1 less-read books have a larger part of it
	// Disliked is the weight of a book the reader has read and not liked. It is
	// 0 wherever books are to be enjoyed; see Objective.
	Disliked float64
	// Against is what a book counts against its neighbours that the reader has
	// seen and not liked. Such a book is nobody's neighbour for that.
	Against float64
	// Stars is how much the distance of a rating from the reader's mean changes
	// the weight of a book that is not disliked: 0 not at all.
	Stars float64
	// Contrast is how much more a strong sign of liking counts than a weak one: 1
	// as Opinion has it, 0 not at all.
	Contrast float64

	Regression float64 // weight of the regression of each book on its nearest
	Ridge      float64 // λ of the regression, in readers
	// RegressionExponent is how much the regression holds back a well-read book.
	RegressionExponent float64
	Factors            float64 // weight of the factors
	Unobserved         float64 // α of the factors: what a book not read counts, a read one 1
}

// Objective says what a good suggestion is.
type Objective uint8

const (
	// Liked: a book the reader will like. Disliked books pull nothing up.
	Liked Objective = iota
	// Read: a book the reader will read, whatever comes of it. That is what the
	// published tables measure, and there a disliked book was read too.
	Read
)

// defaultParameters are where the search begins.
func defaultParameters(o Objective) Parameters {
	p := Parameters{
		BookExponent:   0.4,
		OwnExponent:    0.5,
		ReaderExponent: 0.4,
		Smoothing:      5,
		Sharpness:      1.2,
		Evenness:       0.4,
		Prior:          0.01,
		PriorExponent:  1,
		Stars:          1,
		Contrast:       1,
		Against:        0.1,
	}
	if o == Read {
		p.Stars, p.Disliked, p.Against = 0, 1, 0
	}
	return p
}

// coordinate is one parameter and the values the search may give it, in order.
type coordinate struct {
	name   string
	of     func(*Parameters) *float64
	values []float64
}

// linking are the parameters that act on counts already made.
var linking = []coordinate{
	{"book_exponent", func(p *Parameters) *float64 { return &p.BookExponent }, []float64{0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2}},
	{"own_exponent", func(p *Parameters) *float64 { return &p.OwnExponent }, []float64{0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2}},
	{"smoothing", func(p *Parameters) *float64 { return &p.Smoothing }, []float64{0.5, 1, 2, 3, 5, 8, 13, 20, 40, 80}},
	{"sharpness", func(p *Parameters) *float64 { return &p.Sharpness }, []float64{0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.5, 1.75, 2, 2.5, 3}},
	{"evenness", func(p *Parameters) *float64 { return &p.Evenness }, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
	{"prior", func(p *Parameters) *float64 { return &p.Prior }, []float64{1e-6, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1}},
	{"prior_exponent", func(p *Parameters) *float64 { return &p.PriorExponent }, []float64{0.5, 1}},
}

// counting are the parameters that ask for new counts, which takes longer. See
// tuner.slow for which of them are searched.
var counting = []coordinate{
	{"reader_exponent", func(p *Parameters) *float64 { return &p.ReaderExponent }, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
	{"contrast", func(p *Parameters) *float64 { return &p.Contrast }, []float64{0, 0.5, 1, 2, 4}},
	{"stars", func(p *Parameters) *float64 { return &p.Stars }, []float64{0, 0.5, 1, 2}},
	{"disliked", func(p *Parameters) *float64 { return &p.Disliked }, []float64{0, 0.5, 1}},
}

// The names of the parameters that are not searched one after the other.
const (
	againstName    = "against"
	regressionName = "regression"
	ridgeName      = "ridge"
	heldName       = "regression_exponent"
	factorsName    = "factors"
	unobservedName = "unobserved"
)

// named are the parameters by name.
func (p *Parameters) named() map[string]*float64 {
	m := map[string]*float64{
		againstName:    &p.Against,
		regressionName: &p.Regression, ridgeName: &p.Ridge, heldName: &p.RegressionExponent,
		factorsName: &p.Factors, unobservedName: &p.Unobserved,
	}
	for _, c := range append(linking[:len(linking):len(linking)], counting...) {
		m[c.name] = c.of(p)
	}
	return m
}

// Map gives the parameters by name, as reports and the model file have them.
func (p Parameters) Map() map[string]float64 {
	m := make(map[string]float64)
	for name, value := range p.named() {
		m[name] = *value
	}
	return m
}

// parametersFrom is the reverse of Map. Those of another program, which knows
// other names, are refused.
func parametersFrom(values map[string]float64) (Parameters, error) {
	var p Parameters
	named := p.named()
	for name, to := range named {
		value, ok := values[name]
		switch {
		case !ok:
			return p, fmt.Errorf("parameters: there is no %s", name)
		case math.IsNaN(value) || value < 0 || value > mostParameter:
			return p, fmt.Errorf("parameters: %s is %v", name, value)
		}
		*to = value
	}
	for name := range values {
		if named[name] == nil {
			return p, fmt.Errorf("parameters: %s is not known", name)
		}
	}
	return p, nil
}

// mostParameter is beyond all that is chosen.
const mostParameter = 1e12

// popularity is the prior of each book, Prior for the most read one.
func (p Parameters) popularity(size []float32) []float32 {
	prior := make([]float32, len(size))
	var most float32
	for _, d := range size {
		most = max(most, d)
	}
	if most == 0 {
		return prior
	}
	for i, d := range size {
		prior[i] = float32(p.Prior * math.Pow(float64(d)/float64(most), p.PriorExponent))
	}
	return prior
}

// regressions are what the regression counts for each book it predicts.
func (p Parameters) regressions(size []float32) []float32 {
	weights := damping(size, p.Smoothing, p.RegressionExponent)
	for b := range weights {
		weights[b] *= float32(p.Regression)
	}
	return weights
}

// damping is (size+smoothing)^-exponent for each size.
func damping(size []float32, smoothing, exponent float64) []float32 {
	f := make([]float32, len(size))
	for i, d := range size {
		f[i] = float32(math.Pow(math.Max(float64(d)+smoothing, 1e-3), -exponent))
	}
	return f
}
