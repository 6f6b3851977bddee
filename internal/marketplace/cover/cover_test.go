package cover

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden covers anew")

var examples = map[string]Book{
	"dune":         {"Dune", []string{"Frank Herbert"}, 5},
	"sapiens":      {"Sapiens: A Brief History of Humankind", []string{"Yuval Noah Harari"}, 22},
	"left-hand":    {"The Left Hand of Darkness", []string{"Ursula K. Le Guin"}, 5},
	"good-omens":   {"Good Omens", []string{"Terry Pratchett", "Neil Gaiman"}, 7},
	"crime":        {"Преступление и наказание", []string{"Фёдор Достоевский"}, 1},
	"genji":        {"源氏物語", []string{"紫式部"}, 1},
	"long-word":    {"Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz", []string{"Bundesministerium"}, 20},
	"script":       {`<script>alert("x")</script>`, []string{`"><img src=x onerror=alert(1)>`}, 1},
	"series":       {"The Girl with the Dragon Tattoo (Millennium, #1)", []string{"Stieg Larsson"}, 4},
	"no-author":    {"Beowulf", nil, 17},
	"no-category":  {"Hamlet", []string{"William Shakespeare"}, 0},
	"far-category": {"Hamlet", []string{"William Shakespeare"}, 255},
	"long-title":   {strings.Repeat("A very long title indeed, and then ", 14), []string{strings.Repeat("Name ", 40)}, 3},
}

func TestCoversAreAsBefore(t *testing.T) {
	for name, book := range examples {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".svg")
			got := Draw(book) + "\n"
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("the cover changed; if it should, run go test with -update\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestBooksOfOneShelfLookDifferent(t *testing.T) {
	seen := map[string]string{}
	for i := range 200 {
		title := "Volume " + strconv.Itoa(i)
		// What is left without the text is the design.
		design := regexp.MustCompile(`<text.*</text>`).ReplaceAllString(Draw(Book{Title: title, Category: 7}), "")
		seen[design] = title
	}
	if len(seen) < 100 {
		t.Errorf("200 books have %d designs, want at least 100", len(seen))
	}
}

func TestTextIsReadable(t *testing.T) {
	for category := range uint8(34) {
		for seed := range uint64(200) {
			p := newPalette(category, &dice{seed})
			if got := contrast(p.ground, p.ink); got < 5 {
				t.Errorf("category %d, seed %d: ink on ground has contrast %.1f, want 5", category, seed, got)
			}
			if got := contrast(p.paper, p.dark); got < 5 {
				t.Errorf("category %d, seed %d: text on paper has contrast %.1f, want 5", category, seed, got)
			}
		}
	}
}

// checkCover reads a cover back as XML and measures its text.
func checkCover(t *testing.T, book Book) {
	t.Helper()
	drawn := Draw(book)
	if again := Draw(book); again != drawn {
		t.Fatal("the same book has two covers")
	}
	decoder := xml.NewDecoder(strings.NewReader(drawn))
	face, size, x, y, anchor := serif, 0.0, 0.0, 0.0, ""
	var discs [][3]float64
	var lines [][4]float64
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%q: not well formed: %v\n%s", book.Title, err, drawn)
		}
		switch token := token.(type) {
		case xml.StartElement:
			switch token.Name.Local {
			case "svg", "g", "path", "rect":
			case "circle":
				discs = append(discs, [3]float64{})
			case "text":
				face, anchor = serif, ""
			case "tspan":
			default:
				t.Fatalf("%q: a cover with an element %s", book.Title, token.Name.Local)
			}
			for _, a := range token.Attr {
				switch a.Name.Local {
				case "style", "id", "href", "onload":
					t.Fatalf("%q: a cover with an attribute %s", book.Title, a.Name.Local)
				case "class":
					if a.Value == sans.class {
						face = sans
					}
				case "font-size":
					size = number(t, a.Value)
				case "text-anchor":
					anchor = a.Value
				case "cx", "cy", "r":
					discs[len(discs)-1][strings.Index("cxcyr", a.Name.Local)/2] = number(t, a.Value)
				case "x":
					x = number(t, a.Value)
				case "y":
					if y = number(t, a.Value); token.Name.Local == "tspan" && (y < 0 || y > Height) {
						t.Fatalf("%q: text at height %v, outside the cover", book.Title, y)
					}
				}
			}
		case xml.CharData:
			left, right := x, x+face.width(string(token))*size
			if anchor == "middle" {
				half := (right - left) / 2
				left, right = x-half, x+half
			}
			if left < -0.5 || right > Width+0.5 {
				t.Fatalf("%q: %q runs from %.1f to %.1f, over the edge", book.Title, token, left, right)
			}
			lines = append(lines, [4]float64{left, y - size*0.7, right, y})
		}
	}
	for _, disc := range discs {
		for _, line := range lines {
			across := disc[0] - min(max(disc[0], line[0]), line[2])
			down := disc[1] - min(max(disc[1], line[1]), line[3])
			if across*across+down*down < disc[2]*disc[2] {
				t.Fatalf("%q: text at %v runs into a disc at %v\n%s", book.Title, line, disc, drawn)
			}
		}
	}
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTextStaysOnTheCover(t *testing.T) {
	for _, book := range examples {
		// Each category number gives another design.
		for category := range uint8(60) {
			book.Category = category
			checkCover(t, book)
		}
	}
}

func FuzzDraw(f *testing.F) {
	for _, book := range examples {
		f.Add(book.Title, strings.Join(book.Authors, ";"), book.Category)
	}
	f.Add("\x00\xff\u202e", "\t\n", uint8(1))
	f.Fuzz(func(t *testing.T, title, authors string, category uint8) {
		checkCover(t, Book{title, strings.Split(authors, ";"), category})
	})
}

func BenchmarkDraw(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Draw(examples["sapiens"])
	}
}
