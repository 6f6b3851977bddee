package importer

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
)

var quiet = slog.New(slog.DiscardHandler)

const goodbooksHeader = "id,book_id,isbn,isbn13,authors,original_publication_year,title,language_code,ratings_count\n"

// smallGoodbooks is a folder in the shape of goodbooks-10k.
func smallGoodbooks(t *testing.T) string {
	return write(t, map[string]string{
		"books.csv": goodbooksHeader +
			`1,2767052,439023483,9.78043902348e+12,Suzanne Collins,2008.0,"The Hunger Games (The Hunger Games, #1)",eng,4780653` + "\n" +
			`2,3,439554934,9.78043955493e+12,"J.K. Rowling, Mary GrandPré",1997.0,"Harry Potter and the Sorcerer's Stone (Harry Potter, #1)",eng,4602479` + "\n" +
			"3,41865,316015849,,Stephenie Meyer,2005.0,Twilight,en-US,3866839\n" +
			"4,2657,,,Harper Lee,1960.0,To Kill a Mockingbird,,3198671\n" +
			"5,1381,143039954,,\"Homer, Robert Fagles\",-700.0,The Odyssey,eng,670326\n" +
			"6,7,B00X,,,someday,Nobody's Book,xx,-3\n",
		"train.tsv": "1\t1\t4\n1\t2\t5\n1\t3\t3\n2\t1\t5\n2\t2\t4\n2\t4\t2\n3\t1\t1\n3\t2\t5\n3\t5\t5\n4\t1\t1\n4\t2\t1\n4\t3\t1\n4\t4\t1\n4\t6\t3\n",
	})
}

