package library

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
)

// noSeries is the series of a book that is in none, or whose place in it is not
// known.
const noSeries = -1

// world is what all readers share. Books, categories, authors, tags and series
// are numbered from 0; nothing is kept in maps, whose order would show.
type world struct {
	books      []*catalogv1.Book
	category   []int
	authors    [][]int
	tags       [][]int
	series     []int // or noSeries
	popularity []float64
	quality    []float64 // stars above or below what taste gives

	shelves   [][]int   // books by category
	kinship   [][]int   // tags that two categories have in common
	sequences [][]int   // books by series, in the order to read them
	telling   []float64 // what sharing a tag says, 0 to 1

	authorCount int
}

func newWorld(books []*catalogv1.Book, seed uint64) *world {
	w := &world{books: books}
	categories, authors, tags, series := numbering{}, numbering{}, numbering{}, numbering{}
	for i, b := range books {
		w.category = append(w.category, categories.of(b.Category.String()))
		w.authors = append(w.authors, authors.all(b.Authors))
		w.tags = append(w.tags, tags.all(b.Tags))
		w.shelves = put(w.shelves, w.category[i], i)
		sequence := noSeries
		if b.Series != "" && b.SeriesPosition > 0 {
			sequence = series.of(b.Series)
			w.sequences = put(w.sequences, sequence, i)
		}
		w.series = append(w.series, sequence)
	}
	for _, sequence := range w.sequences {
		slices.SortStableFunc(sequence, func(a, b int) int {
			return cmp.Compare(books[a].SeriesPosition, books[b].SeriesPosition)
		})
	}
	w.authorCount = len(authors)
	w.weighTags(len(tags))
	w.rank(source(seed, 0))
	return w
}

// weighTags finds out what a tag tells about a book: nothing when all books
// have it, most when one alone has. Categories with tags in common are kin.
func (w *world) weighTags(count int) {
	carriers := make([]int, count)
	used := make([][]bool, len(w.shelves)) // by category, then tag
	for c := range used {
		used[c] = make([]bool, count)
	}
	for i, tags := range w.tags {
		for _, t := range tags {
			carriers[t]++
			used[w.category[i]][t] = true
		}
	}
	w.telling = make([]float64, count)
	for t, n := range carriers {
		w.telling[t] = 1 - math.Log(float64(n))/math.Log(float64(len(w.books)+1))
	}
	w.kinship = make([][]int, len(w.shelves))
	for a := range w.kinship {
		w.kinship[a] = make([]int, len(w.shelves))
		for b := range w.kinship[a] {
			for t := range count {
				if a != b && used[a][t] && used[b][t] {
					w.kinship[a][b]++
				}
			}
		}
	}
}

// rank gives every book its popularity and its quality. The library has its
// best known books first on each shelf; chance shuffles that a little, and the
// popularity falls by rank as Zipf has it.
func (w *world) rank(r *rand.Rand) {
	place := make([]float64, len(w.books))
	order := make([]int, len(w.books))
	for _, shelf := range w.shelves {
		for n, book := range shelf {
			place[book] = float64(n+2) * math.Exp(0.6*r.NormFloat64())
		}
	}
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(place[a], place[b]) })
	w.popularity = make([]float64, len(w.books))
	w.quality = make([]float64, len(w.books))
	for n, book := range order {
		w.popularity[book] = -zipfExponent * math.Log(float64(n+zipfOffset))
		w.quality[book] = 0.35 * r.NormFloat64()
	}
}

// numbering gives names numbers from 0, in the order they first come.
type numbering map[string]int

func (n numbering) of(name string) int {
	number, known := n[name]
	if !known {
		number = len(n)
		n[name] = number
	}
	return number
}

func (n numbering) all(names []string) []int {
	numbers := make([]int, len(names))
	for i, name := range names {
		numbers[i] = n.of(name)
	}
	return numbers
}

// put adds the book to a list, making the list when it is the next.
func put(lists [][]int, list, book int) [][]int {
	if list == len(lists) {
		lists = append(lists, nil)
	}
	lists[list] = append(lists[list], book)
	return lists
}
