package library

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"math/bits"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	manyReaders = 2000
	someReaders = 200
	seed        = 1
)

// many is what the statistics are made of; nobody changes it.
var many = sync.OnceValues(func() ([]*readersv1.Reader, []*readersv1.Interaction) {
	return Simulate(Books(), manyReaders, seed)
})

func TestSimulationKeepsTheReadersContract(t *testing.T) {
	people, log := Simulate(Books(), someReaders, seed)
	if len(people) != someReaders {
		t.Fatalf("%d readers, want %d", len(people), someReaders)
	}
	for i, p := range people {
		if err := protovalidate.Validate(p); err != nil {
			t.Errorf("reader %d: %v", i+1, err)
		}
		if p.Id != int32(i+1) || p.Origin != readersv1.Origin_ORIGIN_SIMULATED || p.Source != "simulation" {
			t.Errorf("reader %d: id %d, origin %v, source %q", i+1, p.Id, p.Origin, p.Source)
		}
		if !strings.HasPrefix(p.DisplayName, "Simulated reader ") {
			t.Errorf("the name %q does not say that the reader is simulated", p.DisplayName)
		}
	}
	ids := make(map[string]bool)
	for _, e := range log {
		if err := protovalidate.Validate(e); err != nil {
			t.Errorf("%s: %v", e.Id, err)
		}
		if e.Id == "" || ids[e.Id] {
			t.Errorf("the id %q is empty or given twice", e.Id)
		}
		ids[e.Id] = true
	}
}

func TestSimulationIsInOrderOfTime(t *testing.T) {
	people, log := Simulate(Books(), someReaders, seed)
	for i, e := range log {
		at := e.OccurredAt.AsTime()
		if at.Before(simulationStart) || !at.Before(simulationEnd) {
			t.Errorf("%s: %v is not within the two years", e.Id, at)
		}
		if joined := people[e.ReaderId-1].CreatedAt.AsTime(); at.Before(joined) {
			t.Errorf("%s: %v is before the reader came at %v", e.Id, at, joined)
		}
		if i > 0 && at.Before(log[i-1].OccurredAt.AsTime()) {
			t.Errorf("%s is before %s", e.Id, log[i-1].Id)
		}
	}
}

func TestSimulationHasAllThatReadersDo(t *testing.T) {
	_, log := many()
	if len(log) < 50_000 || len(log) > 70_000 {
		t.Errorf("%d interactions, want 50,000 to 70,000", len(log))
	}
	kinds := make(map[readersv1.InteractionKind]int)
	stars := make(map[float32]int)
	type pair struct{ reader, book int32 }
	met := make(map[pair]bool)
	shelves := make(map[int32]int)
	for _, e := range log {
		kinds[e.Kind]++
		stars[e.Value]++
		if p := (pair{e.ReaderId, e.BookId}); !met[p] {
			met[p] = true
			shelves[e.ReaderId]++
		}
	}
	t.Logf("%d interactions with %d books: %v, stars %v", len(log), len(met), kinds, stars)
	for _, kind := range []readersv1.InteractionKind{
		readersv1.InteractionKind_INTERACTION_KIND_VIEW,
		readersv1.InteractionKind_INTERACTION_KIND_WANT,
		readersv1.InteractionKind_INTERACTION_KIND_READING,
		readersv1.InteractionKind_INTERACTION_KIND_NOT_INTERESTED,
	} {
		if n := kinds[kind]; n == 0 || n > len(log)/5 {
			t.Errorf("%v %d times, want some and less than a fifth", kind, n)
		}
	}
	finished := kinds[readersv1.InteractionKind_INTERACTION_KIND_FINISHED]
	rated := kinds[readersv1.InteractionKind_INTERACTION_KIND_RATING]
	if rated >= finished || rated < finished/2 {
		t.Errorf("%d finished and %d rated, want most rated but not all", finished, rated)
	}
	for s := float32(0.5); s <= 5; s += 0.5 {
		if stars[s] == 0 {
			t.Errorf("nobody gave %g stars", s)
		}
	}
	for reader, n := range shelves {
		if n < fewestBooks || n > mostBooks {
			t.Errorf("reader %d has %d books, want %d to %d", reader, n, fewestBooks, mostBooks)
		}
	}
}

func TestSeriesAreReadInOrder(t *testing.T) {
	books := Books()
	_, log := many()
	type shelf struct {
		reader int32
		series string
	}
	last := make(map[shelf]float32)
	continued := 0
	for _, e := range log {
		b := books[e.BookId-1]
		if b.SeriesPosition == 0 {
			continue
		}
		s := shelf{e.ReaderId, b.Series}
		if b.SeriesPosition < last[s] {
			t.Fatalf("%s: %s %g comes after %g", e.Id, b.Series, b.SeriesPosition, last[s])
		}
		if last[s] > 0 && b.SeriesPosition > last[s] {
			continued++
		}
		last[s] = b.SeriesPosition
	}
	if continued < manyReaders/10 {
		t.Errorf("a series was continued %d times, which is too few to learn from", continued)
	}
}

