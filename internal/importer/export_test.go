package importer

import (
	"bytes"
	"encoding/csv"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
)

var exported = []*catalogv1.Book{
	{Title: `=HYPERLINK("http://example.com")`, Authors: []string{"@mention", "+1"}, Source: "-s", SourceId: "=1"},
	{Title: "'=quoted", Series: "''-twice", Source: "csv", SourceId: "2"},
	{Title: "Plain, with \"quotes\"\nand 'apostrophes", Source: "csv", SourceId: "3"},
	{
		Title: "The Odyssey", Authors: []string{"Homer"}, Category: catalogv1.Category_CATEGORY_POETRY, Year: -700, Tags: []string{"epic", "sea"},
		Series: "Epics", SeriesPosition: 2.5, Isbn13: "9780140268867", Isbns: []string{"9780140268867", "9780374525743"}, Language: "grc", Source: "csv", SourceId: "4", Popularity: 12,
	},
}

// An export, imported into another catalogue, gives the same books, and into
// the same one changes nothing. A spreadsheet finds no formula in it.
func TestExportCanBeImported(t *testing.T) {
	first, target := serve(t)
	var books []*catalogv1.Book
	for _, b := range exported {
		books = append(books, proto.CloneOf(b))
	}
	if _, err := target.Catalog.ImportBooks(t.Context(), &catalogv1.ImportBooksRequest{Books: books}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	n, err := Export(t.Context(), target.Catalog, FormatCSV, &out)
	if err != nil || n != len(exported) {
		t.Fatalf("%d books, %v", n, err)
	}
	records, err := csv.NewReader(bytes.NewReader(out.Bytes())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, cell := range slices.Concat(records...) {
		if formula(cell) {
			t.Errorf("%q is a formula", cell)
		}
	}
	second, other := serve(t)
	path := filepath.Join(write(t, map[string]string{"books.csv": out.String()}), "books.csv")
	if report, err := Load(t.Context(), other, CSV(CSVOptions{}, path), Options{}); err != nil || report.Books.Imported != len(exported) || report.WarningCount > 0 {
		t.Fatalf("%v, %+v", err, report)
	}
	for i, b := range second.books {
		want := proto.CloneOf(first.books[i])
		want.Title = strings.Join(strings.Fields(want.GetTitle()), " ")
		got := proto.CloneOf(b)
		got.Id, want.Id = 0, 0
		if !proto.Equal(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	}

	var lines bytes.Buffer
	if _, err := Export(t.Context(), target.Catalog, FormatJSONL, &lines); err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSuffix(lines.String(), "\n"), "\n") {
		var b catalogv1.Book
		if err := protojson.Unmarshal([]byte(line), &b); err != nil || !proto.Equal(&b, first.books[i]) {
			t.Errorf("line %d: %v, %v; want %v", i+1, err, &b, first.books[i])
		}
	}
	if _, err := Export(t.Context(), target.Catalog, "xls", &lines); err == nil {
		t.Error("an unknown format is no error")
	}
}

func TestFindingsAreWritten(t *testing.T) {
	_, target := serve(t)
	path := filepath.Join(write(t, map[string]string{"=b.csv": "id,title,isbn,category\n1,A,,\n2,,,\n3,C,123,\n4,D,,=x\n"}), "=b.csv")
	var out bytes.Buffer
	if _, err := Load(t.Context(), target, CSV(CSVOptions{}, path), Options{Findings: &out, KeepFindings: 1}); err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(records) != 4 {
		t.Fatalf("%q, %v", records, err)
	}
	for i, want := range []string{"file,line,column,outcome", "'=b.csv,3,3,refused", "'=b.csv,4,5,imported without it", "'=b.csv,5,6,refused"} {
		if got := strings.Join(records[i][:4], ","); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func FuzzArmour(f *testing.F) {
	for _, s := range []string{"", "=1", "'=1", "''", "a", "-\t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if armoured := armour(s); formula(armoured) || disarm(armoured) != s {
			t.Errorf("%q becomes %q, and %q again", s, armoured, disarm(armoured))
		}
	})
}
