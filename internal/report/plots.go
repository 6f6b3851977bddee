package report

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/octavo-books/octavo/internal/recommender"
)

// A drawing names its colours by these stand-ins, for which the page's own are
// put, so that they change with its scheme.
var (
	ink      = color.RGBA{R: 1, G: 1, B: 1, A: 255}
	soft     = color.RGBA{R: 2, G: 2, B: 2, A: 255}
	hairline = color.RGBA{R: 3, G: 3, B: 3, A: 255}
	paper    = color.RGBA{R: 8, G: 8, B: 8, A: 255}
	unseen   = color.RGBA{R: 7, G: 7, B: 7, A: 255}
	series   = [...]color.RGBA{{R: 4, G: 4, B: 4, A: 255}, {R: 5, G: 5, B: 5, A: 255}, {R: 6, G: 6, B: 6, A: 255}}

	forPage = strings.NewReplacer(
		"#010101", "var(--ink)", "#020202", "var(--soft)", "#030303", "var(--line)",
		"#040404", "var(--first)", "#050505", "var(--second)", "#060606", "var(--third)", "#070707", "none", "#080808", "var(--paper)",
		"font-family:Liberation Sans;font-variant:normal;font-weight:normal;font-style:normal", "font-family:var(--sans)",
	)
)

// figure is a drawing with its legend.
type figure struct {
	SVG    template.HTML
	Label  string // what it shows, for those who cannot see it
	Legend []string
}

// drawHistories draws recall by the length of the history: bars with their
// intervals. Groups without readers are left out; without any there is no SVG.
func drawHistories(e *recommender.Evaluation) (figure, error) {
	const width = 36 // of a bar, points
	f := figure{Label: fmt.Sprintf("Recall at %d by number of training books, for Octavo and the two baselines; the figures are in the table below", e.K)}
	p := newPlot("training books of the reader", fmt.Sprintf("recall@%d", e.K))
	var names []string
	var groups []group
	for _, g := range histories(e) {
		if g.Readers() > 0 {
			groups, names = append(groups, g), append(names, strings.ReplaceAll(g.Name, "-", "–"))
		}
	}
	if len(groups) == 0 {
		return f, nil
	}
	for i, w := range ways(e) {
		var heights plotter.Values
		for _, g := range groups {
			heights = append(heights, g.By[i].Recall)
		}
		bars, err := plotter.NewBarChart(heights, vg.Points(width))
		if err != nil {
			return f, fmt.Errorf("draw recall by history: %w", err)
		}
		bars.Color, bars.LineStyle.Width = series[i], 0
		bars.Offset = vg.Points(float64(i-1) * (width + 3))
		p.Add(bars, whiskers{groups, i, bars.Offset})
		f.Legend = append(f.Legend, nameOf(w.Name))
		for _, g := range groups {
			p.Y.Max = max(p.Y.Max, g.By[i].RecallInterval.High)
		}
	}
	p.NominalX(names...)
	p.X.Width = vg.Points(0.75)
	space(&p.X)
	p.X.Min, p.X.Max = -0.5, float64(len(names))-0.5
	p.Y.Min, p.Y.Max = 0, 1.08*p.Y.Max
	var err error
	f.SVG, err = render(p, 880, 320)
	return f, err
}

// whiskers are the intervals on the bars of one way of ranking.
type whiskers struct {
	groups []group
	way    int
	offset vg.Length
}

// Plot implements plot.Plotter.
func (w whiskers) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	const end = 4 // of a whisker, half its width
	for k, g := range w.groups {
		at, i := x(float64(k))+w.offset, g.By[w.way].RecallInterval
		// On paper, to be seen on a bar and off it.
		for _, style := range []draw.LineStyle{{Color: paper, Width: vg.Points(3.5)}, {Color: ink, Width: vg.Points(1.25)}} {
			c.StrokeLine2(style, at, y(i.Low), at, y(i.High))
			c.StrokeLine2(style, at-end, y(i.Low), at+end, y(i.Low))
			c.StrokeLine2(style, at-end, y(i.High), at+end, y(i.High))
		}
	}
}

