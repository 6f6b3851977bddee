package cover

import (
	"fmt"
	"math"
	"strings"
)

// designs are the ways a cover can look. Adding one changes the covers of
// most books.
var designs = []func(*sheet){label, frame, tiles, bands, moon, poster, spine, hills, rings, cloth}

// label is a patterned board with a paper label pasted on.
func label(s *sheet) {
	s.rect(0, 0, Width, Height, s.ground)
	s.pattern(0, 0, Width, Height, s.accent, s.second)
	height := s.headingHeight(serif, 148, 150, 29)
	top := 70.0
	bottom := top + 28 + height + 58
	s.rect(34, top, 172, bottom-top, s.paper)
	s.line(fmt.Sprintf("M40 %sH200V%sH40Z", num(top+6), num(bottom-6)), s.dark, 1)
	end := s.heading(serif, 120, top+22, 148, 150, 29, s.dark, centred)
	s.line(fmt.Sprintf("M104 %sh32", num(end+10)), s.dark, 1)
	s.sign(serif, 120, bottom-17, 148, s.dark, centred)
}

// frame is a quiet title page in a double frame.
func frame(s *sheet) {
	s.rect(0, 0, Width, Height, s.ground)
	s.line("M14 14H226V346H14Z", s.accent, 2.5)
	s.line("M20 20H220V340H20Z", s.accent, 0.8)
	end := s.heading(serif, 120, 52, 176, 150, 40, s.ink, centred)
	s.ornament(120, (max(end, 150)+300)/2, 26)
	s.sign(serif, 120, 322, 176, s.ink, centred)
}

// tiles are simple shapes on a grid above the title.
func tiles(s *sheet) {
	s.rect(0, 0, Width, Height, s.ground)
	const side = 60
	colours := []rgb{s.accent, s.second, s.ink}
	for y := 0.0; y < 180; y += side {
		for x := 0.0; x < Width; x += side {
			fill := colours[s.roll(len(colours))]
			at := fmt.Sprintf("M%s %s", num(x), num(y))
			switch s.roll(7) {
			case 0:
				s.rect(x, y, side, side, fill)
			case 1:
				s.disc(x+side/2, y+side/2, side/2, fill)
			case 2:
				s.shape(at+"h60v60a60 60 0 0 1-60-60z", fill)
			case 3:
				s.shape(at+"v60h60a60 60 0 0 0-60-60z", fill)
			case 4:
				s.shape(at+"a30 30 0 0 0 60 0z", fill)
			case 5:
				s.shape(at+"h60l-60 60z", fill)
			default:
				s.disc(x+side/2, y+side/2, side/6, fill)
			}
		}
	}
	s.heading(serif, 18, 198, 206, 104, 37, s.ink, 0)
	s.sign(sans, 18, 340, 206, s.ink, 0)
}

// bands are three fields, the title on paper between two of colour.
func bands(s *sheet) {
	s.rect(0, 0, Width, Height, s.paper)
	s.rect(0, 0, Width, 104, s.ground)
	s.rect(0, 262, Width, 98, s.ground)
	s.ornament(120, 52, 24)
	s.line("M0 110h240M0 256h240", s.ground, 1.5)
	height := s.headingHeight(serif, 204, 126, 38)
	s.heading(serif, 120, 183-height/2, 204, 126, 38, s.dark, centred)
	s.sign(sans, 120, 317, 196, s.ink, centred)
}

// moon is one large disc, sometimes eclipsed.
func moon(s *sheet) {
	s.rect(0, 0, Width, Height, s.ground)
	x, r := float64(40+s.roll(160)), float64(72+s.roll(34))
	y := 262 - float64(s.roll(30))
	end := s.caption(serif, 20, 24, 96, 42, 0)
	y = max(y, end+r+8)
	s.disc(x, y, r, s.accent)
	switch s.roll(3) {
	case 0:
		s.disc(x+r*0.34, y-r*0.22, r*0.82, s.ground)
	case 1:
		s.disc(x, y, r*0.62, s.second)
	default:
		s.line(fmt.Sprintf("M0 %sh240", num(y+r*0.3)), s.ground, 3)
		s.line(fmt.Sprintf("M0 %sh240", num(y+r*0.5)), s.ground, 5)
		s.line(fmt.Sprintf("M0 %sh240", num(y+r*0.72)), s.ground, 7)
	}
}

