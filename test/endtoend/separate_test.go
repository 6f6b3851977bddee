package endtoend

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/octavo-books/octavo/internal/nettest"
	"github.com/octavo-books/octavo/internal/waittest"
)

const (
	// pageBound is what a page may take at most while a service is down, and
	// pageBound99 what 99 of 100 may.
	pageBound   = time.Second
	pageBound99 = 200 * time.Millisecond
	// recovery is how long the shop may take to be itself again once the
	// service is back.
	recovery = 5 * time.Second

	withoutSuggestions = "Personal suggestions are not available just now"
)

// separate is Octavo in separate processes over one data folder.
type separate struct {
	t                   *testing.T // of the processes, which outlive its subtests
	recommendationsArgs []string
	recommendations     *process
	catalog, readers    string
	models              string
	url                 string
}

// startSeparate starts every program; more are further flags for it.
func startSeparate(t *testing.T, more func(program string) []string) *separate {
	t.Helper()
	folder := demoFolder(t)
	catalog, readers, recommendations, shop := nettest.FreeAddress(t), nettest.FreeAddress(t), nettest.FreeAddress(t), nettest.FreeAddress(t)
	s := &separate{t: t, catalog: catalog, readers: readers, models: filepath.Join(folder, "models"), url: "http://" + shop}
	s.recommendationsArgs = []string{"--addr", recommendations, "--catalog-addr", catalog, "--readers-addr", readers,
		"--models-dir", s.models, "--admin-addr", ""}
	s.recommendationsArgs = append(s.recommendationsArgs, more("recommendations")...)
	run := func(program string, args ...string) { start(t, program, append(args, more(program)...)...) }

	// In an order in which none finds what it needs: no service may depend on
	// another having been started before.
	run("marketplace", "--addr", shop, "--catalog-addr", catalog, "--readers-addr", readers, "--recommendations-addr", recommendations,
		"--session-key-file", filepath.Join(folder, "session.key"), "--admin-addr", "")
	s.startRecommendations()
	run("readers", "--addr", readers, "--db", filepath.Join(folder, "readers.db"), "--admin-addr", "")
	run("catalog", "--addr", catalog, "--db", filepath.Join(folder, "catalog.db"), "--admin-addr", "")
	return s
}

func (s *separate) startRecommendations() {
	s.t.Helper()
	s.recommendations = start(s.t, "recommendations", s.recommendationsArgs...)
}

// The one fault that everything else is built to survive: the personal part
// goes away, and comes back.
func TestTheShopSurvivesRecommendations(t *testing.T) {
	s := startSeparate(t, func(string) []string { return nil })
	v := newVisitor(t, s.url)
	waittest.Until(t, "the shop answers", firstStart, func() bool {
		page, err := v.try("/")
		return err == nil && page.status == http.StatusOK
	})
	v.becomeDemoReader()
	waittest.Until(t, "the first page is personal", firstStart, func() bool { return v.get("/").personal() })

	t.Run("killed", func(t *testing.T) {
		v := v.in(t)
		s.recommendations.kill(t)
		v.pagesWithout(100)
		// What a reader does in the meantime is not lost.
		book := v.get("/").books()[0]
		if page := v.post(book+"/rate", url.Values{"rating": {"5"}}); !strings.Contains(page.body, "5 of 5") {
			t.Errorf("the page of a book that was rated while recommendations was down does not show the rating")
		}
		s.startRecommendations()
		v.personalAgain()
		if slices.Contains(v.get("/").personalBooks(), book) {
			t.Errorf("%s was rated while recommendations was down, and is suggested after it came back", book)
		}
	})

	t.Run("hung", func(t *testing.T) {
		v := v.in(t)
		resume := s.recommendations.pause(t)
		v.pagesWithout(30)
		resume()
		v.personalAgain()
	})

	t.Run("a new model is taken up", func(t *testing.T) {
		v := v.in(t)
		before := v.get("/how").body
		trainer := start(t, "trainer", "--catalog-addr", s.catalog, "--readers-addr", s.readers, "--models-dir", s.models, "--admin-addr", "")
		<-trainer.ended
		if trainer.err != nil {
			t.Fatalf("the trainer ended with %v:\n%s", trainer.err, trainer.output)
		}
		waittest.Until(t, "the page on recommendations shows the new model", 10*time.Second, func() bool {
			page := v.get("/how")
			return page.status == http.StatusOK && page.body != before
		})
		if !v.get("/").personal() {
			t.Error("the first page is not personal with the new model")
		}
	})
}

// visitor is a browser without a screen.
type visitor struct {
	t      *testing.T
	client *http.Client
	shop   string
}

func newVisitor(t *testing.T, shop string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &visitor{t: t, shop: shop, client: &http.Client{Jar: jar, Transport: transport, Timeout: 10 * time.Second}}
}