// drawKnob draws what the diversity knob costs and what it brings, if it was
// turned.
func drawKnob(e *recommender.Evaluation) (costs, brings figure, err error) {
	if len(e.Knob) == 0 {
		return costs, brings, nil
	}
	type measure struct {
		name string
		of   func(recommender.KnobSetting) float64
	}
	lines := func(label, unit string, measures ...measure) (figure, error) {
		f := figure{Label: label + " against the diversity knob; the figures are in the table below"}
		p := newPlot("diversity knob", unit)
		for i, m := range measures {
			var points plotter.XYs
			for _, s := range e.Knob {
				points = append(points, plotter.XY{X: s.Knob, Y: m.of(s)})
			}
			line, dots, err := plotter.NewLinePoints(points)
			if err != nil {
				return f, fmt.Errorf("draw the diversity knob: %w", err)
			}
			line.Color, line.Width = series[i], vg.Points(2)
			dots.Color, dots.Shape, dots.Radius = series[i], shapes[i], vg.Points(4)
			p.Add(line, dots)
			f.Legend = append(f.Legend, m.name)
		}
		margin := 0.08 * (p.Y.Max - p.Y.Min)
		if margin == 0 {
			margin = 0.01
		}
		p.Y.Min, p.Y.Max = p.Y.Min-margin, p.Y.Max+margin
		p.X.Min, p.X.Max = -0.03, 1.03
		p.X.Tick.Marker = round{}
		var err error
		f.SVG, err = render(p, 400, 270)
		return f, err
	}
	costs, err = lines("Recall and NDCG", "", measure{"recall", func(s recommender.KnobSetting) float64 { return s.Recall }},
		measure{"NDCG", func(s recommender.KnobSetting) float64 { return s.NDCG }})
	if err != nil {
		return costs, brings, err
	}
	brings, err = lines("Diversity and coverage", "", measure{"diversity", func(s recommender.KnobSetting) float64 { return s.Diversity }},
		measure{"coverage", func(s recommender.KnobSetting) float64 { return s.Coverage }})
	return costs, brings, err
}

var shapes = [...]draw.GlyphDrawer{draw.CircleGlyph{}, draw.BoxGlyph{}}

// round marks an axis at round numbers, four to nine of them.
type round struct{}

// Ticks implements plot.Ticker.
func (round) Ticks(least, most float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10(most-least)))
	for _, part := range []float64{2, 2.5, 2} { // of 1, 0.5 and 0.2 of it
		if (most-least)/step >= 4 {
			break
		}
		step /= part
	}
	digits := max(0, int(math.Ceil(-math.Log10(step)-1e-9)))
	var ticks []plot.Tick
	for n := int(math.Ceil(least/step - 1e-9)); float64(n)*step <= most+1e-9*step; n++ {
		ticks = append(ticks, plot.Tick{Value: float64(n) * step, Label: strconv.FormatFloat(float64(n)*step, 'f', digits, 64)})
	}
	return ticks
}

// newPlot is an empty plot in the style of the page.
func newPlot(x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	p.X.Label.Text, p.Y.Label.Text = x, y
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Color, axis.Width = soft, vg.Points(0.75)
		axis.Tick.Color, axis.Tick.Width = soft, vg.Points(0.75)
		for _, text := range []*draw.TextStyle{&axis.Label.TextStyle, &axis.Tick.Label} {
			text.Color = soft
			text.Font.Variant, text.Font.Size = "Sans", vg.Points(12)
		}
		axis.Label.Padding, axis.Padding = vg.Points(6), 0
	}
	p.Y.Width, p.Y.Tick.Marker = 0, round{}
	space(&p.Y)
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal.Color, grid.Horizontal.Width = hairline, vg.Points(1)
	p.Add(grid)
	return p
}

// space keeps the labels of an axis off what is drawn, by marks not to be seen.
func space(axis *plot.Axis) {
	axis.Tick.LineStyle = draw.LineStyle{Color: unseen, Width: vg.Points(1)}
	axis.Tick.Length = vg.Points(6)
}

// render draws a plot of so many points, to be put into the page. Its text is
// escaped by the drawing library.
func render(p *plot.Plot, width, height float64) (template.HTML, error) {
	canvas := vgsvg.New(vg.Points(width), vg.Points(height))
	p.Draw(draw.New(canvas))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return "", fmt.Errorf("draw: %w", err)
	}
	_, body, _ := strings.Cut(b.String(), "<svg")
	_, body, _ = strings.Cut(body, ">")
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %g %g" aria-hidden="true">`, width, height) + forPage.Replace(body)), nil //nolint:gosec // drawn here
}
