package cover

import (
	"fmt"
	"math"
)

// rgb has components from 0 to 1.
type rgb struct{ r, g, b float64 }

func (c rgb) String() string {
	at := func(v float64) int { return int(math.Round(v * 255)) }
	return fmt.Sprintf("#%02x%02x%02x", at(c.r), at(c.g), at(c.b))
}

// hsl makes a colour from a hue in degrees, and saturation and lightness from
// 0 to 1.
func hsl(hue, saturation, lightness float64) rgb {
	hue = math.Mod(math.Mod(hue, 360)+360, 360)
	chroma := saturation * min(lightness, 1-lightness)
	at := func(n float64) float64 {
		k := math.Mod(n+hue/30, 12)
		return lightness - chroma*max(-1, min(k-3, 9-k, 1))
	}
	return rgb{at(0), at(8), at(4)}
}

func (c rgb) luminance() float64 {
	linear := func(v float64) float64 {
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.r) + 0.7152*linear(c.g) + 0.0722*linear(c.b)
}

// contrast is the WCAG ratio of two colours, 1 to 21.
func contrast(a, b rgb) float64 {
	x, y := a.luminance(), b.luminance()
	if x < y {
		x, y = y, x
	}
	return (x + 0.05) / (y + 0.05)
}

// palette is what one cover is printed with. Text is ink on ground, or dark on
// paper.
type palette struct{ ground, ink, accent, second, paper, dark rgb }

// hues gives each category its family of colours, by the number of the
// category. Neighbours on a page differ by book as well: see newPalette.
var hues = [...]float64{
	1: 356, 2: 262, 3: 205, 4: 228, 5: 190, 6: 44, 7: 284, 8: 2, 9: 16,
	10: 340, 11: 28, 12: 146, 13: 318, 14: 48, 15: 10, 16: 168, 17: 298,
	18: 348, 19: 214, 20: 38, 21: 24, 22: 34, 23: 220, 24: 158, 25: 248,
	26: 274, 27: 330, 28: 308, 29: 182, 30: 118, 31: 20, 32: 200,
}

// newPalette picks one of six ways to use the category's hue.
func newPalette(category uint8, d *dice) palette {
	var hue float64
	if category == 0 || int(category) >= len(hues) {
		hue = float64(d.roll(360))
	} else {
		hue = hues[category] + float64(d.roll(33)) - 16
	}
	opposite := hue + 150 + float64(d.roll(60))
	p := palette{paper: hsl(hue+40, 0.36, 0.945), dark: hsl(hue, 0.32, 0.15)}
	switch d.roll(6) {
	case 0: // deep cloth, gilt print
		p.ground, p.ink = hsl(hue, 0.42, 0.20), hsl(42, 0.62, 0.84)
		p.accent, p.second = hsl(40, 0.58, 0.62), hsl(hue, 0.40, 0.34)
	case 1: // pale paper, strong print
		p.ground, p.ink = hsl(hue, 0.38, 0.89), hsl(hue, 0.50, 0.17)
		p.accent, p.second = hsl(hue, 0.52, 0.46), hsl(opposite, 0.40, 0.66)
	case 2: // full colour, light print
		p.ground, p.ink = hsl(hue, 0.48, 0.40), hsl(48, 0.60, 0.96)
		p.accent, p.second = hsl(hue+32, 0.66, 0.72), hsl(hue-14, 0.52, 0.27)
	case 3: // cream board, one colour
		p.ground, p.ink = hsl(44, 0.44, 0.92), hsl(hue, 0.30, 0.15)
		p.accent, p.second = hsl(hue, 0.60, 0.43), hsl(hue+24, 0.46, 0.72)
	case 4: // night, bright print
		p.ground, p.ink = hsl(hue, 0.26, 0.13), hsl(hue+30, 0.32, 0.92)
		p.accent, p.second = hsl(hue, 0.62, 0.60), hsl(opposite, 0.48, 0.48)
	default: // two colours that meet
		p.ground, p.ink = hsl(hue, 0.36, 0.76), hsl(opposite, 0.46, 0.14)
		p.accent, p.second = hsl(opposite, 0.46, 0.36), hsl(hue, 0.40, 0.56)
	}
	p.ground = readable(p.ground, p.ink)
	return p
}

// readable moves ground away from ink until text between them reads well.
func readable(ground, ink rgb) rgb {
	for range 40 {
		if contrast(ground, ink) >= 5.5 {
			break
		}
		if ground.luminance() < ink.luminance() {
			ground = rgb{ground.r * 0.96, ground.g * 0.96, ground.b * 0.96}
		} else {
			ground = rgb{1 - (1-ground.r)*0.96, 1 - (1-ground.g)*0.96, 1 - (1-ground.b)*0.96}
		}
	}
	return ground
}
