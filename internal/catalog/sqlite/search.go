package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/octavo-books/octavo/internal/catalog"
	"github.com/octavo-books/octavo/internal/catalog/sqlite/db"
	"github.com/octavo-books/octavo/internal/sqlitedb"
)

const (
	// Candidates of each way to look, the most popular or most similar ones.
	titleCandidates   = 50
	wordCandidates    = 300
	similarCandidates = 100
	// With fewer candidates than this there may be a spelling mistake.
	enough = 10
	// The trigram index holds sequences of this many letters.
	trigram = 3
	// Above every letter in a folded title.
	beyond = "\U0010ffff"
)

// Search implements catalog.Store. The query is folded: it has letters, digits
// and single spaces only, so that nothing in it means anything to SQLite.
func (s *Store) Search(ctx context.Context, query catalog.Query) ([]catalog.Book, error) {
	if len(query.Words) == 0 {
		return nil, nil
	}
	have := make(map[int32]bool)
	var found []db.Book
	add := func(rows []db.Book) {
		for _, r := range rows {
			if !have[r.ID] {
				have[r.ID] = true
				found = append(found, r)
			}
		}
	}
	titled, err := s.read.BooksTitled(ctx, db.BooksTitledParams{FoldedTitle: query.Text, Limit: titleCandidates})
	if err != nil {
		return nil, sqlitedb.Wrap(err, "search titles")
	}
	add(titled)
	titles, err := s.read.TitlesFrom(ctx, db.TitlesFromParams{
		FoldedTitle: query.Text, FoldedTitle_2: query.Text + beyond, Limit: titleCandidates,
	})
	if err != nil {
		return nil, sqlitedb.Wrap(err, "search titles")
	}
	add(titles)
	words, err := s.containing(ctx, query)
	if err != nil {
		return nil, sqlitedb.Wrap(err, "search words")
	}
	add(words)
	if grams := trigrams(query.Words); len(titled) == 0 && len(found) < enough && len(grams) > 0 {
		similar, err := s.byText(ctx, s.similar, strings.Join(grams, " OR "), similarCandidates)
		if err != nil {
			return nil, sqlitedb.Wrap(err, "search similar books")
		}
		add(similar)
	}
	return books(found, nil)
}

// containing finds books that contain every word, as far as the index can
// tell: it does not know words of one or two letters.
func (s *Store) containing(ctx context.Context, query catalog.Query) ([]db.Book, error) {
	var indexed []string
	for _, word := range query.Words {
		if utf8.RuneCountInString(word) >= trigram {
			indexed = append(indexed, `"`+word+`"`)
		}
	}
	if len(indexed) > 0 {
		return s.byText(ctx, s.matching, strings.Join(indexed, " AND "), wordCandidates)
	}
	// The best sellers come first, so that a common beginning of a word is soon
	// found often enough.
	longest := slices.MaxFunc(query.Words, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
	return s.read.BooksContaining(ctx, db.BooksContainingParams{Part: " " + longest, Most: wordCandidates})
}

func (s *Store) byText(ctx context.Context, stmt *sql.Stmt, match string, limit int) ([]db.Book, error) {
	rows, err := stmt.QueryContext(ctx, match, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []int32
	for rows.Next() {
		var id int32
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return s.read.BooksByID(ctx, ids)
}

// trigrams are the quoted, distinct sequences of three letters in the words.
// Those of three letters themselves are left out: they are the frequent ones,
// and a mistake in them leaves nothing to look for.
func trigrams(words []string) []string {
	var grams []string
	have := make(map[string]bool)
	for _, word := range words {
		letters := []rune(word)
		for i := 0; len(letters) > trigram && i+trigram <= len(letters); i++ {
			gram := `"` + string(letters[i:i+trigram]) + `"`
			if !have[gram] {
				have[gram] = true
				grams = append(grams, gram)
			}
		}
	}
	return grams
}
