package endtoend

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// dashboard is what is drawn of one of Grafana's.
type dashboard struct {
	Title, Description string
	Panels             []panel
}

type panel struct {
	Title, Description, Type string
	GridPos                  struct{ H, W, X, Y int }
	Targets                  []struct{ Expr, LegendFormat string }
	Options                  struct{ TextMode string }
	FieldConfig              struct {
		Defaults struct {
			Unit       string
			Max        *float64
			Thresholds struct {
				Steps []struct {
					Value *float64
					Color string
				}
			}
		}
	}
}

// dashboards are those that are committed, by the names of their files.
func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "deploy/grafana/*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("dashboards: %v, %v", files, err)
	}
	found := map[string]dashboard{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(content, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		found[strings.TrimSuffix(filepath.Base(file), ".json")] = d
	}
	return found
}

// chosen fills in the variables as Grafana does. Prometheus scrapes every
// second here, so that a rate over five has what it needs.
func chosen(expr, service string) string {
	return strings.NewReplacer("$__rate_interval", "5s", "$instance", ".*", "$service", service).Replace(expr)
}

// curve is one series of a panel.
type curve struct {
	name   string
	points []point
}

type point struct{ at, value float64 }

// curves asks for all series of a panel over a time.
func (p *panel) curves(t *testing.T, from prometheus, service string, begin, end time.Time) []curve {
	t.Helper()
	var found []curve
	for _, target := range p.Targets {
		first := len(found)
		for _, s := range from.over(t, chosen(target.Expr, service), begin, end) {
			if len(s.points) > 0 {
				found = append(found, curve{legend(target.LegendFormat, s.labels), s.points})
			}
		}
		slices.SortFunc(found[first:], func(a, b curve) int { return cmp.Compare(a.name, b.name) })
	}
	return found
}

var placeholder = regexp.MustCompile(`\{\{(\w+)\}\}`)

func legend(format string, labels map[string]string) string {
	return placeholder.ReplaceAllStringFunc(format, func(p string) string { return labels[strings.Trim(p, "{}")] })
}

var palette = []string{"#3f7cac", "#d1603d", "#5b8c5a", "#b08ea2", "#c9a227", "#56445d", "#4ba3a3", "#a23b72", "#7d8491", "#8f5e3b"}

// draw makes a page of a dashboard, laid out as Grafana would. It returns the
// panels that have nothing to show.
func draw(t *testing.T, d dashboard, from prometheus, service string, begin, end time.Time) (page string, empty []string) {
	t.Helper()
	const column, line = 60, 30 // pixels
	var b strings.Builder
	bottom := 0
	for i := range d.Panels {
		p := &d.Panels[i]
		at := p.GridPos
		bottom = max(bottom, at.Y+at.H)
		place := fmt.Sprintf("left:%dpx;top:%dpx;width:%dpx;height:%dpx", at.X*column, at.Y*line, at.W*column-8, at.H*line-8)
		if p.Type == "row" {
			fmt.Fprintf(&b, `<h2 style="%s">%s</h2>`, place, html.EscapeString(p.Title))
			continue
		}
		curves := p.curves(t, from, service, begin, end)
		if len(curves) == 0 {
			empty = append(empty, p.Title)
		}
		fmt.Fprintf(&b, `<section style="%s" title="%s"><h3>%s</h3>`, place, html.EscapeString(p.Description), html.EscapeString(p.Title))
		if p.Type == "stat" {
			p.drawFigures(&b, curves)
		} else {
			p.drawLines(&b, curves, float64(at.W*column-24), float64(at.H*line-81), begin, end)
		}
		b.WriteString("</section>")
	}
	return fmt.Sprintf(`<!doctype html><meta charset="utf-8"><title>%[1]s</title><style>
body{margin:16px;font:13px/1.3 "Liberation Sans",sans-serif;background:#f4f1ea;color:#2b2622;width:%[2]dpx}
h1{font-size:20px;margin:0 0 2px}p{margin:0 0 12px;color:#776e65}
main{position:relative;height:%[3]dpx}
h2{position:absolute;margin:0;font-size:14px;padding-top:6px}
section{position:absolute;box-sizing:border-box;background:#fffdf8;border:1px solid #ddd5c8;border-radius:4px;padding:6px 8px;overflow:hidden}
h3{margin:0 0 2px;font-size:13px;font-weight:600}
.figures{display:flex;height:80%%;align-items:center;justify-content:space-around;text-align:center}
.figures b{display:block;font-size:26px;font-weight:600}.figures span,.legend{color:#776e65;font-size:11px}
.legend{line-height:1.35;height:45px;overflow:hidden}.legend i{display:inline-block;width:9px;height:3px;margin:0 4px 3px 8px}
text{font-size:10px;fill:#776e65}</style><h1>%[1]s</h1><p>%[4]s</p><main>%[5]s</main>`,
		html.EscapeString(d.Title), 24*column, bottom*line, html.EscapeString(d.Description), b.String()), empty
}

