package marketplace

import (
	"compress/gzip"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
)

// browser visits a storefront: it keeps cookies and does not follow redirects.
type browser struct {
	t      testing.TB
	server *httptest.Server
	client *http.Client
}

func open(tb testing.TB, c Config) *browser {
	tb.Helper()
	handler, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	server := httptest.NewServer(handler)
	tb.Cleanup(server.Close)
	b := &browser{t: tb, server: server}
	b.forget()
	return b
}

// forget makes the browser a new one.
func (b *browser) forget() {
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.client = &http.Client{
		Transport: b.server.Client().Transport, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (b *browser) do(r *http.Request) (int, string, http.Header) {
	b.t.Helper()
	response, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return response.StatusCode, string(body), response.Header
}

// get is a page that must come with status 200.
func (b *browser) get(path string) string {
	b.t.Helper()
	status, body, _ := b.fetch(path)
	if status != http.StatusOK {
		b.t.Fatalf("GET %s: status %d\n%s", path, status, text(body))
	}
	return body
}

func (b *browser) fetch(path string) (int, string, http.Header) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.server.URL+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(r)
}

func (b *browser) post(path string, form url.Values, headers ...string) (int, string, http.Header) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.server.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return b.do(r)
}

// send posts a form that must be answered with the address of a page.
func (b *browser) send(path string, fields ...string) string {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	status, body, header := b.post(path, form)
	if status != http.StatusSeeOther {
		b.t.Fatalf("POST %s: status %d\n%s", path, status, text(body))
	}
	return header.Get("Location")
}

var (
	svg  = regexp.MustCompile(`(?s)<svg.*?</svg>`)
	tags = regexp.MustCompile(`<[^>]*>`)
)

// text is what a page says, without markup.
func text(body string) string {
	body = tags.ReplaceAllString(svg.ReplaceAllString(body, ""), " ")
	return strings.Join(strings.Fields(html.UnescapeString(body)), " ")
}

func wants(t *testing.T, page string, parts ...string) {
	t.Helper()
	said := text(page)
	for _, part := range parts {
		if !strings.Contains(said, part) {
			t.Errorf("the page does not say %q; it says\n%s", part, said)
		}
	}
}

func wantsNot(t *testing.T, page string, parts ...string) {
	t.Helper()
	said := text(page)
	for _, part := range parts {
		if strings.Contains(said, part) {
			t.Errorf("the page says %q:\n%s", part, said)
		}
	}
}

func TestHomeOfAReaderHasExactReasons(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	if to := b.send("/reader", "reader", "17"); to != "/" {
		t.Errorf("choosing a reader leads to %q", to)
	}
	// The reader's next click makes the fake look at the whole log.
	b.send("/book/4/shelf", "shelf", "want")
	page := b.get("/")
	wants(t, page,
		"Chosen for Simulated reader 17",
		"Because you want to read Republic · 62 %",
		"Because you finished Dune · 21 %",
		"Because you rated The Left Hand of Darkness · under 1 %",
		"Everything else together · 17 %",
		"More science for you", "More mystery for you", "More science fiction for you",
		"Best sellers",
	)
	wantsNot(t, page, "Choose a demo reader")
}

func TestNewBooksAreSaidToBeNew(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	b.send("/reader", "reader", "17")
	services.recommendations.reason = &recommendationsv1.Reason{
		Kind: recommendationsv1.ReasonKind_REASON_KIND_NEW_BOOK, BookId: 4, Title: "Republic", Share: 0.9,
	}
	wants(t, b.get("/"), "New here, like Republic · 90 %")
	services.recommendations.reason = &recommendationsv1.Reason{Kind: recommendationsv1.ReasonKind_REASON_KIND_NEW_BOOK, Share: 1}
	page := b.get("/")
	wants(t, page, "New here")
	wantsNot(t, page, "New here, like")
}

func TestABookOnlyOpenedIsSaidToBeLookedAt(t *testing.T) {
	services := library()
	services.readers.log = services.readers.log[:1]
	b := open(t, services.config(t))
	b.send("/reader", "reader", "17")
	b.send("/book/2/rate", "rating", "4.5")
	wants(t, b.get("/"), "Because you rated The Left Hand of Darkness · 62 %", "Because you looked at Pride and Prejudice · 21 %")
}

