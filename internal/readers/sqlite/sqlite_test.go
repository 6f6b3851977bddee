package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/accounts"
	"github.com/octavo-books/octavo/internal/readers/sqlite"
	"github.com/octavo-books/octavo/internal/readers/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Several processes may have the file open.
func TestShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readers.db")
	storetest.Shared(t, open(t, path), open(t, path), open(t, path))
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) readers.Store {
		return open(t, filepath.Join(t.TempDir(), "readers.db"))
	})
}

func TestAccounts(t *testing.T) {
	storetest.RunAccounts(t, func(t *testing.T) storetest.Accounts { return open(t, filepath.Join(t.TempDir(), "readers.db")) })
}

// A database of the first schema, which knew no order but that of the clocks,
// gets that of its log.
func TestOldShelvesAreInTheOrderOfTheirLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readers.db")
	s := open(t, path)
	id, err := s.Create(t.Context(), readers.Reader{Origin: readers.Anonymous, CreatedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	for book, kind := range []readers.Kind{readers.Want, readers.Want, readers.Want, readers.View} {
		in := readers.Interaction{Reader: id, Book: int32(book%3 + 1), Kind: kind, OccurredAt: time.Now().Add(-time.Duration(book) * time.Hour)}
		if _, _, err := s.Record(t.Context(), []readers.Interaction{in}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Exec("ALTER TABLE entries DROP COLUMN position; DROP INDEX interactions_reader; DROP TABLE ceremonies; DROP TABLE passkeys; DROP TABLE sessions; DROP TABLE accounts; DROP TABLE tallies; ALTER TABLE readers DROP COLUMN paused; ALTER TABLE interactions DROP COLUMN recorded_at; DELETE FROM goose_db_version WHERE version_id >= 2"); err != nil {
		t.Fatal(err)
	}
	entries, err := open(t, path).Shelf(t.Context(), id, nil, 10)
	if err != nil || len(entries) != 3 || entries[0].Book != 3 || entries[1].Book != 2 || entries[2].Book != 1 {
		t.Errorf("shelf = %+v, %v; want books 3, 2, 1", entries, err)
	}
}

// What was acknowledged is in the files, whenever the process ends: a copy of
// them, taken without any closing, opens with everything.
func TestAcknowledgedIsOnDisk(t *testing.T) {
	dir, killed := t.TempDir(), t.TempDir()
	s := open(t, filepath.Join(dir, "readers.db"))
	id, err := s.Create(t.Context(), readers.Reader{Origin: readers.Anonymous, CreatedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	in := readers.Interaction{Reader: id, Book: 1, Kind: readers.Rating, Stars: 4, OccurredAt: time.Now(), ClientID: "c"}
	if _, _, err := s.Record(t.Context(), []readers.Interaction{in}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"readers.db", "readers.db-wal"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(killed, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	after := open(t, filepath.Join(killed, "readers.db"))
	log, err := after.Log(t.Context(), 0, 10)
	if err != nil || len(log.Interactions) != 1 || log.Interactions[0].Stars != 4 {
		t.Errorf("log after the kill = %+v, %v", log, err)
	}
	if entries, err := after.Shelf(t.Context(), id, nil, 10); err != nil || len(entries) != 1 {
		t.Errorf("shelf after the kill = %+v, %v", entries, err)
	}
	if _, recorded, err := after.Record(t.Context(), []readers.Interaction{in}); err != nil || recorded != 0 {
		t.Errorf("sent again after the kill: %d recorded, %v", recorded, err)
	}
}

// The files hold nothing that tells of an erased reader, but the id, and what
// they hold of others is whole.
func TestErasedIsNotInTheFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "readers.db"))
	// Large numbers are kept as their four bytes, big-endian.
	const firstBook = 0x6b7a0000
	secrets := []string{"Zenobia", "their-own-key", "client-id-of-hers", "\x6b\x7a", "zenobia-signs-in", "$argon2id$hers", "HerBrowser/1.0", "token-of-her-session-0123456789ab"}
	var ids []int32
	for i := range 20 {
		imported, _, err := s.Import(t.Context(), []readers.Reader{{
			Origin: readers.Imported, DisplayName: fmt.Sprint("Reader ", i), Source: "test", SourceID: fmt.Sprint(i), CreatedAt: time.Now(),
		}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, imported...)
	}
	hers, _, err := s.Import(t.Context(), []readers.Reader{{
		Origin: readers.Imported, DisplayName: secrets[0], Source: "test", SourceID: secrets[1], CreatedAt: time.Now(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	// An account is a reader from the start; here somebody has one besides.
	account := accounts.Account{Name: secrets[4], Password: secrets[5], CreatedAt: time.Now(), PasswordChangedAt: time.UnixMilli(1)}
	if account.Reader, err = s.CreateAccount(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddSession(t.Context(), accounts.Session{
		Token: accounts.Digest([]byte(secrets[7])), Reader: account.Reader, Agent: secrets[6], CreatedAt: time.Now(), SeenAt: time.Now(),
	}, account.PasswordChangedAt, 10); err != nil {
		t.Fatal(err)
	}
	for round := range int32(100) {
		var batch []readers.Interaction
		for i, id := range ids {
			batch = append(batch, readers.Interaction{Reader: id, Book: round*20 + int32(i) + 1, Kind: readers.Want, OccurredAt: time.Now(), ClientID: fmt.Sprint("other", round)})
		}
		for i := range int32(10) {
			batch = append(batch, readers.Interaction{
				Reader: hers[0], Book: firstBook + round*10 + i, Kind: readers.Finished, OccurredAt: time.Now(), ClientID: fmt.Sprint(secrets[2], round, i),
			})
		}
		if _, _, err := s.Record(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	found := func() (found []string) {
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range secrets {
				if n := strings.Count(string(content), secret); n > 0 {
					found = append(found, fmt.Sprintf("%q is in %s %d times", secret, filepath.Base(file), n))
				}
			}
		}
		return found
	}
	if len(found()) < len(secrets) {
		t.Fatalf("before: %q", found())
	}
	for _, id := range []int32{hers[0], account.Reader} {
		if _, err := s.Erase(t.Context(), id, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for len(found()) > 0 && time.Now().Before(deadline) {
		<-time.After(10 * time.Millisecond)
	}
	if found := found(); len(found) > 0 {
		t.Errorf("after: %q", found)
	}
	log, err := s.Log(t.Context(), 0, 10_000)
	if err != nil || len(log.Interactions) != 2002 {
		t.Errorf("the log has %d interactions, %v; want 2000 of others and the tombstones", len(log.Interactions), err)
	}
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readers.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (900, 1); UPDATE schema_needs SET version = 900"); err != nil {
		t.Fatal(err)
	}
	_, err = sqlite.Open(t.Context(), path)
	if fault.KindOf(err) != fault.Conflict {
		t.Fatalf("Open: %v, want a Conflict fault", err)
	}
	for _, part := range []string{path, "version 900", "newer Octavo"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error %q does not say %q", err, part)
		}
	}
}

func TestOpenTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readers.db")
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			s, err := sqlite.Open(context.Background(), path)
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}

// A commit of another process is noticed too.
func TestCommitOfAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readers.db")
	s, other := open(t, path), open(t, path)
	deadline := time.After(30 * time.Second)
	for _, name := range []string{"at first", "and again"} {
		changed := s.Changed()
		if _, err := other.Create(t.Context(), readers.Reader{Origin: readers.Anonymous, CreatedAt: time.Now()}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("not noticed %s", name)
		}
	}
}

// BenchmarkRecord appends batches of 5,000, as an import does.
func BenchmarkRecord(b *testing.B) {
	for _, ids := range []bool{false, true} {
		b.Run(fmt.Sprintf("ids=%v", ids), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "readers.db"))
			const size, perReader = 5000, 20
			var batch []readers.Reader
			for i := range 5000 {
				batch = append(batch, readers.Reader{Origin: readers.Imported, Source: "b", SourceID: fmt.Sprint(i), CreatedAt: time.Now()})
			}
			readerIDs, _, err := s.Import(b.Context(), batch)
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			for b.Loop() {
				interactions := make([]readers.Interaction, size)
				for i := range interactions {
					n++
					interactions[i] = readers.Interaction{
						Reader: readerIDs[n/perReader%len(readerIDs)], Book: int32(n*7919%10000 + 1),
						Kind: readers.Rating, Stars: 4, OccurredAt: time.UnixMilli(int64(n)),
					}
					if ids {
						interactions[i].ClientID = fmt.Sprintf("goodbooks:%d", n)
					}
				}
				if _, _, err := s.Record(b.Context(), interactions); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "interactions/s")
		})
	}
}

// BenchmarkRecordOne is readers who click, each after the answer to the click
// before.
func BenchmarkRecordOne(b *testing.B) {
	for _, writers := range []int{1, 32} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			storetest.BenchmarkRecord(b, writers, open(b, filepath.Join(b.TempDir(), "readers.db")))
		})
	}
}

// BenchmarkLog reads the log from the start, as training does.
func BenchmarkLog(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "readers.db"))
	id, err := s.Create(b.Context(), readers.Reader{Origin: readers.Anonymous, CreatedAt: time.Now()})
	if err != nil {
		b.Fatal(err)
	}
	interactions := make([]readers.Interaction, 5000)
	for i := range interactions {
		interactions[i] = readers.Interaction{Reader: id, Book: int32(i + 1), Kind: readers.View, OccurredAt: time.Now()}
	}
	for range 10 {
		if _, _, err := s.Record(b.Context(), interactions); err != nil {
			b.Fatal(err)
		}
	}
	n := 0
	for b.Loop() {
		for after := int64(0); ; {
			log, err := s.Log(b.Context(), after, 2000)
			if err != nil {
				b.Fatal(err)
			}
			if n += len(log.Interactions); log.Position == log.Head {
				break
			}
			after = log.Position
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "interactions/s")
}
