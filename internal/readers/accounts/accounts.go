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

// Session is a browser that is signed in.
type Session struct {
	ID        int64
	Token     Digest // of the token that the browser has
	Reader    int32
	Agent     string // what the browser said it was
	CreatedAt time.Time
	SeenAt    time.Time // to within seenEvery
}

const (
	// A session ends when it was not seen for idle, and in any case after
	// lifetime (ASVS 5.0, 7.3.1 and 7.3.2; docs/decisions says why so long).
	idle     = 30 * 24 * time.Hour
	lifetime = 90 * 24 * time.Hour
	// seenEvery is how exactly it is kept when a session was last seen: each
	// time costs a write.
	seenEvery = 5 * time.Minute
	// mostSessions are kept for an account, the newest.
	mostSessions = 100
)

// Valid says whether the session goes on.
func (s Session) Valid(now time.Time) bool {
	return now.Sub(s.SeenAt) < idle && now.Sub(s.CreatedAt) < lifetime
}

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

// NameTaken is the Conflict of a name that somebody has.
func NameTaken(name string) error {
	return fault.New(fault.Conflict, "The user name %s is taken. Choose another.", name)
}

// PasswordChanged is the Conflict of a change that was made for another
// password than the present one.
func PasswordChanged() error {
	return fault.New(fault.Conflict, "The password was changed at this very moment. Please sign in again.")
}
