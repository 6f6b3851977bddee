package importer

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/fault"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

// ofShelves is a catalogue of some books, and a reader.
func ofShelves(t *testing.T) (Target, int32) {
	t.Helper()
	target := serveReal(t)
	dir := write(t, map[string]string{"books.csv": "id,title,authors,isbn\n" +
		"1,Dune,Frank Herbert,\"0441172717;9780340960196\"\n2,Emma,Jane Austen,\n3,Poems,John Keats,\n4,Poems,John Keats,\n"})
	if _, err := Load(t.Context(), target, CSV(CSVOptions{}, filepath.Join(dir, "books.csv")), Options{}); err != nil {
		t.Fatal(err)
	}
	created, err := target.Readers.CreateReader(t.Context(), &readersv1.CreateReaderRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return target, created.GetReader().GetId()
}

func shelves(t *testing.T, rows string) *ShelfFile {
	t.Helper()
	file, err := ReadShelves("file.csv", strings.NewReader(storygraphHeader+rows))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func lines(findings []Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}

func TestImportShelvesReportsEveryRow(t *testing.T) {
	target, reader := ofShelves(t)
	file := shelves(t, "Der Wüstenplanet,Somebody,,0-340-96019-1,,read,,2021/02/03,,,,,4.5,,,\n"+
		"\"Emma: A Novel\",J. Austen,,,,to-read,2021/13/45,,,,,,,,,\n"+
		"Poems,John Keats,,,,read,,,,,,,,,,\n"+
		"Emma,Jane Porter,,,,read,,,,,,,,,,\n"+
		"Emma,,,,,read,,,,,,,,,,\n"+
		"Nothing,Nobody,,,,read,,,,,,,,,,\n"+
		"Dune,Frank Herbert,,,,read,,2021/02/03,,,,,4.5,,,\n"+
		"Cut,Off,,\n")
	for run, recorded := range []int{3, 0} {
		done, err := ImportShelves(t.Context(), target, reader, "file.csv", file)
		if err != nil {
			t.Fatal(err)
		}
		if done.Rows != 8 || done.Matched != 3 || done.Taken != 3 || done.ByISBN != 1 || done.Unmatched != 4 || done.Recorded != recorded {
			t.Errorf("run %d: %+v", run, done)
		}
		refused := "file.csv:4:1: several books here may be “Poems” by John Keats\n" +
			"file.csv:5:1: “Emma” is here, but not by Jane Porter\n" +
			"file.csv:6:1: the row names no author of “Emma”, and no ISBN of a book that is here\n" +
			"file.csv:7:1: no book here is called “Nothing” by Nobody\n" +
			"file.csv:9:1: 4 fields where the header has 16: the row is cut off here\n"
		if got := lines(done.Refused); got != refused {
			t.Errorf("run %d: refused\n%swant\n%s", run, got, refused)
		}
		warnings := "file.csv:3:1: the date \"2021/13/45\" under Date Added is none\n" +
			"file.csv:8:1: it says the same as line 2\n"
		if got := lines(done.Warnings); got != warnings {
			t.Errorf("run %d: warnings\n%swant\n%s", run, got, warnings)
		}
	}
}

// dying is a readers service that fails after so many calls.
type dying struct {
	readersv1.ReadersServiceClient
	left atomic.Int32
}

func (d *dying) RecordInteractions(ctx context.Context, r *readersv1.RecordInteractionsRequest, o ...grpc.CallOption) (*readersv1.RecordInteractionsResponse, error) {
	if d.left.Add(-1) < 0 {
		return nil, fault.New(fault.Unavailable, "it is gone")
	}
	return d.ReadersServiceClient.RecordInteractions(ctx, r, o...)
}

// An import that stops in the middle says which rows are in and which are not;
// the next one takes the others, and nothing twice.
func TestImportShelvesStopsAndGoesOn(t *testing.T) {
	target, reader := ofShelves(t)
	var rows strings.Builder
	for i := range 1500 {
		fmt.Fprintf(&rows, "Dune,Frank Herbert,,,,read,,%04d/02/03,,,,,%d,,,\n", 500+i, i%6)
	}
	file := shelves(t, rows.String())
	broken := &dying{ReadersServiceClient: target.Readers}
	broken.left.Store(1)
	part, err := ImportShelves(t.Context(), Target{Catalog: target.Catalog, Readers: broken}, reader, "file.csv", file)
	if fault.KindOf(err) != fault.Unavailable || part == nil {
		t.Fatalf("%+v, %v", part, err)
	}
	// Five rows of six have two interactions.
	if part.Matched != 1500 || part.Recorded != saidPerBatch || part.Taken != 545 || len(part.Refused) != 955 {
		t.Errorf("matched %d, recorded %d, taken %d, refused %d", part.Matched, part.Recorded, part.Taken, len(part.Refused))
	}
	if !strings.Contains(part.Refused[0].String(), "file.csv:547:1: the import stopped before it was taken") {
		t.Errorf("%v", part.Refused[0])
	}
	whole, err := ImportShelves(t.Context(), target, reader, "file.csv", file)
	if err != nil || whole.Taken != 1500 || whole.Recorded != 2750-saidPerBatch {
		t.Errorf("%+v, %v", whole, err)
	}
}
