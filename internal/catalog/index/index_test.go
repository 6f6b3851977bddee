package index_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/octavo-books/octavo/internal/catalog/index"
)

var shelf = []index.Book{
	{Title: "Dune", Authors: []string{"Frank Herbert"}, Series: "Dune Chronicles", Popularity: 50, Category: 5, Year: 1965, Language: "en"},
	{Title: "Dune Messiah", Authors: []string{"Frank Herbert"}, Series: "Dune Chronicles", Popularity: 30, Category: 5, Year: 1969, Language: "en-US"},
	{Title: "The Road to Dune", Authors: []string{"Brian Herbert"}, Popularity: 90, Category: 19, Year: 2005, Language: "de"},
	{Title: "It", Authors: []string{"Stephen King"}, Popularity: 40},
	{Title: "Carrie", Authors: []string{"Stephen King"}, Popularity: 60},
	{Title: "It Ends with Us", Authors: []string{"Colleen Hoover"}, Popularity: 95},
	{Title: "Jane Eyre", Authors: []string{"Charlotte Brontë"}, Popularity: 70},
	{Title: "Wuthering Heights", Authors: []string{"Emily Brontë"}, Popularity: 71},
	{Title: "Ender’s Game", Authors: []string{"Orson Scott Card"}, Popularity: 55},
	{Title: "三体", Authors: []string{"刘慈欣"}, Popularity: 20},
	{Title: "1984", Authors: []string{"George Orwell"}, Popularity: 80},
	{Title: "Ulysses", Authors: []string{"James Joyce"}, Popularity: 10},
	{Title: "To Kill a Mockingbird", Authors: []string{"Harper Lee"}, Popularity: 99},
	{Title: "Emma", Authors: []string{"Jane Austen"}, Popularity: 5},
}

func fill(books []index.Book) *index.Index {
	x := index.New()
	for i := range books {
		books[i].ID = int32(i + 1)
	}
	x.Put(books)
	return x
}

func titles(books []index.Book, a index.Answer) []string {
	found := []string{}
	for _, p := range a.Places {
		found = append(found, books[p.ID-1].Title)
	}
	return found
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func TestSearch(t *testing.T) {
	x := fill(shelf)
	for text, want := range map[string][]string{
		"dune":                  {"Dune", "Dune Messiah", "The Road to Dune"},
		"DUNE mess":             {"Dune Messiah"},
		"dune chronicles":       {"Dune", "Dune Messiah"},
		"it":                    {"It", "It Ends with Us"},
		"i":                     {"It Ends with Us", "It"},
		"stephen king":          {"Carrie", "It"},
		"it king":               {"It"},
		"bronte":                {"Wuthering Heights", "Jane Eyre"},
		"BRONTË eyre":           {"Jane Eyre"},
		"enders game":           {"Ender’s Game"},
		"ender's":               {"Ender’s Game"},
		"三体":                    {"三体"},
		"三":                     {"三体"},
		"体":                     {"三体"},
		"bird":                  {"To Kill a Mockingbird"},
		"orwell 1984":           {"1984"},
		"road to dune":          {"The Road to Dune"},
		"wuthring heigths":      {"Wuthering Heights"},
		"ulyses":                {"Ulysses"},
		"ulises":                {},
		"ema":                   {"Emma"},
		"endersgame":            {"Ender’s Game"},
		"endersxgame":           {"Ender’s Game"},
		"ender sgame":           {"Ender’s Game"},
		"em ma":                 {"Emma"},
		"to kil a mockingbird":  {"To Kill a Mockingbird"},
		"ot kill a mockingbird": {"To Kill a Mockingbird"},
		"to kill q mockingbird": {"To Kill a Mockingbird"},
		"no such book at all":   {},
		`"dune" OR NOT (*)`:     {},
		"dune\x00 AND -":        {},
		"-":                     {},
		"":                      {},
	} {
		equal(t, fmt.Sprintf("search %q", text), titles(shelf, x.Search(index.Query{Text: text, Limit: 10})), want)
	}
}

// TestBeginningsBeforeSlips: of words that are not in any book as they are, most
// are not complete yet.
func TestBeginningsBeforeSlips(t *testing.T) {
	books := []index.Book{
		{Title: "Dune Messiah", Authors: []string{"Frank Herbert"}, Popularity: 30},
		{Title: "Predictably Irrational", Authors: []string{"Dan Ariely"}, Popularity: 90},
	}
	equal(t, "dun", titles(books, fill(books).Search(index.Query{Text: "dun", Limit: 10})), []string{"Dune Messiah", "Predictably Irrational"})
}

func TestSuggestions(t *testing.T) {
	x := fill(shelf)
	for text, want := range map[string][]string{
		"du":      {"Dune", "Dune Messiah", "The Road to Dune"},
		"road to": {"The Road to Dune"},
		"it e":    {"It Ends with Us"},
		"ja":      {"Jane Eyre", "Ulysses", "Emma"},
		"stepehn": {"Carrie", "It"},
	} {
		equal(t, fmt.Sprintf("typing %q", text), titles(shelf, x.Search(index.Query{Text: text, Typing: true, Limit: 3})), want)
	}
}

func TestNearest(t *testing.T) {
	x := fill(shelf)
	for _, c := range []struct {
		q    index.Query
		want []string
	}{
		{index.Query{Text: "ulises"}, []string{"ulysses"}},
		{index.Query{Text: "dune vacation"}, []string{"dune"}},
		{index.Query{Text: "wutherin hites of emily"}, []string{"wuthering emily"}},
		{index.Query{Text: "xqzv"}, nil},
		{index.Query{Text: ""}, nil},
		{index.Query{Text: "ulises", Filter: index.Filter{Category: 5}}, nil},
	} {
		if got := x.Nearest(c.q); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("nearest of %q: got %q, want %q", c.q.Text, got, c.want)
		}
	}
}

