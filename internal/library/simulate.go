package library

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

// SimulationSource names the simulation in Reader.source.
const SimulationSource = "simulation"

// Everything a simulated reader does happens in these two years.
var (
	simulationStart = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)
	simulationEnd   = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
)

// What a reader picks, and how the reader likes it. Tastes are on a scale of
// logarithms: a taste of 1 makes a book e times as likely to be picked.
const (
	fewestBooks = 8
	mostBooks   = 60
	// Readers are many who read little: the number of books grows with this
	// power of an even draw.
	avidity = 4

	zipfExponent = 0.8
	zipfOffset   = 10

	firstCategoryTaste = 2.7
	nextCategoryTaste  = 0.3 // less for each further favourite category
	authorTaste        = 2.5
	tagTaste           = 2.8 // for a tag of one book; common tags say less
	touchstones        = 3   // books whose authors and tags a reader is after

	worthContinuing = 3.5 // stars after which a series is usually continued
	continuing      = 0.7 // how usually
)

// Simulate makes readers of the books, and returns them with all they did, in
// the order it happened. Reader ids are 1 to readers; book ids are those of
// books. The same arguments give the same result on every run, and a reader
// stays the same when more readers are asked for.
//
// The readers have tastes, so that there is something to learn: one to three
// favourite categories, authors and subjects that they are after, and more or
// less of a liking for what everybody reads. Series are read in order, and
// stars follow taste. Nobody real is among them, and their names say so.
func Simulate(books []*catalogv1.Book, readers int, seed uint64) ([]*readersv1.Reader, []*readersv1.Interaction) {
	if len(books) == 0 || readers <= 0 {
		return nil, nil
	}
	w := newWorld(books, seed)
	people := make([]*readersv1.Reader, 0, readers)
	var log []*readersv1.Interaction
	for id := range int32(readers) {
		person, history := w.read(id+1, source(seed, uint64(id)+1))
		people = append(people, person)
		log = append(log, history...)
	}
	return people, inOrder(log)
}

// inOrder sorts by time; what happened in the same second stays as it was. Keys
// beside each other sort faster than messages all over the heap.
func inOrder(log []*readersv1.Interaction) []*readersv1.Interaction {
	type key struct {
		at    int64
		place int
	}
	keys := make([]key, len(log))
	for i, e := range log {
		keys[i] = key{e.OccurredAt.Seconds, i}
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.place, b.place))
	})
	sorted := make([]*readersv1.Interaction, len(log))
	for i, k := range keys {
		sorted[i] = log[k.place]
	}
	return sorted
}

// source is the random source of one reader, or of the world, which is 0. The
// odd constant sets neighbouring streams far apart.
func source(seed, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, stream*0x9e3779b97f4a7c15))
}

// taste is what one reader is after.
type taste struct {
	favourites []int // categories, the most liked first
	category   []float64
	author     []float64
	tag        []float64
	crowd      float64 // 1 follows popularity as it is, 0 ignores it
	kindness   float64 // stars above or below those of others
}

func (w *world) taste(r *rand.Rand) taste {
	t := taste{
		category: make([]float64, len(w.shelves)),
		author:   make([]float64, w.authorCount),
		tag:      make([]float64, len(w.telling)),
		crowd:    0.5 + 0.8*r.Float64(),
		kindness: 0.3 * r.NormFloat64(),
	}
	wanted := 1
	for wanted < 3 && r.Float64() < 0.45 {
		wanted++
	}
	for len(t.favourites) < min(wanted, len(w.shelves)) {
		c := draw(r, len(w.shelves), func(c int) float64 {
			switch {
			case t.category[c] > 0:
				return 0
			case len(t.favourites) == 0:
				return 1 // any category to begin with
			}
			return 0.2 + float64(w.kinship[t.favourites[0]][c])
		})
		t.category[c] = firstCategoryTaste - nextCategoryTaste*float64(len(t.favourites))
		t.favourites = append(t.favourites, c)
	}
	for n := range touchstones {
		shelf := w.shelves[t.favourites[n%len(t.favourites)]]
		book := shelf[draw(r, len(shelf), func(i int) float64 {
			return math.Exp(t.crowd * w.popularity[shelf[i]])
		})]
		for _, a := range w.authors[book] {
			t.author[a] = authorTaste
		}
		for _, tag := range w.tags[book] {
			t.tag[tag] = tagTaste * w.telling[tag]
		}
	}
	return t
}

// pull is how much of the reader's taste a book meets.
func (w *world) pull(t *taste, book int) float64 {
	pull := t.category[w.category[book]]
	for _, a := range w.authors[book] {
		pull += t.author[a]
	}
	for _, tag := range w.tags[book] {
		pull += t.tag[tag]
	}
	return pull
}

