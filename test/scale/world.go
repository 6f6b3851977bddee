package main

import (
	"math"
	"math/rand/v2"

	"github.com/octavo-books/octavo/internal/recommender"
)

// world makes books and readers of any number, the same for the same seed. A
// book belongs to a circle; a reader reads mostly in a few circles, and there
// the popular books more often (Zipf, exponent 0.8), so that books have
// neighbours and popularity has a long tail, as in the data of real shops.
type world struct {
	seed           uint64
	readers, books int
	each           int // books a reader has read
	circle         int // books in a circle
}

const (
	circles    = 3   // that a reader has
	adventures = 0.1 // share of a reader's books from anywhere
)

func newWorld(readers, books, each int) world {
	return world{seed: 1, readers: readers, books: books, each: each, circle: min(250, books)}
}

// reader calls read with each book of a reader, numbered from 1, oldest first.
// known is the caller's scratch.
func (w world) reader(reader int32, known map[int32]bool, read func(book int32, at int64)) {
	random := rand.New(rand.NewPCG(w.seed, uint64(reader)))
	clear(known)
	groups := w.books / w.circle
	var mine [circles]int
	for i := range mine {
		mine[i] = popular(random, groups)
	}
	start := int64(1_700_000_000) + int64(random.IntN(1_000_000))
	for n := 0; n < w.each; {
		book := popular(random, w.books)
		if random.Float64() >= adventures {
			book = mine[random.IntN(circles)]*w.circle + popular(random, w.circle)
		}
		id := int32(book) + 1
		if known[id] {
			// A circle can be read through; another draw may be an adventure.
			continue
		}
		known[id] = true
		n++
		read(id, start+int64(n)*86_400)
	}
}

// popular draws from 0 to n-1, the lower ones more often: the inverse of the
// distribution function of a continuous Zipf law.
func popular(random *rand.Rand, n int) int {
	const exponent = 0.8
	top := math.Pow(float64(n)+1, 1-exponent)
	x := math.Pow(1+random.Float64()*(top-1), 1/(1-exponent)) - 1
	return min(int(x), n-1)
}

func (w world) category(book int32) uint8 { return uint8(int(book)/w.circle%32) + 1 }

// events are those of all readers, in the order of a log that was written
// reader by reader.
func (w world) events() []recommender.Event {
	events := make([]recommender.Event, 0, w.readers*w.each)
	known := make(map[int32]bool, w.each)
	for reader := int32(1); reader <= int32(w.readers); reader++ {
		w.reader(reader, known, func(book int32, at int64) {
			events = append(events, recommender.Event{Reader: reader, Book: book, Kind: recommender.Finished, Time: at})
		})
	}
	return events
}

func (w world) catalogue() []recommender.Book {
	books := make([]recommender.Book, w.books)
	for i := range books {
		id := int32(i) + 1
		books[i] = recommender.Book{ID: id, Category: w.category(id)}
	}
	return books
}
