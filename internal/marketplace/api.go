package marketplace

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/marketplace/view"
)

// openAPI describes the JSON API. A test holds the handlers to it.
//
//go:embed openapi.json
var openAPI []byte

const (
	// apiPatience is how long an answer waits for the services. Programs would
	// rather wait than get half of it.
	apiPatience   = 2 * time.Second
	maxAPIResults = 100
)

// apiRoute is one operation of the JSON API. What answer returns is sent as
// JSON, its error as problem details.
type apiRoute struct {
	path   string
	answer func(*shop, context.Context, *http.Request, *parameters) (any, error)
}

// apiRoutes are all operations. Every one is a GET: what readers do is theirs,
// and a program has no session.
var apiRoutes = []apiRoute{
	{"/api/v1/recommendations", (*shop).apiRecommendations},
	{"/api/v1/books/{id}", (*shop).apiBook},
	{"/api/v1/search", (*shop).apiSearch},
	{"/api/v1/categories/{category}", (*shop).apiCategory},
	{"/api/v1/openapi.json", (*shop).apiDescription},
}

func (s *shop) registerAPI(mux *http.ServeMux) {
	for _, route := range apiRoutes {
		mux.Handle("GET "+route.path, s.api(route.answer))
	}
	mux.Handle("/api/", s.api(func(_ *shop, _ context.Context, r *http.Request, _ *parameters) (any, error) {
		return nil, fault.New(fault.NotFound, "There is no %s %s. The API is described at /api/v1/openapi.json.", r.Method, r.URL.EscapedPath())
	}))
}

// api turns a function that returns what to send into a handler.
func (s *shop) api(answer func(*shop, context.Context, *http.Request, *parameters) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), apiPatience)
		defer cancel()
		var body bytes.Buffer
		p, err := readParameters(r)
		if err == nil {
			var sent any
			if sent, err = answer(s, ctx, r, p); err == nil {
				err = json.NewEncoder(&body).Encode(sent)
			}
		}
		if err != nil {
			s.logProblem(r, fault.RespondJSON(w, r, inWords(err), w.Header().Get("X-Request-Id")), err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(body.Bytes()) // the client may have gone
	})
}

// parameters are those of a request's query. Whatever is wrong with them is
// collected, so that the client learns all of it at once.
type parameters struct {
	given url.Values
	wrong []fault.Violation
}

func readParameters(r *http.Request) (*parameters, error) {
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The query of the address cannot be read.")
	}
	return &parameters{given: given}, nil
}

func (p *parameters) refuse(name, format string, args ...any) {
	p.wrong = append(p.wrong, fault.Violation{Field: name, Message: fmt.Sprintf(format, args...)})
}

