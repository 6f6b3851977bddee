package importer

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
)

// Format of an export.
type Format string

// Formats of an export: CSV as the CSV source reads it, and a
// octavo.catalog.v1.Book in JSON on each line.
const (
	FormatCSV   Format = "csv"
	FormatJSONL Format = "jsonl"
)

// exportColumns are fields of bookFields, in the order of an export.
var exportColumns = []string{
	"source", "id", "title", "authors", "category", "year", "tags", "series", "series_position", "isbn", "language", "popularity",
}

// Export writes all books there are when it begins, and returns how many. A
// book that changes meanwhile may be there twice, the last one being right.
func Export(ctx context.Context, client catalogv1.CatalogServiceClient, format Format, w io.Writer) (int, error) {
	var write func(*catalogv1.Book) error
	finish := func() error { return nil }
	switch format {
	case FormatCSV:
		table := csv.NewWriter(w)
		if err := table.Write(exportColumns); err != nil {
			return 0, err
		}
		write = func(b *catalogv1.Book) error { return table.Write(exportRow(b)) }
		finish = func() error { table.Flush(); return table.Error() }
	case FormatJSONL:
		write = func(b *catalogv1.Book) error {
			line, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(b)
			if err != nil {
				return err
			}
			_, err = w.Write(append(line, '\n'))
			return err
		}
	default:
		return 0, fmt.Errorf("there is no format %q", format)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the feed
	feed, err := client.WatchBooks(ctx, &catalogv1.WatchBooksRequest{})
	if err != nil {
		return 0, fmt.Errorf("read the catalogue: %w", plain(err))
	}
	n, end := 0, int64(-1)
	for {
		m, err := feed.Recv()
		if err != nil {
			return n, fmt.Errorf("read the catalogue: %w", plain(err))
		}
		if end < 0 {
			end = m.GetHead()
		}
		for _, b := range m.GetBooks() {
			if err := write(b); err != nil {
				return n, err
			}
			n++
		}
		if m.GetPosition() >= end {
			return n, finish()
		}
	}
}

func exportRow(b *catalogv1.Book) []string {
	number := func(n float64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatFloat(n, 'f', -1, 32)
	}
	category := ""
	if b.GetCategory() != 0 {
		category = categoryNames[b.GetCategory()]
	}
	isbns := b.GetIsbns()
	if len(isbns) == 0 { // of a catalog that knows one only
		isbns = []string{b.GetIsbn13()}
	}
	row := []string{
		b.GetSource(), b.GetSourceId(), b.GetTitle(), strings.Join(b.GetAuthors(), "; "), category, number(float64(b.GetYear())),
		strings.Join(b.GetTags(), "; "), b.GetSeries(), number(float64(b.GetSeriesPosition())), strings.Join(isbns, "; "), b.GetLanguage(), strconv.FormatInt(b.GetPopularity(), 10),
	}
	for i := range row {
		row[i] = armour(row[i])
	}
	return row
}

// formulaSigns are what a spreadsheet takes for the beginning of a formula,
// after OWASP's page on CSV injection.
const formulaSigns = "=+-@\t\r"

// armour puts an apostrophe before what a spreadsheet would take for a formula,
// and before what looks as if it had one.
func armour(s string) string {
	if formula(strings.TrimLeft(s, "'")) {
		return "'" + s
	}
	return s
}

// disarm takes off what armour has put on.
func disarm(s string) string {
	if strings.HasPrefix(s, "'") && formula(strings.TrimLeft(s, "'")) {
		return s[1:]
	}
	return s
}

func formula(s string) bool { return s != "" && strings.IndexByte(formulaSigns, s[0]) >= 0 }
