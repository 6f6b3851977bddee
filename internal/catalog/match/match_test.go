package match_test

import (
	"slices"
	"testing"

	"github.com/octavo-books/octavo/internal/catalog/match"
)

func TestTitles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b match.Work
		want match.Likeness
	}{
		{match.Work{Title: "Dune"}, match.Work{Title: "DUNE"}, match.SameTitle},
		{match.Work{Title: "Dune (Dune, #1)"}, match.Work{Title: "Dune", Series: "Dune Chronicles", Place: 1}, match.SameTitle},
		{match.Work{Title: "The Hobbit"}, match.Work{Title: "Hobbit"}, match.SameTitle},
		{match.Work{Title: "L'Étranger"}, match.Work{Title: "l’etranger"}, match.SameTitle},
		{match.Work{Title: "Pride & Prejudice"}, match.Work{Title: "Pride and Prejudice"}, match.SameTitle},
		{match.Work{Title: "Emma: A Novel"}, match.Work{Title: "Emma"}, match.SameTitle},
		{match.Work{Title: "Emma (Penguin Classics)"}, match.Work{Title: "Emma"}, match.SameTitle},
		{match.Work{Title: "Sapiens: A Brief History of Humankind"}, match.Work{Title: "Sapiens"}, match.SameMain},
		{match.Work{Title: "Frankenstein; or, The Modern Prometheus"}, match.Work{Title: "Frankenstein"}, match.SameMain},
		{match.Work{Title: "Frankenstein, or The Modern Prometheus"}, match.Work{Title: "Frankenstein: The Modern Prometheus"}, match.SameTitle},
		{match.Work{Title: "Middlemarch – A Study of Provincial Life"}, match.Work{Title: "Middlemarch"}, match.SameMain},

		{match.Work{Title: "Emma"}, match.Work{Title: "Emma's Secret"}, match.Different},
		{match.Work{Title: "Star Wars: A New Hope"}, match.Work{Title: "Star Wars: Heir to the Empire"}, match.Different},
		{match.Work{Title: "Saga"}, match.Work{Title: "Saga: Volume 2"}, match.Different},
		{match.Work{Title: "Saga"}, match.Work{Title: "Saga: Part Two"}, match.Different},
		{match.Work{Title: "Mistborn: The Well of Ascension (Mistborn, #2)"}, match.Work{Title: "Mistborn"}, match.Different},
		{match.Work{Title: "Mistborn"}, match.Work{Title: "Mistborn: The Final Empire", Series: "Mistborn"}, match.Different},
		{match.Work{Title: "Collected Works (Letters, #1)"}, match.Work{Title: "Collected Works", Series: "Letters", Place: 2}, match.Different},
		{match.Work{Title: "Collected Works (Letters Book #1)"}, match.Work{Title: "Collected Works", Series: "The Letters", Place: 2}, match.Different},
		{match.Work{Title: ""}, match.Work{Title: ""}, match.Different},
		{match.Work{Title: "***"}, match.Work{Title: "???"}, match.Different},
	} {
		if got, back := match.Titles(c.a, c.b), match.Titles(c.b, c.a); got != c.want || back != c.want {
			t.Errorf("Titles(%+v, %+v) = %v, the other way round %v, want %v", c.a, c.b, got, back, c.want)
		}
	}
}

func TestAuthors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"J.R.R. Tolkien", "John Ronald Reuel Tolkien", true},
		{"J. R. R. Tolkien", "JRR Tolkien", true},
		{"Tolkien", "J.R.R. Tolkien", true},
		{"Ursula K. Le Guin", "Ursula Le Guin", true},
		{"Le Guin, Ursula K.", "Ursula K. Le Guin", true},
		{"Gabriel García Márquez", "Garcia Marquez, Gabriel", true},
		{"Haruki Murakami", "Murakami Haruki", true},
		{"Kurt Vonnegut Jr.", "Kurt Vonnegut", true},
		{"Martin Luther King, Jr.", "Martin Luther King", true},
		{"Dr. Seuss", "Seuss", true},
		{"Flann O’Brien", "Flann O'Brien", true},
		{"Homer", "Homer", true},

		{"Stephen King", "Owen King", false},
		{"S. King", "Owen King", false},
		{"Anne Brontë", "Charlotte Brontë", false},
		{"Alexandre Dumas fils", "Alexandre Dumas", false},
		{"", "Homer", false},
		{"", "", false},
	} {
		if got, back := match.Authors([]string{c.a}, []string{"Nobody Else", c.b}), match.Authors([]string{c.b}, []string{c.a}); got != c.want || back != c.want {
			t.Errorf("Authors(%q, %q) = %v, the other way round %v, want %v", c.a, c.b, got, back, c.want)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for title, want := range map[string][]string{
		"The Hobbit: There & Back Again": {"hobbit"},
		"Pride & Prejudice (Classics)":   {"pride", "prejudice"},
		"And":                            {"and"},
		"":                               nil,
	} {
		if got := match.Words(title); !slices.Equal(got, want) {
			t.Errorf("Words(%q) = %q, want %q", title, got, want)
		}
	}
	if got := match.Names([]string{"Le Guin, Ursula K.", "Émile Zola", ""}); !slices.Equal(got, []string{"guin", "zola"}) {
		t.Errorf("Names: %q", got)
	}
}

func FuzzTitles(f *testing.F) {
	f.Add("Mort (Death, #1; Discworld, #4)", "Mort: A Novel [Paperback]")
	f.Add("a - b", "(((")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := match.Work{Title: a, Authors: []string{b}}, match.Work{Title: b, Authors: []string{a}}
		if match.Titles(x, y) != match.Titles(y, x) {
			t.Errorf("%q is like %q, but not the other way round", a, b)
		}
		if match.Authors(x.Authors, y.Authors) != match.Authors(y.Authors, x.Authors) {
			t.Errorf("%q may be %q, but not the other way round", a, b)
		}
		if len(match.Words(a)) > 0 != (match.Titles(x, x) == match.SameTitle) {
			t.Errorf("%q is not itself", a)
		}
	})
}
