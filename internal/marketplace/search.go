package marketplace

import (
	"net/http"
	"strings"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	"github.com/octavo-books/octavo/internal/marketplace/view"
)

const (
	maxQuery = 200 // characters, as in the contract
	maxFound = 48
)

// search is the page of books found by words.
func (s *shop) search(v *visit) error {
	query := strings.Join(strings.Fields(strings.ToValidUTF8(v.r.URL.Query().Get("q"), " ")), " ")
	if runes := []rune(query); len(runes) > maxQuery {
		query = string(runes[:maxQuery])
		v.notice("Only the first 200 characters were searched for.")
	}
	page := view.Found{Asked: query != ""}
	if page.Asked {
		ctx, cancel := v.ask()
		defer cancel()
		response, err := s.Catalog.SearchBooks(ctx, &catalogv1.SearchBooksRequest{Query: query, MaxResults: maxFound})
		if err != nil {
			v.missing("catalog", err)
			page.Failed = true
		}
		page.Books = plainCards(s.catalogBooks(response.GetBooks()))
	}
	page.Frame = v.frame("Search", "Search the shop by title, author or series.")
	page.Query = query
	return v.show(http.StatusOK, view.FoundPage(page))
}
