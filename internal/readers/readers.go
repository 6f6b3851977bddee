// Package readers is the service that keeps what is personal: who the readers
// are, what is on their shelves, and the log of everything they did.
//
// It knows books by their numbers only, and recommends nothing.
package readers

import (
	"context"
	"time"

	"github.com/octavo-books/octavo/fault"
)

// Origin is where a reader came from. The numbers are those of
// octavo.readers.v1.Origin.
type Origin int32

// The origins, 0 when it is not told.
const (
	Anonymous Origin = iota + 1
	Simulated
	Imported
	HasAccount
)

// Reader is somebody who reads, or a simulation of it.
type Reader struct {
	ID          int32 // from 1
	Origin      Origin
	DisplayName string // may be empty
	Source      string // (Source, SourceID) names one reader for ever; empty for visitors
	SourceID    string
	CreatedAt   time.Time // in milliseconds
	Paused      bool      // nothing the reader did is used for suggestions
}

// Kind is what a reader did with a book. The numbers are those of
// octavo.readers.v1.InteractionKind.
type Kind int32

// The kinds, weakest sign of liking first.
const (
	View Kind = iota + 1
	Click
	Want
	Reading
	Finished
	Rating
	NotInterested
	Bought
	Removed
	// Erased is the last that the log has of a reader, and the only thing. It is
	// about no book, and only a store writes it.
	Erased
	// Paused and Resumed say from where on what the reader did, at any time, is
	// not used for suggestions, or used again. They are about no book, and only a
	// store writes them.
	Paused
	Resumed
)

// Interaction is one thing that a reader did with a book.
type Interaction struct {
	Position   int64  // in the log, from 1
	ClientID   string // the client's own, unique for the reader; may be empty
	Reader     int32
	Book       int32
	Kind       Kind
	Stars      float32   // 0.5 to 5 in half steps for a Rating, 0 for other kinds
	OccurredAt time.Time // in milliseconds
	// RecordedAt is when it was written to the log, just before the commit, in
	// milliseconds; zero when it was before that was kept. Given by the store.
	RecordedAt time.Time
}

// Entry is a reader's present relation to one book: what the log adds up to.
type Entry struct {
	Book      int32
	Shelf     Kind    // Want, Reading, Finished, Bought or NotInterested, the last in the log; 0 when only rated
	Stars     float32 // 0 when not rated
	UpdatedAt time.Time
}

// Effect is what one interaction or several, one after the other, do to the
// entry of their reader and book.
type Effect struct {
	Clear bool    // what was there before goes first
	Shelf Kind    // the new shelf, 0 to keep it
	Stars float32 // the new rating, 0 to keep it
	// When and where in the log the last of them was that changed something.
	At       time.Time
	Position int64
}

// Then is the effect of e followed by that of the interaction. It says false
// when the interaction has none, as when a page was only looked at.
func (e Effect) Then(i Interaction) (Effect, bool) {
	switch i.Kind {
	case Want, Reading, Finished, NotInterested, Bought:
		e.Shelf = i.Kind
	case Rating:
		e.Stars = i.Stars
	case Removed:
		e = Effect{Clear: true}
	default:
		return e, false
	}
	e.At, e.Position = i.OccurredAt, i.Position
	return e, true
}

// Log is a part of the log.
type Log struct {
	Interactions []Interaction // in the order of their positions, without ClientID; gaps are where some were erased
	Position     int64         // of the last of them, or where the part began
	Head         int64         // of the last interaction there is
}

// NoReader is the NotFound fault of a reader that is not there, or not any more.
func NoReader(id int32) error { return fault.New(fault.NotFound, "there is no reader %d", id) }

// BeyondEnd is the Conflict of a position that the log has not come to.
func BeyondEnd(position, head int64) error {
	return fault.New(fault.Conflict,
		"position %d is beyond the end of the log, %d: it belongs to another database; start again from 0", position, head)
}

// Store keeps the readers and their log in one database. Its errors are faults
// where a user can be told what is wrong. All methods may be called at the same
// time. What it writes is on disk when it returns.
type Store interface {
	Profiles
	Interactions
}

// Profiles is who the readers are.
type Profiles interface {
	// Create adds a reader and returns the id.
	Create(ctx context.Context, reader Reader) (int32, error)
	// Import adds the readers whose (Source, SourceID) is new, all or none, and
	// returns the id of each, in order, and how many are new. The others stay
	// as they are. An id is kept when it is free.
	Import(ctx context.Context, readers []Reader) (ids []int32, created int32, err error)
	// Reader returns one reader, or a NotFound fault.
	Reader(ctx context.Context, id int32) (Reader, error)
	// List returns the readers of an origin, or all when it is 0, in the order
	// of their ids, those above after.
	List(ctx context.Context, origin Origin, after int32, limit int) ([]Reader, error)
	// Size is how many readers there are.
	Size(ctx context.Context) (int64, error)
	// SetPaused changes Reader.Paused and appends a Paused or Resumed to the log,
	// all or nothing, and returns where it can be seen there. When it is so
	// already nothing is done. A reader that does not exist is a NotFound fault.
	SetPaused(ctx context.Context, id int32, paused bool, at time.Time) (position int64, err error)
	// Erase deletes a reader, the shelves and all interactions, and appends an
	// Erased to the log, all or nothing. The id is not given again. A reader that
	// does not exist, or not any more, is a NotFound fault.
	Erase(ctx context.Context, id int32, at time.Time) (position int64, err error)
}

// Interactions is what the readers did: the log, and the shelves it adds up to.
type Interactions interface {
	// Record appends to the log, in this order, all or none, and applies the
	// effects to the shelves. It leaves out those whose reader has recorded the
	// ClientID before. A reader that does not exist is a NotFound fault.
	// position is where all of them are in the log, recorded how many are new.
	Record(ctx context.Context, interactions []Interaction) (position int64, recorded int32, err error)
	// Shelf returns a reader's entries, of these books or of all when there are
	// none, last changed first: in the order of the log, whatever the clocks
	// of clients and servers said.
	Shelf(ctx context.Context, reader int32, books []int32, limit int) ([]Entry, error)
	// History returns what a reader did after a position, in the order of the
	// log, without ClientIDs.
	History(ctx context.Context, reader int32, after int64, limit int) ([]Interaction, error)
	// Log returns the next part of the log after a position. A position beyond
	// the end is a Conflict.
	Log(ctx context.Context, after int64, limit int) (Log, error)
	// Changed returns a channel that is closed after the next commit.
	Changed() <-chan struct{}
}
