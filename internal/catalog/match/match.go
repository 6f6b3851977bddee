// Package match tells whether two descriptions speak of the same work, by what
// people make of titles and names: subtitles, a series in brackets, articles,
// initials, accents.
//
// It would rather miss a pair than make a wrong one, and knows no catalogue.
package match

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/octavo-books/octavo/internal/catalog/index"
)

// Work is what is known of a work.
type Work struct {
	Title   string
	Authors []string
	Series  string  // empty when it is in the title's brackets, or not known
	Place   float32 // in the series, 0 when not known
}

// Likeness of two titles.
type Likeness int

// Likenesses, the nearest last.
const (
	Different Likeness = iota
	// SameMain: one has a subtitle, and the other has none.
	SameMain
	// SameTitle: all words are the same.
	SameTitle
)

// Titles compares the titles, with the series, of two works.
func Titles(a, b Work) Likeness {
	x, y := parse(a), parse(b)
	switch {
	case len(x.main) == 0 || len(y.main) == 0:
		return Different
	case x.place > 0 && y.place > 0 && x.place != y.place && slices.Equal(x.series, y.series):
		return Different
	case slices.Equal(x.words(), y.words()):
		return SameTitle
	case !slices.Equal(x.main, y.main), len(x.sub) > 0 && len(y.sub) > 0:
		return Different
	case slices.ContainsFunc(slices.Concat(x.sub, y.sub), numbers):
		return Different // "Saga: Volume Two" is not "Saga"
	case slices.Equal(x.series, x.main) || slices.Equal(y.series, y.main):
		return Different // the main title is that of all books of the series
	}
	return SameMain
}

// Words are the telling words of a title before its subtitle, folded as the
// index does: a book of the title has all of them.
func Words(title string) []string {
	main := parse(Work{Title: title}).main
	telling := slices.DeleteFunc(slices.Clone(main), func(w string) bool { return w == "and" })
	if len(telling) == 0 {
		return main
	}
	return telling
}

// Names are the words, folded, of which the name of each author ends with one.
func Names(authors []string) []string {
	var all []string
	for _, a := range authors {
		if n := nameOf(a); len(n) > 0 {
			all = append(all, n[len(n)-1])
		}
	}
	return all
}

// Authors reports whether one of a is one of b.
func Authors(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool {
		return slices.ContainsFunc(b, func(y string) bool { return sameName(nameOf(x), nameOf(y)) })
	})
}

// title is a title in folded words, without the article it begins with.
type title struct {
	main, sub, series []string
	place             float32
}

func (t title) words() []string { return slices.Concat(t.main, t.sub) }

var (
	brackets = regexp.MustCompile(`\s*[(\[]([^()\[\]]*)[)\]]\s*$`)
	inSeries = regexp.MustCompile(`^(.*?)[\s,:]*(?:\b(?:Book|Vol\.|Volume|Part)\s*)?#\s*([0-9]+(?:\.[0-9]+)?)`)
	subtitle = regexp.MustCompile(`:|;|\s[-–—]+\s|,\s+or,?\s`)
)

func parse(w Work) title {
	t := title{series: folded(w.Series), place: w.Place}
	text := w.Title
	for {
		at := brackets.FindStringSubmatchIndex(text)
		if at == nil || strings.TrimSpace(text[:at[0]]) == "" {
			break
		}
		first, _, _ := strings.Cut(text[at[2]:at[3]], ";")
		if m := inSeries.FindStringSubmatch(first); m != nil && len(t.series) == 0 {
			t.series = folded(m[1])
			if place, err := strconv.ParseFloat(m[2], 32); err == nil {
				t.place = float32(place)
			}
		}
		text = text[:at[0]]
	}
	if at := subtitle.FindStringIndex(text); at != nil && len(folded(text[:at[0]])) > 0 {
		t.main, t.sub = folded(text[:at[0]]), folded(text[at[1]:])
		if generic[strings.Join(t.sub, " ")] {
			t.sub = nil
		}
	} else {
		t.main = folded(text)
	}
	t.main, t.series = withoutArticle(t.main), withoutArticle(t.series)
	return t
}

// generic are subtitles that tell nothing.
var generic = map[string]bool{
	"a novel": true, "novel": true, "a memoir": true, "a novella": true, "a thriller": true, "a mystery": true,
	"a story": true, "stories": true, "poems": true, "essays": true, "a play": true, "a romance": true,
}

// numbers reports whether a word of a subtitle may count the parts of something.
func numbers(word string) bool {
	switch word {
	case "volume", "vol", "part", "book", "number", "no", "issue", "season", "one", "two", "three", "four", "five", "six", "i", "ii", "iii", "iv", "v", "vi":
		return true
	}
	return strings.ContainsAny(word, "0123456789")
}

func folded(text string) []string {
	return strings.Fields(index.Fold(strings.ReplaceAll(text, "&", " and ")))
}

func withoutArticle(words []string) []string {
	if len(words) > 1 && (words[0] == "the" || words[0] == "a" || words[0] == "an") {
		return words[1:]
	}
	return words
}

// nameOf are the words of a name in its order, without titles.
func nameOf(name string) []string {
	if last, first, turned := strings.Cut(name, ","); turned && !slices.ContainsFunc(folded(first), suffix) {
		name = first + " " + last
	}
	words := folded(name)
	for len(words) > 1 && suffix(words[len(words)-1]) {
		words = words[:len(words)-1]
	}
	for len(words) > 1 && (words[0] == "dr" || words[0] == "sir" || words[0] == "dame") {
		words = words[1:]
	}
	return words
}

func suffix(word string) bool {
	switch word {
	case "jr", "sr", "ii", "iii", "iv", "phd", "md":
		return true
	}
	return false
}

// sameName reports whether two names can be of one person: the family names are
// the same, and the first names are, or one is an initial or missing. Names in
// another order are the same.
func sameName(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	if slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))) {
		return true
	}
	if a[len(a)-1] != b[len(b)-1] {
		return false
	}
	if len(a) == 1 || len(b) == 1 {
		return true
	}
	return a[0] == b[0] || initial(a[0], b[0]) || initial(b[0], a[0])
}

func initial(letter, name string) bool {
	return len([]rune(letter)) == 1 && strings.HasPrefix(name, letter)
}
