package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/octavo-books/octavo/internal/postgresdb"
	"github.com/octavo-books/octavo/internal/readers/accounts"
	"github.com/octavo-books/octavo/internal/readers/postgres/db"
)

var _ accounts.Passkeys = (*Store)(nil)

// AddCeremony implements accounts.Passkeys.
func (s *Store) AddCeremony(ctx context.Context, c accounts.Ceremony, now time.Time, most int) error {
	return s.update(ctx, "begin with a passkey", func(q *db.Queries) error {
		number, err := q.InsertCeremony(ctx, db.InsertCeremonyParams{
			Token: c.Token[:], ReaderID: pgtype.Int4{Int32: c.Reader, Valid: c.Reader != 0}, State: c.State, ExpiresAt: c.ExpiresAt.UnixMilli(),
		})
		if err != nil {
			return err
		}
		return q.ForgetCeremonies(ctx, db.ForgetCeremoniesParams{Now: now.UnixMilli(), Oldest: number - int64(most)})
	})
}

// TakeCeremony implements accounts.Passkeys.
func (s *Store) TakeCeremony(ctx context.Context, token accounts.Digest) (accounts.Ceremony, error) {
	var row db.Ceremony
	err := s.update(ctx, "finish with a passkey", func(q *db.Queries) (err error) {
		row, err = q.TakeCeremony(ctx, token[:])
		if errors.Is(err, pgx.ErrNoRows) {
			err = accounts.NoCeremony()
		}
		return err
	})
	if err != nil {
		return accounts.Ceremony{}, err
	}
	return accounts.Ceremony{Token: token, Reader: row.ReaderID.Int32, State: row.State, ExpiresAt: time.UnixMilli(row.ExpiresAt)}, nil
}

// AddPasskey implements accounts.Passkeys.
func (s *Store) AddPasskey(ctx context.Context, p accounts.Passkey, most int) (int64, error) {
	var id int64
	err := s.update(ctx, "add a passkey", func(q *db.Queries) error {
		// Of passkeys added at once each waits for the other, and is counted.
		_, err := q.LockAccount(ctx, p.Reader)
		if errors.Is(err, pgx.ErrNoRows) {
			return accounts.NoAccount()
		}
		if err != nil {
			return err
		}
		n, err := q.CountPasskeys(ctx, p.Reader)
		if err != nil {
			return err
		}
		if n >= int64(most) {
			return accounts.TooManyPasskeys()
		}
		id, err = q.InsertPasskey(ctx, db.InsertPasskeyParams{
			Credential: p.Credential, Party: p.Party, Handle: p.Handle, ReaderID: p.Reader, PublicKey: p.PublicKey,
			Flags: int32(p.Flags), SignCount: int64(p.SignCount), Name: p.Name, CreatedAt: p.CreatedAt.UnixMilli(), UsedAt: usedAt(p.UsedAt),
		})
		if errors.Is(err, pgx.ErrNoRows) {
			return accounts.PasskeyKnown()
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return id, nil
}

// Passkeys implements accounts.Passkeys.
func (s *Store) Passkeys(ctx context.Context, reader int32) ([]accounts.Passkey, error) {
	rows, err := s.read.ListPasskeys(ctx, reader)
	if err != nil {
		return nil, postgresdb.Wrap(err, "list passkeys")
	}
	list := make([]accounts.Passkey, len(rows))
	for i, row := range rows {
		list[i] = fromPasskey(row)
	}
	return list, nil
}

// Passkey implements accounts.Passkeys.
func (s *Store) Passkey(ctx context.Context, party string, credential []byte) (accounts.Passkey, error) {
	row, err := s.read.PasskeyByCredential(ctx, db.PasskeyByCredentialParams{Party: party, Credential: credential})
	if errors.Is(err, pgx.ErrNoRows) {
		return accounts.Passkey{}, accounts.NoPasskey()
	}
	if err != nil {
		return accounts.Passkey{}, postgresdb.Wrap(err, "read a passkey")
	}
	return fromPasskey(row), nil
}

func fromPasskey(row db.Passkey) accounts.Passkey {
	p := accounts.Passkey{
		ID: row.Number, Credential: row.Credential, Party: row.Party, Handle: row.Handle, Reader: row.ReaderID, PublicKey: row.PublicKey,
		Flags: uint8(row.Flags), SignCount: uint32(row.SignCount), Name: row.Name, CreatedAt: time.UnixMilli(row.CreatedAt),
	}
	if row.UsedAt != 0 {
		p.UsedAt = time.UnixMilli(row.UsedAt)
	}
	return p
}

// usedAt is the time as it is kept, 0 for never.
func usedAt(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// UsePasskey implements accounts.Passkeys.
func (s *Store) UsePasskey(ctx context.Context, p accounts.Passkey, before uint32) error {
	return s.update(ctx, "use a passkey", func(q *db.Queries) error {
		n, err := q.UsePasskey(ctx, db.UsePasskeyParams{
			SignCount: int64(p.SignCount), Flags: int32(p.Flags), UsedAt: usedAt(p.UsedAt), Number: p.ID, Before: int64(before),
		})
		if err == nil && n == 0 {
			err = accounts.PasskeyUsed()
		}
		return err
	})
}

// RenamePasskey implements accounts.Passkeys.
func (s *Store) RenamePasskey(ctx context.Context, reader int32, id int64, name string) error {
	return s.update(ctx, "rename a passkey", func(q *db.Queries) error {
		n, err := q.RenamePasskey(ctx, db.RenamePasskeyParams{Name: name, ReaderID: reader, Number: id})
		if err == nil && n == 0 {
			err = accounts.NoPasskey()
		}
		return err
	})
}

// RemovePasskey implements accounts.Passkeys.
func (s *Store) RemovePasskey(ctx context.Context, reader int32, id int64) error {
	return s.update(ctx, "remove a passkey", func(q *db.Queries) error {
		return q.DeletePasskey(ctx, db.DeletePasskeyParams{ReaderID: reader, Number: id})
	})
}
