package importer

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestSplitTitle(t *testing.T) {
	for _, tt := range []struct {
		in, title, series string
		place             float32
	}{
		{"The Hunger Games (The Hunger Games, #1)", "The Hunger Games", "The Hunger Games", 1},
		{"I, Robot (Robot #0.1)", "I, Robot", "Robot", 0.1},
		{"Mort (Death, #1; Discworld, #4)", "Mort", "Death", 1},
		{"Raising Steam (Discworld, #40, Moist von Lipwig #3 )", "Raising Steam", "Discworld", 40},
		{"The Lord of the Rings (The Lord of the Rings, #1-3)", "The Lord of the Rings", "The Lord of the Rings", 0},
		{"Four (Divergent, #0.1 - 0.4)", "Four", "Divergent", 0},
		{"The Theban Plays (The Theban Plays, #1–3)", "The Theban Plays", "The Theban Plays", 0},
		{"Stories (The Selection, #0.5, 2.5)", "Stories", "The Selection", 0},
		{"After the Feast (A Song of Ice and Fire #5, Part 2 of 2)", "After the Feast", "A Song of Ice and Fire", 5},
		{"A Storm of Swords: Steel and Snow (A Song of Ice and Fire, #3: Part 1 of 2)", "A Storm of Swords: Steel and Snow", "A Song of Ice and Fire", 3},
		{"Foundation  (Foundation (Publication Order), #1)", "Foundation", "Foundation (Publication Order)", 1},
		{"Shaman King, Vol. 1: A Shaman in Tokyo", "Shaman King, Vol. 1: A Shaman in Tokyo", "", 0},
		{"I Am America (And So Can You!)", "I Am America (And So Can You!)", "", 0},
		{"Just for You (Little Critter)", "Just for You (Little Critter)", "", 0},
		{"(Untitled, #1)", "(Untitled, #1)", "", 0},
		{"Numbers (#1)", "Numbers (#1)", "", 0},
		{"Unbalanced) (x, #1))", "Unbalanced) (x, #1))", "", 0},
		{"", "", "", 0},
	} {
		title, series, place := splitTitle(tt.in)
		if title != tt.title || series != tt.series || place != tt.place {
			t.Errorf("splitTitle(%q) = %q, %q, %v; want %q, %q, %v", tt.in, title, series, place, tt.title, tt.series, tt.place)
		}
	}
}

func FuzzSplitTitle(f *testing.F) {
	f.Add("The Hunger Games (The Hunger Games, #1)")
	f.Add("x (y #1-2) (z, #99999999999999999999)")
	f.Add("(((#1)))")
	f.Fuzz(func(t *testing.T, s string) {
		title, series, place := splitTitle(s)
		if strings.TrimSpace(strings.ToValidUTF8(s, "")) != "" && utf8.ValidString(s) && title == "" {
			t.Errorf("the title of %q is lost", s)
		}
		if !(place >= 0 && place <= 10000) || series == "" && place != 0 {
			t.Errorf("%q is place %v of series %q", s, place, series)
		}
		if series != "" && (!strings.Contains(s, "#") || !strings.HasPrefix(strings.Join(strings.Fields(s), " "), title)) {
			t.Errorf("%q has no series %q", s, series)
		}
	})
}

func TestParseISBN(t *testing.T) {
	for in, want := range map[string]string{
		"439023483":         "9780439023481", // zeros lost to a spreadsheet
		"0439023483":        "9780439023481",
		"0-8044-2957-X":     "9780804429573",
		"978-0-439-02348-1": "9780439023481",
		`="0439023483"`:     "9780439023481",
		"":                  "",
		"0439023484":        "error",
		"9780439023482":     "error",
		"9.78043902348e+12": "error",
		"X439023483":        "error",
		"12345":             "error",
		"B00X4WHP5E":        "error",
	} {
		got, err := parseISBN(in)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("parseISBN(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestParseLanguage(t *testing.T) {
	for in, want := range map[string]string{
		"eng": "en", "en-US": "en-US", "fre": "fr", "ger": "de", "per": "fa", "mul": "mul", "": "", "English": "error", "xx": "error",
	} {
		got, err := parseLanguage(in)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("parseLanguage(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestParseYear(t *testing.T) {
	for in, want := range map[string]int32{"2008.0": 2008, "-750.0": -750, " 1813 ": 1813, "": 0, "x": -1, "1.5": -1, "NaN": -1, "1e9": -1} {
		got, err := parseYear(in)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("parseYear(%q) = %d, want %d", in, got, want)
		}
	}
}

func TestParseTime(t *testing.T) {
	for in, want := range map[string]string{
		"2026-01-31":                "2026-01-31T00:00:00Z",
		"2026/01/31":                "2026-01-31T00:00:00Z",
		"2026-01-31 18:30":          "2026-01-31T18:30:00Z",
		"2026-01-31T18:30:00+02:00": "2026-01-31T16:30:00Z",
		"1769884200":                "2026-01-31T18:30:00Z",
		"":                          "0001-01-01T00:00:00Z",
		"yesterday":                 "error",
		"2026":                      "error", // a year is not a time
	} {
		at, err := parseTime(in)
		got := at.Format(time.RFC3339)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("parseTime(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestParseCategory(t *testing.T) {
	for in, want := range map[string]string{
		"Science Fiction":          "CATEGORY_SCIENCE_FICTION",
		"sci-fi":                   "CATEGORY_SCIENCE_FICTION",
		"CATEGORY_SCIENCE_FICTION": "CATEGORY_SCIENCE_FICTION",
		"Children's books":         "CATEGORY_CHILDREN",
		"":                         "CATEGORY_UNSPECIFIED",
		"Sciemce":                  `unknown category "Sciemce": did you mean "science"?`,
		"unspecified":              `unknown category "unspecified"; the categories are ` + strings.Join(categoryNames[1:], ", "),
	} {
		c, err := parseCategory(in)
		got := c.String()
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("parseCategory(%q) = %s, want %s", in, got, want)
		}
	}
}
