package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/octavo-books/octavo/internal/recommender"
)

//go:embed page.html
var pageText string

//go:embed page.css
var style string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"share": share, "interval": interval, "bits": bits, "bitsInterval": bitsInterval, "percent": percent,
	"seconds": seconds, "megabytes": megabytes, "count": count, "date": date, "name": nameOf,
	"dashes": func(s string) string { return strings.ReplaceAll(s, "-", "–") },
}).Parse(pageText))

// nameOf is the name of a way of ranking in prose.
func nameOf(way string) string {
	switch way {
	case "octavo":
		return "Octavo"
	case "item_knn":
		return "Item-kNN"
	default:
		return "Popularity"
	}
}

// WritePage writes the evaluation as one HTML page that loads nothing.
func WritePage(out io.Writer, e *recommender.Evaluation, about About) error {
	byHistory, err := drawHistories(e)
	if err != nil {
		return err
	}
	costs, brings, err := drawKnob(e)
	if err != nil {
		return err
	}
	var page bytes.Buffer
	err = pageTemplate.Execute(&page, struct {
		*recommender.Evaluation
		About
		Style                    template.CSS
		Ways                     []way
		Histories, Apart         []group
		ByHistory, Costs, Brings figure
		Chosen                   []parameter
	}{
		Evaluation: e, About: about,
		Style: template.CSS(style), Ways: ways(e), //nolint:gosec // our own
		Histories: histories(e), Apart: apart(e),
		ByHistory: byHistory, Costs: costs, Brings: brings,
		Chosen: parameters(e),
	})
	if err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	_, err = page.WriteTo(out)
	return err
}