func TestGoodbooks(t *testing.T) {
	fake, target := serve(t)
	report, err := Load(t.Context(), target, Goodbooks(smallGoodbooks(t)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range fake.books {
		got = append(got, fmt.Sprint(b.Id, "|", b.Title, "|", strings.Join(b.Authors, ";"), "|", b.Year, "|", b.Series, "|", b.SeriesPosition, "|", b.Isbn13, "|", b.Language, "|", b.SourceId, "|", b.Popularity))
	}
	want := []string{
		"1|The Hunger Games|Suzanne Collins|2008|The Hunger Games|1|9780439023481|en|1|4780653",
		"2|Harry Potter and the Sorcerer's Stone|J.K. Rowling;Mary GrandPré|1997|Harry Potter|1|9780439554930|en|2|4602479",
		"3|Twilight|Stephenie Meyer|2005||0|9780316015844|en-US|3|3866839",
		"4|To Kill a Mockingbird|Harper Lee|1960||0|||4|3198671",
		"5|The Odyssey|Homer;Robert Fagles|-700||0|9780143039952|en|5|670326",
		"6|Nobody's Book||0||0|||6|0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("books\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	wantFindings := "kept: books.csv:7:12: the year \"someday\" is not a year from -4000 to 3000\n" +
		"kept: books.csv:7:34: the language \"xx\" is not a language's code, such as en or pt-BR\n"
	if got := findings(report); got != wantFindings {
		t.Errorf("findings\n%s\nwant\n%s", got, wantFindings)
	}
	if len(fake.interactions) != 14 || fake.interactions[0].ReaderId != 1 || fake.interactions[13].Value != 3 {
		t.Errorf("interactions %v", fake.interactions)
	}
}

func TestGoodbooksBadRows(t *testing.T) {
	_, target := serve(t)
	dir := write(t, map[string]string{
		"books.csv":   goodbooksHeader + "1,1,,,A,,One,,\n2,2,,,B,,,,\n,3,,,C,,Three,,\n4,4\n1,5,,,D,,Five,,\n",
		"ratings.csv": "user_id,rating,book_id\n1,5,1\n1,6,1\n1,4,9\n1\n,3,1\n",
	})
	report, err := Load(t.Context(), target, Goodbooks(dir), Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := `books.csv:3:10: the title is empty
books.csv:5:1: 2 fields where the header has 9
books.csv:4:1: the book has no id
books.csv:6:1: the book "1" is on line 2 already
ratings.csv:3:1: the rating "6" is not one of 0.5 to 5 in half steps
ratings.csv:4:1: there is no book "9"
ratings.csv:5:1: 1 field where the header has 3
ratings.csv:6:1: the reader or the book is missing
`
	if got := findings(report); got != want {
		t.Errorf("findings\n%s\nwant\n%s", got, want)
	}
	if report.Books.Imported != 1 || report.Interactions.Imported != 1 {
		t.Errorf("report\n%s", report)
	}
}

func TestGoodbooksErrors(t *testing.T) {
	_, target := serve(t)
	for _, tt := range []struct {
		files map[string]string
		want  string
	}{
		{nil, "has neither ratings.csv nor train.tsv"},
		{map[string]string{"train.tsv": "1\t1\t1\n"}, "books.csv: no such file or directory"},
		{map[string]string{"train.tsv": "1\t1\t1\n", "books.csv": "id,name\n"}, "books.csv has no column title; it has id, name"},
		{map[string]string{"train.tsv": "1\t1\t1\n", "books.csv": "title\n"}, "books.csv has no column id or book_id; it has title"},
		{map[string]string{"ratings.csv": "user_id,stars\n", "books.csv": "id,title\n"}, "ratings.csv has no column book_id or book; it has user_id, stars"},
	} {
		_, err := Load(t.Context(), target, Goodbooks(write(t, tt.files)), Options{})
		if err == nil || !strings.HasSuffix(err.Error(), tt.want) {
			t.Errorf("got %v, want … %s", err, tt.want)
		}
	}
}

func TestGoodbooksTags(t *testing.T) {
	fake, target := serve(t)
	dir := smallGoodbooks(t)
	for name, text := range map[string]string{
		"tags.csv":      "tag_id,tag_name\n1,to-read\n2,fantasy\n3,young-adult\n4,sci-fi\n5,dystopia\n",
		"book_tags.csv": "goodreads_book_id,tag_id,count\n2767052,1,900\n2767052,3,50\n2767052,4,40\n2767052,5,30\n3,2,100\n3,3,20\n99,2,5\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	report, err := Load(t.Context(), target, Goodbooks(dir), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range fake.books[:3] {
		got = append(got, fmt.Sprint(b.Category, b.Tags))
	}
	want := []string{
		"CATEGORY_SCIENCE_FICTION [young adult sci fi dystopia]",
		"CATEGORY_FANTASY [fantasy young adult]",
		"CATEGORY_UNSPECIFIED []",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !slices.Equal(report.Notes, []string{"2 of 6 books have a category, taken from the tags."}) {
		t.Errorf("notes %q", report.Notes)
	}
}

// Two circles of readers, each with one book that is known: the category of
// that book spreads through its circle and not beyond, and a book nobody reads
// has none.
func TestInferCategories(t *testing.T) {
	var books []*catalogv1.Book
	for i := range 21 {
		books = append(books, &catalogv1.Book{SourceId: fmt.Sprint(i), Title: fmt.Sprintf("Book %d", i), Authors: []string{fmt.Sprintf("Ann Author%d", i)}})
	}
	books[19].Authors = books[0].Authors // and nobody has read it
	var text strings.Builder
	for reader := range 40 {
		for k := range 4 {
			fmt.Fprintf(&text, "%d\t%d\t5\n", reader, reader%2+2*((reader*7+k*(1+reader%3))%9))
		}
	}
	path := filepath.Join(write(t, map[string]string{"train.tsv": text.String()}), "train.tsv")
	seeds := []*catalogv1.Book{
		{Title: "Book 0", Authors: []string{"Ann Author0"}, Category: catalogv1.Category_CATEGORY_POETRY},
		{Title: "The Book 1: a Novel", Authors: []string{"A. Author1"}, Category: catalogv1.Category_CATEGORY_HORROR},
		{Title: "Book 2", Authors: []string{"Somebody Else"}, Category: catalogv1.Category_CATEGORY_TRAVEL},
	}
	var first []catalogv1.Category
	for range 3 {
		graph, err := readCoReadership(t.Context(), path, books, func(int, int) {})
		if err != nil {
			t.Fatal(err)
		}
		got := inferCategories(books, seeds, graph)
		if first != nil && !slices.Equal(got, first) {
			t.Fatalf("not the same twice: %v, %v", got, first)
		}
		first = got
	}
	for i, c := range first {
		want := []catalogv1.Category{catalogv1.Category_CATEGORY_POETRY, catalogv1.Category_CATEGORY_HORROR}[i%2]
		switch {
		case i == 19:
			want = catalogv1.Category_CATEGORY_POETRY // by its author
		case i >= 18:
			want = catalogv1.Category_CATEGORY_UNSPECIFIED
		}
		if c != want {
			t.Errorf("book %d is %v, want %v", i, c, want)
		}
	}
}
