package main

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/octavo-books/octavo/internal/catalog"
	"github.com/octavo-books/octavo/internal/catalog/index"
)

// kinds of slips.
var kinds = []string{"insert", "delete", "replace", "swap"}

// misspelling is a title with one slip in it.
type misspelling struct{ title, text, kind string }

// misspell makes n misspellings of titles of the books, the same ones for the
// same books: of each kind as many, at any place of any title. Slips that a
// search cannot see, such as those in a comma, are not among them.
func misspell(books []catalog.Book, n int) []misspelling {
	random := rand.New(rand.NewPCG(1, 2))
	made := make([]misspelling, 0, n)
	for len(made) < n {
		m := misspelling{title: books[random.IntN(len(books))].Title, kind: kinds[len(made)%len(kinds)]}
		letters := []rune(strings.ToLower(m.title))
		if len(letters) < 2 || len(letters) >= 200 {
			continue
		}
		at := random.IntN(len(letters) - 1)
		letter := rune('a' + random.IntN(26))
		switch m.kind {
		case "insert":
			letters = append(letters[:at], append([]rune{letter}, letters[at:]...)...)
		case "delete":
			letters = append(letters[:at], letters[at+1:]...)
		case "replace":
			letters[at] = letter
		case "swap":
			letters[at], letters[at+1] = letters[at+1], letters[at]
		}
		m.text = string(letters)
		if folded := index.Fold(m.text); folded != index.Fold(m.title) && folded != "" {
			made = append(made, m)
		}
	}
	return made
}

// generate makes n books with made-up titles of one to seven words, which are
// as frequent as words are: few are in many titles, many in few.
func generate(n int) []catalog.Book {
	random := rand.New(rand.NewPCG(3, 4))
	vocabulary := make([]string, max(2000, n/5))
	for i := range vocabulary {
		var b strings.Builder
		for range 1 + random.IntN(4) {
			b.WriteString([]string{"b", "c", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "st", "tr", "ch", "th", ""}[random.IntN(21)])
			b.WriteString([]string{"a", "e", "i", "o", "u", "ea", "ou", "y"}[random.IntN(8)])
			b.WriteString([]string{"", "", "", "n", "r", "s", "l", "t"}[random.IntN(8)])
		}
		vocabulary[i] = b.String()
	}
	zipf := rand.NewZipf(random, 1.1, 8, uint64(len(vocabulary)-1))
	words := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = vocabulary[zipf.Uint64()]
		}
		return strings.Join(all, " ")
	}
	books := make([]catalog.Book, n)
	for i := range books {
		books[i] = catalog.Book{
			Title: words(1 + random.IntN(7)), Authors: []string{words(2)}, Category: catalog.Category(1 + random.IntN(32)),
			Year: int32(1800 + random.IntN(225)), Language: []string{"en", "de", "fr", "es"}[random.IntN(4)],
			Source: "generated", SourceID: fmt.Sprint(i), Popularity: int64(random.ExpFloat64() * 1000),
		}
	}
	return books
}
