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
	"unicode"

	"golang.org/x/sync/errgroup"
	"golang.org/x/text/unicode/norm"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

const (
	searchesAtOnce = 8
	candidates     = 20
	longestQuery   = 200 // characters, by the contract
)

// ShelfImport is the outcome of ImportShelves.
type ShelfImport struct {
	Format   string
	Rows     int   // of the file
	Matched  int   // to a book of the catalogue
	Recorded int   // interactions that were not there before
	Position int64 // of the log, at which all of them can be seen; 0 when there are none
	// Refused are the rows that gave nothing, in the order of the file.
	Refused []Finding
}

// ImportShelves puts the books of a file on a reader's shelves. A book is found
// by its title and one of its authors, and one with the same ISBN comes before
// all others. All rows are matched before the first is recorded; what fails
// after that can be done again, and an import that was done before changes
// nothing: interactions have ids that are made of what they say.
func ImportShelves(ctx context.Context, target Target, reader int32, name string, file *ShelfFile) (*ShelfImport, error) {
	out := &ShelfImport{Format: file.Format, Rows: len(file.Entries) + len(file.Refused), Refused: slices.Clone(file.Refused)}
	books := make([]int32, len(file.Entries))
	calls, calling := errgroup.WithContext(ctx)
	calls.SetLimit(searchesAtOnce)
	for i, row := range file.Entries {
		calls.Go(func() (err error) {
			books[i], err = match(calling, target.Catalog, row.ShelfEntry)
			return err
		})
	}
	if err := calls.Wait(); err != nil {
		return nil, fmt.Errorf("find the books: %w", err)
	}
	var interactions []*readersv1.Interaction
	for i, row := range file.Entries {
		if books[i] == 0 {
			out.Refused = append(out.Refused, Finding{Place{File: name, Line: row.Line, Column: 1}, fmt.Sprintf("no book is called “%s” by %s", row.Title, strings.Join(row.Authors, ", "))})
			continue
		}
		out.Matched++
		interactions = append(interactions, said(reader, books[i], row.ShelfEntry)...)
	}
	slices.SortStableFunc(out.Refused, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	// A shelf is in the order of the log, last changed first.
	slices.SortStableFunc(interactions, func(a, b *readersv1.Interaction) int {
		return a.GetOccurredAt().AsTime().Compare(b.GetOccurredAt().AsTime())
	})
	for batch := range slices.Chunk(interactions, interactionsPerBatch) {
		response, err := target.Readers.RecordInteractions(ctx, &readersv1.RecordInteractionsRequest{Interactions: batch})
		if err != nil {
			return nil, fmt.Errorf("record the shelves: %w", err)
		}
		out.Recorded += int(response.GetRecorded())
		out.Position = response.GetPosition()
	}
	return out, nil
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

// match is the book of an entry, 0 when the catalogue has none.
func match(ctx context.Context, catalog catalogv1.CatalogServiceClient, e ShelfEntry) (int32, error) {
	main := mainTitle(e.Title)
	query := main
	if len(e.Authors) > 0 {
		query += " " + familyName(e.Authors[0])
	}
	if runes := []rune(query); len(runes) > longestQuery {
		query = string(runes[:longestQuery])
	}
	response, err := catalog.SearchBooks(ctx, &catalogv1.SearchBooksRequest{Query: query, MaxResults: candidates})
	if err != nil {
		return 0, err
	}
	found := int32(0)
	for _, b := range response.GetBooks() {
		if b.GetIsbn13() != "" && slices.Contains(e.ISBNs, b.GetIsbn13()) {
			return b.GetId(), nil
		}
		if found == 0 && plainText(mainTitle(b.GetTitle())) == plainText(main) && shareAuthor(e.Authors, b.GetAuthors()) {
			found = b.GetId()
		}
	}
	return found, nil
}

// mainTitle is a title without what follows a colon or stands in brackets.
func mainTitle(title string) string {
	if i := strings.IndexAny(title, ":("); i > 0 {
		return strings.TrimSpace(title[:i])
	}
	return title
}

// familyName is the last word of a name, or what is before the comma of one
// that is turned around.
func familyName(name string) string {
	if before, _, turned := strings.Cut(name, ","); turned {
		return strings.TrimSpace(before)
	}
	words := strings.Fields(name)
	if len(words) == 0 {
		return ""
	}
	return words[len(words)-1]
}

// shareAuthor is whether one of the authors has the family name of one of the
// others. Where nobody is known on one side, nothing speaks against it.
func shareAuthor(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	for _, x := range a {
		for _, y := range b {
			if plainText(familyName(x)) == plainText(familyName(y)) {
				return true
			}
		}
	}
	return false
}

// plainText folds text as fold does, and takes the marks off its letters.
func plainText(text string) string {
	return fold(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFKD.String(text)))
}