// The readers of a book should be found among the readers of a book like it
// more often than popularity alone would have it.
func TestBooksAlikeShareReaders(t *testing.T) {
	books := Books()
	_, log := many()
	const words = (manyReaders + 63) / 64
	readers := make([][words]uint64, len(books)) // one bit a reader
	count := make([]int, len(books))
	for _, e := range log {
		word, bit := &readers[e.BookId-1][(e.ReaderId-1)/64], uint64(1)<<((e.ReaderId-1)%64)
		if *word&bit == 0 {
			*word |= bit
			count[e.BookId-1]++
		}
	}
	// lift is how many readers the alike have in common, in what chance gives.
	lift := func(alike func(a, b *catalogv1.Book) bool) float64 {
		common, expected := 0, 0.0
		for i, a := range books {
			for j, b := range books[:i] {
				if !alike(a, b) {
					continue
				}
				expected += float64(count[i]) * float64(count[j]) / manyReaders
				for w := range words {
					common += bits.OnesCount64(readers[i][w] & readers[j][w])
				}
			}
		}
		return float64(common) / expected
	}
	category := lift(func(a, b *catalogv1.Book) bool { return a.Category == b.Category })
	author := lift(func(a, b *catalogv1.Book) bool { return a.Authors[0] == b.Authors[0] })
	series := lift(func(a, b *catalogv1.Book) bool { return a.Series != "" && a.Series == b.Series })
	apart := lift(func(a, b *catalogv1.Book) bool {
		return a.Category != b.Category && !slices.ContainsFunc(a.Tags, func(t string) bool { return slices.Contains(b.Tags, t) })
	})
	t.Logf("lift: category %.2f, author %.2f, series %.2f, nothing in common %.2f", category, author, series, apart)
	// Avid readers share books of every sort, so that 1 is not the measure.
	if !(series > author && author > category && category > 3*apart) {
		t.Errorf("lift with nothing in common %.2f, same category %.2f, author %.2f, series %.2f; want them to rise, the second to above three times the first", apart, category, author, series)
	}
}

func TestSimulationIsTheSameForTheSameArguments(t *testing.T) {
	const golden = "testdata/simulation.sha256"
	got := digest(Simulate(Books(), someReaders, seed)) + "\n"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("digest %s want %s the books or the simulation changed; if that is meant: go test ./internal/library -update", got, want)
	}
	if other := digest(Simulate(Books(), someReaders, seed+1)) + "\n"; other == got {
		t.Error("another seed gives the same readers")
	}
}

func TestReadersStayWhenMoreAreAskedFor(t *testing.T) {
	few, fewLog := Simulate(Books(), 50, seed)
	more, moreLog := Simulate(Books(), 100, seed)
	moreLog = slices.DeleteFunc(moreLog, func(e *readersv1.Interaction) bool { return e.ReaderId > 50 })
	if digest(few, fewLog) != digest(more[:50], moreLog) {
		t.Error("the first 50 of 100 readers are not the 50")
	}
}

func TestSimulationOfLittle(t *testing.T) {
	if people, log := Simulate(nil, 10, seed); people != nil || log != nil {
		t.Errorf("without books: %d readers, %d interactions", len(people), len(log))
	}
	if people, log := Simulate(Books(), 0, seed); people != nil || log != nil {
		t.Errorf("without readers: %d readers, %d interactions", len(people), len(log))
	}
	people, log := Simulate(Books()[:1], 10, seed)
	if len(people) != 10 || len(log) < 10 {
		t.Errorf("with one book: %d readers, %d interactions, want 10 and as many", len(people), len(log))
	}
}

func digest(people []*readersv1.Reader, log []*readersv1.Interaction) string {
	h := sha256.New()
	add := func(m proto.Message) {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			panic(err)
		}
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b))))
		h.Write(b)
	}
	for _, p := range people {
		add(p)
	}
	for _, e := range log {
		add(e)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func BenchmarkBooks(b *testing.B) {
	for b.Loop() {
		Books()
	}
}

func BenchmarkSimulate(b *testing.B) {
	books := Books()
	var log []*readersv1.Interaction
	for b.Loop() {
		_, log = Simulate(books, manyReaders, seed)
	}
	b.ReportMetric(float64(len(log)), "interactions")
}
