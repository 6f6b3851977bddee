package password

import (
	_ "embed"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"

	"github.com/octavo-books/octavo/fault"
)

// Lengths of passwords, in characters (ASVS 5.0, 6.2.1 and 6.2.9).
const (
	Shortest = 8
	Longest  = 128
)

//go:embed common.txt
var commonList string

// common are the words that common passwords are made of.
var common = func() map[string]bool {
	words := make(map[string]bool)
	for word := range strings.FieldsSeq(commonList) {
		words[word] = true
	}
	return words
}()

// Prepare is the password as it is hashed and compared (RFC 8265,
// OpaqueString): the same characters in one spelling of Unicode, every sort of
// space a plain one, nothing cut off and no case changed. What cannot be a
// password, such as one with control characters, is false.
func Prepare(password string) (string, bool) {
	if !utf8.ValidString(password) {
		return "", false
	}
	prepared, err := precis.OpaqueString.String(password)
	return prepared, err == nil
}

// Check says what is wrong with a new password, already prepared, of somebody
// with the name, as an Invalid fault of the field. There are no rules on the
// kinds of characters (ASVS 5.0, 6.2.5).
func Check(field, password, name string) error {
	length := utf8.RuneCountInString(password)
	switch {
	case length < Shortest:
		return fault.NewInvalid(field, "The password is too short: it needs at least %d characters. Several words in a row are easy to remember.", Shortest)
	case length > Longest:
		return fault.NewInvalid(field, "The password is too long: it may have at most %d characters.", Longest)
	case isCommon(password) || plainly(password) == plainly(name):
		return fault.NewInvalid(field, "This password is one of those that are guessed first. Choose another; several words in a row are easy to remember.")
	}
	return nil
}

// isCommon says whether the password is a common word, with the digits and
// signs that people add to it, one or two of them, or a pattern.
func isCommon(password string) bool {
	lower := strings.ToLower(password)
	if common[lower] || isPattern(lower) {
		return true
	}
	word := plainly(lower)
	if common[word] || word == "" {
		return true
	}
	for at := range word {
		if at > 2 && common[word[:at]] && common[word[at:]] && utf8.RuneCountInString(word) <= 2*Shortest {
			return true
		}
	}
	return false
}

var disguises = strings.NewReplacer("@", "a", "4", "a", "3", "e", "1", "i", "!", "i", "0", "o", "$", "s", "5", "s", "7", "t")

// plainly is a password without what is put around and into a word to make it
// look stronger. Five or more digits at an end are kept: they are not from a
// list.
func plainly(password string) string {
	lower := strings.ToLower(password)
	word := strings.TrimFunc(lower, func(r rune) bool { return !unicode.IsLetter(r) && r != '@' && r != '$' })
	if len(lower)-len(word) > 5 {
		word = lower
	}
	return disguises.Replace(strings.TrimRight(word, "@$"))
}

// isPattern says whether the password is few characters over and over, or a
// run of the alphabet or of the digits.
func isPattern(password string) bool {
	runes := []rune(password)
	for period := 1; period <= 4 && period*2 <= len(runes); period++ {
		same := true
		for i := period; i < len(runes) && same; i++ {
			same = runes[i] == runes[i-period]
		}
		if same {
			return true
		}
	}
	for _, step := range []rune{1, -1} {
		run := true
		for i := 1; i < len(runes) && run; i++ {
			d := runes[i] - runes[i-1]
			run = d == step || runes[i-1] == '9' && runes[i] == '0' || runes[i-1] == '0' && runes[i] == '9'
		}
		if run {
			return true
		}
	}
	return false
}
