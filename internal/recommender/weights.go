package recommender

import "math"

// Weights are what opinions weigh, as the parameters of a model have it. A
// reader's own books are weighed by those of the model they are put to.
type Weights struct {
	kinds    [Removed]float32 // of an unrated book, by its kind
	stars    float32
	disliked float32
}

// Weights of an unrated book are those of Opinion to the power Contrast, so that
// a stronger sign of liking never counts less. A rated book counts 1 and Stars
// fifths for each star above the mean of the reader's ratings, at least
// leastRated. A disliked book counts Disliked less Against.
func (p Parameters) Weights() Weights {
	w := Weights{stars: float32(p.Stars), disliked: float32(p.Disliked - p.Against)}
	for kind, weight := range kindWeights {
		if weight > 0 {
			w.kinds[kind] = float32(math.Pow(float64(weight), p.Contrast))
		}
	}
	return w
}

// DefaultWeights are those of a model for which none were chosen.
func DefaultWeights() Weights { return defaultParameters(Liked).Weights() }

// Weights are those the model was trained with.
func (m *Model) Weights() (Weights, error) {
	p, err := m.Parameters()
	return p.Weights(), err
}

// leastRated is the least that a rated book counts which is not disliked.
const leastRated = 0.1

// Of is what an opinion weighs for a reader with this mean of all ratings. It is
// below 0 for a book that pushes down what is like it.
func (w *Weights) Of(o Opinion, mean float32) float32 {
	switch {
	case o.Disliked():
		return w.disliked
	case o.Rating > 0:
		return w.rated(o.Rating - mean)
	default:
		return w.kinds[o.kind()]
	}
}

// rated is what a book weighs that has so many stars above the reader's mean.
func (w *Weights) rated(above float32) float32 { return max(1+w.stars*above/5, leastRated) }

// Ratings are those of one reader, added up.
type Ratings struct {
	sum   float32
	count int
}

// Add adds the rating of an opinion, if it has one.
func (r *Ratings) Add(o Opinion) {
	if o.Rating > 0 {
		r.sum += o.Rating
		r.count++
	}
}

// Mean is the mean of the reader's ratings, in stars, and of usualRatings of
// usualStars, so that a single rating does not say what the reader's mean is.
func (r Ratings) Mean() float32 {
	return (r.sum + usualRatings*usualStars) / float32(r.count+usualRatings)
}

const (
	usualRatings = 4
	usualStars   = 4
)