func TestHomeOfAStranger(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	b.get("/") // the sizes of the categories are known from now on
	page := b.get("/")
	wants(t, page, "Every book here says why it is here.", "Choose a demo reader", "Best sellers", "Literature", "A best seller")
	for _, r := range services.recommendations.requests() {
		if r.GetReaderId() != 0 || r.GetMinPosition() != 0 {
			t.Errorf("a stranger asked as reader %d with position %d", r.GetReaderId(), r.GetMinPosition())
		}
	}
	if best, row := strings.Index(page, "row-best-sellers"), strings.Index(page, "row-literature"); best < 0 || row < best {
		t.Error("the best sellers are not first")
	}
}

func TestAllCategoriesHaveAnAddress(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	home := b.get("/")
	for path, name := range map[string]string{
		"/literature": "Literature", "/philosophy": "Philosophy", "/science": "Science", "/mystery": "Mystery",
		"/science-fiction": "Science fiction", "/self-help": "Self-help", "/fantasy": "Fantasy", "/horror": "Horror",
		"/thriller": "Thriller", "/romance": "Romance", "/historical-fiction": "Historical fiction", "/adventure": "Adventure",
		"/young-adult": "Young adult", "/children": "Children", "/comics": "Comics", "/short-stories": "Short stories",
		"/poetry": "Poetry", "/drama": "Drama", "/essays": "Essays", "/biography": "Biography",
		"/humor":   "Humor", //nolint:misspell // the contract spells it so
		"/history": "History", "/politics": "Politics", "/business": "Business", "/psychology": "Psychology",
		"/religion": "Religion", "/art": "Art", "/music": "Music", "/travel": "Travel", "/nature": "Nature",
		"/cooking": "Cooking", "/technology": "Technology",
	} {
		if !strings.Contains(home, `<a href="`+path+`"`) {
			t.Errorf("the first page has no link to %s", path)
		}
		if page := b.get(path); !strings.Contains(page, "<h1>"+name+"</h1>") {
			t.Errorf("%s is not headed %s", path, name)
		}
	}
}

func TestACategoryPageByPage(t *testing.T) {
	services := library()
	for i := range services.catalog.books {
		services.catalog.books[i].Category = 1
	}
	b := open(t, services.config(t))
	seen := map[string]bool{}
	card := regexp.MustCompile(`<a class="book" href="(/book/\d+)[^"?]*">`)
	pages := 0
	for path := "/literature"; path != ""; pages++ {
		page := b.get(path)
		wants(t, page, fmt.Sprintf("%d books", len(services.catalog.books)))
		for _, match := range card.FindAllStringSubmatch(page, -1) {
			if seen[match[1]] {
				t.Errorf("%s is listed twice", match[1])
			}
			seen[match[1]] = true
		}
		next := regexp.MustCompile(`rel="next" href="([^"]*)"`).FindStringSubmatch(page)
		path = ""
		if next != nil {
			path = html.UnescapeString(next[1])
		}
	}
	if pages != 3 || len(seen) != len(services.catalog.books) {
		t.Errorf("%d pages list %d books, want 3 and %d", pages, len(seen), len(services.catalog.books))
	}
	status, page, _ := b.fetch("/literature?after=nonsense")
	if status != http.StatusBadRequest {
		t.Errorf("a page that does not exist: status %d, want 400", status)
	}
	wants(t, page, "This page of literature does not exist.")
}

func TestAnEmptyCategorySaysSo(t *testing.T) {
	wants(t, open(t, library().config(t)).get("/cooking"), "No books stand on this shelf yet.")
}

