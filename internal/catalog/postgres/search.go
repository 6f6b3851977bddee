package postgres

import (
	"cmp"
	"context"
	"slices"
	"unicode/utf8"

	"github.com/octavo-books/octavo/internal/catalog"
	"github.com/octavo-books/octavo/internal/catalog/postgres/db"
	"github.com/octavo-books/octavo/internal/postgresdb"
)

const (
	// Candidates of each way to look, the most popular or most similar ones.
	titleCandidates   = 50
	wordCandidates    = 300
	similarCandidates = 100
	// With fewer candidates than this there may be a spelling mistake.
	enough = 10
	// The index holds sequences of this many letters.
	trigram = 3
	// Above every letter in a folded title.
	beyond = "\U0010ffff"
)

// Search implements catalog.Store. The query is folded: it has letters, digits
// and single spaces only, so that nothing in it means anything to LIKE.
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
	titled, err := s.read.BooksTitled(ctx, db.BooksTitledParams{Text: query.Text, Most: titleCandidates})
	if err != nil {
		return nil, postgresdb.Wrap(err, "search titles")
	}
	add(titled)
	titles, err := s.read.TitlesFrom(ctx, db.TitlesFromParams{First: query.Text, Beyond: query.Text + beyond, Most: titleCandidates})
	if err != nil {
		return nil, postgresdb.Wrap(err, "search titles")
	}
	add(titles)
	words, err := s.containing(ctx, query)
	if err != nil {
		return nil, postgresdb.Wrap(err, "search words")
	}
	add(words)
	if len(titled) == 0 && len(found) < enough {
		similar, err := s.read.BooksSimilar(ctx, db.BooksSimilarParams{Text: query.Text, Most: similarCandidates})
		if err != nil {
			return nil, postgresdb.Wrap(err, "search similar books")
		}
		add(similar)
	}
	return books(found, nil)
}

// containing finds books that contain every word, as far as the index can
// tell: it does not know words of one or two letters.
func (s *Store) containing(ctx context.Context, query catalog.Query) ([]db.Book, error) {
	longest := slices.MaxFunc(query.Words, func(a, b string) int {
		return cmp.Compare(utf8.RuneCountInString(a), utf8.RuneCountInString(b))
	})
	if utf8.RuneCountInString(longest) < trigram {
		// The best sellers come first, so that a common beginning of a word is
		// soon found often enough.
		return s.read.BooksContaining(ctx, db.BooksContainingParams{Part: " " + longest, Most: wordCandidates})
	}
	var patterns []string
	for _, word := range query.Words {
		if utf8.RuneCountInString(word) >= trigram {
			patterns = append(patterns, "%"+word+"%")
		}
	}
	return s.read.BooksMatching(ctx, db.BooksMatchingParams{Longest: "%" + longest + "%", Patterns: patterns, Most: wordCandidates})
}
