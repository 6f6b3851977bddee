package report

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/octavo-books/octavo/internal/recommender"
)

// WriteText writes the tables of an evaluation for a terminal.
func WriteText(out io.Writer, e *recommender.Evaluation, about About) error {
	t := &textTables{w: tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)}
	recall, ndcg := fmt.Sprintf("recall@%d", e.K), fmt.Sprintf("ndcg@%d", e.K)

	t.row("", recall, "95 % interval", ndcg, "95 % interval", "readers", "training s", "in all s", "memory")
	for _, w := range ways(e) {
		t.row(w.Name, share(w.Recall), interval(w.RecallInterval), share(w.NDCG), interval(w.NDCGInterval),
			w.Readers, seconds(w.TrainSeconds), seconds(w.Seconds), megabytes(w.PeakMemory))
	}
	t.end()
	t.row("", "coverage", "novelty", "95 % interval", "diversity", "95 % interval", "long tail", "95 % interval")
	for _, w := range ways(e) {
		t.row(w.Name, share(w.Coverage), bits(w.Novelty), bitsInterval(w.NoveltyInterval),
			share(w.Diversity), interval(w.DiversityInterval), share(w.LongTail), interval(w.LongTailInterval))
	}
	t.end()
	t.groups("training books", recall, ndcg, histories(e))
	if e.Time != nil {
		t.groups("apart", recall, ndcg, apart(e))
	}
	if len(e.Knob) > 0 {
		t.row("diversity knob", recall, ndcg, "diversity", "coverage")
		for _, s := range e.Knob {
			t.row(fmt.Sprintf("%.1f", s.Knob), share(s.Recall), share(s.NDCG), share(s.Diversity), share(s.Coverage))
		}
		t.end()
	}

	learnt := e.Data.TrainEvents
	if e.Time != nil {
		learnt += e.Data.ValidEvents
	}
	t.line("%s readers and %s events learnt from, %s books; the diversity knob on %s of the readers measured",
		count(e.Data.Readers), count(learnt), count(e.Data.Books), count(e.KnobReaders))
	if e.Time != nil {
		t.line("the future begins on %s; %s events are in it, %s of their books are new",
			date(e.Time.TestFrom), count(e.Data.TestEvents), count(e.Time.NewBooks))
	}
	t.line("intervals by bootstrap over readers; training with the choice of parameters; in all, and memory, with the ranking")
	if about.Memory != "" {
		t.line("memory is the most in use: %s", about.Memory)
	}
	t.write("parameters chosen:")
	for _, p := range parameters(e) {
		t.write(" %s=%s", p.Name, p.Value)
	}
	t.line("")
	return t.w.Flush()
}

// textTables writes one table after the other. An error stays in the writer,
// which Flush returns.
type textTables struct{ w *tabwriter.Writer }

func (t *textTables) write(format string, values ...any) { fmt.Fprintf(t.w, format, values...) }

func (t *textTables) line(format string, values ...any) { t.write(format+"\n", values...) }

func (t *textTables) row(cells ...any) {
	for _, c := range cells {
		t.write("%v\t", c)
	}
	t.line("")
}

// end ends a table, so that the next has columns of its own.
func (t *textTables) end() { t.line("") }

func (t *textTables) groups(title, recall, ndcg string, groups []group) {
	t.row(title, "readers", recall, "95 % interval", ndcg, "95 % interval", "item_knn "+recall, "popularity "+recall)
	for _, g := range groups {
		if g.Readers() == 0 {
			t.row(g.Name, 0, "–", "–", "–", "–", "–", "–")
			continue
		}
		own := g.By[0]
		t.row(g.Name, own.Readers, share(own.Recall), interval(own.RecallInterval), share(own.NDCG), interval(own.NDCGInterval),
			share(g.By[1].Recall), share(g.By[2].Recall))
	}
	t.end()
}
