package recommender

import (
	"math/rand/v2"
)

// shop is a made-up log: readers with tastes, who mostly take books of their own
// categories, the better known ones more often.
func shop(readers, books, each int, seed uint64) ([]Event, []Book) {
	const categories = 12
	random := rand.New(rand.NewPCG(seed, 1))
	catalogue := make([]Book, books)
	for b := range catalogue {
		catalogue[b] = Book{ID: int32(100 + 3*b), Category: uint8(1 + b%categories)}
	}
	kinds := []Kind{View, Want, Reading, Finished, Rating, Rating, Bought, NotInterested}
	var events []Event
	for r := range readers {
		tastes := [2]int{random.IntN(categories), random.IntN(categories)}
		for range 1 + random.IntN(2*each-1) {
			at := int(float64(books) * random.Float64() * random.Float64())
			if random.IntN(5) > 0 {
				at = min(at/categories*categories+tastes[random.IntN(2)], books-1)
			}
			e := Event{Reader: int32(7 + 2*r), Book: catalogue[at].ID, Kind: kinds[random.IntN(len(kinds))], Time: int64(len(events))}
			if e.Kind == Rating {
				e.Value = float32(1+random.IntN(10)) / 2
			}
			events = append(events, e)
		}
	}
	return events, catalogue
}