// in is the same visitor, reporting to another test.
func (v *visitor) in(t *testing.T) *visitor {
	t.Helper()
	return &visitor{t: t, client: v.client, shop: v.shop}
}

// page is an answer of the shop.
type page struct {
	status int
	body   string
	took   time.Duration
}

func (v *visitor) try(path string) (page, error) {
	v.t.Helper()
	request, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.shop+path, nil)
	if err != nil {
		return page{}, err
	}
	return v.do(request)
}

func (v *visitor) do(request *http.Request) (page, error) {
	asked := time.Now()
	response, err := v.client.Do(request)
	if err != nil {
		return page{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return page{}, fmt.Errorf("read %s: %w", request.URL, err)
	}
	return page{status: response.StatusCode, body: html.UnescapeString(string(body)), took: time.Since(asked)}, nil
}

func (v *visitor) get(path string) page {
	v.t.Helper()
	p, err := v.try(path)
	if err != nil {
		v.t.Fatal(err)
	}
	return p
}

func (v *visitor) post(path string, form url.Values) page {
	v.t.Helper()
	request, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.shop+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	p, err := v.do(request)
	if err != nil {
		v.t.Fatal(err)
	}
	if p.status != http.StatusOK {
		v.t.Fatalf("POST %s: %d\n%s", path, p.status, p.body)
	}
	return p
}

var demoReader = regexp.MustCompile(`<button name="reader" value="(\d+)"`)

// becomeDemoReader chooses the first reader of the picker. Like the browser's
// user it tries again while the shop's parts are still starting.
func (v *visitor) becomeDemoReader() {
	v.t.Helper()
	var found []string
	waittest.Until(v.t, "the shop offers demo readers", firstStart, func() bool {
		found = demoReader.FindStringSubmatch(v.get("/reader").body)
		return found != nil
	})
	v.post("/reader", url.Values{"reader": {found[1]}})
}

// pagesWithout asks for pages while recommendations does not answer. The
// machine may be busy with something else for a moment, so that the time of the
// slowest is judged by the best of three rounds.
func (v *visitor) pagesWithout(pages int) {
	v.t.Helper()
	const rounds = 3
	for round := 1; ; round++ {
		took := v.roundWithout(pages)
		slices.Sort(took)
		p99, worst := took[(pages-1)*99/100], took[pages-1]
		v.t.Logf("without recommendations, %d pages: median %v, p99 %v, worst %v", pages,
			took[pages/2].Round(time.Microsecond), p99.Round(time.Microsecond), worst.Round(time.Microsecond))
		if p99 <= pageBound99 && worst <= pageBound {
			return
		}
		if round == rounds {
			v.t.Fatalf("without recommendations, pages took %v at p99 and %v at worst in the last of %d rounds, want at most %v and %v", p99, worst, rounds, pageBound99, pageBound)
		}
	}
}

func (v *visitor) roundWithout(pages int) []time.Duration {
	v.t.Helper()
	took := make([]time.Duration, pages)
	for i := range took {
		p := v.get("/")
		took[i] = p.took
		if p.status != http.StatusOK || len(p.books()) < 6 || !strings.Contains(p.body, withoutSuggestions) || !strings.Contains(p.body, "Best sellers") {
			v.t.Fatalf("without recommendations the first page is not one of best sellers that says so: %d\n%s", p.status, p.body)
		}
	}
	return took
}

func (v *visitor) personalAgain() {
	v.t.Helper()
	back := time.Now()
	waittest.Until(v.t, "the first page is personal again", recovery, func() bool {
		p := v.get("/")
		if p.status != http.StatusOK {
			v.t.Fatalf("while recommendations came back, a page was answered with %d", p.status)
		}
		return p.personal()
	})
	v.t.Logf("personal again after %v", time.Since(back).Round(time.Millisecond))
}

// personal says whether the page is about the reader.
func (p page) personal() bool {
	return strings.Contains(p.body, "Chosen for ") && strings.Contains(p.body, "Because you ")
}

var (
	bookLink = regexp.MustCompile(`<a class="book" href="(/book/\d+)`)
	row      = regexp.MustCompile(`(?s)<section class="row" id="([^"]+)".*?</section>`)
)

// books are the addresses of the books on the page's cards.
func (p page) books() []string { return linked(p.body) }

// personalBooks are those in rows made for the reader.
func (p page) personalBooks() []string {
	var books []string
	for _, r := range row.FindAllStringSubmatch(p.body, -1) {
		if r[1] != "row-best-sellers" {
			books = append(books, linked(r[0])...)
		}
	}
	return books
}

func linked(text string) []string {
	var books []string
	for _, match := range bookLink.FindAllStringSubmatch(text, -1) {
		books = append(books, match[1])
	}
	return books
}