// A facet counts what a filter on it would leave: its own filter does not count.
func TestFacetsAndFilters(t *testing.T) {
	x := fill(shelf)
	for name, c := range map[string]struct {
		filter     index.Filter
		want       []string
		categories map[int32]int
		decades    map[int32]int
		languages  map[string]int
	}{
		"none": {
			index.Filter{}, []string{"Dune", "Dune Messiah", "The Road to Dune"},
			map[int32]int{5: 2, 19: 1}, map[int32]int{1960: 2, 2000: 1}, map[string]int{"en": 2, "de": 1},
		},
		"category": {
			index.Filter{Category: 5}, []string{"Dune", "Dune Messiah"},
			map[int32]int{5: 2, 19: 1}, map[int32]int{1960: 2}, map[string]int{"en": 2},
		},
		"years": {
			index.Filter{FromYear: 1966, ToYear: 2005}, []string{"Dune Messiah", "The Road to Dune"},
			map[int32]int{5: 1, 19: 1}, map[int32]int{1960: 2, 2000: 1}, map[string]int{"en": 1, "de": 1},
		},
		"language of any country": {
			index.Filter{Language: "EN-gb"}, []string{"Dune", "Dune Messiah"},
			map[int32]int{5: 2}, map[int32]int{1960: 2}, map[string]int{"en": 2, "de": 1},
		},
		"all": {
			index.Filter{Category: 19, Language: "en", ToYear: 1966}, []string{},
			map[int32]int{5: 1}, map[int32]int{}, map[string]int{},
		},
		"a language of no book": {
			index.Filter{Language: "fr"}, []string{}, map[int32]int{}, map[int32]int{}, map[string]int{"en": 2, "de": 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := x.Search(index.Query{Text: "dune", Filter: c.filter, Limit: 10})
			equal(t, "books", titles(shelf, a), c.want)
			equal(t, "total", a.Total, len(c.want))
			equal(t, "categories", a.Categories, c.categories)
			equal(t, "decades", a.Decades, c.decades)
			equal(t, "languages", a.Languages, c.languages)
		})
	}
	for year, want := range map[int32]int32{1999: 1990, 2000: 2000, 5: 0, -1: -10, -10: -10, -11: -20} {
		equal(t, fmt.Sprintf("decade of %d", year), index.Decade(year), want)
	}
}

