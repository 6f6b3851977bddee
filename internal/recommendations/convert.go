package recommendations

import (
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

// The messages of a list are made in one piece, which costs one allocation
// instead of one for each book.

func toFirst(a *answer) *recommendationspb.RecommendationResponse {
	messages := make([]recommendationspb.BookRecommendation, len(a.suggestions))
	list := make([]*recommendationspb.BookRecommendation, len(messages))
	for i := range a.suggestions {
		list[i] = &messages[i]
		list[i].Id = a.suggestions[i].book.id
		list[i].Title = a.suggestions[i].book.title
	}
	return &recommendationspb.RecommendationResponse{Recommendations: list}
}

func toV1(a *answer, version string, position int64, stale bool) *recommendationsv1.RecommendResponse {
	return &recommendationsv1.RecommendResponse{
		Recommendations: toSuggestions(a.suggestions),
		ModelVersion:    version,
		Position:        position,
		Stale:           stale,
		Category:        catalogv1.Category(a.category),
		HistorySize:     int32(a.history),
	}
}

func toSuggestions(suggestions []suggestion) []*recommendationsv1.Recommendation {
	total := 0
	for i := range suggestions {
		total += len(suggestions[i].reasons)
	}
	messages := make([]recommendationsv1.Recommendation, len(suggestions))
	list := make([]*recommendationsv1.Recommendation, len(suggestions))
	reasonMessages := make([]recommendationsv1.Reason, total)
	reasonList := make([]*recommendationsv1.Reason, total)
	for i := range suggestions {
		s, m := &suggestions[i], &messages[i]
		list[i] = m
		m.Id = s.book.id
		m.Title = s.book.title
		m.Authors = s.book.authors
		m.Category = catalogv1.Category(s.book.category)
		m.Year = s.book.year
		m.Score = s.score
		n := len(s.reasons)
		for j, r := range s.reasons {
			toReason(r, &reasonMessages[j])
			reasonList[j] = &reasonMessages[j]
		}
		m.Reasons = reasonList[:n:n]
		reasonMessages, reasonList = reasonMessages[n:], reasonList[n:]
	}
	return list
}

func toReason(r reason, m *recommendationsv1.Reason) {
	switch r.kind {
	case yourBook:
		m.Kind = recommendationsv1.ReasonKind_REASON_KIND_YOUR_BOOK
	case bestSeller:
		m.Kind = recommendationsv1.ReasonKind_REASON_KIND_BEST_SELLER
	case newBook:
		m.Kind = recommendationsv1.ReasonKind_REASON_KIND_NEW_BOOK
	}
	m.Share = r.share
	if r.book != nil {
		m.BookId = r.book.id
		m.Title = r.book.title
	}
}
