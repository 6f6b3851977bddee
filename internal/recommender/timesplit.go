package recommender

import (
	"cmp"
	"errors"
	"slices"
)

// validationShare is the part of the past, its last, that parameters are
// chosen on when data is split by time.
const validationShare = 0.125

// TimeSplit is a log cut at two moments. Every event of Train is earlier than
// every event of Valid, and these than every event of Test.
type TimeSplit struct {
	Train, Valid, Test []Event // each in the order of time
}

// ErrOneTime is returned when there are not enough different times to tell
// past, validation part and future apart.
var ErrOneTime = errors.New("the events have fewer than three different times; there is no past to learn from and no future to predict")

// SplitByTime cuts events at the moment before which the given share of them
// lies, above 0 and below 1: what was before is the past, the rest the future,
// the test. The last eighth of the past is the validation part. Events of one
// time stay together, so that the shares are as near as that allows.
func SplitByTime(events []Event, past float64) (TimeSplit, error) {
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.Time, b.Time) })
	cut := cutByTime(events, past)
	valid := cutByTime(events[:cut], 1-validationShare)
	if valid == 0 && cut > 0 { // the past is one moment
		valid = cut
		cut += cutByTime(events[cut:], 0)
	}
	if valid == 0 || valid == cut || cut == len(events) {
		return TimeSplit{}, ErrOneTime
	}
	return TimeSplit{Train: events[:valid:valid], Valid: events[valid:cut:cut], Test: events[cut:]}, nil
}

// cutByTime returns the first event of the moment at a share of the events, or
// of the moment after it when that is the first one; 0 when there is none.
func cutByTime(events []Event, share float64) int {
	if len(events) == 0 {
		return 0
	}
	moment := events[min(int(share*float64(len(events))), len(events)-1)].Time
	if moment == events[0].Time {
		moment++
	}
	at, _ := slices.BinarySearchFunc(events, moment, func(e Event, t int64) int { return cmp.Compare(e.Time, t) })
	return at % len(events)
}
