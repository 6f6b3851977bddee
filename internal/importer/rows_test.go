package importer

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// readAll is everything a file gives, a line for each row or finding.
func readAll(tb testing.TB, text string, fields int) []string {
	tb.Helper()
	r, err := newRows("f.csv", strings.NewReader(text))
	if err != nil {
		return []string{err.Error()}
	}
	r.fields = fields
	var out []string
	for {
		row, err := r.next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			out = append(out, err.Error())
			continue
		}
		out = append(out, fmt.Sprintf("%d %q", r.at(-1).Line, row))
	}
}

func TestRows(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		fields     int
		want       []string
	}{
		{"plain", "a,b\nc,d\n", 2, []string{`1 ["a" "b"]`, `2 ["c" "d"]`}},
		{"no end of line at the end", "a,b", 2, []string{`1 ["a" "b"]`}},
		{"carriage returns", "a,b\r\n\r\nc,d\r\n", 2, []string{`1 ["a" "b"]`, `3 ["c" "d"]`}},
		{"byte-order mark", "\ufeffa,b\n", 2, []string{`1 ["a" "b"]`}},
		{"empty fields", ",\n,x\n", 2, []string{`1 ["" ""]`, `2 ["" "x"]`}},
		{"quotes", `"a,1","b ""c"" d"` + "\n", 2, []string{`1 ["a,1" "b \"c\" d"]`}},
		{"a quote inside a field", "5\" disk,b\n", 2, []string{`1 ["5\" disk" "b"]`}},
		{"line breaks in quotes", "\"a\nb\",c\nd,e\n", 2, []string{`1 ["a\nb" "c"]`, `3 ["d" "e"]`}},
		{"wrong number of fields", "a,b,c\nd\ne,f\n", 2, []string{
			"f.csv:1:5: 3 fields where the header has 2", "f.csv:2:1: 1 field where the header has 2", `3 ["e" "f"]`,
		}},
		{"a quote that never closes costs its own row", "é,\"b\nc,d\ne,f\n", 2, []string{
			"f.csv:1:3: the quote that opens here is not closed", `2 ["c" "d"]`, `3 ["e" "f"]`,
		}},
		{"a quote closed by a later one", "a,\"b\nc,d\ne,\"f\"\n", 2, []string{
			"f.csv:3:4: there is text after a closing quote; a quote inside quotes is doubled", `2 ["c" "d"]`, `3 ["e" "f"]`,
		}},
		{"text after a quote", "\"a\"x,b\nc,d\n", 2, []string{
			"f.csv:1:4: there is text after a closing quote; a quote inside quotes is doubled", `2 ["c" "d"]`,
		}},
		{"Windows-1252", "a,caf\xe9\nb,c\n", 2, []string{
			"f.csv:1:6: byte 0xe9 is not UTF-8; it is “é” in Windows-1252: convert the file (iconv -f WINDOWS-1252 -t UTF-8) and import it again",
			`2 ["b" "c"]`,
		}},
		{"not UTF-8 within quotes", "\"a\n\x81\",b\nc,d\n", 2, []string{
			"f.csv:1:1: the quote that opens here is not closed before a line that is not UTF-8",
			"f.csv:2:1: byte 0x81 is not UTF-8: convert the file and import it again",
			`3 ["c" "d"]`,
		}},
		{"a zero byte", "a,\x00\nb,c\n", 2, []string{"f.csv:1:3: there is a zero byte: this is not a text file", `2 ["b" "c"]`}},
		{"a line too long", strings.Repeat("x", maxLine+1) + "\na,b\n", 2, []string{
			"f.csv:1:1: the line is longer than 1048576 bytes", `2 ["a" "b"]`,
		}},
		{"UTF-16", "\xff\xfea\x00", 0, []string{"f.csv is in UTF-16: save it as UTF-8 (in a spreadsheet: “CSV UTF-8”)"}},
		{"empty", "", 0, []string{"f.csv is empty"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := readAll(t, tt.text, tt.fields); !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// An opening quote is looked for an end only so far, so that the rows after it
// are not lost, nor held in memory.
func TestRowsQuoteIsBounded(t *testing.T) {
	text := "a,\"b\n" + strings.Repeat("c,d\n", 2*maxRowLines)
	got := readAll(t, text, 2)
	if len(got) != 2*maxRowLines+1 || got[0] != "f.csv:1:3: the quote that opens here is not closed" {
		t.Errorf("%d rows, the first %s", len(got), got[0])
	}
}

func TestSeparator(t *testing.T) {
	for header, want := range map[string]byte{
		"title":             ',',
		"title,author;s":    ',',
		"title;author":      ';',
		"title\tauthor\tx,": '\t',
		`"a;b;c",d`:         ',',
	} {
		if got := separator(header); got != want {
			t.Errorf("separator of %q is %q, want %q", header, got, want)
		}
	}
}

func FuzzRows(f *testing.F) {
	for _, s := range []string{"a,b\n", "\"a\nb\",c\r\n", "a,\"b\nc\"d,e\n", "\ufeffx", "\"\"\"", "caf\xe9,\x00\n", "\n\n,\"\n"} {
		f.Add(s, 2)
	}
	f.Fuzz(func(t *testing.T, text string, fields int) {
		r, err := newRows("f.csv", strings.NewReader(text))
		if err != nil {
			return
		}
		r.fields = max(fields%4, 0)
		last := 0
		for n := 0; ; n++ {
			if n > len(text) {
				t.Fatalf("more rows than bytes: reading does not go on")
			}
			row, err := r.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if r.first <= last {
				t.Fatalf("row on line %d after one on line %d", r.first, last)
			}
			last = r.first
			if finding, ok := errors.AsType[Finding](err); ok {
				if finding.Line < last || finding.Column < 1 || finding.Reason == "" {
					t.Fatalf("finding %+v for the row on line %d", finding, last)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.fields > 0 && len(row) != r.fields {
				t.Fatalf("%d fields, want %d", len(row), r.fields)
			}
			for i, v := range row {
				if !utf8.ValidString(v) {
					t.Fatalf("field %q is not UTF-8", v)
				}
				if p := r.at(i); p.Line < last || p.Column < 1 {
					t.Fatalf("field at %v in the row on line %d", p, last)
				}
			}
		}
		if lines := strings.Count(text, "\n") + 1; last > lines {
			t.Fatalf("row on line %d of %d", last, lines)
		}
	})
}
