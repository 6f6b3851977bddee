package catalog_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/octavo-books/octavo/chassis/chassistest"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	"github.com/octavo-books/octavo/internal/catalog"
	"github.com/octavo-books/octavo/internal/catalog/sqlite"
	"github.com/octavo-books/octavo/internal/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// within gives a call more time than a connection does by itself: a machine
// that runs many tests at once is slow.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func newServer(t *testing.T) *catalog.Server {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return catalog.NewServer(store, slog.New(slog.DiscardHandler))
}

func serve(t *testing.T) catalogv1.CatalogServiceClient {
	t.Helper()
	return catalogv1.NewCatalogServiceClient(chassistest.Serve(t, newServer(t).Register))
}

func book(n int) *catalogv1.Book {
	return &catalogv1.Book{Title: fmt.Sprintf("Book %d", n), Source: "test", SourceId: fmt.Sprint(n)}
}

func importBooks(t *testing.T, client catalogv1.CatalogServiceClient, books ...*catalogv1.Book) *catalogv1.ImportBooksResponse {
	t.Helper()
	resp, err := client.ImportBooks(within(t), &catalogv1.ImportBooksRequest{Books: books})
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func wantCode(t *testing.T, err error, code codes.Code, parts ...string) {
	t.Helper()
	if status.Code(err) != code {
		t.Errorf("got %v, want %v", err, code)
	}
	for _, part := range parts {
		if err != nil && !strings.Contains(status.Convert(err).Message(), part) {
			t.Errorf("%q does not say %q", status.Convert(err).Message(), part)
		}
	}
}

func TestBooks(t *testing.T) {
	client := serve(t)
	want := &catalogv1.Book{
		Id: 9, Title: "The Dispossessed", Authors: []string{"Ursula K. Le Guin"}, Category: catalogv1.Category_CATEGORY_SCIENCE_FICTION,
		Year: 1974, Tags: []string{"anarchism"}, Series: "Hainish Cycle", SeriesPosition: 6, Isbn13: "9780060512750", Isbns: []string{"9780060512750", "9780061054884"},
		Language: "en", Source: "test", SourceId: "d", Popularity: 12,
	}
	importBooks(t, client, want, book(1))
	got, err := client.GetBook(within(t), &catalogv1.GetBookRequest{Id: 9})
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got.GetBook(), want) {
		t.Errorf("GetBook = %v, want %v", got.GetBook(), want)
	}
	_, err = client.GetBook(within(t), &catalogv1.GetBookRequest{Id: 77})
	wantCode(t, err, codes.NotFound, "77")

	batch, err := client.BatchGetBooks(within(t), &catalogv1.BatchGetBooksRequest{Ids: []int32{10, 77, 9, 10}})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(ids(batch.GetBooks())); got != "[10 9 10]" {
		t.Errorf("BatchGetBooks = %s, want [10 9 10]", got)
	}
}

func ids(books []*catalogv1.Book) []int32 {
	out := make([]int32, len(books))
	for i, b := range books {
		out[i] = b.GetId()
	}
	return out
}

func TestImportRefuses(t *testing.T) {
	client := serve(t)
	noSource, noKey, noTitle := book(1), book(1), book(1)
	noSource.Source, noKey.SourceId, noTitle.Title = "", "", ""
	for field, bad := range map[string]*catalogv1.Book{
		"books[1].source": noSource, "books[1].source_id": noKey, "books[1].title": noTitle,
	} {
		_, err := client.ImportBooks(within(t), &catalogv1.ImportBooksRequest{Books: []*catalogv1.Book{book(2), bad}})
		wantCode(t, err, codes.InvalidArgument, field)
	}
	list, err := client.ListBooks(within(t), &catalogv1.ListBooksRequest{})
	if err != nil || len(list.GetBooks()) > 0 {
		t.Errorf("after refused imports there are %v, %v", list.GetBooks(), err)
	}
}

