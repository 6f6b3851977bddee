package recommender

// Opinion is what a reader's events on one book add up to. The zero Opinion is
// that of a reader who has never met the book.
type Opinion struct {
	// Weight says how strongly the book speaks for books like it, 0 to 1.2, by a
	// table that suits most logs. A model has its own; see Weights.
	// A disliked book has 0: it pulls nothing up.
	Weight float32
	// Seen books are not recommended again. A glance does not make one seen.
	Seen bool
	// Rating is in stars, 0 when not rated.
	Rating float32
	// Time is that of the latest event, Unix seconds. A reader's own books are
	// put in its order, oldest first.
	Time int64

	shelf  Kind // the last of Want, Reading, Finished, Bought, NotInterested
	glance Kind // the stronger of View and Click
}

// dislike is the highest rating, in stars, that says "not for me".
const dislike = 2

// kindWeights are what an unrated book counts, the weakest sign of liking first.
var kindWeights = [...]float32{View: 0.1, Click: 0.2, Want: 0.5, Reading: 0.7, Finished: 0.9, Bought: 1}

// Apply returns the opinion after one more event on the same book. Events are
// applied in the order of the log, in training and in serving alike. An
// unknown kind changes nothing.
func (o Opinion) Apply(e Event) Opinion {
	switch e.Kind {
	case View, Click:
		o.glance = max(o.glance, e.Kind)
	case Want, Reading, Finished, Bought, NotInterested:
		o.shelf = e.Kind
	case Rating:
		o.Rating = e.Value
	case Removed:
		o = Opinion{Time: o.Time}
	default:
		return o
	}
	o.Time = max(o.Time, e.Time)
	o.Seen = o.shelf != 0 || o.Rating > 0
	o.Weight = o.weight()
	return o
}

// Disliked reports whether the reader has seen the book and did not like it.
func (o Opinion) Disliked() bool {
	return o.shelf == NotInterested || o.Rating > 0 && o.Rating <= dislike
}

// kind is what the reader did, ratings apart; 0 for nothing.
func (o Opinion) kind() Kind {
	if o.shelf != 0 {
		return o.shelf
	}
	return o.glance
}

func (o Opinion) weight() float32 {
	switch {
	case o.Disliked():
		return 0
	case o.Rating > 0:
		return 1 + (min(o.Rating, 5)-4)/5
	default:
		return kindWeights[o.kind()]
	}
}