func TestABookPage(t *testing.T) {
	b := open(t, library().config(t))
	for _, path := range []string{"/book/1", "/book/1/dune", "/book/1/any/thing"} {
		page := b.get(path)
		wants(t, page, "Science fiction", "Dune", "Frank Herbert", "1965", "classic", "book 1", "Want to read", "Not interested", "4.5 stars", "Similar books", "The Left Hand of Darkness")
		for _, part := range []string{`aria-label="Drawn cover of Dune"`, `<link rel="canonical" href="/book/1/dune"`} {
			if !strings.Contains(page, part) {
				t.Errorf("%s has no %s", path, part)
			}
		}
	}
	wants(t, b.get("/book/4"), "380 BCE")
	for _, path := range []string{"/book/999", "/book/0", "/book/-1", "/book/x", "/book/99999999999999999999", "/nowhere"} {
		status, page, _ := b.fetch(path)
		if status != http.StatusNotFound || !strings.Contains(page, "To the first page") {
			t.Errorf("%s: status %d, want a page with 404 and the way out", path, status)
		}
	}
}

func TestAClickIsInTheNextPage(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	b.send("/reader", "reader", "5")
	for i, click := range []struct {
		path, field, value string
		kind               readersv1.InteractionKind
	}{
		{"/book/1/rate", "rating", "3.5", readersv1.InteractionKind_INTERACTION_KIND_RATING},
		{"/book/2/shelf", "shelf", "finished", readersv1.InteractionKind_INTERACTION_KIND_FINISHED},
		{"/book/3/shelf", "shelf", "reading", readersv1.InteractionKind_INTERACTION_KIND_READING},
		{"/book/4/shelf", "shelf", "want", readersv1.InteractionKind_INTERACTION_KIND_WANT},
		{"/book/6/shelf", "shelf", "not-interested", readersv1.InteractionKind_INTERACTION_KIND_NOT_INTERESTED},
		{"/book/1/shelf", "shelf", "removed", readersv1.InteractionKind_INTERACTION_KIND_REMOVED},
	} {
		if to, want := b.send(click.path, click.field, click.value), regexp.MustCompile(`/\w+$`).ReplaceAllString(click.path, ""); to != want {
			t.Errorf("%s leads to %s, want %s", click.path, to, want)
		}
		b.get("/")
		log := services.readers.interactions()
		last := log[len(log)-1]
		if last.GetReaderId() != 5 || last.GetKind() != click.kind {
			t.Errorf("click %d was recorded as %v", i, last)
		}
		asked := services.recommendations.requests()
		if got := asked[len(asked)-1].GetMinPosition(); got != int64(len(log)) {
			t.Errorf("after click %d the next page asks for position %d, want %d", i, got, len(log))
		}
	}
}

func TestTheBookPageShowsWhatTheReaderSaid(t *testing.T) {
	b := open(t, library().config(t))
	b.send("/reader", "reader", "17")
	rated := b.get("/book/2")
	wants(t, rated, "4.5 of 5", "Remove")
	if !strings.Contains(rated, `value="4.5" checked`) {
		t.Error("the rating is not chosen")
	}
	if page := b.get("/book/1"); !regexp.MustCompile(`value="finished"[^>]*aria-pressed="true"`).MatchString(page) {
		t.Error("the shelf is not pressed")
	}
	wantsNot(t, b.get("/book/4"), "of 5", "Remove")
	wants(t, b.get("/me"), "Finished 1", "Dune", "Rated 1", "The Left Hand of Darkness", "You rated it 4.5 of 5")
}

func TestTheSameFormTwiceIsOneClick(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	b.send("/reader", "reader", "5")
	page := b.get("/book/1")
	token := regexp.MustCompile(`name="token" value="([^"]+)"`).FindStringSubmatch(page)
	if token == nil {
		t.Fatal("the form has no token")
	}
	before := len(services.readers.interactions())
	b.send("/book/1/rate", "rating", "4", "token", token[1])
	b.send("/book/1/rate", "rating", "4", "token", token[1])
	if got := len(services.readers.interactions()) - before; got != 1 {
		t.Errorf("recorded %d times", got)
	}
	b.send("/book/1/rate", "rating", "5", "token", token[1])
	if got := len(services.readers.interactions()) - before; got != 2 {
		t.Errorf("another rating from the same page made %d records, want 2", got)
	}
}

