package isbn_test

import (
	"errors"
	"testing"

	"github.com/octavo-books/octavo/internal/isbn"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"0439023483":        "9780439023481",
		"0-8044-2957-X":     "9780804429573",
		"080442957x":        "9780804429573",
		"978-0-439-02348-1": "9780439023481",
		"978 0 439 02348 1": "9780439023481",
		"978–0439023481":    "9780439023481",
		"9791032305690":     "9791032305690",
		"0439023484":        "check",
		"9780439023482":     "check",
		"4006381333931":     "form", // a number of goods, right by its check digit
		"X439023483":        "form",
		"978043902348X":     "form",
		"439023483":         "form",
		"":                  "form",
		"０439023483":        "form",
	} {
		got, err := isbn.Parse(in)
		switch {
		case errors.Is(err, isbn.ErrCheck):
			got = "check"
		case errors.Is(err, isbn.ErrForm):
			got = "form"
		}
		if got != want {
			t.Errorf("Parse(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("0-8044-2957-X")
	f.Add("978-0-439-02348-1")
	f.Fuzz(func(t *testing.T, text string) {
		number, err := isbn.Parse(text)
		if err != nil {
			return
		}
		if again, err := isbn.Parse(number); again != number || err != nil || len(number) != 13 {
			t.Errorf("%q is %q, which is %q, %v", text, number, again, err)
		}
	})
}
