package recommendations_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/octavo-books/octavo/chassis/chassistest"
	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
	"github.com/octavo-books/octavo/internal/feedtest"
	"github.com/octavo-books/octavo/internal/modelstore"
	"github.com/octavo-books/octavo/internal/recommendations"
	"github.com/octavo-books/octavo/internal/recommender"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The library of these tests: 120 books, the first 40 literature, then
// philosophy, then science. Reader r of 300 reads within one of six tastes of
// twenty books.
const (
	shelfSize  = 40
	allBooks   = 120
	tasteSize  = 20
	allReaders = 300

	literature = catalogv1.Category_CATEGORY_LITERATURE
	philosophy = catalogv1.Category_CATEGORY_PHILOSOPHY
	science    = catalogv1.Category_CATEGORY_SCIENCE
)

func testBook(id int32) *catalogv1.Book {
	return &catalogv1.Book{
		Id: id, Title: fmt.Sprint("Book ", id), Authors: []string{fmt.Sprint("Author ", (id-1)/10)},
		Category: catalogv1.Category((id-1)/shelfSize + 1), Year: 1900 + id, Popularity: int64(id),
	}
}

func testBooks() []*catalogv1.Book {
	books := make([]*catalogv1.Book, allBooks)
	for i := range books {
		books[i] = testBook(int32(i) + 1)
	}
	return books
}

func testLog() []*readersv1.Interaction {
	random := rand.New(rand.NewPCG(1, 2))
	var log []*readersv1.Interaction
	for reader := range int32(allReaders) {
		taste := reader % (allBooks / tasteSize)
		for _, b := range random.Perm(tasteSize)[:8] {
			log = append(log, finished(reader+1, taste*tasteSize+int32(b)+1))
		}
	}
	return log
}

func finished(reader, book int32) *readersv1.Interaction {
	return did(reader, book, readersv1.InteractionKind_INTERACTION_KIND_FINISHED)
}

func did(reader, book int32, kind readersv1.InteractionKind) *readersv1.Interaction {
	return &readersv1.Interaction{ReaderId: reader, BookId: book, Kind: kind, OccurredAt: &timestamppb.Timestamp{Seconds: 1_700_000_000}}
}

// world is the service with everything around it.
type world struct {
	t          *testing.T
	catalog    *feedtest.Catalog
	readers    *feedtest.Readers
	modelsPath string
	models     *modelstore.Dir
	store      recommendations.Models // models, unless the test has another one
	logged     *lines
	registry   *prometheus.Registry

	catalogClient catalogv1.CatalogServiceClient
	readersClient readersv1.ReadersServiceClient

	server *recommendations.Server
	first  recommendationspb.RecommendationsClient
	v1     recommendationsv1.RecommendationsServiceClient
}

// lines collects a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, catalog: &feedtest.Catalog{}, readers: &feedtest.Readers{}, modelsPath: t.TempDir(), logged: &lines{}, registry: prometheus.NewPedanticRegistry()}
	var err error
	if w.models, err = modelstore.Open(w.modelsPath); err != nil {
		t.Fatal(err)
	}
	feeds := chassistest.Serve(t, func(r grpc.ServiceRegistrar) {
		w.catalog.Register(r)
		w.readers.Register(r)
	})
	w.catalogClient = catalogv1.NewCatalogServiceClient(feeds)
	w.readersClient = readersv1.NewReadersServiceClient(feeds)
	return w
}

// start runs the service until the test ends.
func (w *world) start() {
	w.t.Helper()
	if w.store == nil {
		w.store = w.models
	}
	w.server = recommendations.New(recommendations.Config{
		Catalog: w.catalogClient, Readers: w.readersClient, Models: w.store,
		Log:        slog.New(slog.NewTextHandler(w.logged, nil)),
		Metrics:    w.registry,
		ModelsPoll: 5 * time.Millisecond,
	})
	conn := chassistest.Serve(w.t, w.server.Register)
	w.first = recommendationspb.NewRecommendationsClient(conn)
	w.v1 = recommendationsv1.NewRecommendationsServiceClient(conn)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.server.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
	})
}

// trained is a running service with the library and a model of it.
func trained(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.catalog.Put(testBooks()...)
	w.readers.Record(testLog()...)
	w.train()
	w.start()
	w.eventually("ready", func() bool { return w.server.Ready() == nil && w.model().GetModelVersion() != "" })
	return w
}

// train publishes a model of all that the feeds have, and returns its version.
func (w *world) train() string {
	w.t.Helper()
	var events []recommender.Event
	for _, i := range w.readers.Lines() {
		events = append(events, recommender.Event{
			Reader: i.GetReaderId(), Book: i.GetBookId(), Kind: recommender.Kind(i.GetKind()), Value: i.GetValue(), Time: i.GetOccurredAt().GetSeconds(),
		})
	}
	var books []recommender.Book
	for _, b := range w.catalog.Lines() {
		books = append(books, recommender.Book{ID: b.GetId(), Category: uint8(b.GetCategory()), Authors: b.GetAuthors()})
	}
	model, err := recommender.Train(w.t.Context(), recommender.NewDataset(events, books), recommender.Options{Position: int64(len(events))})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.models.Publish(w.t.Context(), model.Save); err != nil {
		w.t.Fatal(err)
	}
	version := model.Info().Version
	if err := model.Close(); err != nil {
		w.t.Fatal(err)
	}
	return version
}

func (w *world) eventually(what string, condition func() bool) {
	w.t.Helper()
	deadline := time.After(20 * time.Second)
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-deadline:
			w.t.Fatalf("never came true: %s\nlog:\n%s", what, w.logged)
		case <-ticker.C:
		}
	}
}

func (w *world) model() *recommendationsv1.GetModelResponse {
	w.t.Helper()
	model, err := w.v1.GetModel(w.t.Context(), &recommendationsv1.GetModelRequest{})
	if err != nil {
		w.t.Fatal(err)
	}
	return model
}

