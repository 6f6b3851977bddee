package endtoend

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// known is what the catalogue says of a book, as octavo exports it.
type known struct{ source, id, title, author, series, place, isbn string }

// columns of an exported catalogue, and of a Goodreads export.
var goodreadsColumns = []string{
	"Book Id", "Title", "Author", "Author l-f", "Additional Authors", "ISBN", "ISBN13", "My Rating", "Average Rating", "Publisher", "Binding",
	"Number of Pages", "Year Published", "Original Publication Year", "Date Read", "Date Added", "Bookshelves", "Bookshelves with positions",
	"Exclusive Shelf", "My Review", "Spoiler", "Private Notes", "Read Count", "Owned Copies",
}

// readKnown reads an exported catalogue.
func readKnown(content []byte) ([]known, error) {
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil {
		return nil, err
	}
	at := make(map[string]int)
	for i, name := range rows[0] {
		at[name] = i
	}
	var books []known
	for _, r := range rows[1:] {
		author, _, _ := strings.Cut(r[at["authors"]], ";")
		books = append(books, known{
			source: r[at["source"]], id: r[at["id"]], title: r[at["title"]], author: author,
			series: r[at["series"]], place: r[at["series_position"]], isbn: r[at["isbn"]],
		})
	}
	return books, nil
}

// plainOnes are the books that only one title and one author belong to, in plain
// letters: of these a test can tell what has to come of them.
func plainOnes(books []known) []known {
	key := func(b known) string {
		title, _, _ := strings.Cut(b.title, " (")
		title, _, _ = strings.Cut(strings.ToLower(title), ":")
		return strings.TrimPrefix(title, "the ")
	}
	count := make(map[string]int)
	for _, b := range books {
		count[key(b)]++
	}
	return slices.DeleteFunc(slices.Clone(books), func(b known) bool {
		odd := func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != ' '
		}
		return count[key(b)] > 1 || strings.ContainsFunc(b.title, odd) || strings.ContainsFunc(b.author, odd) ||
			strings.Count(b.author, " ") != 1 || strings.HasSuffix(b.author, " Jr") || strings.HasPrefix(b.title, "A ") || strings.HasPrefix(b.title, "An ") || strings.Contains(strings.ToLower(b.title), " or ")
	})
}

// madeISBN is the n-th ISBN of ten digits of a range that is nobody's.
func madeISBN(n int) string {
	digits := fmt.Sprintf("99%07d", n)
	sum := 0
	for i := range digits {
		sum += (10 - i) * int(digits[i]-'0')
	}
	return digits + string("0123456789X"[(11-sum%11)%11])
}

// finding is what has to be said of a line: refused, or taken without a part.
type finding struct {
	line    int
	refused bool
	reason  string // a part of it
}

// goodreadsFile is an export with faults, and what has to come of it.
type goodreadsFile struct {
	content  []byte
	rows     int
	findings []finding // in the order of the lines
	byISBN   int
	byTitle  int
	// interactions are how many are recorded when nothing was there before.
	interactions int
}