func TestViewsAndFollowedSuggestionsAreRecordedOnce(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	b.send("/reader", "reader", "5")
	before := len(services.readers.interactions())
	b.get("/book/1/dune?from=row")
	b.get("/book/1/dune")
	b.get("/book/2")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodHead, b.server.URL+"/book/3", nil)
	if err != nil {
		t.Fatal(err)
	}
	b.do(r)
	log := services.readers.interactions()[before:]
	if len(log) != 2 || log[0].GetKind() != readersv1.InteractionKind_INTERACTION_KIND_CLICK || log[1].GetKind() != readersv1.InteractionKind_INTERACTION_KIND_VIEW {
		t.Errorf("recorded %v, want a click and a view", log)
	}
	b.get("/")
	asked := services.recommendations.requests()
	last := asked[len(asked)-1]
	if last.GetMinPosition() != int64(before+2) || len(last.GetRecentBookIds()) != 0 {
		t.Errorf("the next page asks for position %d and recent books %v", last.GetMinPosition(), last.GetRecentBookIds())
	}
}

func TestAStrangerBecomesAReaderWithTheFirstClick(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	before := len(services.readers.interactions())
	b.get("/book/1")
	b.get("/book/2")
	wants(t, b.get("/"), "From what you looked at", "Because you looked at The Left Hand of Darkness · 62 %")
	asked := services.recommendations.requests()
	if got := asked[0].GetRecentBookIds(); !slices.Equal(got, []int32{1, 2}) {
		t.Errorf("asked with recent books %v, want 1 and 2", got)
	}
	if got := len(services.readers.interactions()); got != before {
		t.Errorf("%d interactions of a stranger were recorded", got-before)
	}

	b.send("/book/2/rate", "rating", "5")
	log := services.readers.interactions()[before:]
	if len(log) != 3 || log[0].GetBookId() != 1 || log[1].GetBookId() != 2 || log[2].GetValue() != 5 || log[2].GetReaderId() != 33 {
		t.Errorf("recorded %v, want the two views, then the rating, of reader 33", log)
	}
	page := b.get("/")
	wants(t, page, "Chosen for Reader 33")
	b.send("/reader", "reader", "none")
	wants(t, b.get("/me"), "Nobody is reading yet.")
}

func TestThePicker(t *testing.T) {
	b := open(t, library().config(t))
	page := b.get("/reader")
	wants(t, page, "Simulated reader 17", "Loves deserts & spaceships", "None of them is a real person.", "Imported reader 31", "Simulated reader 3 science")
	wantsNot(t, page, "Simulated reader 25")
	next := regexp.MustCompile(`rel="next" href="([^"#]*)`).FindStringSubmatch(page)
	if next == nil {
		t.Fatal("there is no next page")
	}
	wants(t, b.get(html.UnescapeString(next[1])), "Simulated reader 25", "First page")

	if to := b.send("/reader", "reader", "new"); to != "/" {
		t.Errorf("a new reader is led to %s", to)
	}
	wants(t, b.get("/"), "Reader 33", "Good books to start with")

	for choice, status := range map[string]int{
		"33": http.StatusNotFound, // a visitor's own reader is private
		"77": http.StatusNotFound, "": http.StatusBadRequest, "-1": http.StatusBadRequest, "x": http.StatusBadRequest, "99999999999": http.StatusBadRequest,
	} {
		if got, _, _ := b.post("/reader", url.Values{"reader": {choice}}); got != status {
			t.Errorf("choosing %q: status %d, want %d", choice, got, status)
		}
	}
}

func TestSearch(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	wants(t, b.get("/search?q=left+hand"), "Books for “left hand”", "Ursula K. Le Guin")
	wants(t, b.get("/search?q=zzz"), "No book is called like that.")
	wants(t, b.get("/search"), "Type some words")
	wants(t, b.get("/search?q=%ff%fe"), "Type some words")
	wants(t, b.get("/search?q="+strings.Repeat("%C3%A9", 300)), "Only the first 200 characters were searched for.")
	wantsMarkup(t, b.get("/search?q=the"), `<datalist id="suggestions"><option value="The Left Hand of Darkness">`)
	services.catalog.set(true, false)
	wants(t, b.get("/search?q=dune"), "The search is not available just now.")
}