func (w *world) recommend(r *recommendationsv1.RecommendRequest) *recommendationsv1.RecommendResponse {
	w.t.Helper()
	response, err := w.v1.Recommend(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return response
}

func ids(books []*recommendationsv1.Recommendation) []int32 {
	ids := make([]int32, len(books))
	for i, b := range books {
		ids[i] = b.GetId()
	}
	return ids
}

func distinct(ids []int32) bool {
	return len(slices.Compact(slices.Sorted(slices.Values(ids)))) == len(ids)
}

func TestFirstContract(t *testing.T) {
	w := trained(t)
	tests := []struct {
		name    string
		request *recommendationspb.RecommendationRequest
		want    int
		kind    fault.Kind
		text    string
	}{
		{name: "nothing set", request: &recommendationspb.RecommendationRequest{}, want: 10},
		{name: "a known reader", request: &recommendationspb.RecommendationRequest{UserId: 1, Category: recommendationspb.BookCategory_PHILOSOPHY, MaxResults: 3}, want: 3},
		{name: "a reader nobody has seen", request: &recommendationspb.RecommendationRequest{UserId: math.MaxInt32, MaxResults: 5}, want: 5},
		{name: "more than the category has", request: &recommendationspb.RecommendationRequest{MaxResults: 100}, want: shelfSize},
		{name: "more than anybody gets", request: &recommendationspb.RecommendationRequest{MaxResults: math.MaxInt32}, want: shelfSize},
		{name: "an empty category", request: &recommendationspb.RecommendationRequest{Category: recommendationspb.BookCategory_TECHNOLOGY}, want: 0},
		{name: "an unknown category", request: &recommendationspb.RecommendationRequest{Category: 32}, kind: fault.NotFound, text: "Category not found"},
		{name: "a huge category", request: &recommendationspb.RecommendationRequest{Category: math.MaxInt32}, kind: fault.NotFound, text: "Category not found"},
		{name: "a negative category", request: &recommendationspb.RecommendationRequest{Category: -1}, kind: fault.NotFound, text: "Category not found"},
		{name: "negative results", request: &recommendationspb.RecommendationRequest{MaxResults: -1}, kind: fault.Invalid, text: "max_results"},
		{name: "negative reader", request: &recommendationspb.RecommendationRequest{UserId: math.MinInt32}, kind: fault.Invalid, text: "user_id"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			response, err := w.first.Recommend(t.Context(), test.request)
			if test.text != "" {
				if fault.KindOf(err) != test.kind || !strings.Contains(fmt.Sprint(err), test.text) {
					t.Fatalf("error %v, want %v with %q", err, test.kind, test.text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(response.GetRecommendations()) != test.want {
				t.Errorf("%d books, want %d", len(response.GetRecommendations()), test.want)
			}
			for _, b := range response.GetRecommendations() {
				if want := testBook(b.GetId()); b.GetTitle() != want.GetTitle() || int32(want.GetCategory()) != int32(test.request.GetCategory())+1 {
					t.Errorf("%v, which is %v in the catalogue", b, want)
				}
			}
		})
	}
}

func TestSeenBooksAreLeftOut(t *testing.T) {
	w := trained(t)
	kinds := []readersv1.InteractionKind{
		readersv1.InteractionKind_INTERACTION_KIND_WANT, readersv1.InteractionKind_INTERACTION_KIND_READING,
		readersv1.InteractionKind_INTERACTION_KIND_FINISHED, readersv1.InteractionKind_INTERACTION_KIND_BOUGHT,
		readersv1.InteractionKind_INTERACTION_KIND_NOT_INTERESTED,
	}
	var seen []int32
	var position int64
	for i, kind := range kinds {
		seen = append(seen, int32(i)+1)
		position = w.readers.Record(did(1000, int32(i)+1, kind))
	}
	rated := did(1000, 20, readersv1.InteractionKind_INTERACTION_KIND_RATING)
	rated.Value = 1
	seen = append(seen, 20)
	w.readers.Record(rated,
		finished(1000, 21), did(1000, 21, readersv1.InteractionKind_INTERACTION_KIND_REMOVED),
		did(1000, 22, readersv1.InteractionKind_INTERACTION_KIND_VIEW))
	position += 4

	got := ids(w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 1000, Category: literature, MaxResults: 100, MinPosition: position}).GetRecommendations())
	for id := int32(1); id <= shelfSize; id++ {
		if want := !slices.Contains(seen, id); slices.Contains(got, id) != want {
			t.Errorf("book %d in the answer: %t, want %t", id, !want, want)
		}
	}
	if len(got) != shelfSize-len(seen) || !distinct(got) {
		t.Errorf("got %v", got)
	}
}

func TestRecommendationsArePersonalWithExactReasons(t *testing.T) {
	w := trained(t)
	response := w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 1, MaxResults: 5, MaxReasons: 10, MaxPerAuthor: 5})
	if response.GetHistorySize() != 8 || response.GetModelVersion() == "" || response.GetStale() || response.GetPosition() != int64(allReaders*8) {
		t.Errorf("history %d, model %q, stale %t, position %d", response.GetHistorySize(), response.GetModelVersion(), response.GetStale(), response.GetPosition())
	}
	for _, b := range response.GetRecommendations() {
		if b.GetId() > tasteSize {
			t.Errorf("book %d is not to the reader's taste", b.GetId())
		}
		want := testBook(b.GetId())
		if b.GetTitle() != want.GetTitle() || !slices.Equal(b.GetAuthors(), want.GetAuthors()) || b.GetYear() != want.GetYear() || b.GetCategory() != want.GetCategory() {
			t.Errorf("%v, which is %v in the catalogue", b, want)
		}
		var sum float64
		for i, reason := range b.GetReasons() {
			sum += float64(reason.GetShare())
			if i > 0 && reason.GetShare() > b.GetReasons()[i-1].GetShare() {
				t.Errorf("book %d: reasons out of order: %v", b.GetId(), b.GetReasons())
			}
			switch reason.GetKind() {
			case recommendationsv1.ReasonKind_REASON_KIND_YOUR_BOOK:
				if reason.GetBookId() > tasteSize || reason.GetTitle() != testBook(reason.GetBookId()).GetTitle() {
					t.Errorf("book %d for reason %v, which is no book of the reader", b.GetId(), reason)
				}
			case recommendationsv1.ReasonKind_REASON_KIND_BEST_SELLER:
				if reason.GetTitle() != "" || reason.GetBookId() != 0 {
					t.Errorf("book %d: %v", b.GetId(), reason)
				}
			default:
				t.Errorf("book %d has a reason without a kind", b.GetId())
			}
		}
		if math.Abs(sum-1) > 1e-5 {
			t.Errorf("book %d: the shares add up to %f", b.GetId(), sum)
		}
	}
	if reasons := w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 1}).GetRecommendations()[0].GetReasons(); len(reasons) != 0 {
		t.Errorf("reasons that nobody asked for: %v", reasons)
	}
}

