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
	page.Personalisation = s.personalisation(ctx, v, "/how")
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
	page.Parameters, page.Metrics = figures(model.GetParameters(), parameterWords), figures(model.GetMetrics(), metricWords)
	page.Frame = v.frame("How recommendations work", "What a suggestion rests on, and the figures of the model in use.")
	page.Canonical = "/how"
	return v.show(http.StatusOK, view.HowPage(page))
}

// parameterWords say what a parameter does. One that is not here goes by its name.
var parameterWords = map[string]string{
	"against":             "How much a book you did not like counts against its neighbours",
	"book_exponent":       "How much a widely read book is held back",
	"contrast":            "How much more finishing a book counts than looking at it",
	"disliked":            "How much a book you did not like counts for its neighbours",
	"evenness":            "How far all your books have the same to give",
	"factors":             "How much kinship of taste adds, beyond shared readers",
	"own_exponent":        "How much less a widely read book of yours says",
	"prior":               "How much being popular adds",
	"prior_exponent":      "How steeply that falls towards less popular books",
	"reader_exponent":     "How much less one book of a long history says",
	"regression":          "How much is added for what your books say together",
	"regression_exponent": "How much a widely read book is held back in that",
	"ridge":               "How much evidence that asks for, in readers",
	"sharpness":           "How much more near neighbours count than far ones",
	"smoothing":           "How much evidence nearness asks for, in readers",
	"stars":               "How much a rating changes what a book counts",
	"unobserved":          "How much a book not read counts as not wanted, for kinship of taste",
}

// metricWords say what was measured, of what. One that is not here goes by its name.
var metricWords = func() map[string]string {
	words := map[string]string{"validation_readers": "Readers it was measured on"}
	for part, of := range map[string]string{
		"":                 "the model",
		"without_against_": "the model, if books that were not liked counted nothing",
		"cooccurrence_":    "shared readers alone",
		"regression_":      "what a reader's books say together, alone",
		"factors_":         "kinship of taste alone",
		"with_regression_": "shared readers, and what a reader's books say together",
		"with_factors_":    "shared readers, and kinship of taste",
		"with_both_":       "all three",
		"popularity_":      "best sellers alone",
	} {
		words["validation_"+part+"recall"] = "Recall in the first 20: " + of
		words["validation_"+part+"ndcg"] = "NDCG of the first 20: " + of
	}
	return words
}()

// figures are the values in the order of their names: some words refer to those
// of the line before.
func figures(values map[string]float64, words map[string]string) []view.Figure {
	var out []view.Figure
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name]
		plain := words[name]
		if plain == "" {
			plain = strings.ReplaceAll(name, "_", " ")
		}
		text := strconv.FormatFloat(value, 'g', 4, 64)
		if whole := int64(value); float64(whole) == value {
			text = view.Thousands(whole)
		}
		out = append(out, view.Figure{Name: plain, Value: text})
	}
	return out
}
