// Package recommender holds the algorithms: it learns from what readers did
// with books which books are read together, ranks books for a reader, says
// exactly why, and measures how well it does.
//
// It never talks to a network or a database, never reads the clock for what it
// computes, and touches no file but the model's own. The same input, seed and
// parameters give the same bytes whatever the number of workers.
package recommender

import "errors"

// Kind says what a reader did with a book. The numbers are those of the log.
type Kind uint8

// The kinds, as in the readers' log.
const (
	View          Kind = 1 // opened the page of the book
	Click         Kind = 2 // followed a suggestion of it
	Want          Kind = 3 // shelved it as wanted
	Reading       Kind = 4 // is reading it
	Finished      Kind = 5 // has read it
	Rating        Kind = 6 // rated it, see Event.Value
	NotInterested Kind = 7 // does not want to be shown it
	Bought        Kind = 8 // bought it
	Removed       Kind = 9 // took all of that back
)

// KindOf is the kind of a number in the log, and whether there is one: a log has
// numbers that say nothing about a book, and those of newer contracts.
func KindOf[N ~int32](number N) (Kind, bool) {
	return Kind(number), number >= N(View) && number <= N(Removed)
}

// Event is one line of the log.
type Event struct {
	Reader, Book int32
	Kind         Kind
	Value        float32 // stars, 0.5 to 5, for a Rating; 0 otherwise
	Time         int64   // Unix seconds; 0 when not known
}

// Book is what the catalogue knows of a book.
type Book struct {
	ID       int32
	Category uint8 // the catalogue's number; 0 when it has none
	Authors  []string
}

// Progress is told how far a stage of a long work is. It is called from one
// goroutine at a time and must return quickly. A nil Progress is not called.
type Progress func(stage string, done, total int)

func (p Progress) report(stage string, done, total int) {
	if p != nil {
		p(stage, done, total)
	}
}

// ErrNoData is returned when there is nothing to learn from: no reader has an
// opinion on two books.
var ErrNoData = errors.New("no reader has two books to learn from")
