package marketplace

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/marketplace/view"
)

const (
	rowLength   = 6
	firstLength = 1 + 2*rowLength // one large, two lines
	maxReasons  = 3               // of the book shown large
	cardReasons = 2               // that a card has room for
	favourites  = 3
	bestSellers = 24
)

const (
	withoutSuggestions = "Personal suggestions are not available just now. Until they are back, here are the best sellers."
	withoutBestSellers = "The best sellers are not available just now."
	notCaughtUp        = "Your last click is saved. The suggestions will know it in a moment."
)

// home is the first page.
func (s *shop) home(v *visit) error {
	var (
		asked   = s.homeRows(v)
		answers []*recommendationsv1.RecommendResponse
		best    []*view.Book
		counts  map[uint8]int
		failed  error
		noBest  error
		calls   sync.WaitGroup
	)
	ctx, cancel := v.ask()
	defer cancel()
	calls.Go(func() {
		response, err := s.Recommendations.BatchRecommend(ctx, &recommendationsv1.BatchRecommendRequest{Requests: asked})
		answers, failed = response.GetResponses(), err
	})
	calls.Go(func() { best, noBest = s.bestSellers(ctx) })
	calls.Go(func() { counts = s.bookCounts(ctx) })
	calls.Go(func() { s.demoOpen(ctx) })
	calls.Wait()

	home := view.Home{Known: v.session.Reader != 0}
	shown := map[int32]bool{}
	if failed != nil {
		v.missing("recommendations", failed)
		v.notice(withoutSuggestions)
	} else {
		s.fillHome(v, &home, answers)
		for _, r := range home.Rows {
			for _, c := range r.Cards {
				shown[c.ID] = true
			}
		}
	}
	if noBest != nil {
		v.missing("catalog", noBest)
		if failed != nil {
			v.notice("The books are not available just now. Please try again in a moment.")
		} else {
			v.notice(withoutBestSellers)
		}
	}
	length := rowLength
	if failed != nil {
		length = 3 * rowLength
	}
	home.Failed = failed != nil
	if row := bestRow(best, shown, length); len(row.Cards) > 0 && (home.Failed || home.Personal || home.Paused || !home.Known) {
		place := len(home.Rows)
		if !home.Known && len(v.session.Recent) == 0 {
			place = 0
		}
		home.Rows = slices.Insert(home.Rows, place, row)
	}
	home.Frame = v.frame("", "Books chosen for you, each with the exact reason.")
	home.Canonical = "/"
	home.Categories = s.categories.counted(counts)
	return v.show(http.StatusOK, view.HomePage(home))
}

// homeRows are the rows to ask for, all in one call.
func (s *shop) homeRows(v *visit) []*recommendationsv1.RecommendRequest {
	row := func(results int32) *recommendationsv1.RecommendRequest {
		request := s.request(v)
		request.MaxResults = results
		return request
	}
	rows := []*recommendationsv1.RecommendRequest{row(firstLength)}
	if v.session.Reader != 0 {
		for n := range int32(favourites) {
			favourite := row(rowLength)
			favourite.FavouriteCategory, favourite.MaxReasons = n+1, cardReasons
			rows = append(rows, favourite)
		}
		return rows
	}
	if len(v.session.Recent) == 0 {
		rows = rows[:0] // nothing to be personal about
	}
	counts, _ := s.counts.peek()
	for _, c := range s.categories.largest(counts, favourites) {
		category := row(rowLength)
		category.Category, category.MaxReasons = catalogv1.Category(c.ID), cardReasons
		rows = append(rows, category)
	}
	return rows
}

// request is what every question to the recommender says about the visitor.
func (s *shop) request(v *visit) *recommendationsv1.RecommendRequest {
	request := &recommendationsv1.RecommendRequest{
		ReaderId:    v.session.Reader,
		MaxReasons:  maxReasons,
		MinPosition: v.session.MinPosition(time.Now(), catchUp),
	}
	if v.session.Reader == 0 {
		request.RecentBookIds = v.session.Recent
	}
	return request
}

