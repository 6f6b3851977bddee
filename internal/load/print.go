package load

import (
	"encoding/json"
	"fmt"
	"image/color"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// percentiles are those that are printed.
var percentiles = []float64{50, 90, 99, 99.9, 100}

// rows are the kinds of calls, and their total when there are several.
func (r *Result) rows() []Outcomes {
	if len(r.Calls) == 1 {
		return r.Calls
	}
	return append(slices.Clone(r.Calls), r.Total())
}

// WriteTable writes the result for people: times of the calls that succeeded,
// then how many failed, and how.
func (r *Result) WriteTable(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "call\tsent\tper second\tsucceeded\t\tp50 ms\tp90 ms\tp99 ms\tp99.9 ms\tmax ms\t\n")
	for _, o := range r.rows() {
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%d\t%.2f %%\t", o.Name, o.Sent, float64(o.Sent)/r.Took.Seconds(), o.By[OK], 100*float64(o.By[OK])/float64(max(1, o.Sent)))
		for _, p := range percentiles {
			fmt.Fprintf(w, "%.2f\t", milliseconds(o.Quantile(p)))
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, o := range r.Calls {
		for _, outcome := range slices.Sorted(maps.Keys(o.By)) {
			if outcome != OK {
				if _, err := fmt.Fprintf(out, "%s failed, %s: %d\n", o.Name, outcome, o.By[outcome]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

type jsonResult struct {
	Seconds float64      `json:"seconds"`
	Calls   []jsonCall   `json:"calls"`
	Series  []jsonSecond `json:"series"`
}

type jsonCall struct {
	Name      string             `json:"name"`
	Sent      int64              `json:"sent"`
	Outcomes  map[string]int64   `json:"outcomes"`
	LatencyMS map[string]float64 `json:"latency_ms"`
}

type jsonSecond struct {
	Rate   float64 `json:"rate"`
	OK     int64   `json:"ok"`
	Failed int64   `json:"failed"`
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
	Most   float64 `json:"max_ms"`
}

// WriteJSON writes the result for programs, second by second too.
func (r *Result) WriteJSON(out io.Writer) error {
	written := jsonResult{Seconds: r.Took.Seconds()}
	for _, o := range r.rows() {
		c := jsonCall{Name: o.Name, Sent: o.Sent, Outcomes: o.By, LatencyMS: map[string]float64{}}
		for _, p := range percentiles {
			c.LatencyMS[fmt.Sprintf("p%g", p)] = milliseconds(o.Quantile(p))
		}
		written.Calls = append(written.Calls, c)
	}
	for _, s := range r.Seconds {
		written.Series = append(written.Series, jsonSecond{s.Rate, s.OK, s.Failed, milliseconds(s.P50), milliseconds(s.P99), milliseconds(s.Most)})
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(written)
}

// WritePlot draws the run second by second as SVG: above the calls that were
// meant to be sent, that succeeded and that failed, below the times of those
// that succeeded.
func (r *Result) WritePlot(out io.Writer) error {
	type line struct {
		name  string
		color color.RGBA
		of    func(Second) float64
	}
	green, red, grey, blue := color.RGBA{R: 0x2e, G: 0x7d, B: 0x32, A: 255}, color.RGBA{R: 0xc6, G: 0x28, B: 0x28, A: 255}, color.RGBA{R: 0x75, G: 0x75, B: 0x75, A: 255}, color.RGBA{R: 0x15, G: 0x65, B: 0xc0, A: 255}
	drawn := func(y string, lines ...line) (*plot.Plot, error) {
		p := plot.New()
		p.X.Label.Text, p.Y.Label.Text, p.Y.Min = "seconds", y, 0
		p.Legend.Top = true
		p.Add(plotter.NewGrid())
		for _, l := range lines {
			var points plotter.XYs
			for i, s := range r.Seconds {
				points = append(points, plotter.XY{X: float64(i), Y: l.of(s)})
			}
			drawn, err := plotter.NewLine(points)
			if err != nil {
				return nil, fmt.Errorf("draw %s: %w", l.name, err)
			}
			drawn.Color, drawn.Width = l.color, vg.Points(1.5)
			p.Add(drawn)
			p.Legend.Add(l.name, drawn)
		}
		p.Y.Max *= 1.25 // room for the legend
		return p, nil
	}
	calls, err := drawn("calls a second",
		line{"rate", grey, func(s Second) float64 { return s.Rate }},
		line{"succeeded", green, func(s Second) float64 { return float64(s.OK) }},
		line{"failed", red, func(s Second) float64 { return float64(s.Failed) }})
	if err != nil {
		return err
	}
	times, err := drawn("milliseconds",
		line{"p50", blue, func(s Second) float64 { return milliseconds(s.P50) }},
		line{"p99", red, func(s Second) float64 { return milliseconds(s.P99) }})
	if err != nil {
		return err
	}
	canvas := vgsvg.New(vg.Points(800), vg.Points(600))
	tiles := draw.Tiles{Rows: 2, Cols: 1, PadX: vg.Points(8), PadY: vg.Points(16), PadTop: vg.Points(8), PadBottom: vg.Points(8), PadLeft: vg.Points(8), PadRight: vg.Points(8)}
	plots := [][]*plot.Plot{{calls}, {times}}
	canvases := plot.Align(plots, tiles, draw.New(canvas))
	for i := range plots {
		plots[i][0].Draw(canvases[i][0])
	}
	if _, err := canvas.WriteTo(out); err != nil {
		return fmt.Errorf("write the plot: %w", err)
	}
	return nil
}
