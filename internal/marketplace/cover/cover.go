// Package cover draws book covers: one SVG for each book, from its title, its
// authors and its category alone. The same book always has the same cover.
//
// It is pure: no files, no network, no clock. Type is set in the fonts of the
// page (`.cover`, and `.cover .s` for sans serif) and never runs over the edge.
package cover

import (
	"fmt"
	"hash/fnv"
	"html"
	"strconv"
	"strings"
)

// A cover is Width by Height units large.
const (
	Width  = 240
	Height = 360
)

// Book is what a cover shows.
type Book struct {
	Title    string
	Authors  []string // best known first
	Category uint8    // number of the category, which chooses the colours; 0 for none
}

// Draw is the cover as an SVG element to be placed in an HTML page. It is
// hidden from assistive technology: the page names the book beside it.
func Draw(b Book) string {
	key := fnv.New64a()
	// Writing to a hash does not fail.
	_, _ = fmt.Fprintf(key, "%s\x00%s\x00%d", b.Title, strings.Join(b.Authors, "\x00"), b.Category)
	d := &dice{key.Sum64()}
	design := designs[d.roll(len(designs))]
	s := &sheet{palette: newPalette(b.Category, d), dice: d, author: byline(b.Authors)}
	s.title, s.rest = headline(b.Title)
	s.printf(`<svg class="cover" viewBox="0 0 %d %d" aria-hidden="true" focusable="false">`, Width, Height)
	design(s)
	s.printf(`</svg>`)
	return string(s.svg)
}

// dice are thrown the same way for the same book: splitmix64.
type dice struct{ state uint64 }

// roll is a number from 0 to n-1.
func (d *dice) roll(n int) int {
	d.state += 0x9e3779b97f4a7c15
	z := d.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int((z ^ z>>31) % uint64(n))
}

// sheet is the cover being printed.
type sheet struct {
	palette
	*dice
	title, rest, author string
	svg                 []byte
}

func (s *sheet) printf(format string, args ...any) {
	s.svg = fmt.Appendf(s.svg, format, args...)
}

func (s *sheet) rect(x, y, w, h float64, fill rgb) {
	s.printf(`<rect x="%s" y="%s" width="%s" height="%s" fill="%v"/>`, num(x), num(y), num(w), num(h), fill)
}

func (s *sheet) disc(x, y, r float64, fill rgb) {
	s.printf(`<circle cx="%s" cy="%s" r="%s" fill="%v"/>`, num(x), num(y), num(r), fill)
}

func (s *sheet) shape(d string, fill rgb) {
	s.printf(`<path d="%s" fill="%v"/>`, d, fill)
}

func (s *sheet) line(d string, stroke rgb, width float64) {
	s.printf(`<path d="%s" fill="none" stroke="%v" stroke-width="%s"/>`, d, stroke, num(width))
}

// type styles of write.
const (
	centred = 1 << iota
	italic
)

// write prints set lines, the top of the first at y, and says where the next
// text may begin.
func (s *sheet) write(t setting, f face, x, y, leading float64, ink rgb, style int) float64 {
	if len(t.lines) == 0 {
		return y
	}
	s.printf(`<text font-size="%s" fill="%v"`, num(t.size), ink)
	if f.class != "" {
		s.printf(` class="%s"`, f.class)
	}
	if style&centred != 0 {
		s.printf(` text-anchor="middle"`)
	}
	if style&italic != 0 {
		s.printf(` font-style="italic"`)
	}
	s.printf(`>`)
	baseline := y + t.size*0.82
	for _, line := range t.lines {
		s.printf(`<tspan x="%s" y="%s">%s</tspan>`, num(x), num(baseline), html.EscapeString(line))
		baseline += t.size * leading
	}
	s.printf(`</text>`)
	return y + t.height(leading)
}

const tight, loose = 1.12, 1.28

// heading prints the title and what follows it in a box at x, y and says where
// it ended.
func (s *sheet) heading(f face, x, y, width, height, largest float64, ink rgb, style int) float64 {
	main := height
	if s.rest != "" {
		main = height * 0.68
	}
	title := s.title
	if f.class == sans.class {
		title = strings.ToUpper(title)
	}
	end := s.write(set(title, f, box{width: width, height: main, largest: largest, smallest: 13, leading: tight}), f, x, y, tight, ink, style)
	if s.rest == "" {
		return end
	}
	small := set(s.rest, serif, box{width: width, height: y + height - end - 6, largest: min(16, largest*0.5), smallest: 11, leading: loose})
	return s.write(small, serif, x, end+6, loose, ink, style&centred|italic)
}

// headingHeight is where heading would end if it began at 0.
func (s *sheet) headingHeight(f face, width, height, largest float64) float64 {
	trial := &sheet{palette: s.palette, dice: s.dice, title: s.title, rest: s.rest}
	return trial.heading(f, 0, 0, width, height, largest, s.ink, 0)
}

// sign prints the authors, the baseline of the last line at y.
func (s *sheet) sign(f face, x, y, width float64, ink rgb, style int) {
	t := set(s.author, f, box{width: width, height: 40, largest: 15, smallest: 10.5, leading: loose, lines: 2})
	s.write(t, f, x, y-t.height(loose)+t.size*(loose-0.82), loose, ink, style)
}

// caption prints the title and, in one line of the face below it, the authors.
// It says where the last line ends.
func (s *sheet) caption(f face, x, y, height, largest float64, style int) float64 {
	const width = 200
	end := s.heading(serif, x, y, width, height, largest, s.ink, style) + 8
	return s.write(set(s.author, f, box{width: width, height: 20, largest: 14.5, smallest: 10.5, leading: tight, lines: 1}), f, x, end, tight, s.ink, style)
}

// num is a coordinate with at most one decimal.
func num(v float64) string {
	text := strconv.FormatFloat(v, 'f', 1, 64)
	return strings.TrimSuffix(text, ".0")
}
