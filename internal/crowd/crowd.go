// Package crowd makes up readers and what they read, for benchmarks: as many
// books a reader and readers a book as in a large public data set, and tastes
// that training can find. Nothing that serves uses it.
package crowd

import (
	"iter"
	"math"
	"math/rand/v2"
)

// Crowd says how many readers there are of how many books.
type Crowd struct {
	Books, Readers int
	// History is the mean number of books in a history, spread evenly around it;
	// 0 for histories as long as those of amazon-book-kgat: 4 books at the first
	// quarter, 5 at the median, 16 at nine tenths and 70 at 99 of 100, 9 on the
	// average.
	History int
	Seed    uint64
}

// The books are in niches, as of an author or a series, and those in genres.
const (
	nicheBooks  = 25
	genreNiches = 20

	// A reader comes back to a few niches of a few genres.
	mostGenres = 3
	mostNiches = 4
	inNiche    = 0.45 // of the books a reader picks
	inGenre    = 0.35

	// How much more often the first are picked than the others, see few.
	fewNiches = 1.8
	fewBooks  = 2.5
)

// lengths are quantiles of the lengths of histories; between two of them the
// lengths are spread evenly.
var lengths = [...]struct{ share, books float64 }{
	{0, 4}, {0.25, 4}, {0.5, 5}, {0.75, 8}, {0.9, 16}, {0.95, 26}, {0.99, 70}, {0.999, 219}, {1, 250},
}

// Histories yields each reader's books, counted from 0, no book twice. The
// slice is good until the next. The same Crowd gives the same books.
func (c Crowd) Histories() iter.Seq2[int, []int] {
	return func(yield func(int, []int) bool) {
		random := rand.New(rand.NewPCG(c.Seed, 1))
		niches := max(c.Books/nicheBooks, 1)
		readBy := make([]int, c.Books) // the last reader, from 1
		var books []int
		for reader := range c.Readers {
			t := c.taste(random, niches)
			books = books[:0]
			n := min(c.length(random), c.Books/2)
			for len(books) < n {
				if b := t.pick(random); readBy[b] != reader+1 {
					readBy[b] = reader + 1
					books = append(books, b)
				}
			}
			if !yield(reader, books) {
				return
			}
		}
	}
}

func (c Crowd) length(random *rand.Rand) int {
	if c.History > 0 {
		return max(1, c.History/4+random.IntN(2*(c.History-c.History/4)+1))
	}
	u, i := random.Float64(), 1
	for u > lengths[i].share {
		i++
	}
	from, to := lengths[i-1], lengths[i]
	return int(math.Round(from.books + (to.books-from.books)*(u-from.share)/(to.share-from.share)))
}

// taste is what one reader likes.
type taste struct {
	books, niches int
	genres        []int // by their first niche
	favourites    []int // niches
}

func (c Crowd) taste(random *rand.Rand, niches int) taste {
	t := taste{books: c.Books, niches: niches}
	for range 1 + random.IntN(mostGenres) {
		t.genres = append(t.genres, few(random, (niches+genreNiches-1)/genreNiches, fewNiches)*genreNiches)
	}
	for range 1 + random.IntN(mostNiches) {
		t.favourites = append(t.favourites, min(t.genres[random.IntN(len(t.genres))]+few(random, genreNiches, fewNiches), niches-1))
	}
	return t
}

// few is a number below n, the lower the more often: with an exponent above 1,
// few of them are popular and most are not.
func few(random *rand.Rand, n int, exponent float64) int {
	return min(int(float64(n)*math.Pow(random.Float64(), exponent)), n-1)
}

// pick is a book the reader may read. The books of a niche are as far apart as
// there are niches.
func (t *taste) pick(random *rand.Rand) int {
	niche := random.IntN(t.niches)
	switch u := random.Float64(); {
	case u < inNiche:
		niche = t.favourites[random.IntN(len(t.favourites))]
	case u < inNiche+inGenre:
		niche = min(t.genres[random.IntN(len(t.genres))]+few(random, genreNiches, fewNiches), t.niches-1)
	}
	return min(niche+t.niches*few(random, (t.books+t.niches-1)/t.niches, fewBooks), t.books-1)
}
