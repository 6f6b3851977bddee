package importer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/chassis/chassistest"
	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/catalog"
	catalogsqlite "github.com/octavo-books/octavo/internal/catalog/sqlite"
	"github.com/octavo-books/octavo/internal/readers"
	readerssqlite "github.com/octavo-books/octavo/internal/readers/sqlite"
)

// ratings writes a CSV file of n ratings by readers 1 to 10 of books 1 to 100.
func ratings(n int) string {
	var b strings.Builder
	b.WriteString("user_id,book_id,rating,time\n")
	for i := range n {
		fmt.Fprintf(&b, "%d,%d,%d,%d\n", 1+i%10, 1+i%100, 1+i%5, 1_600_000_000+i)
	}
	return b.String()
}

func hundredBooks() string {
	var b strings.Builder
	b.WriteString("id,title\n")
	for i := range 100 {
		fmt.Fprintf(&b, "%d,Book %d\n", i+1, i+1)
	}
	return b.String()
}

// An import that stops in the middle says what is in; the next run adds what
// was missing and doubles nothing.
func TestLoadStopsAndGoesOn(t *testing.T) {
	fake, target := serve(t)
	dir := write(t, map[string]string{"books.csv": hundredBooks(), "ratings.csv": ratings(12_000)})
	source := CSV(CSVOptions{}, filepath.Join(dir, "ratings.csv"), filepath.Join(dir, "books.csv"))

	fake.failAfter = 1
	report, err := Load(t.Context(), target, source, Options{})
	if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "send 5000 interactions to the readers service: the disk is full") {
		t.Fatalf("error %v", err)
	}
	if report.Complete || report.Interactions.Imported != 5000 || report.Books.Imported != 100 || report.Readers.Imported != 10 {
		t.Errorf("report %+v", report)
	}
	if text := report.String(); !strings.Contains(text, "run the same import again") {
		t.Errorf("the report does not say what to do:\n%s", text)
	}

	fake.failAfter = 0
	report, err = Load(t.Context(), target, source, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := Report{
		Source:               "csv",
		Books:                Count{Read: 100, Unchanged: 100},
		Readers:              Count{Read: 10, Unchanged: 10},
		Interactions:         Count{Read: 12_000, Imported: 7_000, Unchanged: 5_000},
		Complete:             true,
		BooksPosition:        1,
		InteractionsPosition: 12_000,
	}
	if got, want := fmt.Sprintf("%+v", report), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, n := range fake.batches {
		if n > interactionsPerBatch {
			t.Errorf("a batch of %d", n)
		}
	}
}

func TestLoadKeepsOrderIdsAndTimes(t *testing.T) {
	fake, target := serve(t)
	dir := write(t, map[string]string{"books.csv": hundredBooks(), "ratings.csv": ratings(3)})
	if _, err := Load(t.Context(), target, CSV(CSVOptions{}, filepath.Join(dir, "books.csv"), filepath.Join(dir, "ratings.csv")), Options{}); err != nil {
		t.Fatal(err)
	}
	for i, got := range fake.interactions {
		if got.ReaderId != int32(i+1) || got.BookId != int32(i+1) || got.Value != float32(i+1) || got.OccurredAt.AsTime().Unix() != int64(1_600_000_000+i) {
			t.Errorf("interaction %d is %v", i, got)
		}
	}
	if len(fake.interactions) != 3 || fake.readers[0].Origin != readersv1.Origin_ORIGIN_IMPORTED {
		t.Errorf("%d interactions, reader %v", len(fake.interactions), fake.readers[0])
	}
}

