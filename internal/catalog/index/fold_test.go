package index_test

import (
	"testing"
	"unicode/utf8"

	"github.com/octavo-books/octavo/internal/catalog/index"
)

func TestFold(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "",
		" -- ":                   "",
		"The  Great\tGatsby!":    "the great gatsby",
		"Ender’s Game":           "enders game",
		"Émile Zola":             "emile zola",
		"Smilla’s Følelse, Łódź": "smillas folelse lodz",
		"Straße":                 "strasse",
		"ﬁve Ⅷ １９８４":             "five viii 1984",
		"罪と罰":                    "罪と罰",
		"한국":                     "한국",
		"a\x00b\xffc":            "a b c",
		"İstanbul":               "istanbul",
	} {
		if got := index.Fold(text); got != want {
			t.Errorf("Fold(%q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzFold(f *testing.F) {
	f.Add("Émile’s  Straße — №5")
	f.Add("\xff\x00İ")
	f.Fuzz(func(t *testing.T, text string) {
		folded := index.Fold(text)
		if !utf8.ValidString(folded) {
			t.Errorf("Fold(%q) = %q is not UTF-8", text, folded)
		}
		if again := index.Fold(folded); again != folded {
			t.Errorf("Fold(%q) = %q, folded again %q", text, folded, again)
		}
	})
}