func TestReasonsSayWhatTheReaderDid(t *testing.T) {
	const (
		view, want, reading, finished = readersv1.InteractionKind_INTERACTION_KIND_VIEW, readersv1.InteractionKind_INTERACTION_KIND_WANT,
			readersv1.InteractionKind_INTERACTION_KIND_READING, readersv1.InteractionKind_INTERACTION_KIND_FINISHED
		rating, notInterested, bought = readersv1.InteractionKind_INTERACTION_KIND_RATING,
			readersv1.InteractionKind_INTERACTION_KIND_NOT_INTERESTED, readersv1.InteractionKind_INTERACTION_KIND_BOUGHT
		click, removed, nothing = readersv1.InteractionKind_INTERACTION_KIND_CLICK,
			readersv1.InteractionKind_INTERACTION_KIND_REMOVED, readersv1.InteractionKind_INTERACTION_KIND_UNSPECIFIED
	)
	type kinds = []readersv1.InteractionKind
	w, reader := trained(t), int32(1000)
	for name, test := range map[string]struct {
		done   kinds
		recent bool
		want   readersv1.InteractionKind
	}{
		"on a shelf":                       {done: kinds{want}, want: want},
		"on one shelf after another":       {done: kinds{view, want, reading, finished}, want: finished},
		"rated, too":                       {done: kinds{bought, rating}, want: bought},
		"only rated":                       {done: kinds{view, rating, click}, want: rating},
		"only looked at":                   {done: kinds{view}, want: view},
		"suggested":                        {done: kinds{view, click}, want: click},
		"looked at after it was taken off": {done: kinds{finished, removed, view}, want: view},
		"of this visit":                    {recent: true, want: view},
		"of this visit and on a shelf":     {done: kinds{reading}, recent: true, want: reading},
	} {
		reader++
		t.Run(name, func(t *testing.T) {
			const own, other = 5, 6
			position := w.readers.Record(did(reader, other, finished))
			for _, kind := range test.done {
				i := did(reader, own, kind)
				if kind == rating {
					i.Value = 5
				}
				position = w.readers.Record(i)
			}
			request := &recommendationsv1.RecommendRequest{ReaderId: reader, MaxResults: 5, MaxReasons: 10, MinPosition: position}
			if test.recent {
				request.RecentBookIds = []int32{own}
			}
			for range 2 { // the second answer is from what is kept
				told := map[int32]readersv1.InteractionKind{}
				for _, b := range w.recommend(request).GetRecommendations() {
					for _, reason := range b.GetReasons() {
						told[reason.GetBookId()] = reason.GetInteraction()
					}
				}
				if told[own] != test.want || told[other] != finished || told[0] != nothing {
					t.Errorf("the reasons say %v, want %v of the book", told, test.want)
				}
			}
		})
	}
}

func TestReaderNobodyHasSeenGetsBestSellers(t *testing.T) {
	w := trained(t)
	for _, reader := range []int32{0, 1_000_000} {
		response := w.recommend(&recommendationsv1.RecommendRequest{ReaderId: reader, MaxReasons: 3})
		if len(response.GetRecommendations()) != 10 || response.GetHistorySize() != 0 {
			t.Fatalf("reader %d: %v", reader, response)
		}
		for _, b := range response.GetRecommendations() {
			if len(b.GetReasons()) != 1 || b.GetReasons()[0].GetKind() != recommendationsv1.ReasonKind_REASON_KIND_BEST_SELLER || b.GetReasons()[0].GetShare() != 1 {
				t.Errorf("reader %d: %v", reader, b)
			}
		}
	}
}

func TestBooksOfThisVisit(t *testing.T) {
	w := trained(t)
	recent := []int32{101, 102, 103, 102}
	response := w.recommend(&recommendationsv1.RecommendRequest{RecentBookIds: recent, ExcludedBookIds: []int32{104, 105}, MaxResults: 10, MaxPerAuthor: 10})
	if response.GetHistorySize() != 3 {
		t.Errorf("history %d, want the 3 books of the visit", response.GetHistorySize())
	}
	for _, id := range ids(response.GetRecommendations()) {
		if id <= 105 {
			t.Errorf("book %d is of another taste, of the visit, or excluded", id)
		}
	}
}

