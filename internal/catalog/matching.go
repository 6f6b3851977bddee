package catalog

import (
	"context"
	"slices"

	"github.com/octavo-books/octavo/internal/catalog/match"
	"github.com/octavo-books/octavo/internal/isbn"
)

// candidates is how many books of the same words are looked at. When there are
// more, none of them is told from the others.
const candidates = 200

// Wanted is what is known of a book that is looked for. Its ISBNs may be in any
// form, or none.
type Wanted struct {
	ISBNs []string
	match.Work
}

// Match is the book that was found for something wanted, or why none was.
type Match struct {
	Book  int32 // 0 for none
	Basis Basis
	Why   Reason
}

// Basis is what a match was made by. The numbers are those of
// octavo.catalog.v1.MatchBooksResponse.Basis.
type Basis int32

// The bases.
const (
	ByISBN           Basis = 1
	ByTitleAndAuthor Basis = 2
)

// Reason is why there is no match. The numbers are those of
// octavo.catalog.v1.MatchBooksResponse.Reason.
type Reason int32

// The reasons.
const (
	Unknown Reason = 1 + iota
	OtherAuthor
	Ambiguous
	Incomplete
)

// wish is the work on something wanted.
type wish struct {
	Wanted
	held   []int32 // books that have one of its ISBNs
	titled []int32 // books with the words of its title
	many   bool
}

// match finds the books that are wanted.
func (f *finder) match(ctx context.Context, wanted []Wanted) ([]Match, error) {
	if err := f.catchUp(ctx); err != nil {
		return nil, err
	}
	var numbers []string
	for i := range wanted {
		wanted[i].ISBNs = right(wanted[i].ISBNs)
		numbers = append(numbers, wanted[i].ISBNs...)
	}
	byISBN, err := f.store.ByISBN(ctx, numbers)
	if err != nil {
		return nil, err
	}
	wishes := make([]wish, len(wanted))
	var ids []int32
	for i, w := range wanted {
		wish := &wishes[i]
		wish.Wanted = w
		for _, number := range w.ISBNs {
			if id := byISBN[number]; id > 0 && !slices.Contains(wish.held, id) {
				wish.held = append(wish.held, id)
			}
		}
		switch words := match.Words(w.Title); {
		case len(wish.held) == 1: // certain
		case len(wish.held) > 1:
			ids = append(ids, wish.held...)
		case len(words) > 0 && len(w.Authors) > 0:
			wish.titled, wish.many = f.index.Holding(words, match.Names(w.Authors), candidates)
			if len(wish.titled) == 0 {
				// Only to tell why.
				wish.titled, _ = f.index.Holding(words, nil, candidates)
			}
			ids = append(ids, wish.titled...)
		}
	}
	slices.Sort(ids)
	books := make(map[int32]*Book)
	for part := range slices.Chunk(slices.Compact(ids), indexBooks) {
		read, err := f.store.Books(ctx, part)
		if err != nil {
			return nil, err
		}
		for i := range read {
			books[read[i].ID] = &read[i]
		}
	}
	matches := make([]Match, len(wishes))
	for i := range wishes {
		matches[i] = wishes[i].match(books)
	}
	return matches, nil
}

func (w *wish) match(books map[int32]*Book) Match {
	switch {
	case len(w.held) == 1:
		return Match{Book: w.held[0], Basis: ByISBN}
	case len(w.held) > 1:
		m := w.titles(w.held, books)
		if m.Book == 0 {
			return Match{Why: Ambiguous}
		}
		m.Basis = ByISBN
		return m
	case len(w.Authors) == 0 || len(match.Words(w.Title)) == 0:
		return Match{Why: Incomplete}
	case w.many:
		return Match{Why: Ambiguous}
	}
	return w.titles(w.titled, books)
}

// titles is the match among books by title and author: the one that has the
// whole title, or else the one that has it but for a subtitle.
func (w *wish) titles(ids []int32, books map[int32]*Book) Match {
	best, likeness, others, byOthers := int32(0), match.Different, 0, false
	for _, id := range ids {
		b := books[id]
		if b == nil {
			continue
		}
		same := match.Titles(w.Work, b.work())
		if same == match.Different {
			continue
		}
		if !match.Authors(w.Authors, b.Authors) {
			byOthers = true
			continue
		}
		switch {
		case same > likeness:
			best, likeness, others = id, same, 0
		case same == likeness:
			others++
		}
	}
	switch {
	case others > 0:
		return Match{Why: Ambiguous}
	case best > 0:
		return Match{Book: best, Basis: ByTitleAndAuthor}
	case byOthers:
		return Match{Why: OtherAuthor}
	}
	return Match{Why: Unknown}
}

// right are those of the texts that are ISBNs, in thirteen digits.
func right(texts []string) []string {
	var numbers []string
	for _, text := range texts {
		if number, err := isbn.Parse(text); err == nil && !slices.Contains(numbers, number) {
			numbers = append(numbers, number)
		}
	}
	return numbers
}
