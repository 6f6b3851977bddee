// Package catalog is the service that knows the books: it keeps them, finds
// them, and tells everybody else of every change.
//
// It knows no reader, and never ranks a book for one.
package catalog

import (
	"context"

	"github.com/octavo-books/octavo/fault"
)

// Category is the shelf a book stands on, 0 when it is not known. The numbers
// are those of octavo.catalog.v1.Category.
type Category int32

// Book is one work, whatever its editions.
type Book struct {
	ID             int32 // from 1
	Title          string
	Authors        []string
	Category       Category
	Year           int32 // of first publication, 0 when not known
	Tags           []string
	Series         string
	SeriesPosition float32
	ISBNs          []string // of its own record, of thirteen digits each; see AllISBNs
	Language       string
	Source         string // (Source, SourceID) names one book for ever
	SourceID       string
	Popularity     int64    // readers
	Joined         []Record // by their names; nil for none
}

// Record is a record of another source that was found to be of the same book.
type Record struct {
	Source, SourceID string
	ISBNs            []string
}

// Place is where a page of books begins: after the book with this popularity
// and id in the order of falling popularity, then rising ids.
type Place struct {
	Popularity int64
	ID         int32
}

// CategorySize says how many books stand on a shelf.
type CategorySize struct {
	Category Category
	Books    int32
}

// Imported is the outcome of an import.
type Imported struct {
	IDs                         []int32 // one for each book, in order
	Created, Updated, Unchanged int32
	Position                    int64 // where all of them are in the feed
	Joined                      int32 // records that are of the book of another
	LeftOut                     []LeftOut
}

// LeftOut is an ISBN that a record was taken without.
type LeftOut struct {
	Index  int // of the record in its import
	ISBN   string
	HeldBy int32 // the book that has it; 0 when its check digit is wrong
}

// Popularity is how many readers a book has had.
type Popularity struct {
	Book    int32
	Readers int64
}

// Changes are a part of the feed.
type Changes struct {
	Books    []Book // each in its last state, in the order of their last changes
	Position int64  // of the last of them, or where the part began
	Head     int64  // of the last change there is
}

// BeyondEnd is the Conflict of a position that the feed has not come to.
func BeyondEnd(position, head int64) error {
	return fault.New(fault.Conflict,
		"position %d is beyond the end of the feed, %d: it belongs to another database; start again from 0", position, head)
}

// Store keeps the books. Its errors are faults where a user can be told what
// is wrong. All methods may be called at the same time.
type Store interface {
	// Books returns those of the ids that exist, each once, in any order.
	Books(ctx context.Context, ids []int32) ([]Book, error)
	// List returns the books of a category, or of all when it is 0, most
	// popular first, smaller ids first among equals, those after a place.
	List(ctx context.Context, category Category, after Place, limit int) ([]Book, error)
	// Size is how many books there are.
	Size(ctx context.Context) (int64, error)
	// Categories returns the known ones that have books, in order.
	Categories(ctx context.Context) ([]CategorySize, error)
	// ByISBN returns the books of those ISBNs, of thirteen digits, that are one's.
	ByISBN(ctx context.Context, isbns []string) (map[string]int32, error)
	// Import adds or updates books by (Source, SourceID), as Known.Join says, all
	// or none, and returns when they are on disk. An id is kept when it is free. A book's
	// Popularity counts when it differs from that of the last import; 0 says
	// nothing.
	Import(ctx context.Context, books []Book) (Imported, error)
	// SetPopularity changes only that, and not the feed. Books that do not
	// exist are ignored.
	SetPopularity(ctx context.Context, entries []Popularity) error
	// Changes returns the next part of the feed after a position. A position
	// beyond the end is a Conflict.
	Changes(ctx context.Context, after int64, limit int) (Changes, error)
	// Changed returns a channel that is closed after the next commit.
	Changed() <-chan struct{}
}
