package marketplace

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	"github.com/octavo-books/octavo/internal/marketplace/view"
)

const (
	maxQuery   = 200 // characters, as in the contract
	foundShown = 24  // books on a page
	maxChoices = 12  // values of a filter that are offered
)

// asked is what the address of a search says: the words, and one filter of
// each kind at most. What makes no sense in it is left out.
type asked struct {
	query    string
	category *view.Category
	decade   int32 // its first year
	byDecade bool
	language string
}

// href is the address of a search.
func (a asked) href() string {
	q := url.Values{"q": {a.query}}
	if a.category != nil {
		q.Set("category", a.category.Path[1:])
	}
	if a.byDecade {
		q.Set("decade", strconv.Itoa(int(a.decade)))
	}
	if a.language != "" {
		q.Set("language", a.language)
	}
	return "/search?" + q.Encode()
}

func (s *shop) asked(q url.Values) asked {
	a := asked{
		query:    strings.Join(strings.Fields(strings.ToValidUTF8(q.Get("q"), " ")), " "),
		category: s.categories.named(q.Get("category")),
	}
	if year, err := strconv.ParseInt(q.Get("decade"), 10, 32); err == nil && year%10 == 0 && year >= -4000 && year < 3000 {
		a.decade, a.byDecade = int32(year), true
	}
	if tag, err := language.ParseBase(q.Get("language")); err == nil {
		a.language = tag.String()
	}
	return a
}

func (a asked) request(after string) *catalogv1.SearchBooksRequest {
	r := &catalogv1.SearchBooksRequest{Query: a.query, MaxResults: foundShown, PageToken: after, Language: a.language}
	if a.category != nil {
		r.Category = catalogv1.Category(a.category.ID)
	}
	if a.byDecade {
		// 0 would be no bound, and there was no year 0.
		r.FromYear, r.ToYear = a.decade, a.decade+9
		if a.decade == 0 {
			r.FromYear = 1
		}
	}
	return r
}

// search is the page of books found by words.
func (s *shop) search(v *visit) error {
	values := v.r.URL.Query()
	a, after := s.asked(values), values.Get("after")
	if runes := []rune(a.query); len(runes) > maxQuery {
		a.query = string(runes[:maxQuery])
		v.notice("Only the first 200 characters were searched for.")
	}
	page := view.Found{Asked: a.query != "", Further: after != "", First: a.href()}
	if page.Asked {
		var (
			found       *catalogv1.SearchBooksResponse
			suggestions *catalogv1.SuggestBooksResponse
			failed      error
			calls       sync.WaitGroup
		)
		ctx, cancel := v.ask()
		defer cancel()
		calls.Go(func() { found, failed = s.Catalog.SearchBooks(ctx, a.request(after)) })
		// Without suggestions the page is whole.
		calls.Go(func() { suggestions, _ = s.Catalog.SuggestBooks(ctx, &catalogv1.SuggestBooksRequest{Query: a.query}) })
		calls.Wait()
		if failed != nil {
			if page.Further && fault.KindOf(failed) == fault.Invalid {
				return fault.Wrap(fault.Invalid, failed, "This page of the search does not exist. Begin with the first one.")
			}
			v.missing("catalog", failed)
			page.Failed = true
		}
		page.Books = plainCards(s.catalogBooks(found.GetBooks()))
		page.Total = int(found.GetTotal())
		page.Choices = s.choices(a, found)
		if next := found.GetNextPageToken(); next != "" {
			page.Next = a.href() + "&after=" + url.QueryEscape(next)
		}
		for _, other := range found.GetDidYouMean() {
			b := a
			b.query = other
			page.DidYouMean = append(page.DidYouMean, view.Choice{Label: other, Href: b.href()})
		}
		page.All = asked{query: a.query}.href()
		for _, suggestion := range suggestions.GetSuggestions() {
			page.Suggestions = append(page.Suggestions, suggestion.GetText())
		}
	}
	page.Frame = v.frame("Search", "Search the shop by title, author or series.")
	page.Query = a.query
	page.Suggested = len(page.Suggestions) > 0
	return v.show(http.StatusOK, view.FoundPage(page))
}

// choices are the filters a search can be narrowed down with. One that is in
// use leads to the search without it.
func (s *shop) choices(a asked, found *catalogv1.SearchBooksResponse) []view.Choices {
	var categories, decades, languages view.Choices
	for _, c := range found.GetCategories() {
		if known := s.categories.find(c.GetCategory()); known != nil {
			b := a
			on := a.category == known
			if b.category = known; on {
				b.category = nil
			}
			categories.Options = append(categories.Options, view.Choice{Label: known.Name, Books: int(c.GetBooks()), On: on, Href: b.href()})
		}
	}
	for _, d := range found.GetDecades() {
		b := a
		on := a.byDecade && a.decade == d.GetFirstYear()
		b.decade, b.byDecade = d.GetFirstYear(), !on
		decades.Options = append(decades.Options, view.Choice{Label: view.Decade(d.GetFirstYear()), Books: int(d.GetBooks()), On: on, Href: b.href()})
	}
	for _, l := range found.GetLanguages() {
		b := a
		on := a.language == l.GetLanguage()
		if b.language = l.GetLanguage(); on {
			b.language = ""
		}
		languages.Options = append(languages.Options, view.Choice{Label: languageName(l.GetLanguage()), Books: int(l.GetBooks()), On: on, Href: b.href()})
	}
	categories.Title, decades.Title, languages.Title = "Category", "First published", "Language"
	var all []view.Choices
	for _, c := range []view.Choices{categories, decades, languages} {
		// A filter that everything passes does not narrow anything down.
		if len(c.Options) > 1 || len(c.Options) == 1 && (c.Options[0].On || c.Options[0].Books < int(found.GetTotal())) {
			c.Options = shown(c.Options)
			all = append(all, c)
		}
	}
	return all
}

// shown are the first options, and the one in use wherever it is.
func shown(options []view.Choice) []view.Choice {
	out := options[:min(len(options), maxChoices)]
	for _, o := range options[len(out):] {
		if o.On {
			out = append(out[:len(out):len(out)], o)
		}
	}
	return out
}

func languageName(code string) string {
	tag, err := language.Parse(code)
	if err != nil {
		return code
	}
	return display.English.Languages().Name(tag)
}