// Filters and pages are links, each of which keeps the words and the other
// filters.
func TestSearchIsNarrowedDown(t *testing.T) {
	services := library()
	for i := range int32(30) {
		services.catalog.books = append(services.catalog.books, &catalogv1.Book{Id: 100 + i, Title: fmt.Sprint("Tome ", i), Category: 1 + catalogv1.Category(i%3/2)})
	}
	b := open(t, services.config(t))
	wantsMarkup(t, b.get("/search?q=tome"), `href="/search?category=literature&amp;q=tome"`, `href="/search?q=tome&amp;after=from+24"`, "Tome 23")
	last := b.get("/search?q=tome&after=from+24")
	wantsMarkup(t, last, "Tome 29", "First page")
	if strings.Contains(last, "Next page") {
		t.Error("there is a page after the last one")
	}
	wantsMarkup(t, b.get("/search?q=tome&category=philosophy&decade=1990&language=en"),
		`href="/search?decade=1990&amp;language=en&amp;q=tome" aria-current="true"`, `href="/search?category=literature&amp;decade=1990&amp;language=en&amp;q=tome"`)
	wantsMarkup(t, b.get("/search?q=tome&category=cooking"), "with these filters", `href="/search?q=tome">Search without filters`)
	wantsMarkup(t, b.get("/search?q=lef+hnd"), "Did you mean", `href="/search?q=left+hand"`)
	wantsMarkup(t, b.get("/search?q=tome&category=nonsense&decade=ten&language=!"), "Tome 23")
	if status, page, _ := b.fetch("/search?q=tome&after=nonsense"); status != http.StatusBadRequest || !strings.Contains(page, "Begin with the first one") {
		t.Errorf("a page that is none: status %d, %s", status, page)
	}
}

// wantsMarkup wants parts of a page as they are sent.
func wantsMarkup(t *testing.T, page string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(page, part) {
			t.Errorf("the page has no %s", part)
		}
	}
}

func TestHowDisclosesTheModel(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	wants(t, b.get("/how"), "8c1f0a9b2d3e", "61,234", "neighbours 200", "How much being popular adds 0.01", "Recall in the first 20: the model 0.2581", "Readers it was measured on 53,424", "novelty 0.5")
	services.recommendations.set(true, false)
	wants(t, b.get("/how"), "the figures are missing")
}

func TestScriptInBooksIsText(t *testing.T) {
	services := library()
	services.recommendations.similar = []int32{5}
	services.readers.log = append(services.readers.log, &readersv1.Interaction{ReaderId: 17, BookId: 5, Kind: readersv1.InteractionKind_INTERACTION_KIND_FINISHED})
	b := open(t, services.config(t))
	b.send("/reader", "reader", "17")
	b.send("/book/1/rate", "rating", "4")
	for _, path := range []string{"/", "/literature", "/book/5", "/book/1", "/me", "/search?q=script", "/search?q=%3Cscript%3Ealert(1)%3C/script%3E"} {
		page := b.get(path)
		for _, bad := range []string{"<script", "<img", "onerror=alert(1)>"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s has %s in its markup", path, bad)
			}
		}
	}
	wants(t, b.get("/book/5"), `<script>alert("x")</script> & Other Stories`)
}

func TestPagesAreWellFormedAndNameEveryControl(t *testing.T) {
	b := open(t, library().config(t))
	check := func() {
		for _, path := range []string{"/", "/literature", "/cooking", "/book/1", "/reader", "/me", "/me/data", "/search", "/search?q=dune", "/how", "/nowhere"} {
			_, page, _ := b.fetch(path)
			decoder := xml.NewDecoder(strings.NewReader(page))
			decoder.Strict, decoder.AutoClose, decoder.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
			ids, headings, main := map[string]bool{}, 0, 0
			for {
				token, err := decoder.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				element, ok := token.(xml.StartElement)
				if !ok {
					continue
				}
				switch element.Name.Local {
				case "h1":
					headings++
				case "main":
					main++
				case "script", "style":
					t.Errorf("%s has a %s element", path, element.Name.Local)
				}
				for _, a := range element.Attr {
					if a.Name.Local == "style" || strings.HasPrefix(a.Name.Local, "on") {
						t.Errorf("%s has an attribute %s", path, a.Name.Local)
					}
					if a.Name.Local == "id" {
						if ids[a.Value] {
							t.Errorf("%s has the id %s twice", path, a.Value)
						}
						ids[a.Value] = true
					}
				}
			}
			if headings != 1 || main != 1 {
				t.Errorf("%s has %d first headings and %d main parts, want one of each", path, headings, main)
			}
		}
	}
	check()
	b.send("/reader", "reader", "17")
	b.send("/book/4/rate", "rating", "1")
	check()
}