func (p *panel) drawFigures(b *strings.Builder, curves []curve) {
	b.WriteString(`<div class="figures">`)
	for _, c := range curves {
		last := c.points[len(c.points)-1].value
		shown, colour := amount(last, p.FieldConfig.Defaults.Unit), "inherit"
		for _, step := range p.FieldConfig.Defaults.Thresholds.Steps {
			if step.Value == nil || last >= *step.Value {
				colour = map[string]string{"red": "#b3261e", "orange": "#c9761a", "green": "#3f7d4e"}[step.Color]
			}
		}
		if p.Options.TextMode == "name" {
			shown, c.name = c.name, ""
		}
		fmt.Fprintf(b, `<div><b style="color:%s">%s</b><span>%s</span></div>`, colour, html.EscapeString(shown), html.EscapeString(c.name))
	}
	b.WriteString("</div>")
}

func (p *panel) drawLines(b *strings.Builder, curves []curve, width, height float64, begin, end time.Time) {
	const left, below = 62, 20
	top := 0.0
	for _, c := range curves {
		for _, at := range c.points {
			top = max(top, at.value)
		}
	}
	if top == 0 {
		top = 1
	}
	round := 1.0
	if unit := p.FieldConfig.Defaults.Unit; unit == "bytes" || unit == "binBps" {
		round = math.Pow(1024, math.Floor(math.Log2(top/3)/10))
	}
	step := round * roundUp(top/3/round)
	top = step * math.Ceil(top/step*1.001)
	if most := p.FieldConfig.Defaults.Max; most != nil && *most < top {
		top = *most
	}
	y := func(v float64) float64 { return (height-below)*(1-v/top) + 8 }
	x := func(at float64) float64 {
		return left + (width-left-6)*(at-float64(begin.Unix()))/end.Sub(begin).Seconds()
	}
	fmt.Fprintf(b, `<svg width="%.0f" height="%.0f">`, width, height)
	for v := 0.0; v <= top*1.001; v += step {
		fmt.Fprintf(b, `<path d="M%d %.1fH%.0f" stroke="#e6dfd3"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`,
			left, y(v), width-6, left-5, y(v)+3, amount(v, p.FieldConfig.Defaults.Unit))
	}
	for i := range 4 {
		at := begin.Add(end.Sub(begin) * time.Duration(i) / 3)
		fmt.Fprintf(b, `<text x="%.0f" y="%.0f" text-anchor="%s">%s</text>`,
			x(float64(at.Unix())), height-1, []string{"start", "middle", "middle", "end"}[i], at.Format(time.TimeOnly))
	}
	for i, c := range curves {
		fmt.Fprintf(b, `<polyline fill="none" stroke-width="1.5" stroke="%s" points="`, palette[i%len(palette)])
		for _, at := range c.points {
			fmt.Fprintf(b, "%.1f,%.1f ", x(at.at), y(min(at.value, top)))
		}
		b.WriteString(`"/>`)
	}
	b.WriteString(`</svg><div class="legend">`)
	for i, c := range curves {
		fmt.Fprintf(b, `<i style="background:%s"></i>%s`, palette[i%len(palette)], html.EscapeString(c.name))
	}
	b.WriteString("</div>")
}

// roundUp is the next of 1, 2, 5, 10 and so on.
func roundUp(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if v <= m*power*1.0001 {
			return m * power
		}
	}
	return 10 * power
}

// amount is a value in a unit of Grafana's.
func amount(v float64, unit string) string {
	short := func(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }
	switch {
	case unit == "percentunit":
		return short(100*v) + " %"
	case unit == "s" && v == 0, unit == "s" && math.Abs(v) >= 1 && math.Abs(v) < 120:
		return short(v) + " s"
	case unit == "s" && math.Abs(v) < 1e-3:
		return short(v*1e6) + " µs"
	case unit == "s" && math.Abs(v) < 1:
		return short(v*1e3) + " ms"
	case unit == "s":
		return time.Duration(v * float64(time.Second)).Round(time.Second).String()
	}
	suffix := map[string]string{"bytes": "B", "binBps": "B/s", "reqps": "/s"}[unit]
	prefixes, base := []string{"", "k", "M", "G"}, 1000.0
	if strings.HasPrefix(suffix, "B") {
		prefixes, base = []string{"", "Ki", "Mi", "Gi"}, 1024
	}
	for len(prefixes) > 1 && math.Abs(v) >= base {
		v, prefixes = v/base, prefixes[1:]
	}
	if math.Abs(v) >= 100 {
		v = math.Round(v)
	}
	if suffix != "" && suffix != "/s" || prefixes[0] != "" {
		suffix = " " + prefixes[0] + suffix
	}
	return strconv.FormatFloat(v, 'g', 4, 64) + suffix
}
