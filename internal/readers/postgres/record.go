package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/octavo-books/octavo/internal/postgresdb"
	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/postgres/db"
)

// recorded is the outcome of one call of Record.
type recorded struct {
	position int64
	fresh    int32
	err      error
}

type entryKey struct{ reader, book int32 }

type clientKey struct {
	reader int32
	id     string
}

// Record implements readers.Store.
func (s *Store) Record(ctx context.Context, interactions []readers.Interaction) (position int64, fresh int32, err error) {
	done, err := s.recording.Do(ctx, interactions)
	if err == nil {
		err = done.err
	}
	if err != nil {
		return 0, 0, postgresdb.Wrap(err, "record interactions")
	}
	return done.position, done.fresh, nil
}

// record appends what several callers have sent. What each is told is the end
// of it all, which is committed at once.
func record(ctx context.Context, tx pgx.Tx, head int64, calls [][]readers.Interaction) ([]recorded, int64, error) {
	q := db.New(tx)
	done := make([]recorded, len(calls))
	if err := checkReaders(ctx, q, calls, done); err != nil {
		return nil, 0, err
	}
	claimed, err := claim(ctx, q, calls, done)
	if err != nil {
		return nil, 0, err
	}
	var fresh []readers.Interaction
	for i, sent := range calls {
		if done[i].err != nil {
			continue
		}
		for _, in := range sent {
			if key := (clientKey{in.Reader, in.ClientID}); in.ClientID != "" {
				if !claimed[key] {
					continue
				}
				delete(claimed, key) // the first one has it
			}
			in.Position = head + int64(len(fresh)) + 1
			fresh = append(fresh, in)
			done[i].fresh++
		}
	}
	if len(fresh) > 0 {
		if err := appendLog(ctx, q, fresh); err != nil {
			return nil, 0, err
		}
		if err := applyEffects(ctx, q, fresh); err != nil {
			return nil, 0, err
		}
	}
	head += int64(len(fresh))
	for i := range done {
		done[i].position = head
	}
	return done, head, nil
}

// checkReaders finds the calls that name a reader who does not exist.
func checkReaders(ctx context.Context, q *db.Queries, calls [][]readers.Interaction, done []recorded) error {
	exists := make(map[int32]bool)
	var ids []int32
	for _, sent := range calls {
		for _, in := range sent {
			if _, ok := exists[in.Reader]; !ok {
				exists[in.Reader] = false
				ids = append(ids, in.Reader)
			}
		}
	}
	found, err := q.ReaderIDs(ctx, ids)
	if err != nil {
		return fmt.Errorf("find the readers: %w", err)
	}
	for _, id := range found {
		exists[id] = true
	}
	for i, sent := range calls {
		for _, in := range sent {
			if !exists[in.Reader] {
				done[i].err = readers.NoReader(in.Reader)
				break
			}
		}
	}
	return nil
}

// claim stores the clients' ids and returns those that were not there before.
func claim(ctx context.Context, q *db.Queries, calls [][]readers.Interaction, done []recorded) (map[clientKey]bool, error) {
	var keys db.InsertClientIDsParams
	for i, sent := range calls {
		if done[i].err != nil {
			continue
		}
		for _, in := range sent {
			if in.ClientID != "" {
				keys.Readers = append(keys.Readers, in.Reader)
				keys.ClientIds = append(keys.ClientIds, in.ClientID)
			}
		}
	}
	if len(keys.Readers) == 0 {
		return nil, nil
	}
	rows, err := q.InsertClientIDs(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("store the clients' ids: %w", err)
	}
	claimed := make(map[clientKey]bool, len(rows))
	for _, r := range rows {
		claimed[clientKey{r.ReaderID, r.ClientID}] = true
	}
	return claimed, nil
}

func appendLog(ctx context.Context, q *db.Queries, fresh []readers.Interaction) error {
	rows := db.InsertInteractionsParams{Now: time.Now().UnixMilli()}
	for _, in := range fresh {
		rows.Positions = append(rows.Positions, in.Position)
		rows.Readers = append(rows.Readers, in.Reader)
		rows.Books = append(rows.Books, in.Book)
		rows.Kinds = append(rows.Kinds, int16(in.Kind))
		rows.HalfStars = append(rows.HalfStars, halfStars(in.Stars))
		rows.OccurredAt = append(rows.OccurredAt, in.OccurredAt.UnixMilli())
	}
	if err := q.InsertInteractions(ctx, rows); err != nil {
		return fmt.Errorf("append to the log: %w", err)
	}
	return nil
}

// applyEffects brings the entries to where the log now leads.
func applyEffects(ctx context.Context, q *db.Queries, fresh []readers.Interaction) error {
	effects := make(map[entryKey]readers.Effect)
	for _, in := range fresh {
		key := entryKey{in.Reader, in.Book}
		if effect, any := effects[key].Then(in); any {
			effects[key] = effect
		}
	}
	var cleared db.DeleteEntriesParams
	var put db.PutEntriesParams
	for key, e := range effects {
		if e.Clear {
			cleared.Readers = append(cleared.Readers, key.reader)
			cleared.Books = append(cleared.Books, key.book)
		}
		if e.Shelf != 0 || e.Stars != 0 {
			put.Readers = append(put.Readers, key.reader)
			put.Books = append(put.Books, key.book)
			put.Shelves = append(put.Shelves, int16(e.Shelf))
			put.HalfStars = append(put.HalfStars, halfStars(e.Stars))
			put.UpdatedAt = append(put.UpdatedAt, e.At.UnixMilli())
			put.Positions = append(put.Positions, e.Position)
		}
	}
	if len(cleared.Readers) > 0 {
		if err := q.DeleteEntries(ctx, cleared); err != nil {
			return fmt.Errorf("clear entries of shelves: %w", err)
		}
	}
	if len(put.Readers) > 0 {
		if err := q.PutEntries(ctx, put); err != nil {
			return fmt.Errorf("change entries of shelves: %w", err)
		}
	}
	return nil
}