func TestHeaders(t *testing.T) {
	b := open(t, library().config(t))
	for _, path := range []string{"/", "/nowhere", "/robots.txt"} {
		_, _, header := b.fetch(path)
		csp := header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s: policy %q lacks %s", path, csp, part)
			}
		}
		if strings.Contains(csp, "unsafe") || header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Referrer-Policy") != "same-origin" {
			t.Errorf("%s: headers %v", path, header)
		}
	}
	handler := b.server.Config.Handler
	for scheme, want := range map[string]string{"http": "", "https": "max-age=31536000; includeSubDomains"} {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), "GET", scheme+"://shop.test/nowhere", nil))
		if got := recorder.Header().Get("Strict-Transport-Security"); got != want {
			t.Errorf("over %s the transport policy is %q, want %q", scheme, got, want)
		}
	}
	_, page, header := b.fetch("/")
	if got := header.Get("Cache-Control"); got != "private, no-store" {
		t.Errorf("a page may be cached: %q", got)
	}
	if header.Get("Set-Cookie") != "" {
		t.Error("a visitor who did nothing gets a cookie")
	}
	style := regexp.MustCompile(`<link rel="stylesheet" href="([^"]+)"`).FindStringSubmatch(page)
	status, css, header := b.fetch(style[1])
	if status != http.StatusOK || !strings.Contains(css, "--paper") || !strings.Contains(header.Get("Cache-Control"), "immutable") {
		t.Errorf("stylesheet %s: status %d, %v", style[1], status, header)
	}
}

func TestTheCookie(t *testing.T) {
	b := open(t, library().config(t))
	_, _, header := b.post("/reader", url.Values{"reader": {"17"}}, "X-Forwarded-Proto", "https")
	cookie := header.Get("Set-Cookie")
	for _, part := range []string{"HttpOnly", "SameSite=Lax", "Secure", "Path=/"} {
		if !strings.Contains(cookie, part) {
			t.Errorf("the cookie %q is not %s", cookie, part)
		}
	}
	b.forget()
	_, _, header = b.post("/reader", url.Values{"reader": {"17"}})
	cookie = header.Get("Set-Cookie")
	if strings.Contains(cookie, "Secure") {
		t.Errorf("the cookie %q would be lost without TLS", cookie)
	}
	value := regexp.MustCompile(cookieName + `=([^;]+)`).FindStringSubmatch(cookie)[1]
	b.forget()
	for name, tampered := range map[string]string{
		"changed": "B" + value[1:], "cut": value[:10], "garbage": "!!!", "empty": "", "long": strings.Repeat("A", 4000),
	} {
		r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.server.URL+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Cookie", cookieName+"="+tampered)
		status, page, _ := b.do(r)
		if status != http.StatusOK || strings.Contains(page, "Simulated reader 17") {
			t.Errorf("%s: status %d, or the reader was believed", name, status)
		}
	}
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	b.send("/reader", "reader", "5")
	before := len(services.readers.interactions())
	for name, headers := range map[string][]string{
		"cross-site": {"Sec-Fetch-Site", "cross-site"},
		"same-site":  {"Sec-Fetch-Site", "same-site"},
		"origin":     {"Origin", "https://elsewhere.example"},
		"no origin":  {"Origin", "null"},
	} {
		status, page, _ := b.post("/book/1/rate", url.Values{"rating": {"5"}}, headers...)
		if status != http.StatusForbidden {
			t.Errorf("%s: status %d, want 403", name, status)
		}
		wants(t, page, "This form was sent from another site")
	}
	if got := len(services.readers.interactions()); got != before {
		t.Errorf("%d interactions were recorded", got-before)
	}
}

