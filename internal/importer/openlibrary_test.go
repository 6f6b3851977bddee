package importer

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
)

const dump = `/type/author	/authors/OL1A	1	2020-01-01T00:00:00	{"name": "Ursula K.  Le Guin", "key": "/authors/OL1A"}
/type/work	/works/OL1W	3	2020-01-01T00:00:00	{"title": "The Dispossessed", "authors": [{"type": {"key": "/type/author_role"}, "author": {"key": "/authors/OL1A"}}], "subjects": ["Science fiction", "Fiction, science fiction, general", "Anarchism"]}
/type/work	/works/OL2W	1	2020-01-01T00:00:00	{"title": "No author", "first_publish_date": "October 1999", "authors": [{"author": "/authors/OL9A"}, 7]}
/type/work	/works/OL3W	1	2020-01-01T00:00:00	{"title": ""}
/type/work	/works/OL4W	1	2020-01-01T00:00:00	{"title": "Cut
/type/work	too few
/type/edition	/books/OL1M	1	2020-01-01T00:00:00	{"works": [{"key": "/works/OL1W"}], "isbn_10": ["0-06-051275-X"], "publish_date": "2003", "languages": [{"key": "/languages/eng"}]}
/type/edition	/books/OL2M	1	2020-01-01T00:00:00	{"works": [{"key": "/works/OL1W"}], "isbn_13": ["1234567890123", "9780061054884"], "isbn_10": ["006051275X"], "publish_date": "May 1974"}
/type/edition	/books/OL3M	1	2020-01-01T00:00:00	{"works": "none"}
/type/redirect	/works/OL8W	1	2020-01-01T00:00:00	{"location": "/works/OL1W"}
`

func TestOpenLibrary(t *testing.T) {
	fake, target := serve(t)
	dir := write(t, map[string]string{"dump.txt": dump})
	report, err := Load(t.Context(), target, OpenLibrary(filepath.Join(dir, "dump.txt")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantFindings(t, report,
		"dump.txt:6:1: 2 fields: type, key, revision, time and record are expected",
		"dump.txt:9:1: the record is not the JSON it should be",
		"dump.txt:4:1: ", // the title is too short
		"dump.txt:5:1: the record is not the JSON it should be")
	if len(fake.books) != 2 {
		t.Fatalf("books %v", fake.books)
	}
	first := fake.books[0]
	if first.GetTitle() != "The Dispossessed" || fmt.Sprint(first.GetAuthors()) != "[Ursula K. Le Guin]" || first.GetYear() != 1974 ||
		fmt.Sprint(first.GetIsbns()) != "[9780060512750 9780061054884]" || first.GetLanguage() != "en" || first.GetCategory() != catalogv1.Category_CATEGORY_SCIENCE_FICTION ||
		first.GetSourceId() != "OL1W" || len(first.GetTags()) != 3 {
		t.Errorf("got %v", first)
	}
	if second := fake.books[1]; second.GetYear() != 1999 || len(second.GetAuthors()) > 0 {
		t.Errorf("got %v", second)
	}
}

func wantFindings(t *testing.T, r Report, parts ...string) {
	t.Helper()
	if len(r.Refused) != len(parts) {
		t.Errorf("%d refusals, want %d: %v", len(r.Refused), len(parts), r.Refused)
		return
	}
	for i, part := range parts {
		if got := r.Refused[i].String(); !strings.Contains(got, part) {
			t.Errorf("refusal %q, want %q", got, part)
		}
	}
}

func compressed(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Every kind of file can be compressed; one that was cut off says so, and the
// whole one, imported again, gives what it would have given at once.
func TestCompressedAndCutOff(t *testing.T) {
	var lines, products strings.Builder
	lines.WriteString("id,title\n")
	products.WriteString(`<ONIXMessage release="3.0">`)
	var works strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&lines, "%d,Book %d %d\n", i+1, i, i*i)
		fmt.Fprintf(&works, "/type/work\t/works/OL%dW\t1\tx\t{\"title\": \"Book %d %d\"}\n", i+1, i, i*i)
		fmt.Fprintf(&products, "<Product><RecordReference>%d</RecordReference><DescriptiveDetail><TitleDetail><TitleElement><TitleText>Book %d %d</TitleText></TitleElement></TitleDetail></DescriptiveDetail></Product>\n", i+1, i, i*i)
	}
	products.WriteString("</ONIXMessage>")
	for name, c := range map[string]struct {
		text   string
		source func(path string) Source
	}{
		"CSV":          {lines.String(), func(path string) Source { return CSV(CSVOptions{}, path) }},
		"ONIX":         {products.String(), func(path string) Source { return ONIX(path) }},
		"Open Library": {works.String(), func(path string) Source { return OpenLibrary(path) }},
	} {
		t.Run(name, func(t *testing.T) {
			fake, target := serve(t)
			path := filepath.Join(t.TempDir(), "file.gz")
			whole := compressed(t, c.text)
			put := func(data []byte) {
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			put(whole[:len(whole)/2])
			report, err := Load(t.Context(), target, c.source(path), Options{})
			if err == nil || !strings.Contains(err.Error(), "cut off in the middle") || report.Complete {
				t.Fatalf("half a file: %v", err)
			}
			if len(fake.books)%booksPerBatch != 0 {
				t.Errorf("%d books: a part of a batch is in", len(fake.books))
			}
			before := len(fake.books)
			put(whole)
			report, err = Load(t.Context(), target, c.source(path), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if report.Books.Imported != 3000-before || report.Books.Unchanged != before || len(fake.books) != 3000 {
				t.Errorf("after half of it, the whole file: %+v, with %d books", report.Books, len(fake.books))
			}
			if name != "ONIX" {
				return
			}
			put([]byte(c.text[:len(c.text)/2]))
			if _, err := Load(t.Context(), target, c.source(path), Options{}); err == nil || !strings.Contains(err.Error(), "cut off in the middle") {
				t.Errorf("half a text: %v", err)
			}
		})
	}
}

func FuzzOpenLibrary(f *testing.F) {
	for line := range strings.Lines(dump) {
		f.Add(strings.TrimSuffix(line, "\n"))
	}
	f.Add("/type/work\t/works/OL1W\t1\t2\t{\"title\":\"x\",\"authors\":[{\"key\":\"a\"},{\"author\":null}],\"subjects\":[\"\"]}")
	f.Fuzz(func(t *testing.T, line string) {
		if valid(line) != nil {
			return
		}
		_, key, record, err := dumpLine(line)
		if err != nil {
			return
		}
		r, err := decodeDump(record)
		if err != nil {
			return
		}
		b := r.book(key, map[string]string{"OL1A": "A"}, edition{}.with(r))
		if len(b.GetTags()) > maxTags || len(b.GetAuthors()) > maxAuthors || len(b.GetIsbns()) > maxISBNs {
			t.Errorf("%q gives %v", line, b)
		}
	})
}