func TestListBooksPageByPage(t *testing.T) {
	client := serve(t)
	var books []*catalogv1.Book
	for i := range 205 {
		b := book(i)
		b.Popularity, b.Category = int64(i%7), catalogv1.Category(1+i%2)
		books = append(books, b)
	}
	importBooks(t, client, books...)
	for _, c := range []struct {
		size     int32
		category catalogv1.Category
		first    int
		all      int
	}{{0, 0, 20, 205}, {1, 1, 1, 103}, {204, 0, 200, 205}, {103, 1, 103, 103}, {math.MaxInt32, 0, 200, 205}} {
		seen := map[int32]bool{}
		var last *catalogv1.Book
		for token, pages := "", 0; pages == 0 || token != ""; pages++ {
			resp, err := client.ListBooks(within(t), &catalogv1.ListBooksRequest{Category: c.category, PageSize: c.size, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			if pages == 0 && len(resp.GetBooks()) != c.first {
				t.Errorf("first page of size %d has %d books, want %d", c.size, len(resp.GetBooks()), c.first)
			}
			for _, b := range resp.GetBooks() {
				if last != nil && (b.GetPopularity() > last.GetPopularity() || b.GetPopularity() == last.GetPopularity() && b.GetId() <= last.GetId()) {
					t.Fatalf("%v follows %v", b, last)
				}
				if c.category != 0 && b.GetCategory() != c.category {
					t.Fatalf("%v in category %v", b, c.category)
				}
				seen[b.GetId()], last = true, b
			}
			token = resp.GetNextPageToken()
		}
		if len(seen) != c.all {
			t.Errorf("pages of size %d hold %d books, want %d", c.size, len(seen), c.all)
		}
	}
}

func TestListBooksRefusesTokens(t *testing.T) {
	client := serve(t)
	importBooks(t, client, book(1), book(2))
	first, err := client.ListBooks(within(t), &catalogv1.ListBooksRequest{PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, req := range []*catalogv1.ListBooksRequest{
		{PageToken: "nonsense"},
		{PageToken: first.GetNextPageToken(), Category: 1},
	} {
		_, err := client.ListBooks(within(t), req)
		wantCode(t, err, codes.InvalidArgument, "page_token")
	}
	_, err = client.ListBooks(within(t), &catalogv1.ListBooksRequest{PageSize: -1})
	wantCode(t, err, codes.InvalidArgument, "page_size")
}

// Pages are bounded in bytes too: books can be a thousand times as large as
// usual, and a message has its limit.
func TestLargeBooks(t *testing.T) {
	client := serve(t)
	const n = 40
	large := make([]string, 50)
	for i := range large {
		large[i] = fmt.Sprint(i, strings.Repeat("ж", 190))
	}
	for i := range n {
		b := book(i)
		b.Authors = large
		b.Tags = large[:20]
		for j := range b.Tags {
			b.Tags[j] = strings.Repeat("ж", 90)
		}
		importBooks(t, client, b)
	}
	seen := 0
	for token, pages := "", 0; pages == 0 || token != ""; pages++ {
		resp, err := client.ListBooks(within(t), &catalogv1.ListBooksRequest{PageSize: 200, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		seen += len(resp.GetBooks())
		token = resp.GetNextPageToken()
	}
	if seen != n {
		t.Errorf("pages hold %d books, want %d", seen, n)
	}
	found, err := client.SearchBooks(within(t), &catalogv1.SearchBooksRequest{Query: "book", MaxResults: 100})
	if err != nil || len(found.GetBooks()) == 0 {
		t.Errorf("SearchBooks = %d books, %v", len(found.GetBooks()), err)
	}
	stream, err := client.WatchBooks(within(t), &catalogv1.WatchBooksRequest{})
	if err != nil {
		t.Fatal(err)
	}
	followed := map[int32]bool{}
	for position := int64(0); position < n; {
		resp, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range resp.GetBooks() {
			followed[b.GetId()] = true
		}
		position = resp.GetPosition()
	}
	if len(followed) != n {
		t.Errorf("followed %d books, want %d", len(followed), n)
	}
}

func TestCategoriesAndPopularity(t *testing.T) {
	client := serve(t)
	a, b := book(1), book(2)
	a.Category, b.Category = 4, 2
	done := importBooks(t, client, a, b, book(3))
	categories, err := client.ListCategories(within(t), &catalogv1.ListCategoriesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	want := &catalogv1.ListCategoriesResponse{Categories: []*catalogv1.ListCategoriesResponse_Entry{{Category: 2, Books: 1}, {Category: 4, Books: 1}}}
	if !proto.Equal(categories, want) {
		t.Errorf("ListCategories = %v, want %v", categories, want)
	}
	_, err = client.SetPopularity(within(t), &catalogv1.SetPopularityRequest{Entries: []*catalogv1.SetPopularityRequest_Entry{
		{BookId: done.GetIds()[2], Readers: 5}, {BookId: 1000, Readers: 5},
	}})
	if err != nil {
		t.Fatal(err)
	}
	list, err := client.ListBooks(within(t), &catalogv1.ListBooksRequest{PageSize: 1})
	if err != nil || list.GetBooks()[0].GetId() != done.GetIds()[2] || list.GetBooks()[0].GetPopularity() != 5 {
		t.Errorf("the most popular book is %v, %v", list.GetBooks(), err)
	}
}

// TestReadyToSearch: a replica is ready once it can search, which it prepares by
// itself.
func TestReadyToSearch(t *testing.T) {
	server := newServer(t)
	client := catalogv1.NewCatalogServiceClient(chassistest.Serve(t, server.Register))
	importBooks(t, client, book(1))
	if err := server.Ready(); err == nil {
		t.Error("ready before any book was read")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- server.Run(ctx) }()
	waittest.Until(t, "the search is ready", 30*time.Second, func() bool { return server.Ready() == nil })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestSearchesAndBooksAreCounted(t *testing.T) {
	server, registry := newServer(t), prometheus.NewPedanticRegistry()
	server.Measure(registry)
	client := catalogv1.NewCatalogServiceClient(chassistest.Serve(t, server.Register))
	importBooks(t, client, book(1))
	for _, query := range []string{"Book", "book 1", "zzzz", " "} { // the last one asks for nothing
		if _, err := client.SearchBooks(within(t), &catalogv1.SearchBooksRequest{Query: query}); err != nil {
			t.Fatal(err)
		}
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP octavo_books Books of the catalog.
# TYPE octavo_books gauge
octavo_books 1
# HELP octavo_searches_total Searches for books, by whether anything was found.
# TYPE octavo_searches_total counter
octavo_searches_total{result="found"} 2
octavo_searches_total{result="nothing"} 1
`)); err != nil {
		t.Error(err)
	}
}

func TestSearchBooks(t *testing.T) {
	client := serve(t)
	var books []*catalogv1.Book
	for i := range 120 {
		b := book(i)
		b.Popularity = int64(i)
		books = append(books, b)
	}
	importBooks(t, client, books...)
	for asked, want := range map[int32]int{0: 20, 1: 1, 100: 100, 101: 100, math.MaxInt32: 100} {
		resp, err := client.SearchBooks(within(t), &catalogv1.SearchBooksRequest{Query: "Book", MaxResults: asked})
		if err != nil {
			t.Fatal(err)
		}
		if len(resp.GetBooks()) != want {
			t.Errorf("max_results %d gives %d books, want %d", asked, len(resp.GetBooks()), want)
		}
		if got := resp.GetBooks()[0].GetTitle(); got != "Book 119" {
			t.Errorf("best match is %q, want the most popular", got)
		}
	}
	for _, query := range []string{"", "  ", `"*`} {
		if resp, err := client.SearchBooks(within(t), &catalogv1.SearchBooksRequest{Query: query}); err != nil || len(resp.GetBooks()) > 0 {
			t.Errorf("search %q = %v, %v; want nothing", query, resp, err)
		}
	}
}

// Pages go on where the one before ended, for the search they belong to only.
// A book is found by each ISBN of its editions, however it is written.
func TestSearchByISBN(t *testing.T) {
	client := serve(t)
	found := func(query string) []int32 {
		t.Helper()
		resp, err := client.SearchBooks(within(t), &catalogv1.SearchBooksRequest{Query: query, Language: "en"})
		if err != nil {
			t.Fatal(err)
		}
		if int(resp.GetTotal()) != len(resp.GetBooks()) {
			t.Errorf("%q: a total of %d for %v", query, resp.GetTotal(), resp.GetBooks())
		}
		return ids(resp.GetBooks())
	}
	imported := importBooks(t, client,
		&catalogv1.Book{Title: "Dune", Source: "test", SourceId: "dune", Language: "en", Isbn13: "9780441172719", Isbns: []string{"0340960191"}},
		&catalogv1.Book{Title: "Der Wüstenplanet", Source: "test", SourceId: "de", Language: "de", Isbn13: "9783453317178"},
		&catalogv1.Book{Title: "1234567890", Source: "test", SourceId: "number", Language: "en"})
	dune, number := imported.GetIds()[0], imported.GetIds()[2]
	for query, want := range map[string][]int32{
		"9780441172719":        {dune},
		" 978-0-441-17271-9 ":  {dune},
		"ISBN: 978 0441172719": {dune},
		"0-441-17271-7":        {dune},
		"0340960191":           {dune},
		"978-0-340-96019-6":    {dune},
		"9783453317178":        {}, // in another language
		"9780441172718":        {}, // a wrong check digit
		"9780060512750":        {}, // nobody's
		"1234567890":           {number},
		"dune":                 {dune},
	} {
		if got := found(query); !slices.Equal(got, want) {
			t.Errorf("%q finds %v, want %v", query, got, want)
		}
	}
	suggested, err := client.SuggestBooks(within(t), &catalogv1.SuggestBooksRequest{Query: "978-0441172719"})
	if err != nil || len(suggested.GetSuggestions()) != 1 || suggested.GetSuggestions()[0].GetText() != "Dune" {
		t.Errorf("suggested: %v, %v", suggested, err)
	}
}

func TestImportTellsOfISBNsLeftOut(t *testing.T) {
	client := serve(t)
	first := importBooks(t, client, &catalogv1.Book{Title: "Dune", Source: "a", SourceId: "1", Isbns: []string{"9780441172719"}})
	resp := importBooks(t, client,
		book(1),
		&catalogv1.Book{Title: "Emma", Source: "b", SourceId: "2", Isbn13: "9780441172719", Isbns: []string{"9780441172718", "0340960191"}},
		&catalogv1.Book{Title: "Dune (Dune, #1)", Source: "b", SourceId: "3", Isbns: []string{"0441172717"}})
	want := &catalogv1.ImportBooksResponse{
		Ids: []int32{resp.GetIds()[0], resp.GetIds()[1], first.GetIds()[0]}, Created: 2, Updated: 1, Joined: 1, Position: 4,
		LeftOut: []*catalogv1.ImportBooksResponse_LeftOut{{Index: 1, Isbn: "9780441172718"}, {Index: 1, Isbn: "9780441172719", HeldBy: first.GetIds()[0]}},
	}
	if !proto.Equal(resp, want) {
		t.Errorf("ImportBooks = %v\nwant %v", resp, want)
	}
	got, err := client.GetBook(within(t), &catalogv1.GetBookRequest{Id: first.GetIds()[0]})
	if err != nil || len(got.GetBook().GetJoined()) != 1 || got.GetBook().GetJoined()[0].GetSourceId() != "3" {
		t.Errorf("joined: %v, %v", got, err)
	}
}

func TestMatchBooks(t *testing.T) {
	client := serve(t)
	b := func(key, title string, authors ...string) *catalogv1.Book {
		return &catalogv1.Book{Title: title, Authors: authors, Source: "test", SourceId: key}
	}
	dune, emma := b("dune", "Dune", "Frank Herbert"), b("emma", "Emma", "Jane Austen")
	dune.Isbns, emma.Isbns = []string{"9780441172719", "9780340960196"}, []string{"9780141439587"}
	books := []*catalogv1.Book{
		dune, emma,
		b("hand", "The Left Hand of Darkness", "Ursula K. Le Guin"),
		b("chosen", "Sapiens: A Brief History of Humankind", "Yuval Noah Harari"),
		b("poems1", "Poems", "John Keats"), b("poems2", "Poems", "John Keats"),
		b("poems3", "Poems: 1912", "John Keats"),
		b("nobody", "Beowulf"),
		b("heat", "Heat", "Bill Buford"), b("heatwave", "Heat: An Amateur's Adventures", "Bill Buford"),
	}
	for i := range 201 {
		books = append(books, b(fmt.Sprint("naruto", i), fmt.Sprintf("Naruto %d", i), "Masashi Kishimoto"))
	}
	id := map[string]int32{"": 0}
	for i, given := range importBooks(t, client, books...).GetIds() {
		id[books[i].GetSourceId()] = given
	}
	const (
		byISBN  = catalogv1.MatchBooksResponse_BASIS_ISBN
		byTitle = catalogv1.MatchBooksResponse_BASIS_TITLE_AND_AUTHOR
	)
	wanted := func(title, author string, isbns ...string) *catalogv1.MatchBooksRequest_Wanted {
		w := &catalogv1.MatchBooksRequest_Wanted{Isbns: isbns, Title: title}
		if author != "" {
			w.Authors = []string{author}
		}
		return w
	}
	cases := []struct {
		wanted *catalogv1.MatchBooksRequest_Wanted
		book   string
		basis  catalogv1.MatchBooksResponse_Basis
		reason catalogv1.MatchBooksResponse_Reason
	}{
		{wanted("", "", "0-340-96019-1"), "dune", byISBN, 0},
		{wanted("Der Wüstenplanet", "Herbert, F.", "none", "9780441172719"), "dune", byISBN, 0},
		{wanted("Emma", "Austen", "9780441172719", "9780141439587"), "emma", byISBN, 0},
		{wanted("Persuasion", "Austen", "9780441172719", "9780141439587"), "", 0, catalogv1.MatchBooksResponse_REASON_AMBIGUOUS},
		{wanted("Dune (Dune, #1)", "Herbert, Frank", "9780060512750"), "dune", byTitle, 0},
		{wanted("Left Hand of Darkness: A Novel (Hainish Cycle #4)", "Ursula Le Guin"), "hand", byTitle, 0},
		{wanted("Sapiens", "Y. N. Harari"), "chosen", byTitle, 0},
		{wanted("Heat", "Bill Buford"), "heat", byTitle, 0},
		{wanted("Poems", "John Keats"), "", 0, catalogv1.MatchBooksResponse_REASON_AMBIGUOUS},
		{wanted("Naruto", "Masashi Kishimoto"), "", 0, catalogv1.MatchBooksResponse_REASON_AMBIGUOUS},
		{wanted("Dune", "Brian Herbert"), "", 0, catalogv1.MatchBooksResponse_REASON_OTHER_AUTHOR},
		{wanted("Dune", "Jane Austen"), "", 0, catalogv1.MatchBooksResponse_REASON_OTHER_AUTHOR},
		{wanted("Beowulf", "Anonymous"), "", 0, catalogv1.MatchBooksResponse_REASON_OTHER_AUTHOR},
		{wanted("Dune Messiah", "Frank Herbert"), "", 0, catalogv1.MatchBooksResponse_REASON_UNKNOWN},
		{wanted("Dun", "Frank Herbert"), "", 0, catalogv1.MatchBooksResponse_REASON_UNKNOWN},
		{wanted("Dune", ""), "", 0, catalogv1.MatchBooksResponse_REASON_INCOMPLETE},
		{wanted("", "Frank Herbert"), "", 0, catalogv1.MatchBooksResponse_REASON_INCOMPLETE},
	}
	req := &catalogv1.MatchBooksRequest{}
	for _, c := range cases {
		req.Books = append(req.Books, c.wanted)
	}
	resp, err := client.MatchBooks(within(t), req)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		want := &catalogv1.MatchBooksResponse_Match{BookId: id[c.book], Basis: c.basis, Reason: c.reason}
		if got := resp.GetMatches()[i]; !proto.Equal(got, want) {
			t.Errorf("%v: %v, want %v", c.wanted, got, want)
		}
	}
	_, err = client.MatchBooks(within(t), &catalogv1.MatchBooksRequest{Books: make([]*catalogv1.MatchBooksRequest_Wanted, 501)})
	wantCode(t, err, codes.InvalidArgument, "books")
}

func TestSearchPages(t *testing.T) {
	client := serve(t)
	var books []*catalogv1.Book
	for i := range 45 {
		b := book(i)
		b.Category, b.Year, b.Language = catalogv1.Category(1+i%2), int32(1990+i), "en"
		books = append(books, b)
	}
	importBooks(t, client, books...)
	search := func(r *catalogv1.SearchBooksRequest) *catalogv1.SearchBooksResponse {
		t.Helper()
		resp, err := client.SearchBooks(within(t), r)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	seen := map[string]bool{}
	request := &catalogv1.SearchBooksRequest{Query: "book", MaxResults: 10}
	pages := 0
	for {
		resp := search(request)
		pages++
		for _, b := range resp.GetBooks() {
			if seen[b.GetTitle()] {
				t.Errorf("%q is on two pages", b.GetTitle())
			}
			seen[b.GetTitle()] = true
		}
		if resp.GetTotal() < 45 {
			t.Errorf("total %d, want 45 and those added", resp.GetTotal())
		}
		if request.PageToken = resp.GetNextPageToken(); request.GetPageToken() == "" {
			break
		}
		importBooks(t, client, &catalogv1.Book{Title: "Book", Source: "test", SourceId: fmt.Sprint("added ", pages), Popularity: 99})
	}
	if len(seen) != 45 || pages != 5 {
		t.Errorf("%d books on %d pages, want 45 on 5", len(seen), pages)
	}
	token := search(&catalogv1.SearchBooksRequest{Query: "book", MaxResults: 10}).GetNextPageToken()
	for name, r := range map[string]*catalogv1.SearchBooksRequest{
		"another query":    {Query: "books", PageToken: token},
		"another category": {Query: "book", PageToken: token, Category: 1},
		"another year":     {Query: "book", PageToken: token, ToYear: 2000},
		"another language": {Query: "book", PageToken: token, Language: "en"},
		"nonsense":         {Query: "book", PageToken: "nonsense"},
		"a part of one":    {Query: "book", PageToken: token[:len(token)-2]},
	} {
		_, err := client.SearchBooks(within(t), r)
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("token with %s: %v, want InvalidArgument", name, err)
		}
	}
	resp := search(&catalogv1.SearchBooksRequest{Query: "book", Category: 1, FromYear: 2000, ToYear: 2019, Language: "en-GB"})
	if resp.GetTotal() != 10 || len(resp.GetCategories()) != 2 || len(resp.GetDecades()) != 5 || resp.GetDecades()[0].GetFirstYear() != 2030 ||
		resp.GetLanguages()[0].GetBooks() != 10 {
		t.Errorf("with filters: %v", resp)
	}
}

func TestDidYouMean(t *testing.T) {
	client := serve(t)
	importBooks(t, client, &catalogv1.Book{Title: "Ulysses", Authors: []string{"James Joyce"}, Source: "test", SourceId: "u"})
	for query, want := range map[string][]string{"ulises": {"ulysses"}, "ulysses": nil, "joyce dubliners": {"joyce"}, "xqzv": nil} {
		resp, err := client.SearchBooks(within(t), &catalogv1.SearchBooksRequest{Query: query})
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.GetDidYouMean(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: did you mean %q, want %q", query, got, want)
		}
	}
}

func TestSuggestBooks(t *testing.T) {
	client := serve(t)
	done := importBooks(t, client,
		&catalogv1.Book{Title: "The Dispossessed", Authors: []string{"Ursula K. Le Guin"}, Series: "Hainish Cycle", Source: "test", SourceId: "1", Popularity: 5},
		&catalogv1.Book{Title: "The Left Hand of Darkness", Authors: []string{"Ursula K. Le Guin"}, Series: "Hainish Cycle", Source: "test", SourceId: "2", Popularity: 9},
	).GetIds()
	const title, author, series = catalogv1.SuggestBooksResponse_KIND_TITLE, catalogv1.SuggestBooksResponse_KIND_AUTHOR, catalogv1.SuggestBooksResponse_KIND_SERIES
	for query, want := range map[string][]*catalogv1.SuggestBooksResponse_Suggestion{
		"dis":     {{Text: "The Dispossessed", Kind: title, BookId: done[0]}},
		"the":     {{Text: "The Left Hand of Darkness", Kind: title, BookId: done[1]}, {Text: "The Dispossessed", Kind: title, BookId: done[0]}},
		"le guin": {{Text: "Ursula K. Le Guin", Kind: author, BookId: done[1]}},
		"hain":    {{Text: "Hainish Cycle", Kind: series, BookId: done[1]}},
		"xqzv":    nil,
		" ":       nil,
	} {
		resp, err := client.SuggestBooks(within(t), &catalogv1.SuggestBooksRequest{Query: query})
		if err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(resp, &catalogv1.SuggestBooksResponse{Suggestions: want}) {
			t.Errorf("%q: got %v, want %v", query, resp, want)
		}
	}
}

// Training changes the order of the next search, here and in other processes
// once they have shown the book.
func TestPopularityOrdersSearches(t *testing.T) {
	client := serve(t)
	done := importBooks(t, client, book(1), book(2)).GetIds()
	for _, best := range done {
		if _, err := client.SetPopularity(within(t), &catalogv1.SetPopularityRequest{Entries: []*catalogv1.SetPopularityRequest_Entry{{BookId: best, Readers: int64(10 * best)}}}); err != nil {
			t.Fatal(err)
		}
		resp, err := client.SearchBooks(within(t), &catalogv1.SearchBooksRequest{Query: "book"})
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.GetBooks()[0].GetId(); got != best {
			t.Errorf("best is %d, want %d", got, best)
		}
	}
}

func TestWatchBooks(t *testing.T) {
	client := serve(t)
	stream, err := client.WatchBooks(within(t), &catalogv1.WatchBooksRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := stream.Recv()
	if err != nil || len(first.GetBooks()) > 0 || first.GetPosition() != 0 || first.GetHead() != 0 {
		t.Fatalf("first message of an empty feed = %v, %v", first, err)
	}
	done := importBooks(t, client, book(1), book(2))
	next, err := stream.Recv()
	if err != nil || len(next.GetBooks()) != 2 || next.GetPosition() != done.GetPosition() || next.GetHead() != done.GetPosition() {
		t.Fatalf("after an import: %v, %v", next, err)
	}
	resumed, err := client.WatchBooks(within(t), &catalogv1.WatchBooksRequest{AfterPosition: 1})
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := resumed.Recv(); err != nil || fmt.Sprint(ids(resp.GetBooks())) != fmt.Sprint(done.GetIds()[1:]) {
		t.Errorf("resumed after 1: %v, %v", resp, err)
	}
	beyond, err := client.WatchBooks(within(t), &catalogv1.WatchBooksRequest{AfterPosition: 99})
	if err != nil {
		t.Fatal(err)
	}
	_, err = beyond.Recv()
	wantCode(t, err, codes.FailedPrecondition, "99", "start again from 0")
}

// Who has followed another feed is told so by the book that is at the position,
// as long as it is there.
func TestAFeedIsToldFromAnother(t *testing.T) {
	ours, theirs := serve(t), serve(t)
	changed := book(1)
	changed.Title = "Another Title"
	for _, c := range []struct {
		client catalogv1.CatalogServiceClient
		books  []*catalogv1.Book
	}{{ours, []*catalogv1.Book{book(1), book(2), book(3)}}, {theirs, []*catalogv1.Book{book(1), book(4), book(3), book(5)}}} {
		importBooks(t, c.client, c.books...)
	}
	first := func(client catalogv1.CatalogServiceClient, after, check int64) (*catalogv1.WatchBooksResponse, error) {
		stream, err := client.WatchBooks(within(t), &catalogv1.WatchBooksRequest{AfterPosition: after, AfterCheck: check})
		if err != nil {
			t.Fatal(err)
		}
		return stream.Recv()
	}
	check := func(client catalogv1.CatalogServiceClient) int64 {
		page, err := first(client, 0, 0)
		if err != nil || page.GetPosition() != page.GetHead() || page.GetCheck() == 0 {
			t.Fatalf("the feed is %v, %v", page, err)
		}
		return page.GetCheck()
	}
	if page, err := first(ours, 3, check(ours)); err != nil || len(page.GetBooks()) > 0 || page.GetCheck() != 0 {
		t.Errorf("its own follower: %v, %v", page, err)
	}
	// What a training says about a book changes neither its place nor its check.
	if _, err := ours.SetPopularity(within(t), &catalogv1.SetPopularityRequest{Entries: []*catalogv1.SetPopularityRequest_Entry{{BookId: 3, Readers: 77}}}); err != nil {
		t.Fatal(err)
	}
	if page, err := first(ours, 3, check(ours)); err != nil || len(page.GetBooks()) > 0 {
		t.Errorf("its own follower after a training: %v, %v", page, err)
	}
	_, err := first(ours, 2, check(theirs))
	wantCode(t, err, codes.FailedPrecondition, "start again from 0")
	if page, err := first(theirs, 3, check(ours)); err != nil || len(page.GetBooks()) != 1 {
		t.Errorf("a feed with the same book at the position: %v, %v", page, err)
	}
	importBooks(t, ours, changed)
	if page, err := first(ours, 1, check(theirs)); err != nil || len(page.GetBooks()) != 3 {
		t.Errorf("where the book has moved on: %v, %v", page, err)
	}
}

func TestWatchBooksHeartbeat(t *testing.T) {
	server := newServer(t)
	server.SetHeartbeat(time.Millisecond)
	client := catalogv1.NewCatalogServiceClient(chassistest.Serve(t, server.Register))
	stream, err := client.WatchBooks(within(t), &catalogv1.WatchBooksRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if resp, err := stream.Recv(); err != nil || len(resp.GetBooks()) > 0 {
			t.Fatalf("heartbeat = %v, %v", resp, err)
		}
	}
}

// A stop of the process ends the streams, which would otherwise hold it up.
func TestWatchBooksEndsWithTheProcess(t *testing.T) {
	server := newServer(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	client := catalogv1.NewCatalogServiceClient(chassistest.Serve(t, server.Register))
	stream, err := client.WatchBooks(within(t), &catalogv1.WatchBooksRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	stop()
	_, err = stream.Recv()
	wantCode(t, err, codes.Unavailable, "stopping")
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}
