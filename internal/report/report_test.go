package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/octavo-books/octavo/internal/recommender"
)

var update = flag.Bool("update", false, "write the golden files anew")

func accuracy(readers int, recall float64) recommender.Accuracy {
	return recommender.Accuracy{
		Recall: recall, RecallInterval: recommender.Interval{Low: recall * 0.97, High: recall * 1.02},
		NDCG: recall * 0.7, NDCGInterval: recommender.Interval{Low: recall * 0.68, High: recall * 0.71},
		Readers: readers,
	}
}

func figures(recall float64) recommender.Figures {
	return recommender.Figures{
		Accuracy: accuracy(1234, recall), TrainSeconds: 80 * recall, Seconds: 100 * recall, PeakMemory: int64(recall * 1e9),
		Coverage: recall * 2, Novelty: 9.876, NoveltyInterval: recommender.Interval{Low: 9.5, High: 10.25},
		Diversity: 0.95, DiversityInterval: recommender.Interval{Low: 0.94, High: 0.96},
		LongTail: recall / 2, LongTailInterval: recommender.Interval{Low: recall / 3, High: recall},
		ByHistory: []recommender.HistoryGroup{
			{Books: "0", Accuracy: recommender.Accuracy{}},
			{Books: "1-4", Accuracy: accuracy(200, recall*0.8)},
			{Books: "5-19", Accuracy: accuracy(1000, recall)},
			{Books: "20+", Accuracy: accuracy(34, recall*1.1)},
		},
	}
}

func evaluation() *recommender.Evaluation {
	return &recommender.Evaluation{
		Figures: figures(0.31234), ItemKNN: figures(0.2), Popularity: figures(0.05),
		Parameters: map[string]float64{"smoothing": 5, "prior": 1e-06},
		K:          20,
		Data:       recommender.Sizes{Books: 9332, HeadBooks: 1234, Readers: 1100000, TrainEvents: 999, ValidEvents: 1001, TestEvents: 500},
		Knob: []recommender.KnobSetting{
			{Knob: 0, Recall: 0.31, NDCG: 0.22, Diversity: 0.9, Coverage: 0.6},
			{Knob: 1, Recall: 0.2, NDCG: 0.15, Diversity: 0.99, Coverage: 0.8},
		},
		KnobReaders: 1000,
	}
}

// byTime is an evaluation across time.
func byTime() *recommender.Evaluation {
	e := evaluation()
	e.Time = &recommender.TimeCut{ValidFrom: 1560000000, TestFrom: 1577836800, NewBooks: 17}
	for _, w := range ways(e) {
		cold, fresh := accuracy(7, 0.04), accuracy(9, 0)
		w.ColdReaders, w.NewBooks = &cold, &fresh
	}
	return e
}

func TestTables(t *testing.T) {
	for name, e := range map[string]*recommender.Evaluation{"files": evaluation(), "temporal": byTime()} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := WriteText(&got, e, About{Memory: "a meter"}); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("the tables are\n%s\nwant\n%s\n(go test -update writes them anew)", got.String(), want)
			}
		})
	}
}

