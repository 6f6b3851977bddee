package recommender

import (
	"testing"

	"pgregory.net/rapid"
)

func TestOpinionAddsUpEvents(t *testing.T) {
	rate := func(stars float32) Event { return Event{Kind: Rating, Value: stars} }
	kind := func(k Kind) Event { return Event{Kind: k} }
	tests := []struct {
		name   string
		events []Event
		weight float32
		seen   bool
	}{
		{"nothing", nil, 0, false},
		{"a view is weak and does not make a book seen", []Event{kind(View)}, 0.1, false},
		{"a click says a little more", []Event{kind(Click)}, 0.2, false},
		{"a view after a click takes nothing away", []Event{kind(Click), kind(View)}, 0.2, false},
		{"wanted", []Event{kind(Want)}, 0.5, true},
		{"reading", []Event{kind(Want), kind(Reading)}, 0.7, true},
		{"finished", []Event{kind(View), kind(Finished)}, 0.9, true},
		{"bought", []Event{kind(Bought)}, 1, true},
		{"the last shelf counts", []Event{kind(Finished), kind(Want)}, 0.5, true},
		{"four stars", []Event{rate(4)}, 1, true},
		{"five stars", []Event{kind(Finished), rate(5)}, 1.2, true},
		{"three stars", []Event{rate(3)}, 0.8, true},
		{"two stars pull nothing up", []Event{kind(Bought), rate(2)}, 0, true},
		{"one star on a finished book", []Event{rate(1), kind(Finished)}, 0, true},
		{"a better rating forgives", []Event{rate(1), rate(4)}, 1, true},
		{"not interested", []Event{kind(Click), kind(NotInterested)}, 0, true},
		{"wanted after all", []Event{kind(NotInterested), kind(Want)}, 0.5, true},
		{"removed clears everything", []Event{kind(Finished), rate(5), kind(Removed)}, 0, false},
		{"and one can begin again", []Event{rate(1), kind(Removed), kind(Want)}, 0.5, true},
		{"an unknown kind changes nothing", []Event{kind(Want), kind(77)}, 0.5, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var o Opinion
			for _, e := range test.events {
				o = o.Apply(e)
			}
			if o.Weight != test.weight || o.Seen != test.seen {
				t.Errorf("weight %v, seen %v; want %v, %v", o.Weight, o.Seen, test.weight, test.seen)
			}
		})
	}
}

func TestOpinionStaysWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o Opinion
		for range rapid.IntRange(0, 20).Draw(t, "events") {
			o = o.Apply(Event{
				Kind:  Kind(rapid.Uint8Range(0, 12).Draw(t, "kind")),
				Value: rapid.Float32().Draw(t, "value"),
			})
			if !(o.Weight >= 0 && o.Weight <= 1.21) {
				t.Fatalf("weight %v", o.Weight)
			}
			if o.Disliked() && (o.Weight != 0 || !o.Seen) {
				t.Fatalf("disliked, but weight %v, seen %v", o.Weight, o.Seen)
			}
		}
	})
}
