package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/accounts"
	"github.com/octavo-books/octavo/internal/readers/sqlite/db"
	"github.com/octavo-books/octavo/internal/sqlitedb"
)

var (
	_ accounts.Store   = (*Store)(nil)
	_ accounts.Tallies = (*Store)(nil)
)

// update makes one change. The context of a change lasts until it is done.
func (s *Store) update(ctx context.Context, doing string, change func(context.Context, *db.Queries) error) error {
	err := s.db.Update(ctx, func(tx *sql.Tx) error {
		return change(context.WithoutCancel(ctx), s.change.WithTx(tx))
	})
	return sqlitedb.Wrap(err, doing)
}

// CreateAccount implements accounts.Store.
func (s *Store) CreateAccount(ctx context.Context, a accounts.Account) (reader int32, err error) {
	var made int32
	err = s.update(ctx, "create an account", func(ctx context.Context, q *db.Queries) error {
		if _, err := q.AccountByName(ctx, a.Name); !errors.Is(err, sql.ErrNoRows) {
			if err == nil {
				err = accounts.NameTaken(a.Name)
			}
			return err
		}
		ids, _, err := s.importReaders(ctx, q, []readers.Reader{{Origin: readers.HasAccount, CreatedAt: a.CreatedAt}})
		if err != nil {
			return err
		}
		made = ids[0]
		return q.InsertAccount(ctx, db.InsertAccountParams{
			ReaderID: made, Name: a.Name, Password: a.Password,
			CreatedAt: a.CreatedAt.UnixMilli(), PasswordChangedAt: a.PasswordChangedAt.UnixMilli(),
		})
	})
	if err != nil {
		return 0, err
	}
	return made, nil
}

// AccountByName implements accounts.Store.
func (s *Store) AccountByName(ctx context.Context, name string) (accounts.Account, error) {
	row, err := s.read.AccountByName(ctx, name)
	return account(row, err)
}

// Account implements accounts.Store.
func (s *Store) Account(ctx context.Context, reader int32) (accounts.Account, error) {
	row, err := s.read.AccountByReader(ctx, reader)
	return account(row, err)
}

func account(row db.Account, err error) (accounts.Account, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return accounts.Account{}, accounts.NoAccount()
	}
	if err != nil {
		return accounts.Account{}, sqlitedb.Wrap(err, "read an account")
	}
	return accounts.Account{
		Reader: row.ReaderID, Name: row.Name, Password: row.Password,
		CreatedAt: time.UnixMilli(row.CreatedAt), PasswordChangedAt: time.UnixMilli(row.PasswordChangedAt),
	}, nil
}

// SetHash implements accounts.Store.
func (s *Store) SetHash(ctx context.Context, a accounts.Account) error {
	return s.update(ctx, "keep a password", func(ctx context.Context, q *db.Queries) error {
		return q.SetHash(ctx, db.SetHashParams{Password: a.Password, ReaderID: a.Reader, PasswordChangedAt: a.PasswordChangedAt.UnixMilli()})
	})
}

// SetPassword implements accounts.Store.
func (s *Store) SetPassword(ctx context.Context, a accounts.Account, before time.Time) error {
	return s.update(ctx, "change a password", func(ctx context.Context, q *db.Queries) error {
		n, err := q.SetPassword(ctx, db.SetPasswordParams{
			Password: a.Password, Now: a.PasswordChangedAt.UnixMilli(), ReaderID: a.Reader, Before: before.UnixMilli(),
		})
		if err == nil && n == 0 {
			err = accounts.PasswordChanged()
		}
		if err != nil {
			return err
		}
		return q.DeleteSessions(ctx, a.Reader)
	})
}