// While a reader has paused, every answer is that of somebody nobody knows; what
// is done meanwhile counts from the end of the pause on. So it is for a service
// that was there and for one that reads the log from its start.
func TestAPausedReaderIsAnsweredAsNobody(t *testing.T) {
	w := trained(t)
	const reader = 1
	mark := func(kind readersv1.InteractionKind) int64 {
		return w.readers.Record(&readersv1.Interaction{ReaderId: reader, Kind: kind})
	}
	requests := []*recommendationsv1.RecommendRequest{
		{MaxReasons: 3, MaxResults: 20},
		{MaxReasons: 3, MaxResults: shelfSize, Category: literature, Diversity: 0.5, ExcludedBookIds: []int32{4}},
		{FavouriteCategory: 1},
		{RecentBookIds: []int32{101, 102}},
	}
	ask := func(r *recommendationsv1.RecommendRequest, reader int32, position int64) *recommendationsv1.RecommendResponse {
		r = proto.CloneOf(r)
		r.ReaderId, r.MinPosition = reader, position
		if reader == 0 {
			r.RecentBookIds = nil
		}
		return w.recommend(r)
	}
	same := func(position int64) {
		t.Helper()
		for _, r := range requests {
			got, want := ask(r, reader, position), ask(r, 0, position)
			want.PersonalisationPaused = true
			if !proto.Equal(got, want) {
				t.Errorf("%v: got\n%v\nand nobody gets\n%v", r, got, want)
			}
		}
		batch, err := w.v1.BatchRecommend(t.Context(), &recommendationsv1.BatchRecommendRequest{Requests: []*recommendationsv1.RecommendRequest{
			{ReaderId: reader, MinPosition: position}, {ReaderId: 2}, {ReaderId: reader},
		}})
		if err != nil {
			t.Fatal(err)
		}
		for i, response := range batch.GetResponses() {
			if response.GetPersonalisationPaused() != (i != 1) || (response.GetHistorySize() == 0) != (i != 1) {
				t.Errorf("answer %d of a batch: %v", i, response)
			}
		}
	}
	if before := ask(requests[0], reader, 0); before.GetHistorySize() != 8 || before.GetPersonalisationPaused() {
		t.Fatalf("before the pause: %v", before)
	}
	position := mark(readersv1.InteractionKind_INTERACTION_KIND_PAUSED)
	same(position)
	position = w.readers.Record(finished(reader, 30))
	same(position)
	w.registry = prometheus.NewPedanticRegistry()
	w.start() // another one, which reads the log from its start
	w.eventually("the feeds are read", func() bool { return w.server.Ready() == nil && w.model().GetModelVersion() != "" })
	same(position)
	if got := w.measured(); got["octavo_recommendations_total paused"] == 0 {
		t.Errorf("answers to paused readers are not counted: %v", got)
	}

	position = mark(readersv1.InteractionKind_INTERACTION_KIND_RESUMED)
	after := ask(requests[1], reader, position)
	if after.GetPersonalisationPaused() || after.GetHistorySize() != 9 || slices.Contains(ids(after.GetRecommendations()), 30) {
		t.Errorf("after the pause: %v", after)
	}
	mark(readersv1.InteractionKind_INTERACTION_KIND_PAUSED)
	position = mark(readersv1.InteractionKind_INTERACTION_KIND_ERASED)
	if gone := ask(requests[0], reader, position); gone.GetPersonalisationPaused() || gone.GetHistorySize() != 0 {
		t.Errorf("after an erasure: %v", gone)
	}
}

func TestFavouriteCategories(t *testing.T) {
	w := trained(t)
	position := w.readers.Record(finished(2000, 41), finished(2000, 42), finished(2000, 1), did(2000, 90, readersv1.InteractionKind_INTERACTION_KIND_VIEW))
	for favourite, want := range map[int32]catalogv1.Category{1: philosophy, 2: literature, 3: science, 4: 0, 32: 0} {
		response := w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 2000, FavouriteCategory: favourite, MinPosition: position})
		if response.GetCategory() != want || len(response.GetRecommendations()) != 10 {
			t.Errorf("favourite %d: %v with %d books, want %v", favourite, response.GetCategory(), len(response.GetRecommendations()), want)
		}
		for _, b := range response.GetRecommendations() {
			if want != 0 && b.GetCategory() != want {
				t.Errorf("favourite %d: book %d of %v", favourite, b.GetId(), b.GetCategory())
			}
		}
	}
	_, err := w.v1.Recommend(t.Context(), &recommendationsv1.RecommendRequest{FavouriteCategory: 1, Category: science})
	if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "category") {
		t.Errorf("both a category and a favourite: %v", err)
	}
}

func TestInvalidRequests(t *testing.T) {
	w := trained(t)
	tests := []struct {
		request *recommendationsv1.RecommendRequest
		kind    fault.Kind
		text    string
	}{
		{&recommendationsv1.RecommendRequest{Category: 33}, fault.NotFound, "Category not found"},
		{&recommendationsv1.RecommendRequest{Category: -1}, fault.NotFound, "Category not found"},
		{&recommendationsv1.RecommendRequest{MaxResults: -1}, fault.Invalid, "max_results"},
		{&recommendationsv1.RecommendRequest{ReaderId: -1}, fault.Invalid, "reader_id"},
		{&recommendationsv1.RecommendRequest{Diversity: 2}, fault.Invalid, "diversity"},
		{&recommendationsv1.RecommendRequest{Diversity: float32(math.NaN())}, fault.Invalid, "diversity"},
		{&recommendationsv1.RecommendRequest{MinPosition: -1}, fault.Invalid, "min_position"},
		{&recommendationsv1.RecommendRequest{FavouriteCategory: 33}, fault.Invalid, "favourite_category"},
		{&recommendationsv1.RecommendRequest{MaxPerAuthor: -1}, fault.Invalid, "max_per_author"},
		{&recommendationsv1.RecommendRequest{MaxPerAuthor: 101}, fault.Invalid, "max_per_author"},
	}
	for _, test := range tests {
		_, err := w.v1.Recommend(t.Context(), test.request)
		if fault.KindOf(err) != test.kind || !strings.Contains(fmt.Sprint(err), test.text) {
			t.Errorf("%v: error %v, want %v with %q", test.request, err, test.kind, test.text)
		}
		_, err = w.v1.BatchRecommend(t.Context(), &recommendationsv1.BatchRecommendRequest{Requests: []*recommendationsv1.RecommendRequest{{}, test.request}})
		if fault.KindOf(err) != test.kind {
			t.Errorf("in a batch, %v: error %v, want %v", test.request, err, test.kind)
		}
	}
}

