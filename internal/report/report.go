// Package report writes what an evaluation found: as tables for a terminal, and
// as one page for a browser that needs nothing but itself, with plots.
//
// It measures nothing and decides nothing: all its figures are those of the
// evaluation. The same evaluation gives the same bytes.
package report

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/octavo-books/octavo/internal/recommender"
)

// About is what a report says beside the figures.
type About struct {
	Files   []File
	Past    float64   // the share of the past in a split by time; 0 without one
	Program string    // what measured, and on what: "octavo v1.2.3, go1.26, linux/amd64, 2 cores"
	Memory  string    // where peak memory was read; empty when it was not
	Made    time.Time // when; left out when zero
}

// File is one of the files measured on.
type File struct{ Part, Name string }

// way is one of the ways of ranking, by the name it goes by in tables.
type way struct {
	Name string // as in the JSON
	*recommender.Figures
}

func ways(e *recommender.Evaluation) []way {
	return []way{{"octavo", &e.Figures}, {"item_knn", &e.ItemKNN}, {"popularity", &e.Popularity}}
}

// group is a part of the readers, or of their books, by each way of ranking.
type group struct {
	Name string
	By   []recommender.Accuracy // in the order of ways
}

// Readers is how many there are in the group, by any way of ranking.
func (g group) Readers() int { return g.By[0].Readers }

func histories(e *recommender.Evaluation) []group {
	var groups []group
	for i, h := range e.ByHistory {
		g := group{Name: h.Books}
		for _, w := range ways(e) {
			g.By = append(g.By, w.ByHistory[i].Accuracy)
		}
		groups = append(groups, g)
	}
	return groups
}

// apart are the groups that a split by time keeps out of the other figures.
func apart(e *recommender.Evaluation) []group {
	if e.Time == nil {
		return nil
	}
	cold, fresh := group{Name: "cold readers"}, group{Name: "new books"}
	for _, w := range ways(e) {
		cold.By = append(cold.By, *w.ColdReaders)
		fresh.By = append(fresh.By, *w.NewBooks)
	}
	return []group{cold, fresh}
}

// parameter is one of those chosen.
type parameter struct{ Name, Value string }

func parameters(e *recommender.Evaluation) []parameter {
	var all []parameter
	for _, name := range slices.Sorted(maps.Keys(e.Parameters)) {
		all = append(all, parameter{name, strconv.FormatFloat(e.Parameters[name], 'g', 4, 64)})
	}
	return all
}

func share(v float64) string { return fmt.Sprintf("%.4f", v) }

func interval(i recommender.Interval) string { return fmt.Sprintf("%.4f–%.4f", i.Low, i.High) }

// bits are self-information, of which two digits are enough.
func bits(v float64) string { return fmt.Sprintf("%.2f", v) }

func bitsInterval(i recommender.Interval) string { return fmt.Sprintf("%.2f–%.2f", i.Low, i.High) }

// percent is a share with one digit, as prose has it.
func percent(v float64) string { return fmt.Sprintf("%.1f\u00a0%%", 100*v) }

func seconds(v float64) string { return fmt.Sprintf("%.1f", v) }

func megabytes(bytes int64) string {
	if bytes == 0 {
		return "–"
	}
	return count(int((bytes+500_000)/1_000_000)) + "\u00a0MB"
}

// count is a whole number with its thousands apart.
func count(n int) string {
	digits := strconv.Itoa(n)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

func date(unix int64) string { return time.Unix(unix, 0).UTC().Format("2 January 2006") }
