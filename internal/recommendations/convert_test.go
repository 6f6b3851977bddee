package recommendations

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
	"github.com/octavo-books/octavo/internal/recommender"
)

// received is a message as the other side has it.
func received[M proto.Message](t *testing.T, sent M, into M) M {
	t.Helper()
	raw, err := proto.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
	return into
}

// TestAnswersAreWhatTheContractsSay compares what is received with messages
// made field by field.
func TestAnswersAreWhatTheContractsSay(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	for range 300 {
		a := randomAnswer(random)
		want := &recommendationsv1.RecommendResponse{ModelVersion: "v", Position: 5, Stale: true, Category: 3, HistorySize: 7}
		first := &recommendationspb.RecommendationResponse{}
		for _, s := range a.suggestions {
			m := &recommendationsv1.Recommendation{}
			if err := proto.Unmarshal(s.book.suggested, m); err != nil {
				t.Fatal(err)
			}
			m.Score = s.score
			for _, r := range s.reasons {
				reason := &recommendationsv1.Reason{Kind: r.kind.number(), Share: r.share, Interaction: readersv1.InteractionKind(r.did)}
				if r.book != nil {
					reason.BookId, reason.Title = r.book.id, r.book.title
				}
				m.Reasons = append(m.Reasons, reason)
			}
			want.Recommendations = append(want.Recommendations, m)
			first.Recommendations = append(first.Recommendations, &recommendationspb.BookRecommendation{Id: s.book.id, Title: s.book.title})
		}
		if got := received(t, toV1(a, "v", 5, true), &recommendationsv1.RecommendResponse{}); !proto.Equal(got, want) {
			t.Fatalf("received %v\nwant %v", got, want)
		}
		if got := received(t, toFirst(a), &recommendationspb.RecommendationResponse{}); !proto.Equal(got, first) {
			t.Fatalf("received %v\nwant %v", got, first)
		}
		similar := &recommendationsv1.SimilarBooksResponse{ModelVersion: "v", Recommendations: want.GetRecommendations()}
		if got := received(t, toSimilar(a.suggestions, "v"), &recommendationsv1.SimilarBooksResponse{}); !proto.Equal(got, similar) {
			t.Fatalf("received %v\nwant %v", got, similar)
		}
	}
}

// randomAnswer has numbers and texts of all sizes.
func randomAnswer(random *rand.Rand) *answer {
	anyBook := func() *book {
		return listingFrom(&catalogv1.Book{
			Id: random.Int32() >> random.IntN(31), Title: strings.Repeat("ü", random.IntN(300)), Year: random.Int32N(7000) - 4000,
			Category: catalogv1.Category(random.IntN(categories)), Authors: []string{"A", "B"}[:random.IntN(3)],
		}).book
	}
	a := &answer{category: 3, history: 7}
	for range random.IntN(12) {
		s := suggestion{book: anyBook(), score: random.Float32()}
		for range random.IntN(11) {
			r := reason{kind: reasonKind(random.IntN(3)), share: random.Float32()}
			if r.kind == yourBook || r.kind == newBook && random.IntN(2) == 0 {
				r.book, r.did = anyBook(), recommender.Kind(random.IntN(10))
			}
			s.reasons = append(s.reasons, r)
		}
		a.suggestions = append(a.suggestions, s)
	}
	a.suggestions = append(a.suggestions, suggestion{book: anyBook(), score: math.MaxFloat32, reasons: []reason{{kind: bestSeller}}})
	return a
}

// TestEncodedBooks: what is encoded once is what the catalogue sent.
func TestEncodedBooks(t *testing.T) {
	b := listingFrom(&catalogv1.Book{
		Id: 7, Title: "Emma", Authors: []string{"Jane Austen"}, Category: catalogv1.Category_CATEGORY_LITERATURE, Year: 1815, Popularity: 3, Isbn13: "9780141439587",
	}).book
	want := &recommendationsv1.Recommendation{
		Id: 7, Title: "Emma", Authors: []string{"Jane Austen"}, Category: catalogv1.Category_CATEGORY_LITERATURE, Year: 1815,
	}
	got := &recommendationsv1.Recommendation{}
	if err := proto.Unmarshal(b.suggested, got); err != nil || !proto.Equal(got, want) {
		t.Errorf("suggested: %v, %v, want %v", got, err, want)
	}
	reason := &recommendationsv1.Reason{}
	if err := proto.Unmarshal(b.named, reason); err != nil || reason.GetBookId() != 7 || reason.GetTitle() != "Emma" {
		t.Errorf("named: %v, %v", reason, err)
	}
}

// BenchmarkConvert is the conversion of an answer and its encoding, and beside
// it the encoding of the same message made field by field.
func BenchmarkConvert(b *testing.B) {
	for _, reasons := range []int{0, 3} {
		a := &answer{}
		for i := range 10 {
			l := listingFrom(&catalogv1.Book{Id: int32(i) + 1000, Title: "The Long Way to a Book", Authors: []string{"Some Author"}, Category: 5, Year: 1990})
			s := suggestion{book: l.book, score: 0.5}
			for range reasons {
				s.reasons = append(s.reasons, reason{book: l.book, share: 0.3, did: recommender.Finished})
			}
			a.suggestions = append(a.suggestions, s)
		}
		b.Run(fmt.Sprint(reasons, "reasons"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := proto.Marshal(toV1(a, "0123456789ab", 5, false)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprint(reasons, "reasons/fields"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m := &recommendationsv1.RecommendResponse{ModelVersion: "0123456789ab", Position: 5}
				for range 10 {
					r := &recommendationsv1.Recommendation{Id: 1000, Title: "The Long Way to a Book", Authors: []string{"Some Author"}, Category: 5, Year: 1990, Score: 0.5}
					for range reasons {
						r.Reasons = append(r.Reasons, &recommendationsv1.Reason{Kind: 1, BookId: 1000, Title: "The Long Way to a Book", Share: 0.3, Interaction: readersv1.InteractionKind_INTERACTION_KIND_FINISHED})
					}
					m.Recommendations = append(m.Recommendations, r)
				}
				if _, err := proto.Marshal(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