// fillHome turns the answers into rows.
func (s *shop) fillHome(v *visit, home *view.Home, answers []*recommendationsv1.RecommendResponse) {
	for i, answer := range answers {
		if answer.GetStale() {
			v.notice(notCaughtUp)
		}
		home.Paused = home.Paused || answer.GetPersonalisationPaused()
		cards := s.suggestions(answer.GetRecommendations())
		if len(cards) == 0 {
			continue
		}
		category := s.categories.find(answer.GetCategory())
		if category != nil {
			row := view.Row{ID: "row-" + category.Path[1:], Title: category.Name, More: category.Path, Cards: cards}
			if home.Known && answer.GetHistorySize() > 0 {
				row.Title = "More " + lower(category.Name) + " for you"
			}
			home.Rows = append(home.Rows, row)
			continue
		}
		if i > 0 {
			continue // the reader has fewer favourites than were asked for
		}
		row := view.Row{ID: "row-for-you", Title: "For you", Cards: cards}
		switch {
		case answer.GetHistorySize() == 0:
			row.Title = "Chosen by many readers"
			row.Cards = cards[:min(len(cards), 2*rowLength)]
		case !home.Known:
			row.Title, row.Note = "From what you looked at", "Nothing is kept but the books of this visit, in your own browser."
			row.Cards = cards[:min(len(cards), 2*rowLength)]
		default:
			home.Personal = true
			home.First, home.Rest = &cards[0], rest(cards[0].Reasons)
			row.Cards = cards[1:]
		}
		if len(row.Cards) > 0 {
			home.Rows = append(home.Rows, row)
		}
	}
}

// lower is a category's name within a sentence.
func lower(name string) string {
	return string(name[0]|0x20) + name[1:]
}

func bestRow(best []*view.Book, shown map[int32]bool, length int) view.Row {
	row := view.Row{ID: "row-best-sellers", Title: "Best sellers", Note: "The same for everybody."}
	for _, b := range best {
		if len(row.Cards) < length && !shown[b.ID] {
			row.Cards = append(row.Cards, view.Card{Book: b})
		}
	}
	return row
}

// bestSellers are the books with most readers, whoever asks.
func (s *shop) bestSellers(ctx context.Context) ([]*view.Book, error) {
	return s.best.get(ctx, time.Now(), func(ctx context.Context) ([]*view.Book, error) {
		response, err := s.Catalog.ListBooks(ctx, &catalogv1.ListBooksRequest{PageSize: bestSellers})
		return s.catalogBooks(response.GetBooks()), err
	})
}

// bookCounts are the numbers of books by category, nil when they are not
// known. Pages do without.
func (s *shop) bookCounts(ctx context.Context) map[uint8]int {
	counts, _ := s.counts.get(ctx, time.Now(), func(ctx context.Context) (map[uint8]int, error) {
		response, err := s.Catalog.ListCategories(ctx, &catalogv1.ListCategoriesRequest{})
		counts := make(map[uint8]int, len(response.GetCategories()))
		for _, entry := range response.GetCategories() {
			if c := s.categories.find(entry.GetCategory()); c != nil {
				counts[c.ID] = int(entry.GetBooks())
			}
		}
		return counts, err
	})
	return counts
}

// counted are all categories with their numbers of books.
func (c *categories) counted(counts map[uint8]int) []view.Category {
	all := slices.Clone(c.all)
	for i := range all {
		all[i].Books = counts[all[i].ID]
	}
	return all
}

// largest are the n categories with most books; the first ones when nothing
// is known.
func (c *categories) largest(counts map[uint8]int, n int) []view.Category {
	all := c.counted(counts)
	slices.SortStableFunc(all, func(a, b view.Category) int { return b.Books - a.Books })
	return all[:n]
}
