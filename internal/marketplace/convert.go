package marketplace

import (
	"math"
	"slices"
	"strconv"
	"strings"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/marketplace/view"
)

// categories are the shelves of the contract, in the order of their numbers.
type categories struct{ all []view.Category }

func newCategories() *categories {
	c := &categories{}
	for number, name := range catalogv1.Category_name {
		if number == 0 {
			continue
		}
		words := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "CATEGORY_")), "_", "-")
		c.all = append(c.all, view.Category{
			ID:   uint8(number),
			Name: categoryName(words),
			Path: "/" + words,
		})
	}
	slices.SortFunc(c.all, func(a, b view.Category) int { return int(a.ID) - int(b.ID) })
	return c
}

// categoryName is "Science fiction" for "science-fiction".
func categoryName(slug string) string {
	name := strings.ToUpper(slug[:1]) + slug[1:]
	if slug == "self-help" {
		return name
	}
	return strings.ReplaceAll(name, "-", " ")
}

// find is the category with a number, nil when it is not known.
func (c *categories) find(number catalogv1.Category) *view.Category {
	i, found := slices.BinarySearchFunc(c.all, number, func(have view.Category, want catalogv1.Category) int {
		return int(have.ID) - int(want)
	})
	if !found {
		return nil
	}
	return &c.all[i]
}

func (s *shop) catalogBook(b *catalogv1.Book) *view.Book {
	return s.known.put(b.GetId(), b.GetTitle(), b.GetAuthors(), s.categories.find(b.GetCategory()), b.GetYear())
}

func (s *shop) catalogBooks(books []*catalogv1.Book) []*view.Book {
	out := make([]*view.Book, len(books))
	for i, b := range books {
		out[i] = s.catalogBook(b)
	}
	return out
}

func plainCards(books []*view.Book) []view.Card {
	cards := make([]view.Card, len(books))
	for i, b := range books {
		cards[i].Book = b
	}
	return cards
}

// suggestions are the cards of an answer.
func (s *shop) suggestions(recommendations []*recommendationsv1.Recommendation) []view.Card {
	cards := make([]view.Card, len(recommendations))
	for i, r := range recommendations {
		cards[i].Book = s.known.put(r.GetId(), r.GetTitle(), r.GetAuthors(), s.categories.find(r.GetCategory()), r.GetYear())
		cards[i].Suggested = true
		if len(r.GetReasons()) == 0 {
			continue
		}
		cards[i].Reasons = make([]view.Reason, 0, len(r.GetReasons()))
		for _, reason := range r.GetReasons() {
			if told, ok := s.reason(reason); ok {
				cards[i].Reasons = append(cards[i].Reasons, told)
			}
		}
	}
	return cards
}

func (s *shop) reason(r *recommendationsv1.Reason) (view.Reason, bool) {
	told := view.Reason{Percent: percent(r.GetShare())}
	switch r.GetKind() {
	case recommendationsv1.ReasonKind_REASON_KIND_YOUR_BOOK:
		told.Lead = lead(r.GetInteraction())
	case recommendationsv1.ReasonKind_REASON_KIND_BEST_SELLER:
		told.Lead = "A best seller"
		return told, true
	case recommendationsv1.ReasonKind_REASON_KIND_NEW_BOOK:
		if r.GetBookId() == 0 {
			told.Lead = "New here"
			return told, true
		}
		told.Lead = "New here, like"
	default:
		return told, false
	}
	told.Link = s.known.link(r.GetBookId(), r.GetTitle())
	return told, true
}

func percent(share float32) int {
	if !(share > 0) { // NaN too
		return 0
	}
	return int(math.Round(math.Min(float64(share), mostShare) * 100))
}

// mostShare bounds the shares that are told. They are above 1 where other books
// of the reader speak against the suggestion, but not by so much.
const mostShare = 9.99

// rest is what reasons leave out of the whole, in percent: below 0 when the
// other terms of the score speak against the book, all in all.
func rest(reasons []view.Reason) int {
	left := 100
	for _, r := range reasons {
		left -= r.Percent
	}
	return left
}

// lead is how a reason that names the reader's own book begins.
func lead(did readersv1.InteractionKind) string {
	switch did {
	case readersv1.InteractionKind_INTERACTION_KIND_FINISHED:
		return "Because you finished"
	case readersv1.InteractionKind_INTERACTION_KIND_READING:
		return "Because you are reading"
	case readersv1.InteractionKind_INTERACTION_KIND_WANT:
		return "Because you want to read"
	case readersv1.InteractionKind_INTERACTION_KIND_BOUGHT:
		return "Because you bought"
	case readersv1.InteractionKind_INTERACTION_KIND_RATING:
		return "Because you rated"
	case readersv1.InteractionKind_INTERACTION_KIND_VIEW, readersv1.InteractionKind_INTERACTION_KIND_CLICK:
		return "Because you looked at"
	default:
		return "Because of"
	}
}

// readerName is how a page calls whoever reads.
func (v *visit) readerName() string {
	switch {
	case v.account != nil:
		return v.account.GetName()
	case v.session.Reader == 0:
		return ""
	default:
		return personName(readersv1.Origin(v.session.Origin), v.session.Reader)
	}
}

func personName(origin readersv1.Origin, id int32) string {
	number := strconv.Itoa(int(id))
	switch origin {
	case readersv1.Origin_ORIGIN_SIMULATED:
		return "Simulated reader " + number
	case readersv1.Origin_ORIGIN_IMPORTED:
		return "Imported reader " + number
	default:
		return "Reader " + number
	}
}