// poster is nothing but type.
func poster(s *sheet) {
	s.rect(0, 0, Width, Height, s.ground)
	s.rect(20, 24, 44, 7, s.accent)
	s.heading(sans, 20, 46, 202, 226, 42, s.ink, 0)
	s.line("M20 300h200", s.accent, 1.5)
	s.sign(serif, 20, 334, 200, s.ink, 0)
}

// spine is a patterned strip beside a plain board.
func spine(s *sheet) {
	s.rect(0, 0, Width, Height, s.second)
	s.pattern(0, 0, 52, Height, s.accent, s.ground)
	s.rect(52, 0, Width-52, Height, s.ground)
	s.line("M55.5 0v360", s.accent, 2)
	s.heading(serif, 72, 40, 152, 200, 36, s.ink, 0)
	s.sign(serif, 72, 330, 152, s.ink, 0)
}

// hills are ranges of hills under a sun.
func hills(s *sheet) {
	s.rect(0, 0, Width, Height, s.ground)
	end := s.caption(serif, 120, 30, 112, 38, centred)
	x, y, r := float64(50+s.roll(140)), float64(196+s.roll(24)), float64(22+s.roll(16))
	s.disc(x, max(y, end+r+6), r, s.accent)
	layers := []rgb{mix(s.second, s.ground, 0.45), s.second, mix(s.second, s.accent, 0.5), s.ink}
	for i, fill := range layers {
		y := 226 + float64(i)*27
		var d strings.Builder
		fmt.Fprintf(&d, "M0 %s", num(y+float64(s.roll(18))))
		for x := 60; x <= Width; x += 60 {
			fmt.Fprintf(&d, "S%d %s %d %s", x-34+s.roll(8), num(y+float64(s.roll(44))-24), x, num(y+float64(s.roll(20))))
		}
		d.WriteString("V360H0z")
		s.shape(d.String(), fill)
	}
}

// rings spread from a corner.
func rings(s *sheet) {
	s.rect(0, 0, Width, Height, s.ground)
	x := float64(s.roll(2) * Width)
	step := float64(14 + s.roll(8))
	for i, r := 0, 176.0; r > 8; i, r = i+1, r-step {
		s.disc(x, Height, r, []rgb{s.accent, s.ground, s.second, s.ground}[i%4])
	}
	s.caption(sans, 20, 28, 112, 42, 0)
}

// cloth is a cloth binding with a stamped panel.
func cloth(s *sheet) {
	s.rect(0, 0, Width, Height, s.ground)
	s.line("M0 26h240M0 31h240M0 329h240M0 334h240", s.accent, 1.4)
	height := s.headingHeight(serif, 196, 150, 42)
	top := 150 - height/2
	s.ornament(120, max(58, (31+top)/2), 17)
	end := s.heading(serif, 120, top, 196, 150, 42, s.ink, centred)
	s.line(fmt.Sprintf("M96 %sh48", num(end+14)), s.accent, 1.4)
	s.sign(serif, 120, 308, 196, s.ink, centred)
}