// AddSession implements accounts.Store.
func (s *Store) AddSession(ctx context.Context, session accounts.Session, passwordChangedAt time.Time, most int) (int64, error) {
	var id int64
	err := s.update(ctx, "begin a session", func(ctx context.Context, q *db.Queries) error {
		row, err := q.AccountByReader(ctx, session.Reader)
		if errors.Is(err, sql.ErrNoRows) || err == nil && row.PasswordChangedAt != passwordChangedAt.UnixMilli() {
			return accounts.PasswordChanged()
		}
		if err != nil {
			return err
		}
		if id, err = q.InsertSession(ctx, db.InsertSessionParams{
			Token: session.Token[:], ReaderID: session.Reader, Agent: session.Agent,
			CreatedAt: session.CreatedAt.UnixMilli(), SeenAt: session.SeenAt.UnixMilli(),
		}); err != nil {
			return err
		}
		return q.DeleteOldSessions(ctx, db.DeleteOldSessionsParams{ReaderID: session.Reader, Offset: int64(most)})
	})
	if err != nil {
		return 0, err
	}
	return id, nil
}

// Session implements accounts.Store.
func (s *Store) Session(ctx context.Context, token accounts.Digest) (accounts.Session, error) {
	row, err := s.read.SessionByToken(ctx, token[:])
	if errors.Is(err, sql.ErrNoRows) {
		return accounts.Session{}, accounts.NoSession()
	}
	if err != nil {
		return accounts.Session{}, sqlitedb.Wrap(err, "read a session")
	}
	return fromSession(row), nil
}

// Sessions implements accounts.Store.
func (s *Store) Sessions(ctx context.Context, reader int32) ([]accounts.Session, error) {
	rows, err := s.read.ListSessions(ctx, reader)
	if err != nil {
		return nil, sqlitedb.Wrap(err, "list sessions")
	}
	list := make([]accounts.Session, len(rows))
	for i, row := range rows {
		list[i] = fromSession(row)
	}
	return list, nil
}

func fromSession(row db.Session) accounts.Session {
	return accounts.Session{
		ID: row.Number, Token: accounts.Digest(row.Token), Reader: row.ReaderID, Agent: row.Agent,
		CreatedAt: time.UnixMilli(row.CreatedAt), SeenAt: time.UnixMilli(row.SeenAt),
	}
}

// ChangeSessions implements accounts.Store.
func (s *Store) ChangeSessions(ctx context.Context, reader int32, c accounts.SessionChange) error {
	return s.update(ctx, "change sessions", func(ctx context.Context, q *db.Queries) error {
		switch {
		case c.End != 0:
			return q.DeleteSession(ctx, db.DeleteSessionParams{ReaderID: reader, Number: c.End})
		case c.EndOthers != 0:
			return q.DeleteOtherSessions(ctx, db.DeleteOtherSessionsParams{ReaderID: reader, Number: c.EndOthers})
		case c.EndAll:
			return q.DeleteSessions(ctx, reader)
		default:
			return q.TouchSession(ctx, db.TouchSessionParams{Now: c.SeenAt.UnixMilli(), Number: c.Touch, ReaderID: reader})
		}
	})
}

// Tally implements accounts.Tallies.
func (s *Store) Tally(ctx context.Context, keys []accounts.Digest, forget time.Time, change func([]accounts.Tally) bool) error {
	return s.update(ctx, "count attempts", func(ctx context.Context, q *db.Queries) error {
		if err := q.ForgetTallies(ctx, forget.UnixMilli()); err != nil {
			return err
		}
		tallies := make([]accounts.Tally, len(keys))
		for i, key := range keys {
			row, err := q.TallyByKey(ctx, key[:])
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			tallies[i] = accounts.Tally{Attempts: int(row.Attempts), Last: time.UnixMilli(row.LastAt)}
		}
		if !change(tallies) {
			return nil
		}
		for i, key := range keys {
			if err := q.PutTally(ctx, db.PutTallyParams{TallyKey: key[:], Attempts: int64(tallies[i].Attempts), LastAt: tallies[i].Last.UnixMilli()}); err != nil {
				return err
			}
		}
		return nil
	})
}