// All pages together are the one long page, each book once, whatever their
// size, and also when books are added between two of them.
func TestPages(t *testing.T) {
	for _, text := range []string{"love", "histroy love", "of"} {
		books := library(3000)
		x := fill(books)
		whole := x.Search(index.Query{Text: text, Limit: len(books)})
		if whole.More || len(whole.Places) != whole.Total || whole.Total < 20 {
			t.Fatalf("%q: %d of %d on one page, more: %v", text, len(whole.Places), whole.Total, whole.More)
		}
		var pages []index.Place
		for q := (index.Query{Text: text, Limit: 7}); ; {
			a := x.Search(q)
			pages = append(pages, a.Places...)
			if !a.More {
				break
			}
			q.After = &a.Places[len(a.Places)-1]
			if len(pages) == 14 {
				// The best answer there can be, and the worst.
				x.Put([]index.Book{{ID: 9001, Title: text, Popularity: 1 << 40}, {ID: 9002, Title: "A history of love and all that", Popularity: -1}})
			}
		}
		pages = slices.DeleteFunc(pages, func(p index.Place) bool { return p.ID == 9002 })
		equal(t, text, pages, whole.Places)
	}
}

func TestChanges(t *testing.T) {
	x := fill(slices.Clone(shelf))
	for i := range 2 * len(shelf) {
		// Every change of words leaves the old ones behind, until they are many.
		x.Put([]index.Book{{ID: 1, Title: fmt.Sprintf("Attempt %d", i), Year: int32(i)}})
	}
	x.Put([]index.Book{{ID: 2, Title: "Dune Messiah", Authors: []string{"Frank Herbert"}, Series: "Dune Chronicles", Popularity: 30, Category: 7}})
	equal(t, "books", x.Len(), len(shelf))
	find := func(text string) (ids []int32) {
		for _, p := range x.Search(index.Query{Text: text, Limit: 10}).Places {
			ids = append(ids, p.ID)
		}
		return ids
	}
	equal(t, "old words", find("dune"), []int32{2, 3})
	equal(t, "new words", find(fmt.Sprintf("attempt %d", 2*len(shelf)-1)), []int32{1})
	equal(t, "words in between", len(find("attempt 3")), 0)
	equal(t, "category", x.Search(index.Query{Text: "dune", Filter: index.Filter{Category: 7}, Limit: 1}).Total, 1)
	x.SetPopularity(8, 1)
	x.SetPopularity(999, 1)
	equal(t, "order after a change of popularity", find("bronte"), []int32{7, 8})
}

// Among many books the best known ones that begin as somebody types are the
// same as if all had been looked at, also right after changes.
func TestTypingAmongManyBooks(t *testing.T) {
	books := library(60_000)
	for i := range books {
		books[i].ID = int32(i + 1)
	}
	x := fill(books)
	const most = 32
	check := func(what string) {
		t.Helper()
		for _, text := range []string{"l", "b", "the", "the l"} {
			var want []int32
			for _, b := range books {
				words := strings.Fields(b.Title)
				// A name of as many words counts as much as the beginning of a title.
				begins := strings.HasPrefix(b.Title, text) || strings.Contains(text, " ") && strings.HasPrefix(b.Authors[0], text)
				if len(words) > 1 && words[0] == "the" {
					begins = begins || strings.HasPrefix(strings.Join(words[1:], " "), text)
				}
				if begins {
					want = append(want, b.ID)
				}
			}
			slices.SortStableFunc(want, func(a, b int32) int {
				return cmp.Or(cmp.Compare(books[b-1].Popularity, books[a-1].Popularity), cmp.Compare(a, b))
			})
			var got []int32
			for _, p := range x.Search(index.Query{Text: text, Typing: true, Limit: most}).Places {
				got = append(got, p.ID)
			}
			equal(t, what+": typing "+text, got, want[:min(most, len(want))])
		}
	}
	check("at first")
	for i := range 3 {
		b := &books[40_000+i]
		b.Popularity = 1 << 30
		x.SetPopularity(b.ID, b.Popularity)
	}
	check("after some have become popular")
	books[50_000].Title, books[50_000].Popularity = "Love of Libraries", 1<<31
	books[50_000].Title = strings.ToLower(books[50_000].Title)
	x.Put(books[50_000:50_001])
	check("after one is called otherwise")
	for i := range books {
		books[i].Popularity = int64(i)
		x.SetPopularity(books[i].ID, books[i].Popularity)
	}
	check("after all have another popularity")
	for i := range books {
		books[i].Title += " b"
	}
	x.Put(books)
	check("after all are called otherwise")
}

