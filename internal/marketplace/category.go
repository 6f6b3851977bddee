package marketplace

import (
	"net/http"
	"net/url"
	"sync"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/marketplace/view"
)

// shelfLength is how many books of a category are on one page.
const shelfLength = 24

// category is the page of one category: what is chosen for the visitor, then
// all books.
func (s *shop) category(c *view.Category) func(*visit) error {
	return func(v *visit) error {
		var (
			after   = v.r.URL.Query().Get("after")
			answer  *recommendationsv1.RecommendResponse
			listed  *catalogv1.ListBooksResponse
			counts  map[uint8]int
			failed  error
			noBooks error
			calls   sync.WaitGroup
		)
		ctx, cancel := v.ask()
		defer cancel()
		calls.Go(func() {
			listed, noBooks = s.Catalog.ListBooks(ctx, &catalogv1.ListBooksRequest{
				Category: catalogv1.Category(c.ID), PageSize: shelfLength, PageToken: after,
			})
		})
		calls.Go(func() { counts = s.bookCounts(ctx) })
		if after == "" {
			request := s.request(v)
			request.Category, request.MaxResults, request.MaxReasons = catalogv1.Category(c.ID), rowLength, cardReasons
			calls.Go(func() { answer, failed = s.Recommendations.Recommend(ctx, request) })
		}
		calls.Wait()

		if noBooks != nil && fault.KindOf(noBooks) == fault.Invalid {
			return fault.Wrap(fault.Invalid, noBooks, "This page of %s does not exist. Begin with the first one.", lower(c.Name))
		}
		page := view.Shelf{Category: *c, Further: after != "", Failed: noBooks != nil}
		page.Category.Books = counts[c.ID]
		if noBooks != nil {
			v.missing("catalog", noBooks)
		}
		if failed != nil {
			v.missing("recommendations", failed)
			if noBooks == nil {
				v.notice("Personal suggestions are not available just now. All books of the category are here, most read first.")
			} else {
				v.notice("Personal suggestions are not available just now.")
			}
		}
		if answer.GetStale() {
			v.notice(notCaughtUp)
		}
		if cards := s.suggestions(answer.GetRecommendations()); len(cards) > 0 {
			page.Row = &view.Row{ID: "row-for-you", Title: "Most chosen", Cards: cards}
			if answer.GetHistorySize() > 0 {
				page.Row.Title = "For you"
			}
		}
		page.Books = plainCards(s.catalogBooks(listed.GetBooks()))
		if next := listed.GetNextPageToken(); next != "" {
			page.Next = c.Path + "?after=" + url.QueryEscape(next)
		}
		page.Frame = v.frame(c.Name, c.Name+": books chosen for you, and all the others.")
		if !page.Further {
			page.Canonical = c.Path
		}
		return v.show(http.StatusOK, view.ShelfPage(page))
	}
}
