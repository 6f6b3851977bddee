package importer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

const (
	matchesPerBatch = 500  // by the contract
	saidPerBatch    = 1000 // interactions; what is lost when a service fails in the middle
)

// ShelfImport is the outcome of ImportShelves.
type ShelfImport struct {
	Format  string
	Rows    int // of the file
	Matched int // to a book of the catalogue, by its ISBN or by title and author
	ByISBN  int // of those
	// Taken are the rows whose books are on the shelves now. It is less than
	// Matched when the import stopped before its end.
	Taken    int
	Recorded int   // interactions that were not there before
	Position int64 // of the log, at which all of them can be seen; 0 when there are none
	// Refused are the rows that gave nothing, Unmatched those of them whose books
	// are not told from the catalogue, and Warnings the rows that were taken
	// otherwise than they are: all in the order of the file.
	Refused   []Finding
	Unmatched int
	Warnings  []Finding
}

// ImportShelves puts the books of a file on a reader's shelves. All rows are
// matched to books before the first is recorded. An error after that comes with
// the outcome so far; the import can be done again, and one that was done before
// changes nothing: interactions have ids that are made of what they say.
func ImportShelves(ctx context.Context, target Target, reader int32, name string, file *ShelfFile) (*ShelfImport, error) {
	out := &ShelfImport{
		Format: file.Format, Rows: len(file.Entries) + len(file.Refused),
		Refused: slices.Clone(file.Refused), Warnings: slices.Clone(file.Warnings),
	}
	matches, err := matchShelves(ctx, target.Catalog, file.Entries)
	if err != nil {
		return nil, fmt.Errorf("find the books: %w", err)
	}
	var all []saying
	lines := make(map[string]int) // by interaction, the first line that gave it
	for i, row := range file.Entries {
		at := Place{File: name, Line: row.Line, Column: 1}
		m := matches[i]
		if m.GetBookId() == 0 {
			out.Unmatched++
			out.Refused = append(out.Refused, Finding{at, unmatched(row.ShelfEntry, m.GetReason())})
			continue
		}
		out.Matched++
		if m.GetBasis() == catalogv1.MatchBooksResponse_BASIS_ISBN {
			out.ByISBN++
		}
		first := 0
		for _, interaction := range said(reader, m.GetBookId(), row.ShelfEntry) {
			if first = lines[interaction.GetId()]; first == 0 {
				lines[interaction.GetId()] = row.Line
				all = append(all, saying{interaction, at})
			}
		}
		if first > 0 {
			out.Warnings = append(out.Warnings, Finding{at, fmt.Sprintf("it says the same as line %d", first)})
		}
	}
	// A shelf is in the order of the log, last changed first.
	slices.SortStableFunc(all, func(a, b saying) int {
		return a.GetOccurredAt().AsTime().Compare(b.GetOccurredAt().AsTime())
	})
	err = out.record(ctx, target.Readers, all)
	for _, list := range [][]Finding{out.Refused, out.Warnings} {
		slices.SortStableFunc(list, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	}
	return out, err
}

// String is the outcome in lines for a terminal, each row that is not as it was
// on one of its own.
func (out *ShelfImport) String() string {
	var b strings.Builder
	for _, f := range out.Refused {
		fmt.Fprintln(&b, f)
	}
	for _, f := range out.Warnings {
		fmt.Fprintf(&b, "%s (taken without that)\n", f)
	}
	fmt.Fprintf(&b, "%s: %d of %s taken, %d books found by ISBN and %d by title and author, %s not found; %s new\n",
		out.Format, out.Taken, plural(out.Rows, "row"), out.ByISBN, out.Matched-out.ByISBN, plural(out.Unmatched, "book"), isOrAre(out.Recorded, "interaction"))
	return b.String()
}

// saying is an interaction and the row that it is from.
type saying struct {
	*readersv1.Interaction
	at Place
}

// record records the interactions, and reports the rows whose are not when that
// fails.
func (out *ShelfImport) record(ctx context.Context, client readersv1.ReadersServiceClient, all []saying) error {
	out.Taken = out.Matched
	done := 0
	for batch := range slices.Chunk(all, saidPerBatch) {
		request := &readersv1.RecordInteractionsRequest{}
		for _, s := range batch {
			request.Interactions = append(request.GetInteractions(), s.Interaction)
		}
		response, err := client.RecordInteractions(ctx, request)
		if err != nil {
			left := make(map[Place]bool)
			for _, s := range all[done:] {
				if !left[s.at] {
					left[s.at] = true
					out.Refused = append(out.Refused, Finding{s.at, "the import stopped before it was taken"})
				}
			}
			out.Taken -= len(left)
			return fmt.Errorf("record the shelves: %w", err)
		}
		done += len(batch)
		out.Recorded += int(response.GetRecorded())
		out.Position = response.GetPosition()
	}
	return nil
}

// said are the interactions that lead to an entry.
func said(reader, book int32, e ShelfEntry) []*readersv1.Interaction {
	var all []*readersv1.Interaction
	add := func(kind readersv1.InteractionKind, value float32) {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %v %d", book, kind, value, e.At.Unix()))
		i := &readersv1.Interaction{Id: "import-" + hex.EncodeToString(sum[:16]), ReaderId: reader, BookId: book, Kind: kind, Value: value}
		if !e.At.IsZero() && e.At.Before(time.Now()) {
			i.OccurredAt = timestamppb.New(e.At)
		}
		all = append(all, i)
	}
	if e.Shelf != 0 {
		add(e.Shelf, 0)
	}
	if e.Stars > 0 {
		add(readersv1.InteractionKind_INTERACTION_KIND_RATING, e.Stars)
	}
	return all
}

// matchShelves finds the books of rows.
func matchShelves(ctx context.Context, catalog catalogv1.CatalogServiceClient, rows []ShelfRow) ([]*catalogv1.MatchBooksResponse_Match, error) {
	var matches []*catalogv1.MatchBooksResponse_Match
	for batch := range slices.Chunk(rows, matchesPerBatch) {
		request := &catalogv1.MatchBooksRequest{}
		for _, row := range batch {
			request.Books = append(request.GetBooks(), &catalogv1.MatchBooksRequest_Wanted{
				Isbns: row.ISBNs[:min(len(row.ISBNs), maxISBNs)], Title: first(row.Listed, 1000), Authors: names(row.Authors),
			})
		}
		response, err := catalog.MatchBooks(ctx, request)
		if err != nil {
			return nil, err
		}
		if len(response.GetMatches()) != len(batch) {
			return nil, fmt.Errorf("%d matches for %d books", len(response.GetMatches()), len(batch))
		}
		matches = append(matches, response.GetMatches()...)
	}
	return matches, nil
}

// names are authors as far as the contract allows.
func names(authors []string) []string {
	short := slices.Clone(authors[:min(len(authors), maxAuthors)])
	for i := range short {
		short[i] = first(short[i], 500)
	}
	return short
}

// first are the first n characters of a text.
func first(text string, n int) string {
	for i := range text {
		if n--; n < 0 {
			return text[:i]
		}
	}
	return text
}

// unmatched says why no book of the catalogue is that of an entry.
func unmatched(e ShelfEntry, reason catalogv1.MatchBooksResponse_Reason) string {
	title, authors := first(e.Title, 100), first(strings.Join(e.Authors, ", "), 100)
	switch reason {
	case catalogv1.MatchBooksResponse_REASON_OTHER_AUTHOR:
		return fmt.Sprintf("“%s” is here, but not by %s", title, authors)
	case catalogv1.MatchBooksResponse_REASON_AMBIGUOUS:
		return fmt.Sprintf("several books here may be “%s” by %s", title, authors)
	case catalogv1.MatchBooksResponse_REASON_INCOMPLETE:
		return fmt.Sprintf("the row names no author of “%s”, and no ISBN of a book that is here", title)
	}
	return fmt.Sprintf("no book here is called “%s” by %s", title, authors)
}