// library makes n books with names of made-up words, some of them frequent.
func library(n int) []index.Book {
	random := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		if random.IntN(3) == 0 {
			return []string{"the", "of", "a", "and", "history", "love"}[random.IntN(6)]
		}
		var b strings.Builder
		for range 2 + random.IntN(3) {
			b.WriteByte("bcdfghklmnprstvw"[random.IntN(16)])
			b.WriteByte("aeiou"[random.IntN(5)])
		}
		return b.String()
	}
	words := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = word()
		}
		return strings.Join(all, " ")
	}
	books := make([]index.Book, n)
	for i := range books {
		books[i] = index.Book{
			Title: words(1 + random.IntN(6)), Authors: []string{words(2)},
			Category: int32(1 + random.IntN(32)), Year: int32(1800 + random.IntN(220)), Popularity: int64(n / (i + 1)),
		}
	}
	return books
}

// No search is an error, whatever it says, and none finds a book twice.
func FuzzSearch(f *testing.F) {
	x := fill(append(library(300), shelf...))
	for _, text := range []string{
		"", "a", `"`, `a" OR "b`, "a*", "-", "it's", "\x00", "\xff", "İstanbul", "ﬁ", "한국", "%_", "三体三",
		strings.Repeat("abcdefgh", 25), strings.Repeat("a ", 100), strings.Repeat("dune", 10), strings.Repeat("é", 41),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, q := range []index.Query{{Text: text, Limit: 5}, {Text: text, Limit: 5, Typing: true}} {
			a := x.Search(q)
			if len(a.Places) > 5 || a.Total < len(a.Places) || a.More != (a.Total > len(a.Places)) {
				t.Fatalf("%d places of %d, more: %v", len(a.Places), a.Total, a.More)
			}
			for i := 1; i < len(a.Places); i++ {
				if a.Places[i] == a.Places[i-1] {
					t.Fatalf("%v twice", a.Places[i])
				}
			}
			if a.Total == 0 {
				for _, other := range x.Nearest(q) {
					if x.Search(index.Query{Text: other, Limit: 1}).Total == 0 {
						t.Fatalf("%q is offered and finds nothing", other)
					}
				}
			}
		}
	})
}

func BenchmarkSearch(b *testing.B) {
	books := library(10_000)
	x := fill(books)
	for name, text := range map[string]string{
		"title": books[4321].Title, "misspelled": "histroy of lvoe and barelona", "common": "the", "short": "a",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				x.Search(index.Query{Text: text, Limit: 20})
			}
		})
	}
}

// BenchmarkTyping is what the first letters of a title cost among a million
// books.
func BenchmarkTyping(b *testing.B) {
	x := fill(library(1_000_000))
	for _, text := range []string{"b", "ba", "the l", "history of"} {
		b.Run(text, func(b *testing.B) {
			x.Search(index.Query{Text: text, Typing: true, Limit: 32}) // makes the order
			for b.Loop() {
				x.Search(index.Query{Text: text, Typing: true, Limit: 32})
			}
		})
	}
}
