package recommendations_test

import (
	"math"
	"slices"
	"testing"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
)

// withSeries is a trained world in which book 1 has become the first volume of
// a series that reader 2000 is alone to follow: its volumes 2 to 4, books 501
// to 503, are newer than the model.
func withSeries(t *testing.T) (w *world, position int64) {
	t.Helper()
	w = trained(t)
	first := testBook(1)
	first.Series, first.SeriesPosition = "The Long Way", 1
	books := []*catalogv1.Book{first}
	for i := range int32(3) {
		b := testBook(501 + i)
		b.Authors, b.Category, b.Popularity = []string{"Author 0"}, literature, 0
		b.Series, b.SeriesPosition = "The Long Way", float32(i+2)
		books = append(books, b)
	}
	w.catalog.Put(books...)
	position = w.readers.Record(finished(2000, 1), finished(2000, 45), did(2001, 1, readersv1.InteractionKind_INTERACTION_KIND_VIEW))
	w.eventually("the new books are known", func() bool {
		_, err := w.v1.SimilarBooks(t.Context(), &recommendationsv1.SimilarBooksRequest{BookId: 503})
		return err == nil
	})
	return w, position
}

func TestNewBookHasTheFifthPlaceOfTen(t *testing.T) {
	w, position := withSeries(t)
	tests := []struct {
		name    string
		request *recommendationsv1.RecommendRequest
		want    map[int]int32 // new books by their places
	}{
		{"one in ten: the next volume", &recommendationsv1.RecommendRequest{ReaderId: 2000}, map[int]int32{4: 501}},
		{"two in twenty", &recommendationsv1.RecommendRequest{ReaderId: 2000, MaxResults: 20}, map[int]int32{4: 501, 14: 502}},
		{"a short list", &recommendationsv1.RecommendRequest{ReaderId: 2000, MaxResults: 4}, nil},
		{"in its category", &recommendationsv1.RecommendRequest{ReaderId: 2000, Category: literature}, map[int]int32{4: 501}},
		{"in another category", &recommendationsv1.RecommendRequest{ReaderId: 2000, Category: science}, nil},
		{"without the one that was excluded", &recommendationsv1.RecommendRequest{ReaderId: 2000, ExcludedBookIds: []int32{501}}, map[int]int32{4: 502}},
		{"a book of this visit counts little", &recommendationsv1.RecommendRequest{RecentBookIds: []int32{1}}, nil},
		{"a glance counts little", &recommendationsv1.RecommendRequest{ReaderId: 2001}, nil},
		{"another taste", &recommendationsv1.RecommendRequest{ReaderId: 6}, nil},
		{"nobody", &recommendationsv1.RecommendRequest{}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.request.MinPosition = position
			test.request.MaxReasons = 10
			books := w.recommend(test.request).GetRecommendations()
			got := map[int]int32{}
			for i, b := range books {
				if b.GetId() <= allBooks {
					continue
				}
				got[i] = b.GetId()
				if b.GetScore() != books[i-1].GetScore() {
					t.Errorf("its score is %v, that of the book before it %v", b.GetScore(), books[i-1].GetScore())
				}
				var sum float64
				for _, reason := range b.GetReasons() {
					sum += float64(reason.GetShare())
					if reason.GetKind() != recommendationsv1.ReasonKind_REASON_KIND_NEW_BOOK || reason.GetTitle() != testBook(reason.GetBookId()).GetTitle() {
						t.Errorf("reason %v", reason)
					}
				}
				if len(b.GetReasons()) != 1 || b.GetReasons()[0].GetBookId() != 1 || math.Abs(sum-1) > 1e-6 {
					t.Errorf("reasons %v, want all of it book 1: book 45 has nothing in common with it", b.GetReasons())
				}
			}
			if len(got) != len(test.want) {
				t.Errorf("new books %v, want %v", got, test.want)
			}
			for place, id := range test.want {
				if got[place] != id {
					t.Errorf("new books %v, want %v", got, test.want)
				}
			}
		})
	}

	position = w.readers.Record(finished(2000, 501))
	if books := w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 2000, MinPosition: position}); books.GetRecommendations()[4].GetId() != 502 || books.GetHistorySize() != 3 {
		t.Errorf("after the second volume: %v", books)
	}
}

// TestNewBooksCountForTheirAuthor: the cap goes through the whole answer.
func TestNewBooksCountForTheirAuthor(t *testing.T) {
	w, position := withSeries(t)
	books := w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 2000, MinPosition: position, MaxPerAuthor: 1, MaxResults: 30}).GetRecommendations()
	byAuthor := map[string]int{}
	for i, b := range books {
		author := b.GetAuthors()[0]
		if byAuthor[author]++; i < 12 && byAuthor[author] > 1 || author == "Author 0" && byAuthor[author] == 1 && b.GetId() != 501 {
			t.Errorf("place %d of a list that has all 12 authors first: %v", i, b)
		}
	}
	if len(books) != 30 || !distinct(ids(books)) || books[4].GetId() != 501 {
		t.Errorf("%d books: %v", len(books), ids(books))
	}
}

