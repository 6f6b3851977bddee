package recommendations

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/recommender"
)

// benchService has a model of so many books, of six thousand readers with about
// twenty books each of a hundred tastes, and as many new books as asked for.
func benchService(b *testing.B, books, newBooks int) *Server {
	b.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var events []recommender.Event
	for reader := range int32(6000) {
		taste := random.IntN(100)
		for range 5 + random.IntN(31) {
			u := random.Float64()
			book := taste + 100*int(u*u*float64(books/100))
			if random.IntN(5) == 0 {
				book = random.IntN(books)
			}
			events = append(events, recommender.Event{Reader: reader + 1, Book: int32(book) + 1, Kind: recommender.Finished, Time: int64(len(events))})
		}
	}
	s := New(Config{})
	known := make([]recommender.Book, books)
	listings := make([]listing, books+newBooks)
	for i := range listings {
		id := int32(i) + 1
		category := uint8(id%32) + 1
		if i < books {
			known[i] = recommender.Book{ID: id, Category: category}
		}
		listings[i] = listingFrom(&catalogv1.Book{
			Id: id, Title: fmt.Sprint("The Long Way to Book ", id), Authors: []string{fmt.Sprint("Author ", i%(books/5))},
			Category: catalogv1.Category(category), Year: 1990, Tags: []string{fmt.Sprint(id % 97), fmt.Sprint(id % 311), fmt.Sprint(id % 1009)},
		})
	}
	trained, err := recommender.Train(context.Background(), recommender.NewDataset(events, known), recommender.Options{
		Parameters: &recommender.Parameters{
			BookExponent: 0.4, OwnExponent: 0.4, ReaderExponent: 0.4, Smoothing: 3, Sharpness: 1.2, Prior: 0.01, PriorExponent: 1, Stars: 1,
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "model")
	if err := trained.Save(path); err != nil {
		b.Fatal(err)
	}
	m, err := load("model", path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(m.release)
	s.models.current.Store(m)
	s.catalogue.put(listings)
	s.catalogue.learn(m.learnt)
	for _, e := range events {
		s.histories.Load().apply(e)
	}
	return s
}

// BenchmarkRecommend is all that an answer costs behind the chassis, up to its
// bytes, and what of that the model has.
func BenchmarkRecommend(b *testing.B) {
	for name, test := range map[string]struct {
		request  *recommendationsv1.RecommendRequest
		newBooks int
	}{
		"personal":             {&recommendationsv1.RecommendRequest{}, 0},
		"personal/new":         {&recommendationsv1.RecommendRequest{}, 500},
		"personal/reasons":     {&recommendationsv1.RecommendRequest{MaxReasons: 3}, 0},
		"category/reasons":     {&recommendationsv1.RecommendRequest{MaxReasons: 3, Category: 5}, 0},
		"category/new/reasons": {&recommendationsv1.RecommendRequest{MaxReasons: 3, Category: 5}, 500},
	} {
		b.Run(name, func(b *testing.B) {
			s := benchService(b, 25_000, test.newBooks)
			server := &v1Server{service: &s.service}
			random := rand.New(rand.NewPCG(3, 4))
			b.ReportAllocs()
			for b.Loop() {
				test.request.ReaderId = 1 + random.Int32N(6000)
				answer, err := server.Recommend(b.Context(), test.request)
				if err != nil {
					b.Fatal(answer, err)
				}
				if _, err := proto.Marshal(answer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for name, category := range map[string]uint8{"model/all": 0, "model/category": 5} {
		b.Run(name, func(b *testing.B) {
			s := benchService(b, 25_000, 0)
			c := s.begin()
			defer c.end()
			random := rand.New(rand.NewPCG(3, 4))
			var scored []recommender.Scored
			for b.Loop() {
				c.read(&question{reader: 1 + random.Int32N(6000)})
				scored = c.model.Recommend(recommender.Query{Own: c.own, Exclude: c.exclude, Category: category, Limit: 15}, scored[:0])
			}
		})
	}
}