// take is the value of a parameter, empty when it is not given.
func (p *parameters) take(name string) string {
	values := p.given[name]
	delete(p.given, name)
	if len(values) > 1 {
		p.refuse(name, "is given %d times", len(values))
	}
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

func (p *parameters) integer(name string, unset, least, most int32) int32 {
	text := p.take(name)
	if text == "" {
		return unset
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || int32(n) < least || int32(n) > most {
		p.refuse(name, "must be a whole number from %d to %d", least, most)
	}
	return int32(n)
}

func (p *parameters) text(name string, most int) string {
	text := p.take(name)
	if !utf8.ValidString(text) {
		p.refuse(name, "must be UTF-8")
	} else if utf8.RuneCountInString(text) > most {
		p.refuse(name, "must have at most %d characters", most)
	}
	return text
}

// err is what is wrong, nil when nothing is. A parameter nobody has asked for is
// a mistake: it would otherwise be ignored in silence.
func (p *parameters) err() error {
	for _, name := range slices.Sorted(maps.Keys(p.given)) {
		p.refuse(name, "is no parameter here")
	}
	if len(p.wrong) == 0 {
		return nil
	}
	return &fault.Error{Kind: fault.Invalid, Message: "The parameters are wrong; errors says how.", Fields: p.wrong}
}

type apiBook struct {
	ID             int32    `json:"id"`
	Title          string   `json:"title"`
	Authors        []string `json:"authors"`
	Category       string   `json:"category,omitempty"`
	Year           int32    `json:"year,omitempty"`
	Series         string   `json:"series,omitempty"`
	SeriesPosition float32  `json:"series_position,omitempty"`
	Tags           []string `json:"tags,omitempty"`
	URL            string   `json:"url"`
}

type apiReason struct {
	Kind   string  `json:"kind"`
	BookID int32   `json:"book_id,omitempty"`
	Title  string  `json:"title,omitempty"`
	Share  float32 `json:"share"`
}

type apiRecommendation struct {
	apiBook
	Reasons []apiReason `json:"reasons"`
}

// apiBooks is a list of books, and how to go on with it.
type apiBooks struct {
	Books []apiBook `json:"books"`
	Next  string    `json:"next,omitempty"`
}

func (s *shop) slug(c catalogv1.Category) string {
	if known := s.categories.find(c); known != nil {
		return known.Path[1:]
	}
	return ""
}

// category is the one with a name in addresses, nil when there is none.
func (c *categories) named(slug string) *view.Category {
	i := slices.IndexFunc(c.all, func(have view.Category) bool { return have.Path == "/"+slug })
	if i < 0 {
		return nil
	}
	return &c.all[i]
}

func (s *shop) apiBooks(books []*catalogv1.Book) []apiBook {
	sent := make([]apiBook, len(books))
	for i, b := range books {
		sent[i] = apiBook{
			ID: b.GetId(), Title: b.GetTitle(), Authors: slices.Concat([]string{}, b.GetAuthors()), Category: s.slug(b.GetCategory()), Year: b.GetYear(),
			Series: b.GetSeries(), SeriesPosition: b.GetSeriesPosition(), Tags: b.GetTags(), URL: view.BookPath(b.GetId(), b.GetTitle()),
		}
	}
	return sent
}

var reasonKinds = map[recommendationsv1.ReasonKind]string{
	recommendationsv1.ReasonKind_REASON_KIND_YOUR_BOOK:   "your_book",
	recommendationsv1.ReasonKind_REASON_KIND_BEST_SELLER: "best_seller",
	recommendationsv1.ReasonKind_REASON_KIND_NEW_BOOK:    "new_book",
}

// apiRecommendations are books for a simulated or imported reader, or for
// nobody in particular. Visitors' readers are private.
func (s *shop) apiRecommendations(ctx context.Context, _ *http.Request, p *parameters) (any, error) {
	reader, slug := p.take("reader"), p.take("category")
	request := &recommendationsv1.RecommendRequest{
		MaxResults: p.integer("limit", 10, 1, maxAPIResults),
		MaxReasons: p.integer("reasons", maxReasons, 0, 10),
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	if slug != "" {
		category := s.categories.named(slug)
		if category == nil {
			return nil, fault.New(fault.NotFound, "There is no category %.100q.", slug)
		}
		request.Category = catalogv1.Category(category.ID)
	}
	if reader != "" {
		known, err := s.demoReader(ctx, reader)
		if err != nil {
			return nil, err
		}
		request.ReaderId = known.GetId()
	}
	response, err := s.Recommendations.Recommend(ctx, request)
	if err != nil {
		return nil, err
	}
	sent := struct {
		Recommendations []apiRecommendation `json:"recommendations"`
		ModelVersion    string              `json:"model_version"`
		Paused          bool                `json:"personalisation_paused"`
	}{make([]apiRecommendation, len(response.GetRecommendations())), response.GetModelVersion(), response.GetPersonalisationPaused()}
	for i, r := range response.GetRecommendations() {
		sent.Recommendations[i] = apiRecommendation{
			apiBook: apiBook{
				ID: r.GetId(), Title: r.GetTitle(), Authors: slices.Concat([]string{}, r.GetAuthors()), Category: s.slug(r.GetCategory()),
				Year: r.GetYear(), URL: view.BookPath(r.GetId(), r.GetTitle()),
			},
			Reasons: make([]apiReason, len(r.GetReasons())),
		}
		for j, reason := range r.GetReasons() {
			sent.Recommendations[i].Reasons[j] = apiReason{Kind: reasonKinds[reason.GetKind()], BookID: reason.GetBookId(), Title: reason.GetTitle(), Share: reason.GetShare()}
		}
	}
	return sent, nil
}

func (s *shop) apiBook(ctx context.Context, r *http.Request, p *parameters) (any, error) {
	if err := p.err(); err != nil {
		return nil, err
	}
	id, err := bookID(r)
	if err != nil {
		return nil, err
	}
	found, err := s.Catalog.GetBook(ctx, &catalogv1.GetBookRequest{Id: id})
	if err != nil {
		if fault.KindOf(err) == fault.NotFound {
			return nil, fault.Wrap(fault.NotFound, err, "The shop has no book with the number %d.", id)
		}
		return nil, err
	}
	return s.apiBooks([]*catalogv1.Book{found.GetBook()})[0], nil
}

func (s *shop) apiSearch(ctx context.Context, _ *http.Request, p *parameters) (any, error) {
	request := &catalogv1.SearchBooksRequest{Query: p.text("q", maxQuery), MaxResults: p.integer("limit", 20, 1, maxAPIResults)}
	if request.GetQuery() == "" {
		p.refuse("q", "must say what to search for")
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	response, err := s.Catalog.SearchBooks(ctx, request)
	if err != nil {
		return nil, err
	}
	return apiBooks{Books: s.apiBooks(response.GetBooks())}, nil
}

func (s *shop) apiCategory(ctx context.Context, r *http.Request, p *parameters) (any, error) {
	request := &catalogv1.ListBooksRequest{PageSize: p.integer("limit", 20, 1, maxAPIResults), PageToken: p.text("after", maxQuery)}
	if err := p.err(); err != nil {
		return nil, err
	}
	category := s.categories.named(r.PathValue("category"))
	if category == nil {
		return nil, fault.New(fault.NotFound, "There is no category %.100q.", r.PathValue("category"))
	}
	request.Category = catalogv1.Category(category.ID)
	response, err := s.Catalog.ListBooks(ctx, request)
	if err != nil {
		if fault.KindOf(err) == fault.Invalid {
			p.refuse("after", "is not the next of this list; begin without it")
			return nil, fmt.Errorf("%w (%w)", p.err(), err)
		}
		return nil, err
	}
	sent := apiBooks{Books: s.apiBooks(response.GetBooks())}
	if token := response.GetNextPageToken(); token != "" {
		sent.Next = r.URL.EscapedPath() + "?limit=" + strconv.Itoa(int(request.GetPageSize())) + "&after=" + url.QueryEscape(token)
	}
	return sent, nil
}

func (s *shop) apiDescription(_ context.Context, _ *http.Request, p *parameters) (any, error) {
	return json.RawMessage(openAPI), p.err()
}
