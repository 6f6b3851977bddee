package index

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Letters that have no decomposition into a plain letter and a mark.
var plain = strings.NewReplacer(
	"ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "ł", "l", "đ", "d", "ð", "d", "þ", "th", "ı", "i",
)

// Fold reduces text to what counts when searching: lower-case letters without
// accents and digits, in words with one space between. Apostrophes vanish, so
// that "Ender's" is found as "enders".
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

func fold(text string) []string { return strings.Fields(Fold(text)) }