func TestDiversity(t *testing.T) {
	w := trained(t)
	plain := ids(w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 1, MaxResults: 20}).GetRecommendations())
	diverse := ids(w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 1, MaxResults: 20, Diversity: 0.8}).GetRecommendations())
	if len(diverse) != 20 || !distinct(diverse) || slices.Equal(plain, diverse) {
		t.Errorf("plain %v, diverse %v", plain, diverse)
	}
}

func TestBatchGivesEachBookOnce(t *testing.T) {
	w := trained(t)
	requests := []*recommendationsv1.RecommendRequest{
		{ReaderId: 1, MaxResults: 20},
		{ReaderId: 1, MaxResults: 10, Category: literature},
		{ReaderId: 2, MaxResults: 20},
		{MaxResults: 100},
	}
	response, err := w.v1.BatchRecommend(t.Context(), &recommendationsv1.BatchRecommendRequest{Requests: requests})
	if err != nil {
		t.Fatal(err)
	}
	var all []int32
	for i, want := range []int{20, 10, 20} {
		got := ids(response.GetResponses()[i].GetRecommendations())
		if len(got) != want {
			t.Errorf("row %d has %d books, want %d", i, len(got), want)
		}
		all = append(all, got...)
	}
	all = append(all, ids(response.GetResponses()[3].GetRecommendations())...)
	if !distinct(all) || len(all) != allBooks {
		t.Errorf("%d books in all, distinct: %t; want all %d", len(all), distinct(all), allBooks)
	}
	alone := ids(w.recommend(requests[0]).GetRecommendations())
	if first := ids(response.GetResponses()[0].GetRecommendations()); !slices.Equal(first, alone) {
		t.Errorf("the first row is %v, alone it is %v", first, alone)
	}
}

func TestSimilarBooks(t *testing.T) {
	w := trained(t)
	unread := testBook(121) // by nobody known, on the shelf of science
	unread.Category, unread.Authors = science, []string{"Author 0", "Nobody"}
	w.catalog.Put(unread)
	w.eventually("the new book is known", func() bool {
		_, err := w.v1.SimilarBooks(t.Context(), &recommendationsv1.SimilarBooksRequest{BookId: 121})
		return err == nil
	})

	response, err := w.v1.SimilarBooks(t.Context(), &recommendationsv1.SimilarBooksRequest{BookId: 30, MaxResults: 5})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range response.GetRecommendations() {
		if b.GetId() <= 20 || b.GetId() > 40 || b.GetId() == 30 {
			t.Errorf("book %d is like book 30", b.GetId())
		}
	}
	if len(response.GetRecommendations()) != 5 || response.GetModelVersion() == "" {
		t.Errorf("got %v", response)
	}

	response, err = w.v1.SimilarBooks(t.Context(), &recommendationsv1.SimilarBooksRequest{BookId: 121, MaxResults: 12})
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range response.GetRecommendations() { // the author's, then the shelf's
		if i < 10 && b.GetAuthors()[0] != "Author 0" || i >= 10 && b.GetCategory() != science || i >= 12 || b.GetId() == 121 {
			t.Errorf("book %d of %v is in place %d of those like a book without readers", b.GetId(), b.GetAuthors(), i)
		}
	}
	if got := ids(response.GetRecommendations()); len(got) != 12 || !distinct(got) {
		t.Errorf("like a book without readers: %v", got)
	}

	if _, err := w.v1.SimilarBooks(t.Context(), &recommendationsv1.SimilarBooksRequest{BookId: 9999}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a book that does not exist: %v", err)
	}
}

func TestBeforeTheFirstModel(t *testing.T) {
	w := newWorld(t)
	w.catalog.Put(testBooks()...)
	w.readers.Record(finished(1, 40))
	w.start()
	w.eventually("ready without a model", func() bool { return w.server.Ready() == nil })
	response := w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 1, Category: literature, MaxResults: 3, MaxReasons: 1, ExcludedBookIds: []int32{38}})
	if got := ids(response.GetRecommendations()); !slices.Equal(got, []int32{39, 37, 30}) || response.GetModelVersion() != "" || response.GetHistorySize() != 1 {
		t.Errorf("got %v from model %q with history %d", got, response.GetModelVersion(), response.GetHistorySize())
	}
	if reasons := response.GetRecommendations()[0].GetReasons(); len(reasons) != 1 || reasons[0].GetKind() != recommendationsv1.ReasonKind_REASON_KIND_NEW_BOOK || reasons[0].GetBookId() != 40 {
		t.Errorf("reasons of a book of the same author: %v", reasons)
	}
	best := w.recommend(&recommendationsv1.RecommendRequest{Category: literature, MaxResults: 3, MaxReasons: 1})
	if got := ids(best.GetRecommendations()); !slices.Equal(got, []int32{40, 39, 30}) || best.GetRecommendations()[0].GetReasons()[0].GetKind() != recommendationsv1.ReasonKind_REASON_KIND_BEST_SELLER {
		t.Errorf("for anybody: %v", best)
	}
	if similar, err := w.v1.SimilarBooks(t.Context(), &recommendationsv1.SimilarBooksRequest{BookId: 1, MaxResults: 1}); err != nil || similar.GetRecommendations()[0].GetId() != 10 {
		t.Errorf("similar: %v, %v", similar, err)
	}

	w.readers.Record(testLog()...)
	version := w.train()
	w.eventually("the first model is in use", func() bool { return w.model().GetModelVersion() == version })
	if model := w.model(); model.GetBooks() != allBooks || model.GetTrainedPosition() != allReaders*8+1 || len(model.GetParameters()) == 0 || len(model.GetMetrics()) == 0 {
		t.Errorf("GetModel: %v", model)
	}
}

func TestBooksNewerThanTheModelCanBeReached(t *testing.T) {
	w := trained(t)
	fresh := testBook(500)
	fresh.Category = literature
	w.catalog.Put(fresh)
	var got []int32
	w.eventually("the new book is in its category", func() bool {
		got = ids(w.recommend(&recommendationsv1.RecommendRequest{Category: literature, MaxResults: 100}).GetRecommendations())
		return len(got) == shelfSize+1
	})
	if got[shelfSize] != 500 {
		t.Errorf("the book nobody has read is not last: %v", got)
	}
}

