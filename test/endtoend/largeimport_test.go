package endtoend

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/octavo-books/octavo/internal/waittest"
)

// importRows is how long the files of TestLargeImports are:
//
//	make imports
var importRows = flag.Int("rows", 12_000, "rows of each file that is imported, killed and gone on with")

// importMemory is what an import may take at most, whatever its file: its
// program, with the garbage that the collector leaves for a while, and what it
// keeps of each row.
func importMemory(rows int) int64 { return 220<<20 + int64(rows)*500 }

// largeFile is a file of a kind that octavo imports.
type largeFile struct {
	books        int
	interactions int
	files        []string
	line         func(w io.Writer, i int)
	head, tail   string
}

func bookTitle(i int) string { return fmt.Sprintf("The Book %d of the Numbers %d", i, i*7919%1000) }

// largeFiles are those of so many rows, by the name of the command.
func largeFiles(rows int) map[string]largeFile {
	few := max(rows/100, 100)
	return map[string]largeFile{
		"csv": {
			books: rows, files: []string{"books.csv"}, head: "id,title,authors,year,isbn\n",
			line: func(w io.Writer, i int) {
				fmt.Fprintf(w, "%d,%s,Author %d,%d,%s\n", i+1, bookTitle(i), i%5000, 1900+i%100, madeISBN(i))
			},
		},
		"openlibrary": {
			books: rows, files: []string{"works.txt"},
			line: func(w io.Writer, i int) {
				fmt.Fprintf(w, "/type/work\t/works/OL%dW\t1\t2020-01-01T00:00:00\t{\"title\": %q, \"authors\": [{\"author\": {\"key\": \"/authors/OL%dA\"}}]}\n", i+1, bookTitle(i), i%5000)
				fmt.Fprintf(w, "/type/edition\t/books/OL%dM\t1\t2020-01-01T00:00:00\t{\"works\": [{\"key\": \"/works/OL%dW\"}], \"isbn_10\": [%q]}\n", i+1, i+1, madeISBN(i))
			},
		},
		"onix": {
			books: rows, files: []string{"products.xml"}, head: `<ONIXMessage release="3.0">`, tail: "</ONIXMessage>",
			line: func(w io.Writer, i int) {
				fmt.Fprintf(w, "<Product><RecordReference>%d</RecordReference><ProductIdentifier><ProductIDType>02</ProductIDType><IDValue>%s</IDValue></ProductIdentifier>"+
					"<DescriptiveDetail><TitleDetail><TitleType>01</TitleType><TitleElement><TitleElementLevel>01</TitleElementLevel><TitleText>%s</TitleText></TitleElement></TitleDetail>"+
					"<Contributor><ContributorRole>A01</ContributorRole><PersonName>Author %d</PersonName></Contributor></DescriptiveDetail></Product>\n", i, madeISBN(i), bookTitle(i), i%5000)
			},
		},
		"json": {
			books: rows, files: []string{"books.json"}, head: `{"LITERATURE": [` + "\n", tail: "]}",
			line: func(w io.Writer, i int) {
				comma := ","
				if i == rows-1 {
					comma = ""
				}
				fmt.Fprintf(w, `{"id": %d, "title": %q, "authors": ["Author %d"]}%s`+"\n", i+1, bookTitle(i), i%5000, comma)
			},
		},
		"goodbooks": {
			books: few, interactions: max(rows, 60_000), files: []string{"books.csv", "ratings.csv"},
			line: func(w io.Writer, i int) { fmt.Fprintf(w, "%d,%d,%d\n", i/20+1, (i/20+i%20*5)%few+1, i%5+1) },
			head: "user_id,book_id,rating\n",
		},
	}
}