// faults of a row: how it is written, and what is to be said of it. The row is
// of a book that is there, and has a date of its own; change may make it another.
var faults = []struct {
	name    string
	share   int // of 1000 rows
	change  func(row []string, b known)
	raw     func(line string) string
	refused bool
	reason  string
	isbn    bool // the book is found by its ISBN
}{
	{name: "a book by title, the series in brackets", share: 250, change: func(row []string, b known) {
		if b.series != "" && b.place != "" {
			row[1] = fmt.Sprintf("%s (%s, #%s)", b.title, b.series, b.place)
		}
	}},
	{name: "an initial in place of the first name", share: 80, change: func(row []string, b known) {
		_, family, _ := strings.Cut(b.author, " ")
		row[2] = b.author[:1] + ". " + family
	}},
	{name: "a name that is turned around", share: 50, change: func(row []string, b known) {
		first, family, _ := strings.Cut(b.author, " ")
		row[2] = family + ", " + first
	}},
	{name: "an article and a subtitle more", share: 50, change: func(row []string, b known) {
		row[1] = "The " + strings.TrimPrefix(b.title, "The ") + ": A Novel"
	}},
	{name: "an ISBN with another title", share: 250, isbn: true, change: func(row []string, b known) {
		row[1], row[5] = "Ein anderer Titel", `="`+b.isbn+`"`
	}},
	{name: "an ISBN whose check digit is wrong", share: 20, change: func(row []string, _ known) {
		row[5] = `="9900000000"`
	}},
	{name: "a date that is none", share: 40, reason: `the date "31/02/2020" under Date Read is none`, change: func(row []string, _ known) {
		row[14] = "31/02/2020"
	}},
	{name: "wrong encoding", share: 40, refused: true, reason: "byte 0xe9 is not UTF-8", raw: func(line string) string {
		return strings.Replace(line, ",", ",\"Caf\xe9\" ", 1)
	}},
	{name: "missing columns", share: 40, refused: true, reason: "the row is cut off here", raw: func(line string) string {
		return strings.Join(strings.Split(line, ",")[:5], ",")
	}},
	{name: "a formula for a title", share: 30, refused: true, reason: "no book here is called “=HYPERLINK(", change: func(row []string, _ known) {
		row[1] = `=HYPERLINK("http://127.0.0.1/","click")`
	}},
	{name: "script in the title", share: 30, refused: true, reason: "no book here is called “<script>alert(1)</script>”", change: func(row []string, _ known) {
		row[1] = "<script>alert(1)</script>"
	}},
	{name: "an unknown book", share: 40, refused: true, reason: "no book here is called “Qwertz", change: func(row []string, b known) {
		row[1] = "Qwertz " + b.title
	}},
	{name: "another author", share: 30, refused: true, reason: "is here, but not by Zzyzx Qwertz", change: func(row []string, _ known) {
		row[2] = "Zzyzx Qwertz"
	}},
	{name: "no author", share: 10, refused: true, reason: "the row names no author", change: func(row []string, _ known) { row[2] = "" }},
	{name: "no title", share: 10, refused: true, reason: "the row has no title", change: func(row []string, _ known) { row[1] = "" }},
	{name: "a rating of seven stars", share: 10, refused: true, reason: `the rating "7"`, change: func(row []string, _ known) { row[7] = "7" }},
	{name: "a shelf of its own", share: 10, refused: true, reason: "a shelf that Octavo does not have", change: func(row []string, _ known) {
		row[7], row[18] = "0", "did-not-finish"
	}},
}

// writeGoodreads makes an export of so many rows about the books, all of which
// have an ISBN. The same seed makes the same file. Without faults it is as the
// site would write it.
func writeGoodreads(books []known, rows int, seed uint64, faulty bool) goodreadsFile {
	random := rand.New(rand.NewPCG(seed, 1))
	var out bytes.Buffer
	line := func(row []string) string {
		var b strings.Builder
		w := csv.NewWriter(&b)
		_ = w.Write(row) // into memory
		w.Flush()
		return strings.TrimSuffix(b.String(), "\n")
	}
	fmt.Fprintln(&out, line(goodreadsColumns))
	f := goodreadsFile{rows: rows}
	var before struct {
		text string
		line int
		isbn bool
	}
	for i := range rows {
		at := i + 2
		// One row of 50 says again what the one before says.
		if faulty && i%50 == 49 && before.text != "" {
			fmt.Fprintln(&out, before.text)
			f.findings = append(f.findings, finding{at, false, fmt.Sprintf("it says the same as line %d", before.line)})
			if before.isbn {
				f.byISBN++
			} else {
				f.byTitle++
			}
			before.text = ""
			continue
		}
		b := books[random.IntN(len(books))]
		row := make([]string, len(goodreadsColumns))
		day := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, i).Format("2006/01/02")
		row[0], row[1], row[2], row[7], row[14], row[15], row[18] = fmt.Sprint(i), b.title, b.author, fmt.Sprint(1+random.IntN(5)), day, day, "read"
		row[19] = `Not "bad"` // a review; one line
		fault := faults[0]
		if faulty {
			n := random.IntN(990)
			for _, fault = range faults {
				if n -= fault.share; n < 0 {
					break
				}
			}
		} else if i%2 == 1 {
			fault = faults[4]
		}
		if fault.change != nil {
			fault.change(row, b)
		}
		text := line(row)
		if fault.raw != nil {
			text = fault.raw(text)
		}
		fmt.Fprintln(&out, text)
		before.text = ""
		switch {
		case fault.refused:
			f.findings = append(f.findings, finding{at, true, fault.reason})
			continue
		case fault.isbn:
			f.byISBN++
		default:
			f.byTitle++
		}
		f.interactions += 2
		if fault.reason != "" {
			f.findings = append(f.findings, finding{at, false, fault.reason})
		} else {
			before.text, before.line, before.isbn = text, at, fault.isbn
		}
	}
	if faulty {
		// The file is cut off in the middle of a row.
		f.rows++
		fmt.Fprintf(&out, `%d,"The Left Ha`, rows)
		f.findings = append(f.findings, finding{rows + 2, true, "the quote that opens here is not closed"})
	}
	f.content = out.Bytes()
	return f
}