func TestBooksThatTheCatalogueDoesNotHave(t *testing.T) {
	w := newWorld(t)
	w.catalog.Put(testBooks()...)
	w.readers.Record(testLog()...)
	w.train()
	w.catalog.Replace(testBooks()[tasteSize/2:]...)
	w.start()
	w.eventually("ready with a model", func() bool { return w.server.Ready() == nil && w.model().GetModelVersion() != "" })
	response := w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 1, MaxResults: 50, MaxReasons: 10})
	if len(response.GetRecommendations()) != 50 {
		t.Errorf("%d books, want 50", len(response.GetRecommendations()))
	}
	for _, b := range response.GetRecommendations() {
		if b.GetId() <= tasteSize/2 || b.GetTitle() == "" {
			t.Errorf("book %d, %q, is not in the catalogue", b.GetId(), b.GetTitle())
		}
		for _, reason := range b.GetReasons() {
			if reason.GetKind() == recommendationsv1.ReasonKind_REASON_KIND_YOUR_BOOK && reason.GetTitle() == "" {
				t.Errorf("book %d: a reason without a title", b.GetId())
			}
		}
	}
}

// TestBooksThatTheCatalogueDoesNotHaveAreNotInTheWay: behind any number of them
// the answer goes on in the order of the model.
func TestBooksThatTheCatalogueDoesNotHaveAreNotInTheWay(t *testing.T) {
	w := newWorld(t)
	w.catalog.Put(testBooks()...)
	w.readers.Record(testLog()...)
	w.train()
	_, path, err := w.models.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	model, err := recommender.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	var order []int32
	for _, scored := range model.Recommend(recommender.Query{Limit: allBooks}, nil) {
		order = append(order, model.BookID(scored.Book))
	}
	gone, left := order[:allBooks/2], order[allBooks/2:]
	w.catalog.Replace(slices.DeleteFunc(testBooks(), func(b *catalogv1.Book) bool { return slices.Contains(gone, b.GetId()) })...)
	w.start()
	w.eventually("ready with a model", func() bool { return w.server.Ready() == nil && w.model().GetModelVersion() != "" })
	for n := int32(1); n <= 10; n++ {
		got := ids(w.recommend(&recommendationsv1.RecommendRequest{MaxResults: n, MaxPerAuthor: n}).GetRecommendations())
		if !slices.Equal(got, left[:n]) {
			t.Errorf("%d books: %v, want %v", n, got, left[:n])
		}
	}
}

func TestBooksThatChangedTheirCategory(t *testing.T) {
	w := trained(t)
	moved := testBook(1)
	moved.Category = science
	w.catalog.Put(moved)
	w.eventually("the book is where it is now", func() bool {
		return slices.Contains(ids(w.recommend(&recommendationsv1.RecommendRequest{Category: science, MaxResults: 100}).GetRecommendations()), 1)
	})
	got := ids(w.recommend(&recommendationsv1.RecommendRequest{Category: literature, MaxResults: 100}).GetRecommendations())
	if slices.Contains(got, 1) || len(got) != shelfSize-1 {
		t.Errorf("literature: %v", got)
	}
}

func TestMinPositionReflectsTheClick(t *testing.T) {
	w := trained(t)
	for i := range int32(50) {
		reader := 3000 + i
		before := w.recommend(&recommendationsv1.RecommendRequest{ReaderId: reader, Category: literature, MaxResults: 1}).GetRecommendations()[0].GetId()
		position := w.readers.Record(finished(reader, before))
		response := w.recommend(&recommendationsv1.RecommendRequest{ReaderId: reader, Category: literature, MaxResults: 100, MinPosition: position})
		if slices.Contains(ids(response.GetRecommendations()), before) || response.GetStale() || response.GetPosition() < position {
			t.Fatalf("reader %d finished book %d at %d, the answer is from %d, stale: %t", reader, before, position, response.GetPosition(), response.GetStale())
		}
	}
}

