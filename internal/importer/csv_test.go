package importer

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

func TestCSVBooks(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		options    CSVOptions
		books      []string
		findings   string
	}{
		{
			name: "all fields",
			text: "id,title,authors,category,year,tags,series,series_position,isbn,language,popularity\n" +
				`7,"Good Omens","Terry Pratchett; Neil Gaiman",Fantasy,1990,Angels|Apocalypse,,,0-552-13703-0,eng,12` + "\n",
			books: []string{`id:7  title:"Good Omens"  authors:"Terry Pratchett"  authors:"Neil Gaiman"  category:CATEGORY_FANTASY  year:1990  tags:"angels"  tags:"apocalypse"  isbn13:"9780552137034"  language:"en"  source:"csv"  source_id:"7"  popularity:12  isbns:"9780552137034"`},
		},
		{
			name: "other names and separators",
			text: "\ufeffName;Writer;Genre\r\nEmma;Jane Austen;sci-fi\r\n",
			options: CSVOptions{Source: "shop", Map: map[string]string{
				"title": "name", "authors": "Writer",
			}},
			books: []string{`id:1000  title:"Emma"  authors:"Jane Austen"  category:CATEGORY_SCIENCE_FICTION  source:"shop"  source_id:"emma/janeausten"`},
		},
		{
			name:  "the series in the title, the ISBN for a key",
			text:  "title,isbn\n\"Mort (Discworld, #4)\",\"9780552131063, 0-340-96019-1 ;0552131067\"\n",
			books: []string{`id:1000  title:"Mort"  series:"Discworld"  series_position:4  isbn13:"9780552131063"  source:"csv"  source_id:"9780552131063"  isbns:"9780552131063"  isbns:"9780340960196"`},
		},
		{
			name:  "line breaks in quotes",
			text:  "id,title\n1,\"Two\nlines\"\n2,Next\n",
			books: []string{`id:1  title:"Two lines"  source:"csv"  source_id:"1"`, `id:2  title:"Next"  source:"csv"  source_id:"2"`},
		},
		{
			name: "bad rows, each with its place",
			text: "id,title,category,year,series_position,isbn,language\n" +
				"1,Good,,,,,\n" +
				"2,,,,,,\n" +
				"3,Bad category,Sciemce,,,,\n" +
				"4,Bäd year,,MMXX,,,\n" +
				"5,Bad place,,,first,,\n" +
				"6,Bad isbn,,,,123,\n" +
				"7,Bad language,,,,,Klingon\n" +
				"8,Too many,,,,,,,\n" +
				"9\n" +
				"10,\"Open,,,,,\n" +
				"11,caf\xe9,,,,,\n" +
				"1,Again,,,,,\n" +
				"12," + strings.Repeat("x", 501) + ",,,,,\n" +
				"13,Last,,,,,\n",
			books: []string{
				`id:1  title:"Good"  source:"csv"  source_id:"1"`, `id:6  title:"Bad isbn"  source:"csv"  source_id:"6"`,
				`id:7  title:"Bad language"  source:"csv"  source_id:"7"`, `id:13  title:"Last"  source:"csv"  source_id:"13"`,
			},
			findings: `books.csv:3:3: the title is empty
books.csv:4:16: unknown category "Sciemce": did you mean "science"?
books.csv:5:13: the year "MMXX" is not a year from -4000 to 3000
books.csv:6:15: the place in the series "first" is not a number from 0 to 10000
books.csv:9:17: 9 fields where the header has 7
books.csv:10:1: 1 field where the header has 7
books.csv:11:4: the quote that opens here is not closed before a line that is not UTF-8
books.csv:12:7: byte 0xe9 is not UTF-8; it is “é” in Windows-1252: convert the file (iconv -f WINDOWS-1252 -t UTF-8) and import it again
books.csv:13:1: the book "1" is on line 2 already
books.csv:14:1: title: must be at most 500 characters
kept: books.csv:7:15: "123" is not an ISBN
kept: books.csv:8:20: "Klingon" is not a language's code, such as en or pt-BR
`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake, target := serve(t)
			dir := write(t, map[string]string{"books.csv": tt.text})
			report, err := Load(t.Context(), target, CSV(tt.options, filepath.Join(dir, "books.csv")), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := findings(report); got != tt.findings {
				t.Errorf("findings\n%s\nwant\n%s", got, tt.findings)
			}
			var books []string
			for _, b := range fake.books {
				// The text form of messages varies in its spaces, on purpose.
				books = append(books, strings.Join(strings.Fields(b.String()), " "))
			}
			for i := range tt.books {
				tt.books[i] = strings.Join(strings.Fields(tt.books[i]), " ")
			}
			if !slices.Equal(books, tt.books) {
				t.Errorf("books\n%s\nwant\n%s", strings.Join(books, "\n"), strings.Join(tt.books, "\n"))
			}
			if all := report.Books; all.Read != all.Imported+all.Refused || all.Imported != len(tt.books) {
				t.Errorf("count %+v", all)
			}
		})
	}
}

