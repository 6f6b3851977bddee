package recommender

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/octavo-books/octavo/internal/crowd"
)

// BenchmarkTrainDemo trains on as much as the demo library has, with the choice
// of parameters.
func BenchmarkTrainDemo(b *testing.B) {
	data := NewDataset(shop(2000, 640, 30, 1))
	for b.Loop() {
		if _, err := Train(context.Background(), data, Options{Seed: 1}); err != nil {
			b.Fatal(err)
		}
	}
}

// large is a model of 25,000 books with all parts and full lists of neighbours,
// and readers with the median, and then with a long, history.
func large(b *testing.B) *Model {
	b.Helper()
	p := defaultParameters(Liked)
	p.Regression, p.Ridge, p.Factors, p.Unobserved = 2, 10, 1, 0.005
	return largeBy(b, p)
}

func largeBy(b *testing.B, p Parameters) *Model {
	b.Helper()
	events, books := shop(40_000, 25_000, 15, 1)
	m, err := fit(context.Background(), NewDataset(events, books), p, nil, 1, workers(0), nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := m.seal(); err != nil {
		b.Fatal(err)
	}
	return m
}

func history(m *Model, n int) ([]Own, []int32) {
	own, seen := make([]Own, n), make([]int32, n)
	for i := range own {
		book := int32(i * 7919 % (len(m.prior) / 4))
		own[i], seen[i] = Own{Book: book, Weight: 1}, book
	}
	return own, seen
}

// BenchmarkFit25k trains each part of a model of 25,000 books by given
// parameters, and then all.
func BenchmarkFit25k(b *testing.B) {
	data := NewDataset(shop(40_000, 25_000, 15, 1))
	neighbours := defaultParameters(Liked)
	regression, factors := neighbours, neighbours
	regression.Regression, regression.Ridge = 2, 10
	factors.Factors, factors.Unobserved = 1, 0.005
	for _, c := range []struct {
		name string
		p    Parameters
	}{{"neighbours", neighbours}, {"with-regression", regression}, {"with-factors", factors}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := fit(context.Background(), data, c.p, nil, 1, workers(0), nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDataset(b *testing.B) {
	events, books := shop(40_000, 25_000, 15, 1)
	b.ReportAllocs()
	for b.Loop() {
		NewDataset(events, books)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(events)), "ns/event")
}

func BenchmarkRecommend(b *testing.B) {
	m := large(b)
	for _, c := range []struct {
		name      string
		own       int
		category  uint8
		diversity float32
	}{
		{"cold", 0, 0, 0},
		{"own=8", 8, 0, 0},
		{"own=8,category", 8, 5, 0},
		{"own=8,diverse", 8, 0, 0.3},
		{"own=50", 50, 0, 0},
		{"own=500", 500, 0, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			own, seen := history(m, c.own)
			var dst []Scored
			b.ReportAllocs()
			for b.Loop() {
				dst = m.Recommend(Query{Own: own, Exclude: seen, Category: c.category, Limit: 10, Diversity: c.diversity}, dst[:0])
			}
		})
	}
}

// BenchmarkReaders answers for one reader after the other, none of them twice
// in a row, from a model of all parts that has learnt from them. Each answer is
// timed on its own.
func BenchmarkReaders(b *testing.B) {
	const books, categories = 25_000, 32
	var catalogue []Book
	for id := range int32(books) {
		catalogue = append(catalogue, Book{ID: id, Category: uint8(id%categories) + 1})
	}
	var events []Event
	var readers [][]Own
	for reader, read := range (crowd.Crowd{Books: books, Readers: 70_000, Seed: 1}).Histories() {
		var own []Own
		for _, book := range read {
			events = append(events, Event{Reader: int32(reader), Book: int32(book), Kind: Finished, Time: int64(len(events))})
			own = append(own, Own{int32(book), 1})
		}
		readers = append(readers, own)
	}
	p := defaultParameters(Liked)
	p.Regression, p.Ridge, p.Factors, p.Unobserved = 2, 10, 1, 0.005
	m, err := fit(context.Background(), NewDataset(events, catalogue), p, nil, 1, workers(0), nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		category uint8
		reasons  int
	}{{"all", 0, 0}, {"category", 5, 0}, {"all,reasons", 0, 3}, {"category,reasons", 5, 3}} {
		b.Run(c.name, func(b *testing.B) {
			var dst []Scored
			var seen, books []int32
			var took []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				own := readers[len(took)%len(readers)]
				seen, books = seen[:0], books[:0]
				for _, o := range own {
					seen = append(seen, o.Book)
				}
				start := time.Now()
				dst = m.Recommend(Query{Own: own, Exclude: seen, Category: c.category, Limit: 10}, dst[:0])
				if c.reasons > 0 {
					for _, s := range dst {
						books = append(books, s.Book)
					}
					m.Explain(own, books, c.reasons, func(int, []Share) {})
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Nanoseconds()) / 1000 }
			b.ReportMetric(at(0.5), "p50-µs")
			b.ReportMetric(at(0.99), "p99-µs")
		})
	}
}

// BenchmarkRecommendParts is what the factors cost in an answer.
func BenchmarkRecommendParts(b *testing.B) {
	for _, c := range []struct {
		name    string
		factors float64
	}{{"neighbours", 0}, {"with-factors", 1}} {
		p := defaultParameters(Liked)
		p.Regression, p.Ridge, p.Factors, p.Unobserved = 2, 10, c.factors, 0.005
		m := largeBy(b, p)
		for _, n := range []int{8, 50} {
			b.Run(fmt.Sprintf("%s/own=%d", c.name, n), func(b *testing.B) {
				own, seen := history(m, n)
				var dst []Scored
				b.ReportAllocs()
				for b.Loop() {
					dst = m.Recommend(Query{Own: own, Exclude: seen, Limit: 10}, dst[:0])
				}
			})
		}
	}
}

func BenchmarkExplain(b *testing.B) {
	m := large(b)
	own, seen := history(m, 8)
	answer := m.Recommend(Query{Own: own, Exclude: seen, Limit: 10}, nil)
	books := make([]int32, len(answer))
	for i, s := range answer {
		books[i] = s.Book
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Explain(own, books, 3, func(int, []Share) {})
	}
}

func BenchmarkSimilar(b *testing.B) {
	m := large(b)
	var dst []Scored
	b.ReportAllocs()
	for b.Loop() {
		dst = m.Similar(100, 10, dst[:0])
	}
}

func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "model")
	m := large(b)
	if err := m.Save(path); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(4*len(m.near.word) + 4*len(m.factors.point)))
	for b.Loop() {
		m, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
