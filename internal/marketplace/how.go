package marketplace

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/marketplace/view"
)

// how is the page that discloses what the recommendations rest on.
func (s *shop) how(v *visit) error {
	page := view.How{}
	ctx, cancel := v.ask()
	defer cancel()
	model, err := s.Recommendations.GetModel(ctx, &recommendationsv1.GetModelRequest{})
	if err != nil {
		v.missing("recommendations", err)
		page.Failed = true
	}
	page.Model = model.GetModelVersion()
	if page.Model != "" {
		page.Facts = []view.Figure{
			{Name: "Version", Value: page.Model},
			{Name: "Books", Value: view.Thousands(int64(model.GetBooks()))},
			{Name: "Readers", Value: view.Thousands(int64(model.GetReaders()))},
			{Name: "Interactions", Value: view.Thousands(model.GetInteractions())},
			{Name: "Trained up to log position", Value: view.Thousands(model.GetTrainedPosition())},
		}
	}
	if err == nil {
		page.Facts = append(page.Facts, view.Figure{Name: "Log known up to position", Value: view.Thousands(model.GetPosition())})
	}
	page.Parameters, page.Metrics = figures(model.GetParameters()), figures(model.GetMetrics())
	page.Frame = v.frame("How recommendations work", "What a suggestion rests on, and the figures of the model in use.")
	page.Canonical = "/how"
	return v.show(http.StatusOK, view.HowPage(page))
}

func figures(values map[string]float64) []view.Figure {
	var out []view.Figure
	for _, name := range slices.Sorted(maps.Keys(values)) {
		out = append(out, view.Figure{Name: strings.ReplaceAll(name, "_", " "), Value: strconv.FormatFloat(values[name], 'g', 4, 64)})
	}
	return out
}
