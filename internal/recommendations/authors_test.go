package recommendations_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
	"github.com/octavo-books/octavo/internal/recommender"
)

// TestAuthorCapIsExact compares answers with the whole order of the model, from
// which the test itself takes books one by one.
func TestAuthorCapIsExact(t *testing.T) {
	w := trained(t)
	_, path, err := w.models.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	model, err := recommender.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	history := map[int32][]int32{}
	for _, line := range w.readers.Lines() {
		history[line.GetReaderId()] = append(history[line.GetReaderId()], line.GetBookId())
	}
	weight := recommender.Opinion{}.Apply(recommender.Event{Kind: recommender.Finished}).Weight
	index := func(id int32) int32 {
		index, known := model.Index(id)
		if !known {
			t.Fatalf("the model does not know book %d", id)
		}
		return index
	}
	random := rand.New(rand.NewPCG(3, 4))
	var capped, filled int
	for range 400 {
		request := &recommendationsv1.RecommendRequest{
			ReaderId: random.Int32N(allReaders + 1), MaxResults: 1 + random.Int32N(60), MaxPerAuthor: random.Int32N(6),
		}
		if random.IntN(2) > 0 {
			request.Category = literature + catalogv1.Category(random.IntN(3))
		}
		for range random.IntN(40) {
			request.ExcludedBookIds = append(request.ExcludedBookIds, 1+random.Int32N(allBooks))
		}
		query := recommender.Query{Category: uint8(request.GetCategory()), Limit: allBooks}
		for _, id := range history[request.GetReaderId()] {
			query.Own = append(query.Own, recommender.Own{Book: index(id), Weight: weight})
			query.Exclude = append(query.Exclude, index(id))
		}
		for _, id := range request.GetExcludedBookIds() {
			query.Exclude = append(query.Exclude, index(id))
		}
		limit, most := int(request.GetMaxResults()), int(request.GetMaxPerAuthor())
		if most == 0 {
			most = max(2, limit/5)
		}
		var want, held []int32
		byAuthor := map[string]int{}
		for _, scored := range model.Recommend(query, nil) {
			id := model.BookID(scored.Book)
			author := testBook(id).GetAuthors()[0]
			if byAuthor[author]++; byAuthor[author] > most {
				held = append(held, id)
			} else {
				want = append(want, id)
			}
		}
		if len(want) < limit {
			filled++
		}
		if len(held) > 0 {
			capped++
		}
		want = append(want, held...)
		want = want[:min(limit, len(want))]
		if got := ids(w.recommend(request).GetRecommendations()); !slices.Equal(got, want) {
			t.Fatalf("%v:\ngot  %v\nwant %v", request, got, want)
		}
	}
	if capped < 100 || filled < 20 {
		t.Errorf("the cap held books back in %d requests and gave them in %d: too few to tell", capped, filled)
	}
}

// TestAuthorCapOfTheFirstContract: it has no field for it.
func TestAuthorCapOfTheFirstContract(t *testing.T) {
	w := trained(t)
	response, err := w.first.Recommend(t.Context(), &recommendationspb.RecommendationRequest{UserId: 1, MaxResults: 8})
	if err != nil {
		t.Fatal(err)
	}
	byAuthor := map[string]int{}
	for _, b := range response.GetRecommendations() {
		if author := testBook(b.GetId()).GetAuthors()[0]; byAuthor[author] == 2 {
			t.Errorf("more than 2 books by %s: %v", author, response)
		} else {
			byAuthor[author]++
		}
	}
}

// TestBooksWithoutAnAuthorAreNotCapped: they have nothing in common.
func TestBooksWithoutAnAuthorAreNotCapped(t *testing.T) {
	w := newWorld(t)
	books := testBooks()
	for _, b := range books[:shelfSize] {
		b.Authors = nil
	}
	w.catalog.Put(books...)
	w.readers.Record(testLog()...)
	w.train()
	w.start()
	w.eventually("ready", func() bool { return w.server.Ready() == nil && w.model().GetModelVersion() != "" })
	request := &recommendationsv1.RecommendRequest{ReaderId: 1, MaxResults: 10, MaxPerAuthor: 1}
	capped := ids(w.recommend(request).GetRecommendations())
	request.MaxPerAuthor = 10
	if free := ids(w.recommend(request).GetRecommendations()); !slices.Equal(capped, free) {
		t.Errorf("with a cap %v, without %v", capped, free)
	}
}

// TestDiverseAnswersKeepTheCap: the order is another, the cap the same.
func TestDiverseAnswersKeepTheCap(t *testing.T) {
	w := trained(t)
	for reader := range int32(50) {
		response := w.recommend(&recommendationsv1.RecommendRequest{ReaderId: reader + 1, MaxResults: 15, Diversity: 0.6, MaxPerAuthor: 2})
		byAuthor := map[string]int{}
		for _, b := range response.GetRecommendations() {
			byAuthor[b.GetAuthors()[0]]++
		}
		for author, count := range byAuthor {
			if count > 2 {
				t.Errorf("reader %d has %d books by %s", reader+1, count, author)
			}
		}
		if got := ids(response.GetRecommendations()); len(got) != 15 || !distinct(got) {
			t.Errorf("reader %d: %v", reader+1, got)
		}
	}
}
