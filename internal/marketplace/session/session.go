// Package session is what the storefront remembers of a visitor between two
// pages: a small record in a signed cookie. It is signed, not secret: it holds
// nothing its bearer may not know.
//
// It stores nothing on the server and knows nothing of HTTP.
package session

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

const (
	// MaxRecent is how many books a session remembers at most.
	MaxRecent = 20
	// MaxLength bounds an encoded session, in bytes.
	MaxLength = 256
	// KeySize is the number of bytes of a key.
	KeySize = 32
)

// version is the first byte of every record. A record of another version is
// as good as none.
const version = 1

// Session is the zero value for a visitor nobody knows.
type Session struct {
	// Reader is the reader this visitor reads as; 0 for none.
	Reader int32
	// Origin is the number the readers service gives to where the reader came
	// from, so that a page can name the reader without asking.
	Origin uint8
	// Position is the place in the readers' log of this visitor's last change.
	// The next recommendations must know the log up to there.
	Position int64
	// ChangedAt is when that was, in Unix seconds.
	ChangedAt int64
	// Recent are the books opened during this visit, latest last.
	Recent []int32
}

// Saw remembers a book as the latest one. It says false when that book was
// remembered already, and leaves the order as it was.
func (s *Session) Saw(book int32) bool {
	if slices.Contains(s.Recent, book) {
		return false
	}
	s.Recent = append(s.Recent, book)
	if extra := len(s.Recent) - MaxRecent; extra > 0 {
		s.Recent = slices.Delete(s.Recent, 0, extra)
	}
	return true
}

// Changed remembers the position of a change. An earlier one is ignored.
func (s *Session) Changed(position int64, now time.Time) {
	if position > s.Position {
		s.Position, s.ChangedAt = position, now.Unix()
	}
}

// MinPosition is the position the next recommendations must know. After
// patience it is 0: every service has long caught up by then, and a position
// that never comes (the log was made anew) must not slow each page down. So it
// is when the change lies that far in the future: the clock was set back.
func (s *Session) MinPosition(now time.Time, patience time.Duration) int64 {
	if now.Sub(time.Unix(s.ChangedAt, 0)).Abs() > patience {
		return 0
	}
	return s.Position
}

// Codec turns sessions into cookie values and back. It is safe for concurrent
// use.
type Codec struct{ keys [][]byte }

// NewCodec makes a codec from a secret: one key of KeySize bytes, or several
// behind one another. The first signs, and what any of them has signed is read,
// so that a key can be replaced while cookies of the one before are around.
func NewCodec(secret []byte) (*Codec, error) {
	if len(secret) == 0 || len(secret)%KeySize != 0 {
		return nil, errors.New("the session key is not 32 bytes, nor several keys of 32")
	}
	c := &Codec{}
	for part := range slices.Chunk(secret, KeySize) {
		// A key of its own, so that the secret can serve other ends as well.
		mac := hmac.New(sha256.New, part)
		mac.Write([]byte("octavo session"))
		c.keys = append(c.keys, mac.Sum(nil))
	}
	return c, nil
}

// Encode is s as a cookie value of at most MaxLength bytes.
func (c *Codec) Encode(s Session) string {
	record := make([]byte, 0, MaxLength)
	record = append(record, version, s.Origin)
	record = binary.AppendUvarint(record, uint64(uint32(s.Reader)))
	record = binary.AppendUvarint(record, uint64(s.Position))
	record = binary.AppendUvarint(record, uint64(s.ChangedAt))
	for _, book := range s.Recent[max(0, len(s.Recent)-MaxRecent):] {
		record = binary.AppendUvarint(record, uint64(uint32(book)))
	}
	return base64.RawURLEncoding.EncodeToString(sign(c.keys[0], record))
}

// Decode reads a cookie value. It says false for everything that Encode with
// one of the same keys has not made.
func (c *Codec) Decode(value string) (Session, bool) {
	if value == "" || len(value) > MaxLength {
		return Session{}, false
	}
	signed, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil || len(signed) < sha256.Size+2 {
		return Session{}, false
	}
	record := signed[:len(signed)-sha256.Size]
	signedBy := func(key []byte) bool { return hmac.Equal(sign(key, slices.Clone(record)), signed) }
	if !slices.ContainsFunc(c.keys, signedBy) || record[0] != version {
		return Session{}, false
	}
	return parse(record)
}

func sign(key, record []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(record)
	return mac.Sum(record)
}

// parse reads a record whose first byte is the version. It trusts nothing,
// although only signed records come here.
func parse(record []byte) (Session, bool) {
	if len(record) < 2 {
		return Session{}, false
	}
	s := Session{Origin: record[1]}
	rest := record[2:]
	next := func(limit uint64) (uint64, bool) {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > limit {
			return 0, false
		}
		rest = rest[size:]
		return n, true
	}
	const maxInt32, maxInt64 = 1<<31 - 1, 1<<63 - 1
	reader, ok1 := next(maxInt32)
	position, ok2 := next(maxInt64)
	changedAt, ok3 := next(maxInt64)
	if !ok1 || !ok2 || !ok3 {
		return Session{}, false
	}
	s.Reader, s.Position, s.ChangedAt = int32(reader), int64(position), int64(changedAt)
	for len(rest) > 0 {
		book, ok := next(maxInt32)
		if !ok || book == 0 || len(s.Recent) == MaxRecent {
			return Session{}, false
		}
		s.Recent = append(s.Recent, int32(book))
	}
	return s, true
}