func page(t *testing.T, e *recommender.Evaluation, about About) string {
	t.Helper()
	var b bytes.Buffer
	if err := WritePage(&b, e, about); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPageSaysAllFigures(t *testing.T) {
	about := About{
		Files: []File{{"events", "log.tsv"}}, Past: 0.8, Program: "octavo v9", Memory: "a meter",
		Made: time.Date(2030, 5, 6, 7, 8, 9, 0, time.UTC),
	}
	got := page(t, byTime(), about)
	for _, want := range []string{
		"0.3123", "0.3030–0.3186", "31.2\u00a0%", "0.2186", "312\u00a0MB", "31.2 s", "9.88", "0.6247", "0.9500", "0.1562",
		"1,100,000 learnt from", "1–4", "5–19", "20&#43;", "cold readers", "17 books", "1 January 2020", "8 June 2019", "80.0\u00a0%",
		"smoothing", "1e-06", "log.tsv", "octavo v9", "a meter", "6 May 2030", "1,234 most-read",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if again := page(t, byTime(), about); again != got {
		t.Error("the same evaluation gives another page")
	}
	if without := page(t, evaluation(), About{}); strings.Contains(without, "cold readers") || strings.Contains(without, "Memory:") {
		t.Error("without a split by time, or a meter, the page speaks of them")
	}
}

func TestPageEscapesNames(t *testing.T) {
	evil := `"><script>alert(1)</script><img src=x onerror=y>&.tsv`
	e := evaluation()
	e.Parameters[evil] = 1
	for i := range e.ByHistory {
		e.ByHistory[i].Books = evil
	}
	got := page(t, e, About{Files: []File{{evil, evil}}, Program: evil, Memory: evil})
	for _, tag := range []string{"<script", "<img"} {
		if strings.Contains(got, tag) {
			t.Errorf("the page has a %s", tag)
		}
	}
	if strings.Count(got, "&lt;script&gt;") < 6 {
		t.Error("the name is not on the page")
	}
}

// TestPageStandsAlone: it asks for nothing, and nothing of it is broken.
func TestPageStandsAlone(t *testing.T) {
	got := page(t, byTime(), About{Files: []File{{"events", "log.tsv"}}})
	for _, link := range []string{"href=", "src=", "url(", "@import", "http://", "https://"} {
		if strings.Contains(got, link) {
			t.Errorf("the page has %q", link)
		}
	}
	if strings.Count(got, "<svg ") != 3 || strings.Contains(got, "Liberation") || strings.Contains(got, "fill:#") || strings.Contains(got, "stroke:#") {
		t.Error("want three plots in the page's own fonts and colours")
	}
	_, body, _ := strings.Cut(got, "<body>")
	body, _, _ = strings.Cut(body, "</body>")
	for d := xml.NewDecoder(strings.NewReader("<body>" + strings.ReplaceAll(body, "&nbsp;", " ") + "</body>")); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the page is not well formed: %v", err)
		}
	}
}

// TestPageOfLittle: a knob that changes nothing and no reader with a history
// make a page too.
func TestPageOfLittle(t *testing.T) {
	e := evaluation()
	for _, w := range ways(e) {
		for i := range w.ByHistory {
			w.ByHistory[i].Accuracy = recommender.Accuracy{}
		}
	}
	for _, knob := range [][]recommender.KnobSetting{nil, {{Knob: 0}, {Knob: 1}}} {
		e.Knob = knob
		if got := page(t, e, About{}); strings.Contains(got, "NaN") || strings.Contains(got, "Inf") {
			t.Error("the page has numbers that are none")
		}
		if err := WriteText(io.Discard, e, About{}); err != nil {
			t.Error(err)
		}
	}
}

func TestRoundMarks(t *testing.T) {
	for _, tt := range []struct {
		least, most float64
		want        string
	}{
		{0, 0.211, "0.00 0.05 0.10 0.15 0.20"},
		{-0.03, 1.03, "0.0 0.2 0.4 0.6 0.8 1.0"},
		{0.09, 0.197, "0.10 0.12 0.14 0.16 0.18"},
		{0, 42, "0 10 20 30 40"},
		{0.986, 0.9921, "0.986 0.987 0.988 0.989 0.990 0.991 0.992"},
	} {
		var labels []string
		for _, tick := range (round{}).Ticks(tt.least, tt.most) {
			labels = append(labels, tick.Label)
		}
		if got := strings.Join(labels, " "); got != tt.want {
			t.Errorf("from %v to %v: %s, want %s", tt.least, tt.most, got, tt.want)
		}
	}
}

func TestCountsHaveTheirThousandsApart(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("%d is written %s, want %s", n, got, want)
		}
	}
}