func TestMinPositionWithASlowFeed(t *testing.T) {
	w := trained(t)
	w.readers.Hold()
	position := w.readers.Record(finished(3000, 1))
	time.AfterFunc(100*time.Millisecond, w.readers.Release)
	response := w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 3000, Category: literature, MaxResults: 100, MinPosition: position})
	if slices.Contains(ids(response.GetRecommendations()), 1) || response.GetStale() || response.GetHistorySize() != 1 {
		t.Errorf("the click is not in the answer: %v", response)
	}

	w.readers.Hold()
	position = w.readers.Record(finished(3000, 2))
	start := time.Now()
	batch, err := w.v1.BatchRecommend(t.Context(), &recommendationsv1.BatchRecommendRequest{Requests: []*recommendationsv1.RecommendRequest{
		{ReaderId: 3000, MinPosition: position}, {ReaderId: 3000, MinPosition: position - 1},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if first, second := batch.GetResponses()[0], batch.GetResponses()[1]; !first.GetStale() || second.GetStale() || first.GetPosition() != position-1 {
		t.Errorf("the feed stands still: stale %t and %t at %d, want true, false, %d", first.GetStale(), second.GetStale(), first.GetPosition(), position-1)
	}
	if waited := time.Since(start); waited < 400*time.Millisecond || waited > 5*time.Second {
		t.Errorf("waited %v, want about 500 ms", waited)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	hurried, err := w.v1.Recommend(ctx, &recommendationsv1.RecommendRequest{ReaderId: 3000, MinPosition: position})
	if err != nil || !hurried.GetStale() {
		t.Errorf("a caller with 300 ms: %v, want a stale answer in time", err)
	}
	w.readers.Release()
}

func TestDamagedModelsAreRefused(t *testing.T) {
	w := trained(t)
	good := w.model().GetModelVersion()
	_, path, err := w.models.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for name, damaged := range map[string][]byte{"garbage": []byte("no model"), "empty": nil, "truncated": whole[:len(whole)/2], "one bit flipped": flipped} {
		t.Run(name, func(t *testing.T) {
			refused, err := w.models.Publish(t.Context(), func(path string) error { return os.WriteFile(path, damaged, 0o644) })
			if err != nil {
				t.Fatal(err)
			}
			w.eventually("the refusal is logged", func() bool { return strings.Contains(w.logged.String(), refused) })
			if got := w.model().GetModelVersion(); got != good {
				t.Errorf("model %q serves, want %q", got, good)
			}
			if response := w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 1}); len(response.GetRecommendations()) != 10 || response.GetHistorySize() == 0 {
				t.Errorf("got %v", response)
			}
		})
	}
	if err := os.WriteFile(filepath.Join(w.modelsPath, "CURRENT"), []byte("nonsense\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	w.eventually("nonsense in CURRENT is logged", func() bool { return strings.Contains(w.logged.String(), "nonsense") })

	w.readers.Record(finished(1, 100))
	next := w.train()
	w.eventually("a good model is taken up after all that", func() bool { return w.model().GetModelVersion() == next })
}

func TestSwapsUnderLoad(t *testing.T) {
	w := trained(t)
	const swaps = 60
	var contents [][]byte
	versions := map[string]bool{}
	for range 2 {
		versions[w.train()] = true
		_, path, err := w.models.Current(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		contents = append(contents, content)
		w.readers.Record(finished(5000, 1), finished(5000, 2), finished(5000, 3))
	}
	if len(versions) != 2 {
		t.Fatal("the two models are the same")
	}
	var seen sync.Map
	var stop atomic.Bool
	var load sync.WaitGroup
	for worker := range int32(4) {
		load.Go(func() {
			for i := worker; !stop.Load(); i++ {
				response, err := w.v1.BatchRecommend(context.Background(), &recommendationsv1.BatchRecommendRequest{Requests: []*recommendationsv1.RecommendRequest{
					{ReaderId: i%allReaders + 1, MaxReasons: 3}, {ReaderId: i%allReaders + 1, Category: literature},
				}})
				if err != nil {
					t.Errorf("during a swap: %v", err)
					return
				}
				first, second := response.GetResponses()[0], response.GetResponses()[1]
				if first.GetModelVersion() != second.GetModelVersion() || len(first.GetRecommendations()) != 10 {
					t.Errorf("one answer from models %q and %q with %d books", first.GetModelVersion(), second.GetModelVersion(), len(first.GetRecommendations()))
					return
				}
				seen.Store(first.GetModelVersion(), true)
			}
		})
	}
	for i := range swaps {
		name, err := w.models.Publish(t.Context(), func(path string) error { return os.WriteFile(path, contents[i%2], 0o644) })
		if err != nil {
			t.Fatal(err)
		}
		w.eventually("the model is swapped", func() bool { return strings.Contains(w.logged.String(), "model="+name) })
	}
	stop.Store(true)
	load.Wait()
	for version := range versions {
		if _, ok := seen.Load(version); !ok {
			t.Errorf("no answer came from model %s", version)
		}
	}
	if mapped, err := os.ReadFile("/proc/self/maps"); err == nil {
		if n := strings.Count(string(mapped), w.modelsPath); n > 1 {
			t.Errorf("%d models are mapped after the swaps, want at most the last", n)
		}
	}
}

func TestAnswersGoOnWithoutTheOthers(t *testing.T) {
	w := trained(t)
	w.readers.Down()
	w.catalog.Down()
	missed := w.readers.Record(finished(1, 100))
	for range 20 {
		response := w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 1})
		if len(response.GetRecommendations()) != 10 || response.GetHistorySize() != 8 {
			t.Fatalf("got %v", response)
		}
	}
	if err := w.server.Ready(); err != nil {
		t.Errorf("not ready although it answers: %v", err)
	}
	w.catalog.Put(testBook(600))
	w.readers.Up()
	w.catalog.Up()
	w.eventually("the log is followed again", func() bool { return w.model().GetPosition() == missed })
	w.eventually("the catalogue is followed again", func() bool {
		_, err := w.v1.SimilarBooks(t.Context(), &recommendationsv1.SimilarBooksRequest{BookId: 600})
		return err == nil
	})
	if got := w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 1}).GetHistorySize(); got != 9 {
		t.Errorf("history %d, want 9: nothing lost, nothing doubled", got)
	}
}

func TestNotReadyUntilTheFeedsAreRead(t *testing.T) {
	w := newWorld(t)
	w.readers.Down()
	w.start()
	w.eventually("the reason is told", func() bool {
		err := w.server.Ready()
		return err != nil && strings.Contains(err.Error(), "log") && strings.Contains(err.Error(), "down")
	})
	w.readers.Up()
	w.eventually("ready", func() bool { return w.server.Ready() == nil })
}

func TestReplacedDatabases(t *testing.T) {
	w := trained(t)
	w.readers.Replace(finished(1, 1), finished(1, 2))
	w.eventually("the new log is read from its start", func() bool { return w.model().GetPosition() == 2 })
	if got := w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 1}).GetHistorySize(); got != 2 {
		t.Errorf("history %d, want the 2 of the new log", got)
	}
	w.catalog.Replace(testBook(7))
	w.eventually("the new catalogue is read from its start", func() bool {
		books := w.recommend(&recommendationsv1.RecommendRequest{}).GetRecommendations()
		return len(books) == 1 && books[0].GetId() == 7
	})
}

