package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/sqlite/db"
	"github.com/octavo-books/octavo/internal/sqlitedb"
)

// chunk is how many rows one statement inserts or looks up: beyond 50 the cost
// of a row no longer falls.
const chunk = 50

type entryKey struct{ reader, book int32 }

type clientKey struct {
	reader int32
	id     string
}

// Record implements readers.Store.
func (s *Store) Record(ctx context.Context, interactions []readers.Interaction) (position int64, recorded int32, err error) {
	var head int64
	var fresh []readers.Interaction
	err = s.db.Update(ctx, func(tx *sql.Tx) (err error) {
		head, fresh, err = s.record(context.WithoutCancel(ctx), tx, interactions)
		return err
	})
	if err != nil {
		return 0, 0, sqlitedb.Wrap(err, "record interactions")
	}
	return head, int32(len(fresh)), nil
}

func (s *Store) record(ctx context.Context, tx *sql.Tx, sent []readers.Interaction) (head int64, fresh []readers.Interaction, err error) {
	q := s.change.WithTx(tx)
	if err := checkReaders(ctx, q, sent); err != nil {
		return 0, nil, err
	}
	if head, err = q.Head(ctx); err != nil {
		return 0, nil, err
	}
	if fresh, err = s.claim(ctx, tx, q, sent); err != nil {
		return 0, nil, err
	}
	log, now := s.log.in(ctx, tx), time.Now().UnixMilli()
	for i := range fresh {
		head++
		in := &fresh[i]
		in.Position = head
		if err := log.add(head, in.Reader, in.Book, int64(in.Kind), halfStars(in.Stars), in.OccurredAt.UnixMilli(), now); err != nil {
			return 0, nil, err
		}
	}
	if err := log.flush(); err != nil {
		return 0, nil, err
	}
	return head, fresh, s.applyEffects(ctx, tx, q, fresh)
}

func checkReaders(ctx context.Context, q *db.Queries, sent []readers.Interaction) error {
	ids := make([]int32, len(sent))
	for i := range sent {
		ids[i] = sent[i].Reader
	}
	slices.Sort(ids)
	for part := range slices.Chunk(slices.Compact(ids), chunk) {
		if n, err := q.CountReaders(ctx, part); err != nil || int(n) == len(part) {
			if err != nil {
				return err
			}
			continue
		}
		for _, id := range part {
			if n, err := q.CountReaders(ctx, []int32{id}); err != nil {
				return err
			} else if n == 0 {
				return readers.NoReader(id)
			}
		}
	}
	return nil
}

// claim stores the clients' ids and returns what has not been recorded before.
func (s *Store) claim(ctx context.Context, tx *sql.Tx, q *db.Queries, sent []readers.Interaction) ([]readers.Interaction, error) {
	known := make([]bool, len(sent))
	claimed := make(map[clientKey]bool)
	var withID []int
	for i := range sent {
		if sent[i].ClientID == "" {
			continue
		}
		key := clientKey{sent[i].Reader, sent[i].ClientID}
		if known[i] = claimed[key]; !known[i] {
			claimed[key] = true
			withID = append(withID, i)
		}
	}
	full := tx.StmtContext(ctx, s.clientIDs.full)
	values := make([]any, 0, chunk*s.clientIDs.columns)
	for part := range slices.Chunk(withID, chunk) {
		// That all of them are new is the rule, and one statement finds it out.
		if len(part) == chunk {
			values = values[:0]
			for _, i := range part {
				values = append(values, sent[i].Reader, sent[i].ClientID)
			}
			_, err := full.ExecContext(ctx, values...)
			if err == nil {
				continue
			}
			if !isDuplicate(err) {
				return nil, err
			}
		}
		for _, i := range part {
			n, err := q.InsertClientID(ctx, db.InsertClientIDParams{ReaderID: sent[i].Reader, ClientID: sent[i].ClientID})
			if err != nil {
				return nil, err
			}
			known[i] = n == 0
		}
	}
	fresh := make([]readers.Interaction, 0, len(sent))
	for i := range sent {
		if !known[i] {
			fresh = append(fresh, sent[i])
		}
	}
	return fresh, nil
}

func isDuplicate(err error) bool {
	var driver *sqlite.Error
	return errors.As(err, &driver) && driver.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
}

// applyEffects brings the entries to where the log now leads.
func (s *Store) applyEffects(ctx context.Context, tx *sql.Tx, q *db.Queries, fresh []readers.Interaction) error {
	effects := make(map[entryKey]readers.Effect)
	var keys []entryKey
	for _, in := range fresh {
		key := entryKey{in.Reader, in.Book}
		before, seen := effects[key]
		effect, any := before.Then(in)
		if !any {
			continue
		}
		if !seen {
			keys = append(keys, key)
		}
		effects[key] = effect
	}
	entries := s.entries.in(ctx, tx)
	for _, key := range keys {
		e := effects[key]
		if e.Clear {
			if err := q.DeleteEntry(ctx, db.DeleteEntryParams{ReaderID: key.reader, BookID: key.book}); err != nil {
				return err
			}
		}
		if e.Shelf == 0 && e.Stars == 0 {
			continue
		}
		if err := entries.add(key.reader, key.book, int64(e.Shelf), halfStars(e.Stars), e.At.UnixMilli(), e.Position); err != nil {
			return err
		}
	}
	return entries.flush()
}

// inserter is an INSERT of many rows, prepared once for a full chunk of them
// and once for a single one.
type inserter struct {
	one, full *sql.Stmt
	columns   int
}

func newInserter(ctx context.Context, on *sql.DB, into, after string, columns int) (inserter, error) {
	row := "(?" + strings.Repeat(", ?", columns-1) + ")"
	prepare := func(rows int) (*sql.Stmt, error) {
		return on.PrepareContext(ctx, "INSERT INTO "+into+" VALUES "+row+strings.Repeat(", "+row, rows-1)+" "+after)
	}
	one, err := prepare(1)
	if err != nil {
		return inserter{}, err
	}
	full, err := prepare(chunk)
	return inserter{one, full, columns}, err
}

// inserts collects rows inside one transaction.
type inserts struct {
	inserter
	ctx    context.Context
	values []any
}

func (i inserter) in(ctx context.Context, tx *sql.Tx) *inserts {
	i.one, i.full = tx.StmtContext(ctx, i.one), tx.StmtContext(ctx, i.full)
	return &inserts{inserter: i, ctx: ctx}
}

// add takes one row, and inserts a chunk when it is full.
func (i *inserts) add(values ...any) error {
	i.values = append(i.values, values...)
	if len(i.values) < chunk*i.columns {
		return nil
	}
	_, err := i.full.ExecContext(i.ctx, i.values...)
	i.values = i.values[:0]
	return err
}

// flush inserts what is left.
func (i *inserts) flush() error {
	for part := range slices.Chunk(i.values, i.columns) {
		if _, err := i.one.ExecContext(i.ctx, part...); err != nil {
			return err
		}
	}
	i.values = i.values[:0]
	return nil
}
