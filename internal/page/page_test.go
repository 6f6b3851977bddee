package page_test

import (
	"math"
	"slices"
	"testing"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/page"
)

func TestTokenRoundTrip(t *testing.T) {
	for _, numbers := range [][]int64{{}, {0}, {1, 2, 3}, {math.MaxInt64, 0, math.MaxInt32}} {
		got, err := page.Parse(page.Token(numbers...), len(numbers))
		if err != nil || !slices.Equal(got, numbers) {
			t.Errorf("Parse(Token(%v)) = %v, %v", numbers, got, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, token := range map[string]string{
		"not base64":       "!!",
		"nothing":          "",
		"too few numbers":  page.Token(1),
		"too many numbers": page.Token(1, 2, 3),
		"negative":         "____________AQE",
		"padded varint":    "gAAB",
		"line break":       page.Token(1, 2) + "\n",
	} {
		if got, err := page.Parse(token, 2); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: Parse(%q) = %v, %v; want an Invalid fault", name, token, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(page.Token(1, 2), 2)
	f.Add("gAAB", 2)
	f.Add("", 0)
	f.Fuzz(func(t *testing.T, token string, count int) {
		if count < 0 || count > 8 {
			return
		}
		numbers, err := page.Parse(token, count)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("Parse(%q, %d): %v, want an Invalid fault", token, count, err)
			}
			return
		}
		if again := page.Token(numbers...); again != token {
			t.Fatalf("Parse(%q) = %v, whose token is %q", token, numbers, again)
		}
		for _, n := range numbers {
			if n < 0 {
				t.Fatalf("Parse(%q) = %v", token, numbers)
			}
		}
	})
}
