package catalog

import (
	"cmp"
	"hash/fnv"
	"math"
	"slices"
	"strings"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	"github.com/octavo-books/octavo/internal/catalog/index"
	"github.com/octavo-books/octavo/internal/isbn"
	"github.com/octavo-books/octavo/internal/page"
)

// fromProto is a book, with those of its ISBNs whose check digit is right, and
// the others.
func fromProto(b *catalogv1.Book) (book Book, wrong []string) {
	sent := b.GetIsbns()
	if first := b.GetIsbn13(); first != "" {
		sent = slices.Insert(slices.Clone(sent), 0, first)
	}
	var isbns []string
	for _, text := range sent {
		number, err := isbn.Parse(text)
		if err != nil {
			wrong = append(wrong, text)
		} else if !slices.Contains(isbns, number) {
			isbns = append(isbns, number)
		}
	}
	return Book{
		ID:             b.GetId(),
		Title:          b.GetTitle(),
		Authors:        b.GetAuthors(),
		Category:       Category(b.GetCategory()),
		Year:           b.GetYear(),
		Tags:           b.GetTags(),
		Series:         b.GetSeries(),
		SeriesPosition: b.GetSeriesPosition(),
		ISBNs:          isbns,
		Language:       b.GetLanguage(),
		Source:         b.GetSource(),
		SourceID:       b.GetSourceId(),
		Popularity:     b.GetPopularity(),
	}, wrong
}

func toProto(b *Book) *catalogv1.Book {
	out := &catalogv1.Book{
		Id:             b.ID,
		Title:          b.Title,
		Authors:        b.Authors,
		Category:       catalogv1.Category(b.Category),
		Year:           b.Year,
		Tags:           b.Tags,
		Series:         b.Series,
		SeriesPosition: b.SeriesPosition,
		Isbns:          b.AllISBNs(),
		Language:       b.Language,
		Source:         b.Source,
		SourceId:       b.SourceID,
		Popularity:     b.Popularity,
	}
	if len(out.GetIsbns()) > 0 {
		out.Isbn13 = out.GetIsbns()[0]
	}
	for _, j := range b.Joined {
		out.Joined = append(out.GetJoined(), &catalogv1.RecordKey{Source: j.Source, SourceId: j.SourceID})
	}
	return out
}

func toProtos(books []Book) []*catalogv1.Book {
	out := make([]*catalogv1.Book, len(books))
	for i := range books {
		out[i] = toProto(&books[i])
	}
	return out
}

// facets are the counts of an answer, in the order of the contract.
func facets(a index.Answer) *catalogv1.SearchBooksResponse {
	resp := &catalogv1.SearchBooksResponse{Total: int32(a.Total)}
	for category, n := range a.Categories {
		resp.Categories = append(resp.Categories, &catalogv1.SearchBooksResponse_CategoryCount{Category: catalogv1.Category(category), Books: int32(n)})
	}
	for year, n := range a.Decades {
		resp.Decades = append(resp.Decades, &catalogv1.SearchBooksResponse_DecadeCount{FirstYear: year, Books: int32(n)})
	}
	for language, n := range a.Languages {
		resp.Languages = append(resp.Languages, &catalogv1.SearchBooksResponse_LanguageCount{Language: language, Books: int32(n)})
	}
	slices.SortFunc(resp.GetCategories(), func(a, b *catalogv1.SearchBooksResponse_CategoryCount) int {
		return cmp.Or(cmp.Compare(b.GetBooks(), a.GetBooks()), cmp.Compare(a.GetCategory(), b.GetCategory()))
	})
	slices.SortFunc(resp.GetDecades(), func(a, b *catalogv1.SearchBooksResponse_DecadeCount) int {
		return cmp.Compare(b.GetFirstYear(), a.GetFirstYear())
	})
	slices.SortFunc(resp.GetLanguages(), func(a, b *catalogv1.SearchBooksResponse_LanguageCount) int {
		return cmp.Or(cmp.Compare(b.GetBooks(), a.GetBooks()), cmp.Compare(a.GetLanguage(), b.GetLanguage()))
	})
	return resp
}

// placeToken is a page token: a mark of the search it belongs to, and where
// the page ended.
func placeToken(req *catalogv1.SearchBooksRequest, p index.Place) string {
	lenient := int64(0)
	if p.Lenient {
		lenient = 1
	}
	return page.Token(mark(req), lenient, int64(p.Class), int64(p.Cost), p.Popularity, int64(p.ID))
}

// parsePlace is nil for the first page.
func parsePlace(req *catalogv1.SearchBooksRequest) (*index.Place, error) {
	if req.GetPageToken() == "" {
		return nil, nil
	}
	n, err := page.Parse(req.GetPageToken(), 6)
	if err != nil {
		return nil, err
	}
	if n[0] != mark(req) || n[1] > 1 || n[2] > math.MaxUint8 || n[3] > math.MaxUint8 || n[5] > math.MaxInt32 {
		return nil, fault.NewInvalid("page_token", "belongs to another search; start from the first page")
	}
	return &index.Place{Lenient: n[1] == 1, Class: uint8(n[2]), Cost: uint8(n[3]), Popularity: n[4], ID: int32(n[5])}, nil
}

// mark is a number that another query or other filters would not have.
func mark(req *catalogv1.SearchBooksRequest) int64 {
	h := fnv.New32a()
	for _, text := range []string{index.Fold(req.GetQuery()), req.GetLanguage()} {
		_, _ = h.Write([]byte(text))
		_, _ = h.Write([]byte{0})
	}
	for _, n := range []int32{int32(req.GetCategory()), req.GetFromYear(), req.GetToYear()} {
		_, _ = h.Write([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
	}
	return int64(h.Sum32())
}

// suggestion is what of the book the words speak of: the title, unless all of
// them are in a name.
func suggestion(b *Book, words []string) (string, catalogv1.SuggestBooksResponse_Kind) {
	has := func(text string) bool {
		folded := " " + index.Fold(text)
		for i, w := range words {
			if i < len(words)-1 && !strings.Contains(folded+" ", " "+w+" ") || !strings.Contains(folded, " "+w) {
				return false
			}
		}
		return true
	}
	if has(b.Title) {
		return b.Title, catalogv1.SuggestBooksResponse_KIND_TITLE
	}
	for _, a := range b.Authors {
		if has(a) {
			return a, catalogv1.SuggestBooksResponse_KIND_AUTHOR
		}
	}
	if has(b.Series) {
		return b.Series, catalogv1.SuggestBooksResponse_KIND_SERIES
	}
	return b.Title, catalogv1.SuggestBooksResponse_KIND_TITLE
}
