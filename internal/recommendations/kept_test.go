package recommendations

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
	"github.com/octavo-books/octavo/internal/recommender"
)

const (
	keptBooks   = 240
	keptReaders = 60
)

// keptWorld is the same service twice: one that keeps rankings, in so little
// memory that most have to go again, and one that does not.
type keptWorld struct {
	random        *rand.Rand
	registry      *prometheus.Registry // of the one that keeps
	keeps, makes  *Server
	names         []string // of two models
	paths         []string
	keptV1, other v1Server
}

func newKeptWorld(t *testing.T, memory int64) *keptWorld {
	t.Helper()
	w := &keptWorld{
		random:   rand.New(rand.NewPCG(5, 6)),
		registry: prometheus.NewRegistry(),
		makes:    New(Config{}),
	}
	w.keeps = New(Config{KeptMemory: memory, Metrics: w.registry})
	w.keptV1, w.other = v1Server{service: &w.keeps.service}, v1Server{service: &w.makes.service}
	var events []recommender.Event
	known := make([]recommender.Book, keptBooks)
	for i := range known {
		known[i] = recommender.Book{ID: int32(i) + 1, Category: uint8(i%3) + 1}
	}
	for reader := range int32(28) { // too few for the gate to judge the model by
		for range 10 + w.random.IntN(30) {
			book := (reader%6)*40 + w.random.Int32N(40) + 1
			events = append(events, recommender.Event{Reader: reader + 1000, Book: book, Kind: recommender.Finished, Time: int64(len(events))})
		}
	}
	for i, n := range []int{len(events), len(events) / 2} {
		trained, err := recommender.Train(context.Background(), recommender.NewDataset(events[:n], known), recommender.Options{
			Parameters: &recommender.Parameters{
				BookExponent: 0.4, OwnExponent: 0.4, ReaderExponent: 0.4, Smoothing: 3, Sharpness: 1.2, Prior: 0.01, PriorExponent: 1, Stars: 1, Against: 0.2,
				Regression: 2, Ridge: 10, Factors: 1, Unobserved: 0.005,
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.names = append(w.names, fmt.Sprint("model", i))
		w.paths = append(w.paths, filepath.Join(t.TempDir(), w.names[i]))
		if err := trained.Save(w.paths[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range w.both() {
		var all []listing
		for id := range int32(keptBooks + 5) { // without the first, with some the models do not know
			all = append(all, keptListing(id+2, uint8(id%3)+1))
		}
		s.catalogue.put(all)
	}
	w.swap(t, 0)
	t.Cleanup(func() {
		for _, s := range w.both() {
			s.models.current.Swap(nil).release()
		}
	})
	return w
}

func (w *keptWorld) both() []*Server { return []*Server{w.keeps, w.makes} }

func keptListing(id int32, category uint8) listing {
	return listingFrom(&catalogv1.Book{Id: id, Title: fmt.Sprint("Book ", id), Authors: []string{fmt.Sprint("Author ", id/9)}, Category: catalogv1.Category(category)})
}

func (w *keptWorld) swap(t *testing.T, to int) {
	t.Helper()
	for _, s := range w.both() {
		m, err := load(w.names[to], w.paths[to])
		if err != nil {
			t.Fatal(err)
		}
		old := s.models.current.Swap(m)
		s.catalogue.learn(m.learnt)
		if old != nil {
			old.release()
		}
	}
}

// change has a reader do something, or be erased.
func (w *keptWorld) change() {
	if w.random.IntN(40) == 0 {
		reader := 1 + w.random.Int32N(keptReaders)
		for _, s := range w.both() {
			s.histories.Load().erase(reader)
		}
		return
	}
	kinds := []recommender.Kind{recommender.View, recommender.Click, recommender.Want, recommender.Finished, recommender.NotInterested, recommender.Rating, recommender.Removed}
	e := recommender.Event{
		Reader: 1 + w.random.Int32N(keptReaders), Book: 1 + w.random.Int32N(keptBooks+10),
		Kind: kinds[w.random.IntN(len(kinds))], Value: float32(1 + w.random.IntN(5)), Time: w.random.Int64N(1000),
	}
	for _, s := range w.both() {
		s.histories.Load().apply(e)
	}
}

func someRequest(random *rand.Rand) *recommendationsv1.RecommendRequest {
	r := &recommendationsv1.RecommendRequest{ReaderId: random.Int32N(keptReaders + 2), MaxResults: []int32{0, 3, 10, 40}[random.IntN(4)], MaxReasons: random.Int32N(4)}
	switch random.IntN(6) {
	case 0:
		r.FavouriteCategory = 1 + random.Int32N(3)
	case 1, 2:
		r.Category = catalogv1.Category(random.Int32N(5))
	}
	switch random.IntN(8) {
	case 0:
		r.RecentBookIds = []int32{1 + random.Int32N(keptBooks)}
	case 1:
		r.Diversity = 0.3
	case 2:
		r.MaxPerAuthor = 1
	case 3:
		for range random.IntN(160) {
			r.ExcludedBookIds = append(r.ExcludedBookIds, 1+random.Int32N(keptBooks))
		}
	}
	return r
}

func (w *keptWorld) compare(t *testing.T, r *recommendationsv1.RecommendRequest) {
	t.Helper()
	got, err := w.keptV1.Recommend(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	want, err := w.other.Recommend(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	sameMessage(t, got, want, r)
}

func sameMessage(t *testing.T, got, want, of proto.Message) {
	t.Helper()
	a, errA := proto.MarshalOptions{Deterministic: true}.Marshal(got)
	b, errB := proto.MarshalOptions{Deterministic: true}.Marshal(want)
	if errA != nil || errB != nil || string(a) != string(b) {
		t.Fatalf("to %v the answer is\n%x\nand without what is kept\n%x", of, a, b)
	}
}

// TestKeptRankingsAreThoseMadeAnew: what is kept changes no bit of any answer,
// whatever readers, the catalogue and the trainer do in between.
func TestKeptRankingsAreThoseMadeAnew(t *testing.T) {
	for name, memory := range map[string]int64{"much memory": 1 << 24, "little memory": 64 << 10, "less than one takes": 64} {
		t.Run(name, func(t *testing.T) {
			w := newKeptWorld(t, memory)
			for range 400 {
				w.change()
			}
			for step := range 3000 {
				switch w.random.IntN(100) {
				case 0:
					w.swap(t, step%2)
				case 1, 2: // a book that changes its category, or comes
					id, category := 1+w.random.Int32N(keptBooks), uint8(w.random.IntN(4))
					for _, s := range w.both() {
						s.catalogue.put([]listing{keptListing(id, category)})
					}
				case 3, 4, 5, 6, 7:
					w.change()
				case 8, 9, 10:
					batch := &recommendationsv1.BatchRecommendRequest{}
					reader := someRequest(w.random).ReaderId
					for range 4 {
						r := someRequest(w.random)
						r.ReaderId = reader
						batch.Requests = append(batch.Requests, r)
					}
					got, _ := w.keptV1.BatchRecommend(t.Context(), batch)
					want, _ := w.other.BatchRecommend(t.Context(), batch)
					sameMessage(t, got, want, batch)
				default:
					w.compare(t, someRequest(w.random))
				}
			}
			counted, there := w.keeps.histories.Load().keptBytes(), w.keeps.histories.Load().countKept()
			if counted != there || there > memory {
				t.Errorf("%d bytes are kept and %d counted, of at most %d", there, counted, memory)
			}
		})
	}
}

// countKept is the size of all that is kept.
func (h *histories) countKept() (sum int64) {
	for i := range h.shards {
		for _, own := range h.shards[i].byReader {
			sum += own.kept.size()
		}
	}
	return sum
}

// TestKeptRankingsUnderLoad: answers, clicks and new models at once leave
// nothing behind that is out of date.
func TestKeptRankingsUnderLoad(t *testing.T) {
	w := newKeptWorld(t, 256<<10)
	var asking sync.WaitGroup
	done := make(chan struct{})
	for n := range 4 {
		asking.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(n)))
			for {
				select {
				case <-done:
					return
				default:
				}
				r := someRequest(random)
				for _, s := range []*v1Server{&w.keptV1, &w.other} {
					if _, err := s.Recommend(context.Background(), r); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for step := range 3000 {
		w.change()
		if step%500 == 0 {
			w.swap(t, step/500%2)
		}
	}
	close(done)
	asking.Wait()
	for range 2000 {
		w.compare(t, someRequest(w.random))
	}
}

// TestWhatWasMadeBeforeAClickIsNotKept: an answer in the making while the reader
// does something, or is erased, leaves nothing behind.
func TestWhatWasMadeBeforeAClickIsNotKept(t *testing.T) {
	for name, happens := range map[string]func(h *histories){
		"a click": func(h *histories) { h.apply(recommender.Event{Reader: 1, Book: 2, Kind: recommender.Click}) },
		"erased and back": func(h *histories) {
			h.erase(1)
			h.apply(recommender.Event{Reader: 1, Book: 2, Kind: recommender.Click})
		},
	} {
		h := newHistories(1 << 20)
		h.apply(recommender.Event{Reader: 1, Book: 1, Kind: recommender.Click})
		var nothing *kept
		made := nothing.with(tied{model: "of now"}, ranking{whole: true})
		_, _, before, _ := h.appendTo(nil, 1)
		before.keep(1, made)
		if _, k, _, _ := h.appendTo(nil, 1); k != made {
			t.Errorf("%s: nothing is kept before it", name)
		}
		happens(h)
		before.keep(1, made)
		if _, k, _, _ := h.appendTo(nil, 1); k != nil || h.keptBytes() != 0 {
			t.Errorf("%s: what was made before it is kept, %d bytes", name, h.keptBytes())
		}
	}
}

// TestAReaderWhoDoesNothingIsAnsweredFromWhatIsKept: a ranking is made once, and
// anew after a click of this reader alone or with another model.
func TestAReaderWhoDoesNothingIsAnsweredFromWhatIsKept(t *testing.T) {
	w := newKeptWorld(t, 1<<20)
	for range 400 {
		w.change()
	}
	server := firstServer{service: &w.keeps.service}
	ask := func(reader int32) (misses float64) {
		before := w.misses(t)
		if _, err := server.Recommend(t.Context(), &recommendationspb.RecommendationRequest{UserId: reader, Category: 0, MaxResults: 3}); err != nil {
			t.Fatal(err)
		}
		return w.misses(t) - before
	}
	steps := []struct {
		name   string
		before func()
		made   bool
	}{
		{"at first", func() {}, true},
		{"again", func() {}, false},
		{"after another reader's click", func() {
			w.keeps.histories.Load().apply(recommender.Event{Reader: 2, Book: 7, Kind: recommender.Click})
		}, false},
		{"after the reader's click", func() {
			w.keeps.histories.Load().apply(recommender.Event{Reader: 1, Book: 7, Kind: recommender.Click})
		}, true},
		{"again after it", func() {}, false},
		{"with another model", func() { w.swap(t, 1) }, true},
	}
	for _, step := range steps {
		step.before()
		if made := ask(1) > 0; made != step.made {
			t.Errorf("%s: made is %v, want %v", step.name, made, step.made)
		}
	}
}

// misses is how many rankings had not been kept.
func (w *keptWorld) misses(t *testing.T) (sum float64) {
	t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "octavo_kept_rankings_total" && m.GetLabel()[0].GetValue() == "miss" {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}
