package importer

import (
	"strings"
	"testing"
)

func TestHarmless(t *testing.T) {
	for text, want := range map[string]string{
		"":               "",
		"Dune":           "Dune",
		"=1+1":           "'=1+1",
		"+1":             "'+1",
		"-1":             "'-1",
		"@SUM(A1)":       "'@SUM(A1)",
		"\t=1":           "'\t=1",
		"\r=1":           "'\r=1",
		"＝1":             "'＝1",
		"'=1":            "''=1",
		"'Tis Pity":      "'Tis Pity",
		"1 = 1":          "1 = 1",
		"''-":            "'''-",
		"Catch-22 (=22)": "Catch-22 (=22)",
	} {
		got := Harmless(text)
		if got != want {
			t.Errorf("Harmless(%q) = %q, want %q", text, got, want)
		}
		if back := plainCell(got); back != text {
			t.Errorf("%q comes back as %q", text, back)
		}
	}
}

func FuzzHarmless(f *testing.F) {
	for _, text := range []string{"=1", "'=1", "Dune", "'", "\t", "＋1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := Harmless(text)
		if startsFormula(got) {
			t.Errorf("%q begins a formula", got)
		}
		if back := plainCell(got); back != text {
			t.Errorf("%q became %q and came back as %q", text, got, back)
		}
		if strings.TrimLeft(got, "'") != strings.TrimLeft(text, "'") {
			t.Errorf("%q became %q", text, got)
		}
	})
}
