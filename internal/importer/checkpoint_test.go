package importer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

// cut is a target that fails after so many batches, and counts what it takes.
type cut struct {
	catalogv1.CatalogServiceClient
	readersv1.ReadersServiceClient
	left                int
	books, interactions int
}

var errCut = errors.New("the line is cut")

func (c *cut) ImportBooks(ctx context.Context, r *catalogv1.ImportBooksRequest, o ...grpc.CallOption) (*catalogv1.ImportBooksResponse, error) {
	if c.left--; c.left < 0 {
		return nil, errCut
	}
	c.books += len(r.GetBooks())
	return c.CatalogServiceClient.ImportBooks(ctx, r, o...)
}

func (c *cut) RecordInteractions(ctx context.Context, r *readersv1.RecordInteractionsRequest, o ...grpc.CallOption) (*readersv1.RecordInteractionsResponse, error) {
	if c.left--; c.left < 0 {
		return nil, errCut
	}
	c.interactions += len(r.GetInteractions())
	return c.ReadersServiceClient.RecordInteractions(ctx, r, o...)
}

func (c *cut) target() Target { return Target{Catalog: c, Readers: c} }

// manyBooks is a CSV file of books, one of them refused and one joined to another.
func manyBooks(n int) string {
	var b strings.Builder
	b.WriteString("id,title,authors,isbn\n")
	for i := range n {
		switch i {
		case 10:
			fmt.Fprintf(&b, "b%d,,Nobody,\n", i)
		case 20:
			fmt.Fprintf(&b, "b%d,Dune,Frank Herbert,0441172717\n", i)
		default:
			fmt.Fprintf(&b, "b%d,Book %d,Somebody,\n", i, i)
		}
	}
	return b.String()
}

func marks(n, books int) string {
	var b strings.Builder
	b.WriteString("reader,book,rating\n")
	for i := range n {
		fmt.Fprintf(&b, "r%d,b%d,%d\n", i%50, i%books, i%5+1)
	}
	return b.String()
}

// An import that is stopped after each of its batches, and begun again each
// time, ends with what one at once gives, and sends nothing again that was
// acknowledged and saved.
func TestCheckpoint(t *testing.T) {
	const books, interactions = 3500, 12_000
	dir := write(t, map[string]string{"books.csv": manyBooks(books), "ratings.csv": marks(interactions, books), "before.csv": "id,title,authors,isbn\nd,Dune,Frank Herbert,9780441172719\n"})
	source := CSV(CSVOptions{}, filepath.Join(dir, "books.csv"), filepath.Join(dir, "ratings.csv"))
	services := serveReal(t)
	if _, err := Load(t.Context(), services, CSV(CSVOptions{Source: "before"}, filepath.Join(dir, "before.csv")), Options{}); err != nil {
		t.Fatal(err)
	}
	options := Options{Checkpoint: filepath.Join(dir, "import.checkpoint")}
	sent := cut{CatalogServiceClient: services.Catalog, ReadersServiceClient: services.Readers}
	stops := 0
	var last Report
	for {
		sent.left = 1
		report, err := Load(t.Context(), sent.target(), source, options)
		if err == nil {
			last = report
			break
		}
		if !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		if stops++; stops > 20 {
			t.Fatal("it does not come to an end")
		}
		if !strings.Contains(report.String(), "stopped before its end") {
			t.Errorf("%s", report)
		}
	}
	// Each of the seven batches is sent once.
	if stops != 6 || sent.books != books-1 || sent.interactions != interactions-interactions/books-1 {
		t.Errorf("after %d stops, %d books and %d interactions were sent", stops, sent.books, sent.interactions)
	}
	if last.Books.Read != books || last.Books.Refused != 1 || last.Interactions.Read != interactions || last.Interactions.Refused != 4 || !last.Complete {
		t.Errorf("%+v", last)
	}
	if !strings.Contains(last.String(), "Went on where the import had stopped") {
		t.Errorf("the report does not say that it went on:\n%s", last)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*checkpoint*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	again, err := Load(t.Context(), services, source, Options{})
	if err != nil || again.Books.Imported != 0 || again.Interactions.Imported != 0 || again.Interactions.Refused != last.Interactions.Refused {
		t.Errorf("all of it again: %+v, %v", again, err)
	}
}

// A checkpoint of something else is refused, with what differs and the way out.
func TestCheckpointOfAnotherImport(t *testing.T) {
	dir := write(t, map[string]string{"books.csv": manyBooks(1500), "other.csv": manyBooks(1500), "garbage": "{"})
	path, other, file := filepath.Join(dir, "books.csv"), filepath.Join(dir, "other.csv"), filepath.Join(dir, "c")
	services := serveReal(t)
	sent := cut{CatalogServiceClient: services.Catalog, ReadersServiceClient: services.Readers, left: 1}
	if _, err := Load(t.Context(), sent.target(), CSV(CSVOptions{}, path), Options{Checkpoint: file}); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	refused := func(what string, target Target, source Source, file, part string) {
		t.Helper()
		before, _ := os.ReadFile(file)
		report, err := Load(t.Context(), target, source, Options{Checkpoint: file})
		if fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), part) || !strings.Contains(strings.ToLower(err.Error()), "remove") {
			t.Errorf("%s: %v, want %q", what, err, part)
		}
		if after, _ := os.ReadFile(file); report.Books.Read > 0 || string(after) != string(before) {
			t.Errorf("%s: something was done: %+v", what, report)
		}
	}
	refused("another source", services, CSV(CSVOptions{Source: "x"}, path), file, `of the source "csv", this is of "x"`)
	refused("other options", services, CSV(CSVOptions{Map: map[string]string{"title": "title"}}, path), file, "its options were others")
	refused("another file", services, CSV(CSVOptions{}, other), file, "where it had the file books.csv, this has other.csv")
	refused("more files", services, CSV(CSVOptions{}, path, other), file, "of 1 file, this is of 2 files")
	refused("no checkpoint", services, CSV(CSVOptions{}, path), filepath.Join(dir, "garbage"), "is not a checkpoint")
	refused("another catalogue", serveReal(t), CSV(CSVOptions{}, path), file, "this catalogue has not the book")
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	refused("a changed file", services, CSV(CSVOptions{}, path), file, "the file books.csv has changed since")
	if _, err := Load(t.Context(), services, CSV(CSVOptions{}, path), Options{Checkpoint: filepath.Join(dir, "missing", "c")}); err == nil || !strings.Contains(err.Error(), "save the checkpoint") {
		t.Errorf("a folder that is not there: %v", err)
	}
}
