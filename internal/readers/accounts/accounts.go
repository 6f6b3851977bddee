// Package accounts is the part of the readers service by which somebody signs
// in: names, passwords, passkeys, sessions, and limits on guessing.
//
// It never keeps a password or the token of a session, only their hashes, nor
// anything by which somebody else could use a passkey, and knows nothing of
// cookies.
package accounts

import (
	"context"
	"time"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/readers"
)

// Account is somebody who can sign in.
type Account struct {
	Reader            int32  // whose shelves are theirs
	Name              string // as NormalName gives it
	Password          string // argon2id, as a PHC string
	CreatedAt         time.Time
	PasswordChangedAt time.Time // in milliseconds; another for each password
}

// Digest is a SHA-256.
type Digest [32]byte

// Store keeps accounts and their sessions. They go with their reader. Its
// errors are faults where a user can be told what is wrong. All methods may be
// called at the same time; what they write is on disk when they return.
type Store interface {
	// CreateAccount adds a reader and the account, and returns the reader. A
	// name that is taken is a Conflict. Account.Reader is ignored.
	CreateAccount(ctx context.Context, account Account) (int32, error)
	// AccountByName returns an account, or a NotFound fault.
	AccountByName(ctx context.Context, name string) (Account, error)
	// Account returns the account of a reader, or a NotFound fault.
	Account(ctx context.Context, reader int32) (Account, error)
	// SetHash keeps another hash of the same password: that of account.Password
	// for the account as it was at account.PasswordChangedAt. Otherwise nothing
	// is done.
	SetHash(ctx context.Context, account Account) error
	// SetPassword keeps account.Password and account.PasswordChangedAt if the
	// password was last changed at before, and ends all sessions. Otherwise it
	// is a Conflict.
	SetPassword(ctx context.Context, account Account, before time.Time) error
	// AddSession adds a session, gives it an ID, and ends the oldest beyond
	// most. If the password was not last changed at passwordChangedAt it is a
	// Conflict.
	AddSession(ctx context.Context, session Session, passwordChangedAt time.Time, most int) (int64, error)
	// Session returns the session with the token, or a NotFound fault.
	Session(ctx context.Context, token Digest) (Session, error)
	// Sessions returns those of a reader, last seen first.
	Sessions(ctx context.Context, reader int32) ([]Session, error)
	// ChangeSessions ends or touches sessions of a reader.
	ChangeSessions(ctx context.Context, reader int32, change SessionChange) error
}

// SessionChange is one of its fields.
type SessionChange struct {
	End       int64     // this session ends
	EndOthers int64     // all but this one end
	EndAll    bool      // all end
	Touch     int64     // this one was seen
	SeenAt    time.Time // then
}

// Tally is how often something was tried in a row.
type Tally struct {
	Attempts int
	Last     time.Time // in milliseconds
}

// Tallies keeps how often something was tried.
type Tallies interface {
	// Tally reads the tallies of the keys, the zero Tally for those that are
	// not there, has them changed, and writes them, all in one step that no
	// other comes between. When change returns false nothing is written. It may
	// be called again. Tallies whose last attempt is before forget are removed.
	Tally(ctx context.Context, keys []Digest, forget time.Time, change func([]Tally) bool) error
}

// Readers is what accounts need of a readers.Store: to take over what a visitor
// did before there was an account.
type Readers interface {
	Reader(ctx context.Context, id int32) (readers.Reader, error)
	Shelf(ctx context.Context, reader int32, books []int32, limit int) ([]readers.Entry, error)
	Record(ctx context.Context, interactions []readers.Interaction) (position int64, recorded int32, err error)
	SetPaused(ctx context.Context, id int32, paused bool, at time.Time) (position int64, err error)
	Erase(ctx context.Context, id int32, at time.Time) (position int64, err error)
}

// Lengths of names, in characters.
const (
	shortestName = 2
	longestName  = 40
)

// NormalName is the name as it is kept and compared: in lower case and one
// spelling of Unicode (RFC 8265, UsernameCaseMapped). What cannot be a name is
// an Invalid fault.
func NormalName(name string) (string, error) {
	if n := utf8.RuneCountInString(name); n < shortestName || n > longestName {
		return "", fault.NewInvalid("name", "A user name has %d to %d characters.", shortestName, longestName)
	}
	normal, err := precis.UsernameCaseMapped.String(name)
	if err == nil {
		// Applying it again must change nothing, or one name would be two.
		again, failed := precis.UsernameCaseMapped.String(normal)
		if failed == nil && again == normal {
			return normal, nil
		}
	}
	return "", &fault.Error{Kind: fault.Invalid, Cause: err, Fields: []fault.Violation{{
		Field: "name", Message: "A user name is made of letters, digits and signs such as . - _, without spaces.",
	}}}
}

// NoAccount is the NotFound fault of an account that is not there.
func NoAccount() error { return fault.New(fault.NotFound, "there is no such account") }

// NoSession is the NotFound fault of a session that is not there, or not any
// more.
func NoSession() error { return fault.New(fault.NotFound, "there is no such session") }

// NameTaken is the Conflict of a name that somebody has.
func NameTaken(name string) error {
	return fault.New(fault.Conflict, "The user name %s is taken. Choose another.", name)
}

// PasswordChanged is the Conflict of a change that was made for another
// password than the present one.
func PasswordChanged() error {
	return fault.New(fault.Conflict, "The password was changed at this very moment. Please sign in again.")
}