// TestThinCategoriesAreFilled in the order of what is known: the model's, those
// like the reader's own, the rest by popularity.
func TestThinCategoriesAreFilled(t *testing.T) {
	w := trained(t)
	poetry := catalogv1.Category_CATEGORY_POETRY
	var books []*catalogv1.Book
	for id := int32(600); id < 606; id++ {
		b := testBook(id)
		b.Category, b.Authors, b.Popularity = poetry, nil, int64(id)
		books = append(books, b)
	}
	books[0].Authors = []string{"Author 0"} // whom reader 2000 has read
	books[1].Popularity = 0
	w.catalog.Put(books...)
	position := w.readers.Record(finished(2000, 1), finished(2000, 605))
	request := &recommendationsv1.RecommendRequest{ReaderId: 2000, Category: poetry, MinPosition: position, MaxReasons: 1}
	var got []*recommendationsv1.Recommendation
	w.eventually("the category is filled", func() bool {
		got = w.recommend(request).GetRecommendations()
		return len(got) == 5
	})
	// 605 is a new one too, of the reader's own, and like all of its category.
	if want := []int32{600, 604, 603, 602, 601}; !slices.Equal(ids(got), want) {
		t.Errorf("got %v, want %v", ids(got), want)
	}
	if reason := got[0].GetReasons()[0]; reason.GetKind() != recommendationsv1.ReasonKind_REASON_KIND_NEW_BOOK || reason.GetBookId() != 1 {
		t.Errorf("the reason for the author's: %v", reason)
	}

	request.ReaderId = 0
	got = w.recommend(request).GetRecommendations()
	if want := []int32{605, 604, 603, 602, 600, 601}; !slices.Equal(ids(got), want) {
		t.Errorf("for nobody: %v, want %v", ids(got), want)
	}
	for _, b := range got {
		kind, want := b.GetReasons()[0].GetKind(), recommendationsv1.ReasonKind_REASON_KIND_BEST_SELLER
		if b.GetId() == 601 {
			want = recommendationsv1.ReasonKind_REASON_KIND_NEW_BOOK
		}
		if kind != want || b.GetReasons()[0].GetShare() != 1 {
			t.Errorf("book %d of popularity %d: %v", b.GetId(), b.GetId(), b.GetReasons())
		}
	}
}

// TestTrainedBooksAreNoLongerNew: with readers, a book is the model's.
func TestTrainedBooksAreNoLongerNew(t *testing.T) {
	w, _ := withSeries(t)
	for reader := range int32(40) {
		w.readers.Record(finished(4000+reader, 1), finished(4000+reader, 501), finished(4000+reader, 2+reader%20))
	}
	version := w.train()
	w.eventually("the next model is in use", func() bool { return w.model().GetModelVersion() == version })
	for _, b := range w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 2000, MaxReasons: 1}).GetRecommendations() {
		if b.GetId() == 501 && b.GetReasons()[0].GetKind() != recommendationsv1.ReasonKind_REASON_KIND_YOUR_BOOK {
			t.Errorf("a book with readers is suggested for %v", b.GetReasons())
		}
	}
	// The others were in the catalogue of the training, and nobody read them.
	var got []int32
	w.eventually("the index is of the next model", func() bool {
		got = ids(w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 2000}).GetRecommendations())
		return got[4] == 502
	})
	if !slices.Contains(got, 501) || !distinct(got) {
		t.Errorf("got %v", got)
	}
}

func TestSimilarToABookWithoutReaders(t *testing.T) {
	w, _ := withSeries(t)
	response, err := w.v1.SimilarBooks(t.Context(), &recommendationsv1.SimilarBooksRequest{BookId: 502, MaxResults: 6})
	if err != nil {
		t.Fatal(err)
	}
	got := response.GetRecommendations()
	// The next volume, the others of the series, then those of its author.
	if got[0].GetId() != 503 || !slices.Equal(slices.Sorted(slices.Values(ids(got[1:3]))), []int32{1, 501}) || len(got) != 6 {
		t.Errorf("got %v", ids(got))
	}
	for i, b := range got[1:] {
		if b.GetAuthors()[0] != "Author 0" || b.GetScore() > got[i].GetScore() {
			t.Errorf("place %d: %v", i+1, b)
		}
	}
}