// A log that was restored from before and has grown past the position since is
// found out by the check.
func TestAReplacedLogThatHasOutgrownTheOldOne(t *testing.T) {
	w := newWorld(t)
	w.readers.Tell()
	w.catalog.Tell()
	w.catalog.Put(testBooks()...)
	w.readers.Record(finished(1, 1), finished(1, 2))
	w.start()
	w.eventually("the feeds are read", func() bool { return w.server.Ready() == nil })
	w.readers.Replace(finished(1, 3), finished(1, 4), finished(1, 5), finished(1, 7))
	w.eventually("the new log is read", func() bool { return w.model().GetPosition() == 4 })
	got := ids(w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 1, Category: literature, MaxResults: 100}).GetRecommendations())
	for book, read := range map[int32]bool{1: false, 2: false, 3: true, 4: true, 5: true, 7: true} {
		if slices.Contains(got, book) == read {
			t.Errorf("book %d is suggested: %t, want %t", book, read, !read)
		}
	}
	w.catalog.Replace(slices.Repeat([]*catalogv1.Book{testBook(7)}, 3*allBooks)...)
	w.eventually("the new catalogue is read from its start", func() bool {
		books := w.recommend(&recommendationsv1.RecommendRequest{}).GetRecommendations()
		return len(books) == 1 && books[0].GetId() == 7
	})
	w.readers.Down()
	w.readers.Up()
	w.readers.Record(finished(1, 6))
	w.eventually("it goes on after an interruption", func() bool { return w.model().GetPosition() == 5 })
	if got := w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 1}).GetHistorySize(); got != 5 {
		t.Errorf("history %d after an interruption, want 5", got)
	}
}

// The delay is that since the log had an interaction. What a service that does
// not tell the time sends is not counted, and neither is a backlog.
func TestDelaysAreSinceTheLogHadIt(t *testing.T) {
	w := newWorld(t)
	w.catalog.Put(testBooks()...)
	w.readers.Record(finished(1, 1))
	w.start()
	const metric = "octavo_interaction_delay_seconds"
	w.eventually("the log is read", func() bool { return w.model().GetPosition() == 1 })
	w.readers.Record(finished(1, 2))
	w.eventually("a line without a time", func() bool { return w.model().GetPosition() == 2 })
	if got := w.measured()[metric]; got != 0 {
		t.Errorf("%v delays are measured of what is not told", got)
	}
	w.readers.Tell()
	w.readers.Record(finished(1, 3), finished(1, 4))
	w.eventually("lines with one", func() bool { return w.model().GetPosition() == 4 })
	if got := w.measured()[metric]; got != 2 {
		t.Errorf("%v delays are measured, want 2", got)
	}
}

// measured are the metrics by name and label values; of a histogram the count.
func (w *world) measured() map[string]float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return got
}

func TestMetrics(t *testing.T) {
	w := trained(t)
	w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 1})
	w.recommend(&recommendationsv1.RecommendRequest{ReaderId: 2})
	w.recommend(&recommendationsv1.RecommendRequest{})
	w.readers.Hold()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := w.v1.Recommend(ctx, &recommendationsv1.RecommendRequest{MinPosition: math.MaxInt64}); err != nil {
		t.Fatal(err)
	}
	got := w.measured()
	for name, want := range map[string]float64{
		"octavo_feed_position log":              allReaders * 8,
		"octavo_feed_lag log":                   0,
		"octavo_feed_connected log":             1,
		"octavo_feed_behind_seconds log":        0,
		"octavo_feed_behind_seconds catalogue":  0,
		"octavo_feed_position catalogue":        allBooks,
		"octavo_catalogue_books":                allBooks,
		"octavo_history_readers":                allReaders,
		"octavo_history_entries":                allReaders * 8,
		"octavo_models_loaded_total":            1,
		"octavo_models_refused_total":           0,
		"octavo_recommendations_total personal": 2,
		"octavo_recommendations_total popular":  2,
		"octavo_min_position_wait_seconds":      1,
		"octavo_min_position_missed_total":      1,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %v (there: %t), want %v", name, value, ok, want)
		}
	}
	inUse := 0
	for name := range got {
		if strings.HasPrefix(name, "octavo_model_info ") && strings.HasSuffix(name, " "+w.model().GetModelVersion()) {
			inUse++
		}
	}
	if inUse != 1 {
		t.Errorf("%d models %s are said to be in use: %v", inUse, w.model().GetModelVersion(), got)
	}
	if age := got["octavo_model_age_seconds"]; age <= 0 || age > 3600 {
		t.Errorf("the model is %f s old", age)
	}

	w.readers.Down()
	w.eventually("the feed is behind", func() bool {
		got := w.measured()
		return got["octavo_feed_behind_seconds log"] > 0.05 && got["octavo_feed_connected log"] == 0 && got["octavo_feed_behind_seconds catalogue"] == 0
	})
	w.readers.Up()
	w.eventually("the feed has caught up", func() bool { return w.measured()["octavo_feed_behind_seconds log"] == 0 })
}

// away is a store that cannot be asked, and knows what was current last.
type away struct {
	*modelstore.Dir
	gone atomic.Bool
}

func (a *away) Current(ctx context.Context) (name, path string, err error) {
	if a.gone.Load() {
		return "", "", fault.New(fault.Unavailable, "the bucket is away")
	}
	return a.Dir.Current(ctx)
}

// TestItStartsFromTheLastModelWhenTheStoreIsAway, and takes up the next one when
// the store is back.
func TestItStartsFromTheLastModelWhenTheStoreIsAway(t *testing.T) {
	w := newWorld(t)
	w.catalog.Put(testBooks()...)
	w.readers.Record(testLog()...)
	w.train()
	store := &away{Dir: w.models}
	store.gone.Store(true)
	w.store = store
	w.start()
	w.eventually("the last model in use", func() bool { return w.model().GetModelVersion() != "" })
	if !strings.Contains(w.logged.String(), "the bucket is away") {
		t.Errorf("nothing of it in the log:\n%s", w.logged)
	}
	w.readers.Record(did(1, 1, readersv1.InteractionKind_INTERACTION_KIND_FINISHED))
	next := w.train()
	store.gone.Store(false)
	w.eventually("the next model in use", func() bool { return w.model().GetModelVersion() == next })
}
