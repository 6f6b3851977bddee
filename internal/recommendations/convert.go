package recommendations

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

// The books of an answer are put into its message as the bytes they are sent
// as: what is the same in every answer has been encoded when the catalogue sent
// the book. The message carries them as fields that it does not know, which
// means the same to whoever receives it; only in this process do its getters
// not find them. BenchmarkConvert compares this with messages made one by one.

// The fields that are written here. All lists of books are field 1.
const (
	fieldBooks = 1

	fieldBookID    = 1 // of recommendationspb.BookRecommendation
	fieldBookTitle = 2

	fieldScore   = 6 // of recommendationsv1.Recommendation
	fieldReasons = 7

	fieldKind  = 1 // of recommendationsv1.Reason
	fieldShare = 4
	fieldDid   = 5
)

// encode makes a book's fields of a recommendationsv1.Recommendation, and those
// of a recommendationsv1.Reason that names it.
func (b *book) encode(authors []string, year int32) {
	// Marshal fails only for text that is no UTF-8, and this came in a message.
	b.suggested, _ = proto.Marshal(&recommendationsv1.Recommendation{
		Id: b.id, Title: b.title, Authors: authors, Category: catalogv1.Category(b.category), Year: year,
	})
	b.named, _ = proto.Marshal(&recommendationsv1.Reason{BookId: b.id, Title: b.title})
}

func toFirst(a *answer) *recommendationspb.RecommendationResponse {
	total := 0
	for i := range a.suggestions {
		total += 16 + len(a.suggestions[i].book.title) // tags, lengths and the id
	}
	list := make([]byte, 0, total)
	for i := range a.suggestions {
		b := a.suggestions[i].book
		id := uint64(b.id)
		size := protowire.SizeTag(fieldBookID) + protowire.SizeVarint(id) + protowire.SizeTag(fieldBookTitle) + protowire.SizeBytes(len(b.title))
		list = protowire.AppendTag(list, fieldBooks, protowire.BytesType)
		list = protowire.AppendVarint(list, uint64(size))
		list = protowire.AppendTag(list, fieldBookID, protowire.VarintType)
		list = protowire.AppendVarint(list, id)
		list = protowire.AppendTag(list, fieldBookTitle, protowire.BytesType)
		list = protowire.AppendString(list, b.title)
	}
	m := &recommendationspb.RecommendationResponse{}
	m.ProtoReflect().SetUnknown(list)
	return m
}

func toV1(a *answer, version string, position int64, stale bool) *recommendationsv1.RecommendResponse {
	m := &recommendationsv1.RecommendResponse{
		ModelVersion: version,
		Position:     position,
		Stale:        stale,
		Category:     catalogv1.Category(a.category),
		HistorySize:  int32(a.history),

		PersonalisationPaused: a.paused,
	}
	m.ProtoReflect().SetUnknown(encodeSuggestions(a.suggestions))
	return m
}

func toSimilar(similar []suggestion, version string) *recommendationsv1.SimilarBooksResponse {
	m := &recommendationsv1.SimilarBooksResponse{ModelVersion: version}
	m.ProtoReflect().SetUnknown(encodeSuggestions(similar))
	return m
}

// encodeSuggestions encodes a list of recommendationsv1.Recommendation.
func encodeSuggestions(suggestions []suggestion) []byte {
	total := 0
	for i := range suggestions {
		total += protowire.SizeTag(fieldBooks) + protowire.SizeBytes(suggestions[i].size())
	}
	list := make([]byte, 0, total)
	for i := range suggestions {
		s := &suggestions[i]
		list = protowire.AppendTag(list, fieldBooks, protowire.BytesType)
		list = protowire.AppendVarint(list, uint64(s.size()))
		list = append(list, s.book.suggested...)
		list = appendFloat(list, fieldScore, s.score)
		for _, r := range s.reasons {
			list = protowire.AppendTag(list, fieldReasons, protowire.BytesType)
			list = protowire.AppendVarint(list, uint64(r.size()))
			list = protowire.AppendTag(list, fieldKind, protowire.VarintType)
			list = protowire.AppendVarint(list, uint64(r.kind.number()))
			if r.book != nil {
				list = append(list, r.book.named...)
			}
			list = appendFloat(list, fieldShare, r.share)
			if r.did != 0 {
				list = protowire.AppendTag(list, fieldDid, protowire.VarintType)
				list = protowire.AppendVarint(list, uint64(r.did)) // the kinds have the numbers of the contract
			}
		}
	}
	return list
}

func (s *suggestion) size() int {
	size := len(s.book.suggested) + sizeFloat
	for _, r := range s.reasons {
		size += protowire.SizeTag(fieldReasons) + protowire.SizeBytes(r.size())
	}
	return size
}

func (r reason) size() int {
	size := protowire.SizeTag(fieldKind) + protowire.SizeVarint(uint64(r.kind.number())) + sizeFloat
	if r.book != nil {
		size += len(r.book.named)
	}
	if r.did != 0 {
		size += protowire.SizeTag(fieldDid) + protowire.SizeVarint(uint64(r.did))
	}
	return size
}

func (k reasonKind) number() recommendationsv1.ReasonKind {
	switch k {
	case yourBook:
		return recommendationsv1.ReasonKind_REASON_KIND_YOUR_BOOK
	case newBook:
		return recommendationsv1.ReasonKind_REASON_KIND_NEW_BOOK
	default:
		return recommendationsv1.ReasonKind_REASON_KIND_BEST_SELLER
	}
}

// sizeFloat is the size of a float field with its tag, for numbers up to 15.
const sizeFloat = 5

func appendFloat(dst []byte, field protowire.Number, value float32) []byte {
	dst = protowire.AppendTag(dst, field, protowire.Fixed32Type)
	return protowire.AppendFixed32(dst, math.Float32bits(value))
}
