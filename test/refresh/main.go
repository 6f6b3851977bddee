// Command refresh measures what a refresh of a model is worth beside training it
// anew, when the log has grown since: seconds, and how many of the books that
// readers turned to later were found.
//
//	go run ./test/refresh                                      the demo's simulated readers
//	go run ./test/refresh --train train.tsv --test test.tsv    a log of one's own
//
// A log without times is put into an order that is random but always the same.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/octavo-books/octavo/internal/eventfile"
	"github.com/octavo-books/octavo/internal/library"
	"github.com/octavo-books/octavo/internal/recommender"
)

// first is how many books are ranked for a reader.
const first = 20

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "refresh:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	trainFile := flag.String("train", "", "what readers did before")
	testFile := flag.String("test", "", "what they did later")
	readers := flag.Int("readers", 2000, "simulated readers, without files")
	flag.Parse()
	var log, later []recommender.Event
	var books []recommender.Book
	if *trainFile == "" {
		log, later, books = simulated(*readers)
	} else {
		var err error
		if log, err = eventfile.Read(*trainFile); err != nil {
			return err
		}
		if later, err = eventfile.Read(*testFile); err != nil {
			return err
		}
		inOrder(log)
	}
	m := measurement{log: log, books: books, later: later}
	out := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "log grown by\tmodel\tseconds\trecall@%d\tndcg@%d\t\n", first, first)
	full, err := m.train(ctx, len(log))
	if err != nil {
		return err
	}
	for _, growth := range []float64{0.01, 0.1, 0.5, 1} {
		old, err := m.train(ctx, int(float64(len(log))/(1+growth)))
		if err != nil {
			return err
		}
		start := time.Now()
		refreshed, err := recommender.Refresh(ctx, recommender.NewDataset(log, books), old.Model, recommender.Options{Position: int64(len(log))})
		if err != nil {
			return err
		}
		fresh := timed{refreshed, time.Since(start).Seconds()}
		for _, row := range []struct {
			name  string
			model timed
		}{{"before", timed{old.Model, 0}}, {"refreshed", fresh}, {"trained anew", full}} {
			recall, ndcg, err := m.quality(row.model.Model)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%.0f %%\t%s\t%.1f\t%.4f\t%.4f\t\n", 100*growth, row.name, row.model.seconds, recall, ndcg)
		}
	}
	fmt.Fprintf(out, "\n%d interactions, %d later, %d cores\n", len(log), len(later), runtime.GOMAXPROCS(0))
	return out.Flush()
}

// simulated are the demo library's readers; the last tenth of what they did is
// what they did later.
func simulated(readers int) (log, later []recommender.Event, books []recommender.Book) {
	catalogue := library.Books()
	for _, b := range catalogue {
		books = append(books, recommender.Book{ID: b.GetId(), Category: uint8(b.GetCategory()), Authors: b.GetAuthors()})
	}
	_, interactions := library.Simulate(catalogue, readers, 1)
	for _, i := range interactions {
		log = append(log, recommender.Event{
			Reader: i.GetReaderId(), Book: i.GetBookId(), Kind: recommender.Kind(i.GetKind()),
			Value: i.GetValue(), Time: i.GetOccurredAt().GetSeconds(),
		})
	}
	border := len(log) * 9 / 10
	return log[:border], log[border:], books
}

// inOrder sorts by time; events without one are shuffled.
func inOrder(log []recommender.Event) {
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(log), func(i, j int) { log[i], log[j] = log[j], log[i] })
	slices.SortStableFunc(log, func(a, b recommender.Event) int { return cmp.Compare(a.Time, b.Time) })
}

type measurement struct {
	log, later []recommender.Event
	books      []recommender.Book
}

// timed is a model and what it took to make.
type timed struct {
	*recommender.Model
	seconds float64
}

// train trains on the first so many events.
func (m *measurement) train(ctx context.Context, events int) (timed, error) {
	start := time.Now()
	model, err := recommender.Train(ctx, recommender.NewDataset(m.log[:events], m.books), recommender.Options{Position: int64(events)})
	return timed{model, time.Since(start).Seconds()}, err
}

// pair is a reader and a book.
type pair struct{ reader, book int32 }

// quality is the mean recall and NDCG over the readers who later liked a book
// that was new to them. Each is known to the model by all the reader did before.
func (m *measurement) quality(model *recommender.Model) (recall, ndcg float64, err error) {
	weights, err := model.Weights()
	if err != nil {
		return 0, 0, err
	}
	before, after := opinions(m.log), opinions(m.later)
	own := make(map[int32][]recommender.Event)
	for _, e := range m.log {
		own[e.Reader] = append(own[e.Reader], e)
	}
	wanted := make(map[int32]map[int32]bool)
	for p, o := range after {
		if o.Seen && !o.Disliked() && !before[p].Seen {
			if wanted[p.reader] == nil {
				wanted[p.reader] = make(map[int32]bool)
			}
			wanted[p.reader][p.book] = true
		}
	}
	ratings := make(map[int32]recommender.Ratings)
	for p, o := range before {
		r := ratings[p.reader]
		r.Add(o)
		ratings[p.reader] = r
	}
	var answer []recommender.Scored
	for reader, books := range wanted {
		q := recommender.Query{Limit: first}
		mean := ratings[reader].Mean()
		met := make(map[int32]bool)
		for _, e := range slices.Backward(own[reader]) {
			at, known := model.Index(e.Book)
			if !known || met[e.Book] {
				continue
			}
			met[e.Book] = true
			o := before[pair{reader, e.Book}]
			q.Own = append(q.Own, recommender.Own{Book: at, Weight: weights.Of(o, mean)})
			if o.Seen {
				q.Exclude = append(q.Exclude, at)
			}
		}
		slices.Reverse(q.Own)
		answer = model.Recommend(q, answer[:0])
		var hits, gain, ideal float64
		for place := range min(first, len(books)) {
			ideal += 1 / math.Log2(float64(place)+2)
		}
		for place, s := range answer {
			if books[model.BookID(s.Book)] {
				hits++
				gain += 1 / math.Log2(float64(place)+2)
			}
		}
		recall += hits / float64(len(books))
		ndcg += gain / ideal
	}
	return recall / float64(len(wanted)), ndcg / float64(len(wanted)), nil
}

func opinions(log []recommender.Event) map[pair]recommender.Opinion {
	all := make(map[pair]recommender.Opinion)
	for _, e := range log {
		p := pair{e.Reader, e.Book}
		all[p] = all[p].Apply(e)
	}
	return all
}