func TestBadFormsAreRefused(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	b.send("/reader", "reader", "5")
	before := len(services.readers.interactions())
	for _, form := range []struct {
		path, field, value string
		status             int
	}{
		{"/book/1/rate", "rating", "0", http.StatusBadRequest},
		{"/book/1/rate", "rating", "5.5", http.StatusBadRequest},
		{"/book/1/rate", "rating", "4.2", http.StatusBadRequest},
		{"/book/1/rate", "rating", "NaN", http.StatusBadRequest},
		{"/book/1/rate", "rating", "Inf", http.StatusBadRequest},
		{"/book/1/rate", "rating", "", http.StatusBadRequest},
		{"/book/1/shelf", "shelf", "attic", http.StatusBadRequest},
		{"/book/999/shelf", "shelf", "want", http.StatusNotFound},
		{"/book/x/rate", "rating", "4", http.StatusNotFound},
		{"/book/1/rate", "rating", strings.Repeat("4", 10_000), http.StatusRequestEntityTooLarge},
	} {
		status, page, _ := b.post(form.path, url.Values{form.field: {form.value}})
		if status != form.status || !strings.Contains(page, "To the first page") {
			t.Errorf("%s %.20s: status %d, want a page with %d", form.path, form.value, status, form.status)
		}
	}
	if got := len(services.readers.interactions()); got != before {
		t.Errorf("%d interactions were recorded", got-before)
	}
}

func TestWithoutRecommendations(t *testing.T) {
	for name, hung := range map[string]bool{"down": false, "hung": true} {
		t.Run(name, func(t *testing.T) {
			services := library()
			c := services.config(t)
			c.Patience = time.Second
			registry := prometheus.NewPedanticRegistry()
			c.Metrics = registry
			b := open(t, c)
			b.send("/reader", "reader", "17")
			services.recommendations.set(!hung, hung)
			began := time.Now()
			page := b.get("/")
			if took := time.Since(began); took > 3*c.Patience {
				t.Errorf("the page took %v with a patience of %v", took, c.Patience)
			}
			wants(t, page, "Personal suggestions are not available just now.", "Best sellers", "Dune", "Philosophy")
			wantsNot(t, page, "Rate or shelve a book", "connection refused", "10.0.0.7")
			wants(t, b.get("/science-fiction"), "Personal suggestions are not available just now.", "Dune", "Volume 5")
			wants(t, b.get("/book/1"), "Dune", "Similar books are not available just now.", "Want to read")
			b.send("/book/1/rate", "rating", "4")
			if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP octavo_pages_without_total Pages that had to do without a service, by service.
# TYPE octavo_pages_without_total counter
octavo_pages_without_total{service="catalog"} 0
octavo_pages_without_total{service="readers"} 0
octavo_pages_without_total{service="recommendations"} 3
`), "octavo_pages_without_total"); err != nil {
				t.Error(err)
			}

			services.recommendations.set(false, false)
			wants(t, b.get("/"), "Chosen for Simulated reader 17", "Because you finished Dune · 62 %")
		})
	}
}

func TestWithoutReaders(t *testing.T) {
	services, registry := library(), prometheus.NewPedanticRegistry()
	c := services.config(t)
	c.Metrics = registry
	b := open(t, c)
	b.send("/reader", "reader", "17")
	b.send("/book/4/rate", "rating", "4")
	services.readers.set(true, false)
	wants(t, b.get("/"), "Chosen for Simulated reader 17", "Because you rated Republic · 62 %")
	wants(t, b.get("/philosophy"), "All books")
	// Neither page has asked for anything that readers know.
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP octavo_pages_without_total Pages that had to do without a service, by service.
# TYPE octavo_pages_without_total counter
octavo_pages_without_total{service="catalog"} 0
octavo_pages_without_total{service="readers"} 0
octavo_pages_without_total{service="recommendations"} 0
`), "octavo_pages_without_total"); err != nil {
		t.Error(err)
	}
	wants(t, b.get("/book/1"), "Dune", "is not known just now", "Similar books")
	wants(t, b.get("/me"), "Your shelves are not available just now. They are safe")
	wants(t, b.get("/reader"), "The readers are not available just now.")
	status, page, header := b.post("/book/1/rate", url.Values{"rating": {"4"}})
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("a click: status %d, want 503 with Retry-After", status)
	}
	wants(t, page, "It is not certain that your click was saved")
	wantsNot(t, page, "connection refused", "10.0.0.7")
}

