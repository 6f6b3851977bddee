package catalog

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Letters that have no decomposition into a plain letter and a mark.
var plain = strings.NewReplacer(
	"ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "ł", "l", "đ", "d", "ð", "d", "þ", "th", "ı", "i",
)

// Fold reduces text to what counts when searching: lower-case letters without
// accents and digits, in words with one space between. Apostrophes vanish, so
// that "Ender's" is found as "enders". Stores keep folded text: a change here
// needs a migration that folds it again.
func Fold(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	gap := false
	for _, r := range norm.NFKD.String(strings.ToValidUTF8(text, " ")) {
		switch {
		case unicode.Is(unicode.M, r), r == '\'', r == '’', r == 'ʼ':
			continue
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			gap = b.Len() > 0
			continue
		}
		if gap {
			b.WriteByte(' ')
			gap = false
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return norm.NFC.String(plain.Replace(b.String()))
}

// SearchText is the folded text a book is found by.
func (b Book) SearchText() string {
	return Fold(b.Title + " " + strings.Join(b.Authors, " ") + " " + b.Series)
}

// Query is what somebody looks for.
type Query struct {
	Text  string   // folded
	Words []string // of Text
}

// NewQuery folds the words of a search.
func NewQuery(text string) Query {
	folded := Fold(text)
	return Query{Text: folded, Words: strings.Fields(folded)}
}

// Classes of answers, best first.
const (
	exactTitle = iota
	namePrefix // the title begins with the query, or it is an author's or a series' name
	titleWords // the words of the query are words of the title
	otherWords // other words, or words like them
)

// Rank sorts the books that answer the query, best first, and leaves out those
// that do not. One letter wrong in a word of four, two in one of eight, still
// answer, after those that fit better.
func (q Query) Rank(books []Book) []Book {
	type answer struct {
		book        *Book
		class, cost int
	}
	var answers []answer
	for i := range books {
		if class, cost, ok := q.match(&books[i]); ok {
			answers = append(answers, answer{&books[i], class, cost})
		}
	}
	slices.SortFunc(answers, func(a, b answer) int {
		return cmp.Or(
			cmp.Compare(a.class, b.class),
			cmp.Compare(a.cost, b.cost),
			cmp.Compare(b.book.Popularity, a.book.Popularity),
			cmp.Compare(a.book.ID, b.book.ID),
		)
	})
	ranked := make([]Book, len(answers))
	for i, a := range answers {
		ranked[i] = *a.book
	}
	return ranked
}

func (q Query) match(b *Book) (class, cost int, ok bool) {
	if len(q.Words) == 0 {
		return 0, 0, false
	}
	title, series := Fold(b.Title), Fold(b.Series)
	switch {
	case title == q.Text || strings.TrimPrefix(title, "the ") == q.Text:
		return exactTitle, 0, true
	case strings.HasPrefix(title, q.Text), series == q.Text:
		return namePrefix, 0, true
	}
	words := strings.Fields(title)
	ofTitle := len(words)
	for _, author := range b.Authors {
		folded := Fold(author)
		if folded == q.Text {
			return namePrefix, 0, true
		}
		words = append(words, strings.Fields(folded)...)
	}
	words = append(words, strings.Fields(series)...)
	class = titleWords
	for _, word := range q.Words {
		if slices.Contains(words[:ofTitle], word) {
			continue
		}
		class = otherWords
		best := unlike
		for _, other := range words {
			best = min(best, difference(word, other))
		}
		if best == unlike {
			return 0, 0, false
		}
		cost += best
	}
	return class, cost, true
}

const unlike = 100

// difference is 0 for the same word, 1 when other begins with word, 2 when it
// contains it, 2 and the number of wrong letters when there are few of them,
// and unlike otherwise.
func difference(word, other string) int {
	switch {
	case word == other:
		return 0
	case strings.HasPrefix(other, word):
		return 1
	case strings.Contains(other, word):
		return 2
	}
	allowed := utf8.RuneCountInString(word) / 4
	if d := edits(word, other, min(allowed, 2)); d >= 0 {
		return 2 + d
	}
	return unlike
}

// edits is how many letters must be put in, left out, replaced or swapped with
// their neighbour to turn a into b, or -1 when it is more than most.
func edits(a, b string, most int) int {
	x, y := []rune(a), []rune(b)
	if most <= 0 || len(x)-len(y) > most || len(y)-len(x) > most {
		return -1
	}
	var before []int
	last := make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row := make([]int, len(y)+1)
		row[0] = i
		least := i
		for j := 1; j <= len(y); j++ {
			changed := 1
			if x[i-1] == y[j-1] {
				changed = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+changed)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
			least = min(least, row[j])
		}
		if least > most {
			return -1
		}
		before, last = last, row
	}
	if last[len(y)] > most {
		return -1
	}
	return last[len(y)]
}
