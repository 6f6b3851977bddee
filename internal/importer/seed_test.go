package importer

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSeedJSON(t *testing.T) {
	fake, target := serve(t)
	dir := write(t, map[string]string{"books.json": `{
  "MYSTERY": [
    {"id": 1, "title": "The Maltese Falcon"},
    {"id": 1, "title": "Murder on the Orient Express"},
    {"id": "x", "title": "Wrong id"},
    {"title": ""},
    17
  ],
  "Science Fiction": ["Dune", {"id": 5, "title": "Emma", "authors": ["Jane Austen"]}],
  "gardning": [{"id": 6, "title": "Roses"}, {"id": 7, "title": "Tulips"}]
}`})
	report, err := Load(t.Context(), target, SeedJSON(filepath.Join(dir, "books.json")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := `books.json:4:5: the book "1" is on line 3 already
books.json:5:5: string is not what the id of a book can be
books.json:6:5: title: must be at least 1 characters
books.json:7:5: number is not what the description of a book can be
books.json:10:16: unknown category "gardning": did you mean …
books.json:10:45: unknown category "gardning": did you mean …
`
	var got strings.Builder
	for line := range strings.Lines(findings(report)) {
		head, tail, cut := strings.Cut(line, `"gardning"`)
		if cut && tail != "" {
			line = head + "\"gardning\": did you mean …\n"
		}
		got.WriteString(line)
	}
	if got.String() != want {
		t.Errorf("findings\n%s\nwant\n%s", got.String(), want)
	}
	var books []string
	for _, b := range fake.books {
		books = append(books, fmt.Sprint(b.SourceId, b.Title, b.Authors, b.Category))
	}
	wantBooks := []string{"1The Maltese Falcon[] CATEGORY_MYSTERY", "dune/Dune[] CATEGORY_SCIENCE_FICTION", "5Emma[Jane Austen] CATEGORY_SCIENCE_FICTION"}
	if !slices.Equal(books, wantBooks) {
		t.Errorf("books %q, want %q", books, wantBooks)
	}
}

func TestSeedJSONErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "f.json:1:1: unexpected end of JSON input",
		"[]":                      "f.json:1:2: [ where { was expected: the file is to be an object with a list of books for each category",
		`{"a": {"id": 1}}`:        "f.json:1:8: { where [ was expected: the file is to be an object with a list of books for each category",
		"{\"a\": [\n  \"b\",\n":   "f.json:3:1: unexpected end of JSON input",
		"{\"a\": [\n  \"b\" x]}":  "f.json:2:7: invalid character 'x' after array element",
		`{"a": []} {}`:            "f.json:1:11: invalid character '{' after top-level value",
		"{\"a\": [{\"id\": 1,}]}": "f.json:1:17: invalid character '}' looking for beginning of object key string",
	} {
		err := decodeSeed("f.json", []byte(text), func(Place, string, seedBook, error) error { return nil })
		if err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

func FuzzSeedJSON(f *testing.F) {
	f.Add([]byte(`{"MYSTERY": [{"id": 1, "title": "The Maltese Falcon"}], "SCIENCE": ["Cosmos"]}`))
	f.Add([]byte(`{"a": [1, null, {"id": 1e9}, ["x"]]} `))
	f.Add([]byte("{\"\xff\": [\"\\ud800\"]}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		err := decodeSeed("f.json", text, func(at Place, _ string, _ seedBook, _ error) error {
			if at.Line < 1 || at.Column < 1 {
				t.Errorf("place %v", at)
			}
			return nil
		})
		var finding Finding
		if err != nil && (!errors.As(err, &finding) || finding.Line < 1) {
			t.Errorf("error %v has no place", err)
		}
	})
}