// read is one reader's life with books.
func (w *world) read(id int32, r *rand.Rand) (*readersv1.Reader, []*readersv1.Interaction) {
	t := w.taste(r)
	span := simulationEnd.Unix() - simulationStart.Unix()
	joined := int64(float64(span) * 0.75 * r.Float64())
	left := joined + int64(float64(span-joined)*(0.3+0.7*r.Float64()))

	wanted := fewestBooks + int(float64(mostBooks+1-fewestBooks)*math.Pow(r.Float64(), avidity))
	d := &diary{reader: id, random: r, entries: make([]*readersv1.Interaction, 0, 2*wanted)}
	picks := w.picks(&t, r)
	times := moments(r, min(wanted, len(w.books)), simulationStart.Unix()+joined, simulationStart.Unix()+left)
	for n := range times {
		book, ok := picks.next()
		if !ok {
			break
		}
		d.now = times[n]
		if n+1 < len(times) {
			d.until = times[n+1]
		} else {
			d.until = simulationStart.Unix() + left
		}
		stars := w.meet(d, &t, book, len(times)-n)
		picks.met(book, stars)
	}

	return &readersv1.Reader{
		Id:          id,
		Origin:      readersv1.Origin_ORIGIN_SIMULATED,
		DisplayName: w.displayName(id, t.favourites),
		Source:      SimulationSource,
		SourceId:    strconv.Itoa(int(id)),
		CreatedAt:   &timestamppb.Timestamp{Seconds: simulationStart.Unix() + joined},
	}, d.entries
}

func (w *world) displayName(id int32, favourites []int) string {
	names := make([]string, len(favourites))
	for i, c := range favourites {
		name := w.books[w.shelves[c][0]].Category.String()
		names[i] = strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, categoryPrefix), "_", " "))
	}
	return fmt.Sprintf("Simulated reader %d · %s", id, strings.Join(names, ", "))
}

// meet writes down what the reader does with a book when so many are left to
// meet, this one included. It returns the stars the reader has for the book, or
// 0 for a book the reader does not finish.
func (w *world) meet(d *diary, t *taste, book, left int) float64 {
	id := w.books[book].Id
	pull := w.pull(t, book)
	match := pull / (pull + 2) // 0 to 1
	chance := d.random.Float64()
	switch {
	case left <= 2 && chance < 0.5:
		d.write(id, readersv1.InteractionKind_INTERACTION_KIND_READING, 0)
		return 0
	case chance < 0.04:
		d.write(id, readersv1.InteractionKind_INTERACTION_KIND_VIEW, 0)
		return 0
	case chance < 0.12:
		d.write(id, readersv1.InteractionKind_INTERACTION_KIND_WANT, 0)
		return 0
	case chance < 0.24 && match < 0.5:
		d.write(id, readersv1.InteractionKind_INTERACTION_KIND_NOT_INTERESTED, 0)
		return 0
	}
	stars := 2.5 + 2.1*match + w.quality[book] + t.kindness + 0.55*d.random.NormFloat64()
	stars = min(max(math.Round(stars*2)/2, 0.5), 5)
	d.write(id, readersv1.InteractionKind_INTERACTION_KIND_FINISHED, 0)
	if d.random.Float64() < 0.9 {
		d.write(id, readersv1.InteractionKind_INTERACTION_KIND_RATING, float32(stars))
	}
	return stars
}

// diary is what one reader does, in the order it happens.
type diary struct {
	reader  int32
	random  *rand.Rand
	now     int64 // unix seconds
	until   int64 // when the next book has its turn
	entries []*readersv1.Interaction
}

func (d *diary) write(book int32, kind readersv1.InteractionKind, value float32) {
	d.entries = append(d.entries, &readersv1.Interaction{
		Id:         fmt.Sprintf("sim-%d-%d", d.reader, len(d.entries)+1),
		ReaderId:   d.reader,
		BookId:     book,
		Kind:       kind,
		Value:      value,
		OccurredAt: &timestamppb.Timestamp{Seconds: d.now},
	})
	// What follows on the same book follows within the day.
	d.now += int64(float64(min(d.until-d.now, 24*60*60)) * d.random.Float64())
}

// moments are n times between from and to, the earliest first.
func moments(r *rand.Rand, n int, from, to int64) []int64 {
	times := make([]int64, n)
	for i := range times {
		times[i] = from + r.Int64N(to-from)
	}
	slices.Sort(times)
	return times
}

// draw is one of 0 to n-1, each with its weight, which is not negative. The sum
// of the weights is above 0.
func draw(r *rand.Rand, n int, weight func(int) float64) int {
	sum := 0.0
	for i := range n {
		sum += weight(i)
	}
	rest := r.Float64() * sum
	last := 0
	for i := range n {
		if weight(i) > 0 {
			if rest -= weight(i); rest < 0 {
				return i
			}
			last = i
		}
	}
	return last
}
