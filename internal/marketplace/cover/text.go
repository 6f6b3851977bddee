package cover

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// face is a family of type. Only its widths are known here: which font shows
// it is the browser's choice, so they are those of the widest in common use,
// and a line that fits by them fits in all.
type face struct {
	class  string
	widths *[95]uint8 // of U+0020 to U+007E, in hundredths of the size
}

var (
	serif = face{class: "", widths: &[95]uint8{
		32, 40, 46, 84, 64, 95, 89, 27, 39, 39, 50, 84, 32, 34, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 34, 34, 84, 84, 84, 54,
		100, 72, 73, 77, 80, 73, 69, 80, 87, 40, 40, 75, 66, 102, 88, 82, 67, 82, 75, 69, 67, 84, 72, 103, 71, 66, 69, 39, 34, 39, 84, 50,
		50, 60, 64, 56, 64, 59, 37, 64, 64, 32, 31, 61, 32, 95, 64, 60, 64, 64, 48, 51, 40, 64, 56, 86, 56, 56, 53, 64, 34, 64, 84,
	}}
	sans = face{class: "s", widths: &[95]uint8{
		35, 46, 52, 84, 70, 100, 87, 31, 46, 46, 52, 84, 38, 42, 38, 37, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 40, 40, 84, 84, 84, 58,
		100, 77, 76, 73, 83, 68, 68, 82, 84, 37, 37, 77, 64, 100, 84, 85, 73, 85, 77, 72, 68, 81, 77, 110, 77, 72, 73, 46, 37, 46, 84, 50,
		50, 67, 72, 59, 72, 68, 44, 72, 71, 34, 34, 67, 34, 104, 71, 69, 72, 72, 49, 60, 48, 71, 65, 92, 65, 65, 58, 71, 37, 71, 84,
	}}
)

// width of s in units of its size, at most.
func (f face) width(s string) float64 {
	var sum int
	for _, r := range s {
		switch {
		case r >= ' ' && r <= '~':
			sum += int(f.widths[r-' '])
		case unicode.Is(unicode.Mn, r):
		case r < 0x1100:
			// Other alphabets: a capital's width, which Latin letters with
			// accents, Greek and Cyrillic seldom pass.
			sum += 88
		default:
			sum += 104
		}
	}
	return float64(sum) / 100
}

// setting is text set in lines of one size.
type setting struct {
	lines []string
	size  float64
}

func (s setting) height(leading float64) float64 {
	return float64(len(s.lines)) * s.size * leading
}

// box is the space a text has.
type box struct {
	width, height     float64
	largest, smallest float64 // sizes of type
	leading           float64 // distance of lines in units of the size
	lines             int     // at most; 0 for what fits
}

// set breaks text into lines that fit b, as large as possible and as even as
// possible. What does not fit at the smallest size is cut with an ellipsis.
func set(text string, f face, b box) setting {
	words := strings.Fields(text)
	if len(words) == 0 {
		return setting{size: b.smallest}
	}
	size := b.largest
	for ; size > b.smallest; size = max(b.smallest, size*0.94) {
		if n, ok := greedy(words, f, b.width/size); ok && n <= b.fits(size) {
			return setting{even(words, f, b.width/size, n), size}
		}
	}
	words = chop(words, f, b.width/size)
	n, _ := greedy(words, f, b.width/size)
	if n <= b.fits(size) {
		return setting{even(words, f, b.width/size, n), size}
	}
	return setting{cut(words, f, b.width/size, b.fits(size)), size}
}

func (b box) fits(size float64) int {
	n := max(1, int(b.height/(size*b.leading)))
	if b.lines > 0 {
		n = min(n, b.lines)
	}
	return n
}

// greedy counts the lines that words need. It says false when a word alone is
// wider than a line.
func greedy(words []string, f face, width float64) (int, bool) {
	lines, used, space := 1, 0.0, f.width(" ")
	for _, word := range words {
		w := f.width(word)
		switch {
		case w > width:
			return 0, false
		case used == 0:
			used = w
		case used+space+w <= width:
			used += space + w
		default:
			lines++
			used = w
		}
	}
	return lines, true
}

// even breaks words into n lines so that the widest is as narrow as can be.
func even(words []string, f face, width float64, n int) []string {
	low, high := 0.0, width
	for range 12 {
		middle := (low + high) / 2
		if lines, ok := greedy(words, f, middle); ok && lines <= n {
			high = middle
		} else {
			low = middle
		}
	}
	return fill(words, f, high)
}

func fill(words []string, f face, width float64) []string {
	var lines []string
	line := words[0]
	for _, word := range words[1:] {
		if f.width(line)+f.width(" ")+f.width(word) <= width {
			line += " " + word
			continue
		}
		lines = append(lines, line)
		line = word
	}
	return append(lines, line)
}

// chop splits the words that are wider than a line.
func chop(words []string, f face, width float64) []string {
	var out []string
	for _, word := range words {
		for f.width(word) > width {
			at := 0
			for i, r := range word {
				next := i + utf8.RuneLen(r)
				if at > 0 && f.width(word[:next])+f.width("-") > width {
					break
				}
				at = next
			}
			if at >= len(word) {
				break
			}
			out = append(out, word[:at]+"-")
			word = word[at:]
		}
		out = append(out, word)
	}
	return out
}

// cut keeps n lines and ends the last with an ellipsis.
func cut(words []string, f face, width float64, n int) []string {
	lines := fill(words, f, width)
	lines = lines[:min(n, len(lines))]
	last := []rune(lines[len(lines)-1])
	for len(last) > 0 && f.width(string(last)+"…") > width {
		last = last[:len(last)-1]
	}
	lines[len(lines)-1] = strings.TrimRight(string(last), " -,;:") + "…"
	return lines
}

// headline splits a title into what is printed large and what is printed
// small below it, which may be empty.
func headline(title string) (main, rest string) {
	title = clean(title)
	if open := strings.LastIndex(title, " ("); open > 0 && strings.HasSuffix(title, ")") {
		title = title[:open] // a series in brackets is told beside the cover
	}
	for _, mark := range []string{": ", "; ", " – ", " — "} {
		if at := strings.Index(title, mark); at >= 3 {
			return title[:at], title[at+len(mark):]
		}
	}
	return title, ""
}

// longest is how many characters of a text come into question for a cover.
const longest = 160

// clean is text as it can be printed: in one line and not endless.
func clean(text string) string {
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n++; n > longest {
			break
		}
		if r = printable(r); r >= 0 {
			b.WriteRune(r)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func printable(r rune) rune {
	if unicode.IsSpace(r) {
		return ' '
	}
	if !unicode.IsPrint(r) {
		return -1
	}
	return r
}

// byline names the authors in few words.
func byline(authors []string) string {
	switch len(authors) {
	case 0:
		return ""
	case 1:
		return clean(authors[0])
	case 2:
		return clean(authors[0]) + " & " + clean(authors[1])
	default:
		return clean(authors[0]) + " & others"
	}
}