// write makes the file, or files, in a folder, and returns what the command is
// given.
func (f *largeFile) write(t *testing.T, kind string) string {
	t.Helper()
	folder := t.TempDir()
	create := func(name string, write func(w io.Writer)) {
		out, err := os.Create(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		buffered := bufio.NewWriterSize(out, 1<<20)
		write(buffered)
		if err := errors.Join(buffered.Flush(), out.Close()); err != nil {
			t.Fatal(err)
		}
	}
	rows := max(f.books, f.interactions)
	create(f.files[len(f.files)-1], func(w io.Writer) {
		fmt.Fprint(w, f.head)
		for i := range rows {
			f.line(w, i)
		}
		fmt.Fprint(w, f.tail)
	})
	if kind != "goodbooks" {
		return filepath.Join(folder, f.files[0])
	}
	create("books.csv", func(w io.Writer) {
		fmt.Fprintln(w, "id,book_id,isbn,isbn13,authors,original_publication_year,title,language_code,ratings_count")
		for i := range f.books {
			fmt.Fprintf(w, "%d,%d,%s,,Author %d,1999,%s,eng,%d\n", i+1, i+1, madeISBN(i), i, bookTitle(i), i)
		}
	})
	return folder
}

// progress is what a checkpoint says.
type progress struct{ Books, Interactions int }

func readProgress(path string) (p progress, ok bool) {
	content, err := os.ReadFile(path)
	return p, err == nil && json.Unmarshal(content, &p) == nil
}

var (
	wentOn      = regexp.MustCompile(`Went on where the import had stopped: after (\d+) books? and (\d+) interactions?`)
	countedRows = regexp.MustCompile(`(?m)^(books|interactions) +(\d+) +(\d+) +(\d+) +(\d+)$`)
)

// TestLargeImports kills an import of each kind in the middle, and goes on: what
// was acknowledged is whole, and not sent again, and what comes out in the end is
// what is in the file. The memory of the import is bounded.
func TestLargeImports(t *testing.T) {
	for kind, file := range largeFiles(*importRows) {
		t.Run(kind, func(t *testing.T) {
			rows := max(file.books, file.interactions)
			data := filepath.Join(t.TempDir(), "octavo-data")
			server, _ := serveProcess(t, data, "--no-demo", "--train-every", "0", "--refresh-every", "0")
			input := file.write(t, kind)
			checkpoint := filepath.Join(t.TempDir(), "checkpoint")
			args := []string{"import", kind, "--data-dir", data, "--checkpoint", checkpoint, input}

			began := time.Now()
			killed := start(t, "octavo", args...)
			var at progress
			waittest.Until(t, "a third is imported", 10*time.Minute, func() bool {
				select {
				case <-killed.ended:
					t.Fatalf("the import ended too early: %v\n%s", killed.err, killed.output)
				default:
				}
				var ok bool
				at, ok = readProgress(checkpoint)
				return ok && at.Books+at.Interactions > 0 && (rows < 100_000 || at.Books+at.Interactions >= rows/3)
			})
			killed.kill(t)
			first := time.Since(began)
			at, _ = readProgress(checkpoint)
			if at.Books+at.Interactions >= rows {
				t.Fatalf("it was killed too late: %+v", at)
			}
			if whole := wholeBooks(t, data); whole < at.Books {
				t.Errorf("%d books are in the catalogue, the checkpoint says %d", whole, at.Books)
			}

			began = time.Now()
			resumed := start(t, "octavo", args...)
			<-resumed.ended
			if resumed.err != nil {
				t.Fatalf("the import did not go on: %v\n%s", resumed.err, resumed.output)
			}
			output := resumed.output.String()
			went := wentOn.FindStringSubmatch(output)
			if went == nil || went[1] != strconv.Itoa(at.Books) || went[2] != strconv.Itoa(at.Interactions) {
				t.Errorf("it went on after %v, want %+v:\n%s", went, at, output)
			}
			for _, row := range countedRows.FindAllStringSubmatch(output, -1) {
				want, done := file.books, at.Books
				if row[1] == "interactions" {
					want, done = file.interactions, at.Interactions
				}
				if read, _ := strconv.Atoi(row[2]); read != want || row[5] != "0" {
					t.Errorf("%s, want %d read and none refused", row[0], want)
				}
				if imported, _ := strconv.Atoi(row[3]); imported > want-done {
					t.Errorf("%s: more than the %d that were left", row[0], want-done)
				}
			}
			if whole := wholeBooks(t, data); whole != file.books {
				t.Errorf("%d books in the end, want %d", whole, file.books)
			}
			if _, err := os.Stat(checkpoint); err == nil {
				t.Error("the checkpoint is left")
			}
			peak := max(peakMemory(t, killed), peakMemory(t, resumed))
			if limit := importMemory(rows); peak > limit {
				t.Errorf("the import took %d MB, want at most %d", peak>>20, limit>>20)
			}
			t.Logf("%s, %d rows: killed after %v with %d books and %d interactions; the rest took %v; peak memory of the import %d MB, of octavo serve %d MB",
				kind, rows, first.Round(time.Millisecond), at.Books, at.Interactions, time.Since(began).Round(time.Millisecond), peak>>20, residentPeak(t, server)>>20)
		})
	}
}

// wholeBooks counts the books of the catalogue, each of which has to be whole.
func wholeBooks(t *testing.T, data string) int {
	t.Helper()
	path := filepath.Join(t.TempDir(), "export.csv")
	if _, err := octavo(t, "export", "catalog", "--data-dir", data, "--output", path); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(bufio.NewReader(f))
	header, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	at := make(map[string]int)
	for i, name := range header {
		at[name] = i
	}
	seen := make(map[int]bool)
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return len(seen)
		}
		if err != nil {
			t.Fatal(err)
		}
		title := row[at["title"]]
		var i, n int
		if _, err := fmt.Sscanf(title, "The Book %d of the Numbers %d", &i, &n); err != nil || title != bookTitle(i) || seen[i] {
			t.Fatalf("the book %q is not whole, or there twice", row)
		}
		if isbn := row[at["isbn"]]; isbn == "" && row[at["source"]] != "json" || isbn != "" && !strings.HasPrefix(isbn, "978"+madeISBN(i)[:9]) {
			t.Fatalf("the book %q has not its ISBN", row)
		}
		seen[i] = true
	}
}

// peakMemory is the most memory, in bytes, that a program had which has ended.
func peakMemory(t *testing.T, p *process) int64 {
	t.Helper()
	usage, ok := p.command.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		t.Fatal("the system does not tell of memory")
	}
	return usage.Maxrss << 10
}

// residentPeak is the same of one that runs.
func residentPeak(t *testing.T, p *process) int64 {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(content), "VmHWM:")
	var kilobytes int64
	if _, err := fmt.Sscan(after, &kilobytes); err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}
