package recommender

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
)

// Model is what training learnt, ready to answer. It does not change, and may
// be used by many goroutines until it is closed.
type Model struct {
	info Info

	books      idIndex
	categories []uint8
	readersOf  []int32
	prior      []float32
	near       postings

	factors      factors // of width 0 when they do not pay
	factorWeight float32 // of Info.Parameters

	// What follows from the above and is not stored. All books by falling prior,
	// then those of each category:
	order   []int32
	shelves [256]span
	bounds  bounds

	scratch sync.Pool
	digest  [32]byte
	mapping []byte // nil for a model that was not opened from a file
}

type span struct{ from, to int32 }

func (s span) len() int { return int(s.to - s.from) }

// Info describes a model.
type Info struct {
	Version      string // the first 12 hexadecimal digits of the file's digest
	Books        int
	Readers      int   // readers learnt from
	Interactions int64 // events learnt from
	Position     int64 // of the last event of the log it knows
	// LearntPosition is that of the training the parameters, the factors and the
	// metrics come from: Position itself unless the model was refreshed since.
	LearntPosition int64
	Parameters     map[string]float64
	Metrics        map[string]float64 // on the validation part; see Train
	Seed           uint64
	FormatVersion  int
}

// Info describes the model. The maps are the caller's own.
func (m *Model) Info() Info {
	i := m.info
	i.Parameters, i.Metrics = maps.Clone(i.Parameters), maps.Clone(i.Metrics)
	return i
}

// Index is the model's index of a book of the catalogue.
func (m *Model) Index(bookID int32) (int32, bool) { return m.books.find(bookID) }

// BookID is the catalogue's id of a book of the model.
func (m *Model) BookID(index int32) int32 { return m.books.ids[index] }

// Readers is how many readers a book had when the model was trained.
func (m *Model) Readers(index int32) int { return int(m.readersOf[index]) }

// prepare makes what is derived from the stored parts.
func (m *Model) prepare() {
	n := len(m.prior)
	m.order = make([]int32, 0, 2*n)
	for b := range int32(n) {
		m.order = append(m.order, b)
	}
	slices.SortFunc(m.order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(m.prior[b], m.prior[a]), cmp.Compare(a, b))
	})
	m.shelves[0] = span{0, int32(n)}
	var sizes [256]int32
	for _, c := range m.categories {
		sizes[c]++
	}
	at := int32(n)
	for c := 1; c < len(sizes); c++ {
		m.shelves[c] = span{at, at}
		at += sizes[c]
	}
	m.order = m.order[:at]
	for _, b := range m.order[:n] {
		if c := m.categories[b]; c != 0 {
			m.order[m.shelves[c].to] = b
			m.shelves[c].to++
		}
	}
	m.factorWeight = 0
	lengths := make([]float32, n)
	if m.factors.width > 0 {
		m.factorWeight = float32(m.info.Parameters[factorsName])
		for b := range lengths {
			lengths[b] = lengthOf(m.factors.of(int32(b)))
		}
	}
	m.bounds = newBounds(m.prior, lengths)
	m.scratch.New = func() any {
		s := &scratch{sum: make([]float32, n), asked: make([]uint8, n)}
		for b := range s.sum {
			s.sum[b] = untouched
		}
		return s
	}
}

// Names of the metrics that training leaves in a model.
const (
	metricReaders          = "validation_readers"
	metricRecall           = "validation_recall"
	metricNDCG             = "validation_ndcg"
	metricPopularityRecall = "validation_popularity_recall"
	metricPopularityNDCG   = "validation_popularity_ndcg"
)

// metricsOf are the names of the metrics of a part of the model alone.
func metricsOf(part string) (recall, ndcg string) {
	return "validation_" + part + "_recall", "validation_" + part + "_ndcg"
}

// The parts a model is blended of, as the metrics name them. Those of a part
// that did not pay are not there.
var blendParts = []string{"cooccurrence", "regression", "factors"}

// metricWithoutAgainst is what metricsOf calls the whole model where the books
// that the reader did not like count nothing.
const metricWithoutAgainst = "without_against"

// fewestJudges is how many validation readers it takes to tell a model from
// chance.
const fewestJudges = 30

// ErrNotBetter is what Check returns for a model that does not beat popularity,
// or one of its own parts.
var ErrNotBetter = errors.New("the model is not better than")

// Check is the gate before a model is published: it returns why the model must
// not be, or nil. A model with a number that is none, anywhere, must not, nor
// one that does not beat popularity and each of the parts it is blended of on
// the validation part. With fewer than 30 validation readers that cannot be
// told, and the model passes: it is little more than popularity then.
func (m *Model) Check() error {
	if err := m.checkNumbers(); err != nil {
		return err
	}
	got := m.info.Metrics
	for name, v := range got {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("the metric %s is %v", name, v)
		}
	}
	if got[metricReaders] < fewestJudges {
		return nil
	}
	for _, rival := range append([]string{"popularity"}, blendParts...) {
		ownRecall, ownNDCG := got[metricRecall], got[metricNDCG]
		// The parts were measured without dislikes. What these cost is the reader's
		// wish, and no reason to prefer a part; popularity must be beaten with them.
		if without, and := metricsOf(metricWithoutAgainst); rival != "popularity" && got[without] > 0 {
			ownRecall, ownNDCG = got[without], got[and]
		}
		recall, ndcg := metricsOf(rival)
		if _, measured := got[recall]; measured && ownRecall+ownNDCG <= got[recall]+got[ndcg] {
			return fmt.Errorf("%w %s: recall %.4f and NDCG %.4f on the validation part, %s %.4f and %.4f", ErrNotBetter, rival,
				ownRecall, ownNDCG, rival, got[recall], got[ndcg])
		}
	}
	return nil
}

// checkNumbers refuses weights that are no numbers or outside their bounds.
func (m *Model) checkNumbers() error {
	if len(m.prior) > mostBooks {
		return fmt.Errorf("%d books, more than %d", len(m.prior), mostBooks)
	}
	if err := m.near.checkWeights(); err != nil {
		return err
	}
	for b, p := range m.prior {
		if !(p >= 0 && p <= mostWeight) {
			return fmt.Errorf("the prior of book %d is %v", b, p)
		}
	}
	for k, v := range m.factors.point {
		if !(magnitude(v) <= mostFactor) {
			return fmt.Errorf("factor %d of book %d is %v", k%m.factors.width, k/m.factors.width, v)
		}
	}
	return nil
}
