package marketplace

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

// Spreadsheets evaluate what begins like a formula. Titles and authors come from
// anywhere.
func TestExportsAreHarmlessInSpreadsheets(t *testing.T) {
	services := library()
	services.catalog.books[3].Title, services.catalog.books[3].Authors = `=HYPERLINK("http://example.com";"x")`, []string{"@SUM(1)", "+1"}
	for _, book := range []int32{4, 5} {
		services.readers.log = append(services.readers.log, &readersv1.Interaction{ReaderId: 17, BookId: book, Kind: readersv1.InteractionKind_INTERACTION_KIND_WANT})
	}
	services.readers.log = append(services.readers.log, &readersv1.Interaction{ReaderId: 17, BookId: 4000, Kind: readersv1.InteractionKind_INTERACTION_KIND_BOUGHT})
	b := open(t, services.config(t))
	b.send("/reader", "reader", "17")
	status, body, header := b.fetch("/me/export.csv")
	if status != http.StatusOK || header.Get("Content-Type") != "text/csv; charset=utf-8" || !strings.HasPrefix(header.Get("Content-Disposition"), "attachment;") || header.Get("X-Content-Type-Options") != "nosniff" {
		t.Fatalf("status %d, header %v", status, header)
	}
	rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	if err != nil || len(rows) != 6 {
		t.Fatalf("%d rows, %v, want a header and 5 books\n%s", len(rows), err, body)
	}
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
				t.Errorf("the cell %q begins like a formula", cell)
			}
		}
	}
	for _, want := range []string{`'=HYPERLINK("http://example.com";"x")`, `<script>alert("x")</script> & Other Stories`, "Book 4000, which the shop does not have any more"} {
		if !slices.ContainsFunc(rows, func(row []string) bool { return row[0] == want }) {
			t.Errorf("no row has the title %s\n%s", want, body)
		}
	}
}

func TestTheJSONExportHasEverything(t *testing.T) {
	type export struct {
		Reader       struct{ ID int32 }
		Interactions []struct{ Kind string }
		Shelves      []struct {
			Book  struct{ Title string }
			Shelf string
			Stars float32
		}
	}
	b := open(t, library().config(t))
	b.send("/reader", "reader", "17")
	var got export
	if err := json.Unmarshal([]byte(b.get("/me/export.json")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Reader.ID != 17 || len(got.Interactions) != 3 || got.Interactions[0].Kind != "view" {
		t.Errorf("got %+v", got)
	}
	if len(got.Shelves) != 2 || got.Shelves[0].Book.Title != "Dune" || got.Shelves[0].Shelf != "finished" || got.Shelves[1].Stars != 4.5 {
		t.Errorf("shelves %+v", got.Shelves)
	}
	b.send("/reader", "reader", "5")
	got = export{}
	if err := json.Unmarshal([]byte(b.get("/me/export.json")), &got); err != nil || len(got.Interactions) != 0 || len(got.Shelves) != 0 {
		t.Errorf("a reader without anything: %+v, %v", got, err)
	}
}

// A file that cannot be finished does not end like one that is.
func TestAnExportThatBreaksOffIsSeenToBe(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	b.send("/reader", "reader", "17")
	services.catalog.set(true, false)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.server.URL+"/me/export.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := b.client.Do(r)
	if err == nil {
		defer response.Body.Close()
		var all any
		err = json.NewDecoder(response.Body).Decode(&all)
	}
	if err == nil {
		t.Error("the file looks whole")
	}
}

// A visitor whose reader is gone, by an erasure elsewhere or a sign-in whose
// answer was lost, is told so once and begins anew.
func TestAVisitorWhoseReaderIsGoneBeginsAnew(t *testing.T) {
	for name, use := range map[string]func(*browser){
		"rates a book": func(b *browser) {
			status, body, _ := b.post("/book/2/rate", url.Values{"rating": {"4"}})
			if status != http.StatusNotFound || !strings.Contains(text(body), "are not here any more") {
				t.Errorf("%d\n%s", status, text(body))
			}
		},
		"opens a book": func(b *browser) { b.get("/book/2") },
	} {
		t.Run(name, func(t *testing.T) {
			services := library()
			b := open(t, services.config(t))
			b.send("/book/1/rate", "rating", "4")
			services.readers.forget()
			use(b)
			wants(t, b.get("/me/data"), "Nothing is kept about you yet")
			b.send("/book/3/rate", "rating", "4")
			wants(t, b.get("/me"), "You rated it 4 of 5")
		})
	}
}

func TestErasingNeedsTheWordAndAReaderOfOnesOwn(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	confirmed := url.Values{"confirm": {" Erase "}}
	if status, body, _ := b.post("/me/erase", confirmed); status != http.StatusForbidden {
		t.Errorf("nobody erases: %d\n%s", status, text(body))
	}
	b.send("/reader", "reader", "17")
	wants(t, b.get("/me/data"), "This reader is not you")
	if status, _, _ := b.post("/me/erase", confirmed); status != http.StatusForbidden || len(services.readers.interactions()) != 3 {
		t.Errorf("a demo reader is erased: %d", status)
	}
	b.forget()
	b.send("/book/1/rate", "rating", "4")
	wants(t, b.get("/me/data"), "Erase everything", "Shelves as CSV")
	if status, body, _ := b.post("/me/erase", url.Values{"confirm": {"yes"}}); status != http.StatusBadRequest || len(services.readers.interactions()) != 4 {
		t.Errorf("erased without the word: %d\n%s", status, text(body))
	}
	status, body, _ := b.post("/me/erase", confirmed)
	if status != http.StatusOK || len(services.readers.interactions()) != 3 {
		t.Errorf("not erased: %d\n%s", status, text(body))
	}
	wants(t, body, "gone for good")
	wants(t, b.get("/me/data"), "Nothing is kept about you yet")
	if status, _, _ := b.fetch("/me/export.csv"); status != http.StatusNotFound {
		t.Errorf("an export of nobody: %d", status)
	}
}