func TestCSVInteractions(t *testing.T) {
	fake, target := serve(t)
	dir := write(t, map[string]string{
		"books.csv": "id,title\n1,A\n2,B\n",
		"log.csv": "user,book,event,stars,date\n" +
			"ann,1,view,,\n" +
			"ann,1,read,4.5,2026-01-31\n" +
			"bob,2,,3,\n" +
			"bob,1,,,\n" +
			"bob,1,to-read,0,\n" +
			"bob,1,devoured,,\n" +
			"bob,1,finishd,,\n" +
			"bob,1,,7,\n" +
			"bob,1,rating,,\n" +
			"bob,3,view,,\n" +
			"bob,1,view,,soon\n" +
			",1,view,,\n" +
			"bob,,view,,\n" +
			strings.Repeat("r", 201) + ",1,view,,\n",
	})
	report, err := Load(t.Context(), target, CSV(CSVOptions{}, filepath.Join(dir, "log.csv"), filepath.Join(dir, "books.csv")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := `log.csv:7:7: unknown kind "devoured"; the kinds are view, click, want, reading, finished, rating, not interested, bought, removed
log.csv:8:7: unknown kind "finishd": did you mean "finished"?
log.csv:9:8: the rating "7" is not one of 0.5 to 5 in half steps
log.csv:10:14: the rating "" is not one of 0.5 to 5 in half steps
log.csv:11:1: there is no book "3"
log.csv:12:13: "soon" is not a time, such as 2026-01-31, 2026-01-31T18:00:00Z or seconds since 1970
log.csv:13:1: there is no reader
log.csv:14:5: there is no book
log.csv:15:1: reader source_id: must be at most 200 characters
`
	if got := findings(report); got != want {
		t.Errorf("findings\n%s\nwant\n%s", got, want)
	}
	var got []string
	for _, i := range fake.interactions {
		got = append(got, fmt.Sprintf("%s %d %s %v %v", fake.readers[i.ReaderId-1000].SourceId, i.BookId, i.Kind, i.Value, i.OccurredAt.IsValid()))
	}
	wantLog := []string{
		"ann 1 INTERACTION_KIND_VIEW 0 false",
		"ann 1 INTERACTION_KIND_FINISHED 0 true",
		"ann 1 INTERACTION_KIND_RATING 4.5 true",
		"bob 2 INTERACTION_KIND_RATING 3 false",
		"bob 1 INTERACTION_KIND_FINISHED 0 false",
		"bob 1 INTERACTION_KIND_WANT 0 false",
	}
	if !slices.Equal(got, wantLog) {
		t.Errorf("log\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(wantLog, "\n"))
	}
}

// What is wrong with a whole file ends the import before anything is sent.
func TestCSVErrors(t *testing.T) {
	dir := write(t, map[string]string{
		"good.csv":   "id,title\n1,A\n",
		"empty.csv":  "",
		"nothing":    "colour,size\nred,1\n",
		"readers":    "user,stars\n1,2\n",
		"utf16":      "\xff\xfea\x00",
		"bytes.csv":  "titl\xe9,id\n",
		"latin1.csv": "\n\n",
	})
	for _, tt := range []struct {
		files   []string
		options CSVOptions
		want    string
	}{
		{nil, CSVOptions{}, "import csv: no file is given"},
		{[]string{"good.csv", "empty.csv"}, CSVOptions{}, "import csv: empty.csv is empty"},
		{[]string{"latin1.csv"}, CSVOptions{}, "import csv: latin1.csv has no header"},
		{[]string{"good.csv", "nothing"}, CSVOptions{}, "import csv: nothing has no column title, nor reader and book; it has colour, size; other names can be mapped to these"},
		{[]string{"readers"}, CSVOptions{}, "import csv: readers has a column for the reader but none for the book; it has user, stars; another name can be mapped to book"},
		{[]string{"utf16"}, CSVOptions{}, "import csv: utf16 is in UTF-16: save it as UTF-8 (in a spreadsheet: “CSV UTF-8”)"},
		{[]string{"bytes.csv"}, CSVOptions{}, "import csv: bytes.csv:1:5: byte 0xe9 is not UTF-8; it is “é” in Windows-1252: convert the file (iconv -f WINDOWS-1252 -t UTF-8) and import it again"},
		{[]string{"good.csv"}, CSVOptions{Map: map[string]string{"titel": "id"}}, `import csv: there is no field "titel" to map: did you mean "title"?`},
		{[]string{"good.csv"}, CSVOptions{Map: map[string]string{"authors": "Writer"}}, `import csv: no file has the column "Writer", which is mapped to authors`},
	} {
		fake, target := serve(t)
		var paths []string
		for _, f := range tt.files {
			paths = append(paths, filepath.Join(dir, f))
		}
		_, err := Load(t.Context(), target, CSV(tt.options, paths...), Options{})
		if err == nil || err.Error() != tt.want {
			t.Errorf("%v: got %v, want %s", tt.files, err, tt.want)
		}
		if len(fake.books) > 0 {
			t.Errorf("%v: %d books were sent", tt.files, len(fake.books))
		}
	}
}

func FuzzCSV(f *testing.F) {
	f.Add("id,title,authors,category,year,series,series_position,isbn,language\n1,T,A;B,poetry,1999,S,1,0439023483,eng\n")
	f.Add("reader,book,kind,value,time\na,1,rating,4.5,2026-01-31\nb,2,read,3,1600000000\n")
	f.Add("title;authors\n\"x (y, #1)\";z\n")
	f.Fuzz(func(t *testing.T, text string) {
		rs, err := newRows("f.csv", strings.NewReader(text))
		if err != nil {
			return
		}
		table, err := newTable(rs)
		if err != nil {
			return
		}
		c := csvFiles{}
		books := record{table: table, columns: c.columns(table, bookFields)}
		log := record{table: table, columns: c.columns(table, interactionFields)}
		for {
			row, err := table.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				continue
			}
			books.row, log.row = row, row
			b, field, err := decodeBook(books)
			checkBook(t, b, err)
			if err != nil && books.at(field).Line < 1 {
				t.Errorf("no place for %v", err)
			}
			is, _, err := decodeInteraction(log)
			for _, i := range is {
				if i.invalid() != "" && err == nil && i.Time.IsZero() {
					t.Errorf("interaction %+v: %s", i, i.invalid())
				}
				if i.Kind == readersv1.InteractionKind_INTERACTION_KIND_UNSPECIFIED {
					t.Errorf("interaction %+v has no kind", i)
				}
			}
		}
	})
}

func checkBook(t *testing.T, b *catalogv1.Book, err error) {
	if (b == nil) != (err != nil) {
		t.Fatalf("book %v with error %v", b, err)
	}
	if b == nil {
		return
	}
	if b.Title == "" || b.Year < -4000 || b.Year > 3000 || b.SeriesPosition < 0 || b.SeriesPosition > 10000 || b.Popularity < 0 {
		t.Errorf("book %v", b)
	}
}