func TestWithoutCatalog(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	b.send("/reader", "reader", "17")
	b.send("/book/4/rate", "rating", "4")
	services.catalog.set(true, false)
	wants(t, b.get("/"), "Chosen for Simulated reader 17", "Volume 3", "The best sellers are not available just now.", "Technology")
	wants(t, b.get("/science-fiction"), "For you", "Volume 5", "The list of all books is not available just now.")
	// The home page has shown this book, so it is known.
	wants(t, b.get("/book/7"), "Volume 1", "A. Writer", "some facts about the book are missing")
	status, page, _ := b.fetch("/book/50")
	if status != http.StatusServiceUnavailable {
		t.Errorf("a book nobody knows: status %d, want 503", status)
	}
	wants(t, page, "A part of the shop does not answer just now.")
	b.send("/book/7/rate", "rating", "4")
}

func TestWithoutAnything(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	for _, f := range []*trouble{&services.catalog.trouble, &services.readers.trouble, &services.recommendations.trouble} {
		f.set(true, false)
	}
	page := b.get("/")
	wants(t, page, "The books are not available just now.", "Science fiction")
	wants(t, b.get("/poetry"), "Poetry", "not available just now")
}

func TestWhatWasKnownStaysWhileTheCatalogIsDown(t *testing.T) {
	services := library()
	c := services.config(t)
	c.Patience = time.Second
	b := open(t, c)
	b.get("/")
	services.catalog.set(false, true)
	services.recommendations.set(true, false)
	page := b.get("/")
	wants(t, page, "Best sellers", "Dune")
	wantsNot(t, page, "The books are not available")
}

func TestAnAnswerFromBeforeTheClickSaysSo(t *testing.T) {
	services := library()
	services.recommendations.stale = true
	b := open(t, services.config(t))
	b.send("/reader", "reader", "17")
	b.send("/book/4/rate", "rating", "4")
	wants(t, b.get("/"), "Your last click is saved. The suggestions will know it in a moment.")
}

func TestAReaderThatIsGone(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	b.send("/reader", "reader", "17")
	services.readers.data.Lock()
	services.readers.readers = services.readers.readers[:3]
	services.readers.data.Unlock()
	status, page, _ := b.post("/book/1/rate", url.Values{"rating": {"4"}})
	if status != http.StatusNotFound {
		t.Errorf("status %d, want 404", status)
	}
	wants(t, page, "does not exist any more")
}

// TestFirstLoadIsSmall measures what a browser loads for the home page.
func TestFirstLoadIsSmall(t *testing.T) {
	b := open(t, library().config(t))
	b.send("/reader", "reader", "17")
	b.send("/book/4/rate", "rating", "4")
	compressed := func(path string) (int, string) {
		r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept-Encoding", "gzip")
		_, body, header := b.do(r)
		if header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("%s is not compressed", path)
		}
		reader, err := gzip.NewReader(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		return len(body), string(plain)
	}
	html, page := compressed("/")
	style, _ := compressed(regexp.MustCompile(`<link rel="stylesheet" href="([^"]+)"`).FindStringSubmatch(page)[1])
	t.Logf("home: %d bytes of HTML (%d plain), %d of CSS", html, len(page), style)
	if html+style > 50<<10 {
		t.Errorf("HTML and CSS are %d bytes compressed, more than 50 KB", html+style)
	}
	if covers := strings.Count(page, `class="cover"`); covers < 30 {
		t.Errorf("the page has %d covers only: the measurement means nothing", covers)
	}
}

func TestAStorefrontNeedsItsParts(t *testing.T) {
	c := library().config(t)
	for name, broken := range map[string]Config{
		"no clients": {SessionKey: c.SessionKey},
		"short key":  {Catalog: c.Catalog, Readers: c.Readers, Recommendations: c.Recommendations, SessionKey: []byte("short")},
	} {
		if _, err := New(broken); err == nil {
			t.Errorf("%s: made all the same", name)
		}
	}
}
