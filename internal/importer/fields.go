package importer

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/octavo-books/octavo/internal/isbn"
)

// seriesMark is the end of a series' name in a title's brackets: "#", the
// place, and what follows it.
var seriesMark = regexp.MustCompile(`^(.*?)[\s,:]*#\s*([0-9]+(?:\.[0-9]+)?)(.*)$`)

// splitTitle takes the series off a title that carries it in brackets with a
// place: "Mort (Death, #1; Discworld, #4)" is Mort, place 1 in Death. Of
// several series the first counts. A set of several places ("#1-3") has the
// place 0. A title without such brackets stays as it is.
func splitTitle(s string) (title, series string, place float32) {
	s = strings.Join(strings.Fields(s), " ")
	if !strings.HasSuffix(s, ")") {
		return s, "", 0
	}
	open, depth := -1, 0
	for i := len(s) - 1; i >= 0 && open < 0; i-- {
		switch s[i] {
		case ')':
			depth++
		case '(':
			if depth--; depth == 0 {
				open = i
			}
		}
	}
	if open < 0 {
		return s, "", 0
	}
	title = strings.TrimSpace(s[:open])
	inner, _, _ := strings.Cut(s[open+1:len(s)-1], ";")
	m := seriesMark.FindStringSubmatch(inner)
	if m == nil || title == "" {
		return s, "", 0
	}
	series = strings.TrimSpace(m[1])
	for _, word := range []string{" Part", " Book", " Volume", " Vol."} {
		series = strings.TrimRight(strings.TrimSuffix(series, word), " ,:")
	}
	if series == "" {
		return s, "", 0
	}
	if rest := strings.TrimLeft(m[3], " -–—,&+"); rest != "" && rest[0] >= '0' && rest[0] <= '9' {
		return title, series, 0
	}
	p, err := strconv.ParseFloat(m[2], 32)
	if err != nil || p > 10000 {
		return title, series, 0
	}
	return title, series, float32(p)
}

// splitList splits a list of names and drops empty and repeated ones.
func splitList(s, separators string) []string {
	var out []string
	seen := map[string]bool{}
	for _, name := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		name = strings.Join(strings.Fields(name), " ")
		if name != "" && !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	return out
}

// parseYear reads a year, also in the form 2008.0; negative is before the
// common era. Nothing at all is 0.
func parseYear(s string) (int32, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, nil
	}
	y, err := strconv.ParseFloat(s, 64)
	if err != nil || y != math.Trunc(y) || y < -4000 || y > 3000 {
		return 0, fmt.Errorf("%q is not a year from -4000 to 3000", s)
	}
	return int32(y), nil
}

// parseISBN reads an ISBN of 10 or 13 digits and gives the one of 13. Hyphens,
// spaces and a spreadsheet's ="…" are allowed, as are leading zeros that a
// spreadsheet has eaten. Nothing at all is "".
func parseISBN(s string) (string, error) {
	digits := strings.Map(func(r rune) rune {
		if strings.ContainsRune("- =\"'\u00a0", r) {
			return -1
		}
		return r
	}, s)
	if digits == "" {
		return "", nil
	}
	if n := len(digits); n >= 6 && n < 10 {
		digits = strings.Repeat("0", 10-n) + digits
	}
	number, err := isbn.Parse(digits)
	switch {
	case errors.Is(err, isbn.ErrCheck):
		return "", fmt.Errorf("%q is not an ISBN: its check digit is wrong", s)
	case err != nil:
		return "", fmt.Errorf("%q is not an ISBN", s)
	}
	return number, nil
}

// parseISBNs reads a list of ISBNs, with the separators of other lists or with
// commas. The reasons say which of it are none.
func parseISBNs(s string) (numbers []string, reasons []error) {
	for _, text := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(",;|[]", r) }) {
		number, err := parseISBN(text)
		if err != nil {
			reasons = append(reasons, err)
		} else if number != "" && !slices.Contains(numbers, number) {
			numbers = append(numbers, number)
		}
	}
	return numbers[:min(len(numbers), maxISBNs)], reasons
}

// maxISBNs is how many ISBNs of a book the contract allows.
const maxISBNs = 1000

// parseLanguage reads a language's code of two or three letters, with a region
// or without, and gives its BCP 47 tag: eng is en. Nothing at all is "".
func parseLanguage(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", nil
	}
	tag, err := language.Parse(s)
	if err != nil || len(tag.String()) > 35 {
		return "", fmt.Errorf("%q is not a language's code, such as en or pt-BR", s)
	}
	return tag.String(), nil
}

// parseStars reads a rating of 0.5 to 5 in half steps. A decimal comma is
// allowed.
func parseStars(s string) (float32, error) {
	if len(s) == 1 && s[0] >= '1' && s[0] <= '5' { // nearly all of them
		return float32(s[0] - '0'), nil
	}
	v, err := strconv.ParseFloat(strings.Replace(strings.TrimSpace(s), ",", ".", 1), 32)
	if err != nil || !stars(float32(v)) {
		return 0, fmt.Errorf("the rating %q is not one of 0.5 to 5 in half steps", s)
	}
	return float32(v), nil
}

// timeLayouts are the forms of a time in a CSV file, beside Unix seconds. A time
// without a zone is UTC.
var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02", "2006/01/02",
}

// parseTime reads a time. Nothing at all is the zero time.
func parseTime(s string) (time.Time, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return time.Time{}, nil
	}
	if unix, err := strconv.ParseInt(s, 10, 64); err == nil && unix >= 100_000 {
		return time.Unix(unix, 0).UTC(), nil
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time, such as 2026-01-31, 2026-01-31T18:00:00Z or seconds since 1970", s)
}
