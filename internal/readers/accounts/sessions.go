package accounts

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/octavo-books/octavo/fault"
)

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

// signedIn is whose session a token is, or an Unauthenticated fault.
func (s *Server) signedIn(ctx context.Context, token string) (Account, Session, error) {
	now := s.now()
	session, err := s.session(ctx, token, now)
	if err != nil {
		return Account{}, Session{}, err
	}
	account, err := s.store.Account(ctx, session.Reader)
	if err != nil {
		return Account{}, Session{}, ended(err)
	}
	if now.Sub(session.SeenAt) >= seenEvery {
		if err := s.store.ChangeSessions(ctx, session.Reader, SessionChange{Touch: session.ID, SeenAt: now}); err != nil {
			s.log.WarnContext(ctx, "it is not kept when a session was last seen", "error", err)
		}
	}
	return account, session, nil
}

// session is the session with the token if it goes on, otherwise an
// Unauthenticated fault. One that timed out is removed.
func (s *Server) session(ctx context.Context, token string, now time.Time) (Session, error) {
	session, err := s.store.Session(ctx, digest(token))
	if err != nil {
		return Session{}, ended(err)
	}
	if session.Valid(now) {
		return session, nil
	}
	if err := s.store.ChangeSessions(ctx, session.Reader, SessionChange{End: session.ID}); err != nil {
		s.log.WarnContext(ctx, "a session that timed out is not removed", "error", err)
	}
	return Session{}, ended(fault.New(fault.NotFound, "timed out"))
}

func ended(err error) error {
	if fault.KindOf(err) == fault.NotFound {
		return fault.Wrap(fault.Unauthenticated, err, "You are not signed in any more. Please sign in again.")
	}
	return err
}

func digest(token string) Digest { return sha256.Sum256([]byte(token)) }