// Interactions can come alone when their books came with an earlier import of
// the same source.
func TestLoadInteractionsOfEarlierBooks(t *testing.T) {
	fake, target := serve(t)
	dir := write(t, map[string]string{
		"books.csv": "id,title\nA1,One\n",
		"other.csv": "id,title\nB1,Other\n",
		"reads.csv": "reader,book\nann,A1\nann,B1\n",
	})
	for _, source := range []Source{
		CSV(CSVOptions{Source: "shop"}, filepath.Join(dir, "books.csv")),
		CSV(CSVOptions{Source: "other"}, filepath.Join(dir, "other.csv")),
	} {
		if _, err := Load(t.Context(), target, source, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	report, err := Load(t.Context(), target, CSV(CSVOptions{Source: "shop"}, filepath.Join(dir, "reads.csv")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := findings(report); got != "reads.csv:3:1: there is no book \"B1\"\n" {
		t.Errorf("findings %s", got)
	}
	if len(fake.interactions) != 1 || fake.interactions[0].BookId != fake.books[0].Id {
		t.Errorf("recorded %v", fake.interactions)
	}
}

func TestLoadIsCancelled(t *testing.T) {
	_, target := serve(t)
	dir := write(t, map[string]string{"books.csv": hundredBooks(), "ratings.csv": ratings(20_000)})
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the operator has had enough")
	progress := func(stage string, done, _ int) {
		if stage == "ratings.csv" && done > 0 {
			cancel(stop)
		}
	}
	report, err := Load(ctx, target, CSV(CSVOptions{}, filepath.Join(dir, "books.csv"), filepath.Join(dir, "ratings.csv")), Options{Progress: progress})
	if !errors.Is(err, stop) || report.Complete {
		t.Errorf("error %v, complete %v", err, report.Complete)
	}
}

func TestLoadCountsAllFindingsAndKeepsTheFirst(t *testing.T) {
	_, target := serve(t)
	dir := write(t, map[string]string{"books.csv": "id,title\n1,A\n1,B\n2,\n3,C,D\n"})
	report, err := Load(t.Context(), target, CSV(CSVOptions{}, filepath.Join(dir, "books.csv")), Options{KeepFindings: 1})
	if err != nil {
		t.Fatal(err)
	}
	want := `csv                  read   imported  unchanged    refused
books                   4          1          0          3
readers                 0          0          0          0
interactions            0          0          0          0
refused:
  books.csv:3:1: the book "1" is on line 2 already
  and 2 more
`
	if got := report.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestProgressReachesTheEnd(t *testing.T) {
	_, target := serve(t)
	dir := write(t, map[string]string{"books.csv": hundredBooks(), "ratings.csv": ratings(5_000)})
	last := map[string][2]int{}
	progress := func(stage string, done, total int) {
		if done < last[stage][0] || done > total {
			t.Errorf("%s: %d of %d after %v", stage, done, total, last[stage])
		}
		last[stage] = [2]int{done, total}
	}
	if _, err := Load(t.Context(), target, CSV(CSVOptions{}, filepath.Join(dir, "books.csv"), filepath.Join(dir, "ratings.csv")), Options{Progress: progress}); err != nil {
		t.Fatal(err)
	}
	for _, stage := range []string{"books.csv", "ratings.csv"} {
		if p := last[stage]; p[0] == 0 || p[0] != p[1] {
			t.Errorf("%s ends at %v", stage, p)
		}
	}
}

// The ids that make a second run record nothing must not collide for rows that
// differ in any way.
func TestInteractionID(t *testing.T) {
	seen := map[string]string{}
	for _, source := range []string{"a", "ab"} {
		for _, reader := range []string{"1", "b1", "11"} {
			for _, book := range []string{"1", "11", "b"} {
				for kind := range readersv1.InteractionKind(9) {
					for _, value := range []float32{0, 0.5, 5} {
						i := Interaction{Reader: reader, Book: book, Kind: kind + 1, Value: value}
						row := fmt.Sprint(source, "|", i)
						id := i.id(source)
						if other, ok := seen[id]; ok || len(id) > 64 {
							t.Fatalf("%s has the id %s of %s", row, id, other)
						}
						seen[id] = row
					}
				}
			}
		}
	}
}

// The same through the real services, twice.
func TestLoadIntoServices(t *testing.T) {
	target := serveReal(t)
	for _, tt := range []struct {
		source Source
		want   [3]int // books, readers, interactions
	}{
		{Goodbooks(smallGoodbooks(t)), [3]int{6, 4, 14}},
		{Demo(20, 1), [3]int{-1, 20, -1}},
	} {
		first, err := Load(t.Context(), target, tt.source, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range []Count{first.Books, first.Readers, first.Interactions} {
			if c.Imported != c.Read || tt.want[i] >= 0 && c.Read != tt.want[i] || c.Read == 0 {
				t.Errorf("%s: first run: %+v\n%s", tt.source.Name(), c, first)
			}
		}
		second, err := Load(t.Context(), target, tt.source, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []Count{second.Books, second.Readers, second.Interactions} {
			if c.Unchanged != c.Read || c.Imported != 0 {
				t.Errorf("%s: second run: %+v\n%s", tt.source.Name(), c, second)
			}
		}
		if second.InteractionsPosition != first.InteractionsPosition {
			t.Errorf("the log has grown from %d to %d", first.InteractionsPosition, second.InteractionsPosition)
		}
	}
}

// serveReal is the real services over databases of their own.
func serveReal(t *testing.T) Target {
	t.Helper()
	books, err := catalogsqlite.Open(t.Context(), filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = books.Close() })
	log, err := readerssqlite.Open(t.Context(), filepath.Join(t.TempDir(), "readers.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	catalogServer, readersServer := catalog.NewServer(books, quiet), readers.NewServer(log, quiet)
	conn := chassistest.ServeTasks(t, func(r grpc.ServiceRegistrar) {
		catalogServer.Register(r)
		readersServer.Register(r)
	}, catalogServer.Run, readersServer.Run)
	return Target{Catalog: catalogv1.NewCatalogServiceClient(conn), Readers: readersv1.NewReadersServiceClient(conn)}
}

// Records of several sources about one book are one book, and what readers did
// with any of them is about it; an ISBN that is another's is reported at its row.
func TestLoadJoinsRecordsByISBN(t *testing.T) {
	target := serveReal(t)
	dir := write(t, map[string]string{
		"books.csv": "id,title,authors,isbn\n1,Dune,Frank Herbert,0441172717\n",
		"more.csv": "id,title,authors,isbn\na,\"Dune (Dune, #1)\",F. Herbert,\"9780441172719;9780340960196\"\n" +
			"b,Emma,Jane Austen,9780340960196\nc,Persuasion,Jane Austen,9780340960197\n",
		"shelves.csv": "reader,book,kind\nanna,a,finished\n",
	})
	load := func(source string, files ...string) Report {
		t.Helper()
		for i := range files {
			files[i] = filepath.Join(dir, files[i])
		}
		report, err := Load(t.Context(), target, CSV(CSVOptions{Source: source}, files...), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	load("shop", "books.csv")
	report := load("publisher", "more.csv")
	if report.Books != (Count{Read: 3, Imported: 3}) || len(report.Notes) != 1 || !strings.HasPrefix(report.Notes[0], "1 record is of books") {
		t.Errorf("%+v", report)
	}
	wantText := "kept: more.csv:4:26: \"9780340960197\" is not an ISBN: its check digit is wrong\n" +
		"kept: more.csv:3:1: the ISBN 9780340960196 is that of another book of the catalogue already, of number 1\n"
	if got := findings(report); got != wantText {
		t.Errorf("got\n%swant\n%s", got, wantText)
	}
	// The joined record is known by its key in a run without the books, too.
	if report := load("publisher", "shelves.csv"); report.Interactions.Imported != 1 || report.RefusedCount() > 0 {
		t.Errorf("%+v", report)
	}
	if report := load("publisher", "more.csv"); report.Books != (Count{Read: 3, Unchanged: 3}) {
		t.Errorf("a second time: %+v", report)
	}
}