// ornament prints a small device around a centre.
func (s *sheet) ornament(x, y, r float64) {
	at := func(angle, radius float64) string {
		return num(x+radius*math.Cos(angle)) + " " + num(y+radius*math.Sin(angle))
	}
	switch s.roll(5) {
	case 0: // sun
		s.disc(x, y, r*0.42, s.accent)
		var d strings.Builder
		for i := range 12 {
			angle := float64(i) * math.Pi / 6
			fmt.Fprintf(&d, "M%sL%s", at(angle, r*0.6), at(angle, r))
		}
		s.line(d.String(), s.accent, 2)
	case 1: // diamonds
		for i := -1.0; i <= 1; i++ {
			h := r * (0.8 - 0.35*math.Abs(i))
			s.shape(fmt.Sprintf("M%s %sl%s %sl%s %sl%s %sz", num(x+i*r*1.25-h*0.6), num(y), num(h*0.6), num(-h), num(h*0.6), num(h), num(-h*0.6), num(h)), s.accent)
		}
	case 2: // flower
		for i := range 8 {
			angle := float64(i) * math.Pi / 4
			s.disc(x+r*0.62*math.Cos(angle), y+r*0.62*math.Sin(angle), r*0.26, s.accent)
		}
		s.disc(x, y, r*0.24, s.accent)
	case 3: // two rings
		s.printf(`<g fill="none" stroke="%v" stroke-width="2.4"><circle cx="%s" cy="%s" r="%s"/><circle cx="%s" cy="%s" r="%s"/></g>`,
			s.accent, num(x-r*0.42), num(y), num(r*0.72), num(x+r*0.42), num(y), num(r*0.72))
	default: // star
		var d strings.Builder
		for i := range 16 {
			radius := r
			if i%2 == 1 {
				radius = r * 0.42
			}
			fmt.Fprintf(&d, "%c%s", "ML"[min(i, 1)], at(float64(i)*math.Pi/8, radius))
		}
		s.shape(d.String()+"z", s.accent)
	}
}

// pattern fills an area with a repeated figure. It may run over the right and
// lower edge of the area.
func (s *sheet) pattern(x, y, w, h float64, first, other rgb) {
	rows := func(step float64, row func(i int, y float64) string) string {
		var d strings.Builder
		for i, at := 0, y; at < y+h+step; i, at = i+1, at+step {
			d.WriteString(row(i, at))
		}
		return d.String()
	}
	switch s.roll(6) {
	case 0: // dots
		step := float64(14 + s.roll(10))
		s.printf(`<path d="%s" stroke="%v" stroke-width="%s" stroke-linecap="round" stroke-dasharray="0 %s"/>`,
			rows(step/2, func(i int, y float64) string {
				return fmt.Sprintf("M%s %sh%s", num(x+float64(i%2)*step/2), num(y), num(w))
			}), first, num(step*0.3), num(step))
	case 1: // waves
		step := float64(12 + s.roll(8))
		s.line(rows(step, func(_ int, y float64) string {
			return fmt.Sprintf("M%s %sq10-%s 20 0", num(x), num(y), num(step*0.9)) + strings.Repeat("t20 0", int(w/20))
		}), first, 2.5)
	case 2: // stripes
		step := float64(10 + s.roll(14))
		var d strings.Builder
		for at := x + step/2; at < x+w; at += step {
			fmt.Fprintf(&d, "M%s %sv%s", num(at), num(y), num(h))
		}
		s.line(d.String(), first, step*0.36)
	case 3: // scales
		const r = 12
		s.line(rows(r, func(i int, y float64) string {
			return fmt.Sprintf("M%s %s", num(x-r*float64(i%2)), num(y)) + strings.Repeat("a12 12 0 0 0 24 0", int(w/(2*r))+1)
		}), first, 1.8)
	case 4: // zigzag
		step := float64(14 + s.roll(8))
		s.line(rows(step, func(_ int, y float64) string {
			return fmt.Sprintf("M%s %s", num(x), num(y)) + strings.Repeat("l10-9 10 9", int(w/20)+1)
		}), first, 3)
	default: // lozenges of two colours
		for i, fill := range []rgb{first, other} {
			var d strings.Builder
			for row, at := 0, y; at < y+h; row, at = row+1, at+30 {
				if row%2 != i {
					continue
				}
				fmt.Fprintf(&d, "M%s %s", num(x), num(at+15))
				d.WriteString(strings.Repeat("l10-15 10 15-10 15z", 1))
				for range int(w/20) - 1 {
					d.WriteString("m20 0l10-15 10 15-10 15z")
				}
			}
			s.shape(d.String(), fill)
		}
	}
}

// mix is a colour between a and b; share 0 is a, 1 is b.
func mix(a, b rgb, share float64) rgb {
	return rgb{a.r + (b.r-a.r)*share, a.g + (b.g-a.g)*share, a.b + (b.b-a.b)*share}
}
