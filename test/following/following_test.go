// Package following tests that the recommendations and the trainer follow the
// real catalogue and the real readers' log, each behind a server of its own
// that is stopped and started again.
package following

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/chassis"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/catalog"
	"github.com/octavo-books/octavo/internal/modelstore"
	"github.com/octavo-books/octavo/internal/nettest"
	"github.com/octavo-books/octavo/internal/postgrestest"
	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/recommendations"
	"github.com/octavo-books/octavo/internal/trainer"
	"github.com/octavo-books/octavo/internal/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// process is one service with its own App, as in a process of its own.
type process struct {
	t    *testing.T
	addr string
	stop func()
}

// start runs what add puts on an App until stop, or the end of the test.
func start(t *testing.T, name string, add func(*chassis.App) (addr string)) *process {
	t.Helper()
	app, err := chassis.New(name, "test", chassis.Flags{LogLevel: "error", LogFormat: "text", ShutdownTimeout: 5 * time.Second}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, addr: add(app)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	stopped := false
	p.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Cleanup(p.stop)
	return p
}

func startCatalog(t *testing.T, addr string, open func(context.Context) (catalogStore, error)) *process {
	t.Helper()
	return start(t, "catalog", func(app *chassis.App) string {
		store, err := open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		app.OnClose("database", store.Close)
		server := catalog.NewServer(store, app.Log())
		app.Go("catalog", server.Run)
		at, err := app.GRPC("catalog", addr, nil, server.Register)
		if err != nil {
			t.Fatal(err)
		}
		return at.String()
	})
}

func startReaders(t *testing.T, addr string, open func(context.Context) (readersStore, error)) *process {
	t.Helper()
	return start(t, "readers", func(app *chassis.App) string {
		store, err := open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		app.OnClose("database", store.Close)
		server := readers.NewServer(store, app.Log())
		app.Go("readers", server.Run)
		at, err := app.GRPC("readers", addr, nil, server.Register)
		if err != nil {
			t.Fatal(err)
		}
		return at.String()
	})
}

// follower is a recommendations service.
type follower struct {
	*process
	server  *recommendations.Server
	metrics *prometheus.Registry
}

func startFollower(t *testing.T, addr, catalogAddr, readersAddr string, models *modelstore.Dir, silence time.Duration) *follower {
	t.Helper()
	f := &follower{metrics: prometheus.NewRegistry()}
	f.process = start(t, "recommendations", func(app *chassis.App) string {
		f.server = recommendations.New(recommendations.Config{
			Catalog: catalogv1.NewCatalogServiceClient(dial(t, app, catalogAddr)), Readers: readersv1.NewReadersServiceClient(dial(t, app, readersAddr)),
			Models: models, Log: app.Log(), Metrics: f.metrics, ModelsPoll: 10 * time.Millisecond, MaxSilence: silence,
		})
		app.Go("recommendations", f.server.Run)
		at, err := app.GRPC("recommendations", addr, f.server.Ready, f.server.Register)
		if err != nil {
			t.Fatal(err)
		}
		return at.String()
	})
	return f
}

// metric is the value of a gauge of the log's feed.
func (f *follower) metric(t *testing.T, name string) float64 {
	t.Helper()
	families, err := f.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == name && m.GetLabel()[0].GetValue() == "log" {
				return m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

func dial(t *testing.T, app *chassis.App, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := app.Dial("service", addr)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

type clients struct {
	catalog         catalogv1.CatalogServiceClient
	readers         readersv1.ReadersServiceClient
	recommendations recommendationsv1.RecommendationsServiceClient
}

// connect makes clients in a process of their own.
func connect(t *testing.T, catalogAddr, readersAddr, recommendationsAddr string) clients {
	t.Helper()
	var c clients
	start(t, "client", func(app *chassis.App) string {
		c = clients{
			catalogv1.NewCatalogServiceClient(dial(t, app, catalogAddr)), readersv1.NewReadersServiceClient(dial(t, app, readersAddr)),
			recommendationsv1.NewRecommendationsServiceClient(dial(t, app, recommendationsAddr)),
		}
		return ""
	})
	return c
}

// click has a reader finish what is recommended first, and waits until that is
// known and not recommended any more. All services may be on their way.
func (c clients) click(t *testing.T, reader int32) {
	t.Helper()
	ask := &recommendationsv1.RecommendRequest{ReaderId: reader, MaxResults: 20}
	var before *recommendationsv1.RecommendResponse
	waittest.Until(t, "there are recommendations", patience, func() (ok bool) {
		var err error
		before, err = c.recommendations.Recommend(t.Context(), ask)
		return err == nil && len(before.GetRecommendations()) > 0
	})
	book := before.GetRecommendations()[0].GetId()
	ask.MinPosition = c.record(t, did(reader, book))
	waittest.Until(t, "an answer is not stale", patience, func() bool {
		after, err := c.recommendations.Recommend(t.Context(), ask)
		if err != nil || after.GetStale() {
			return false
		}
		if slices.ContainsFunc(after.GetRecommendations(), func(b *recommendationsv1.Recommendation) bool { return b.GetId() == book }) {
			t.Errorf("reader %d finished book %d and is recommended it at position %d of %d", reader, book, after.GetPosition(), ask.GetMinPosition())
		}
		return true
	})
}

// record records an interaction and returns its position.
func (c clients) record(t *testing.T, interaction *readersv1.Interaction) int64 {
	t.Helper()
	var recorded *readersv1.RecordInteractionsResponse
	waittest.Until(t, "it is recorded", patience, func() bool {
		var err error
		recorded, err = c.readers.RecordInteractions(t.Context(), &readersv1.RecordInteractionsRequest{Interactions: []*readersv1.Interaction{interaction}})
		return err == nil
	})
	return recorded.GetPosition()
}

// history is how many books of a reader the recommendations know.
func (c clients) history(t *testing.T, reader int32) int32 {
	t.Helper()
	var answer *recommendationsv1.RecommendResponse
	waittest.Until(t, "there is an answer", patience, func() bool {
		var err error
		answer, err = c.recommendations.Recommend(t.Context(), &recommendationsv1.RecommendRequest{ReaderId: reader})
		return err == nil
	})
	return answer.GetHistorySize()
}

const (
	shelf  = 30
	people = 200

	patience = 20 * time.Second // for what comes soon
)

// fill imports three shelves of books and readers who keep to one of them.
func fill(t *testing.T, c clients) {
	t.Helper()
	// More than the default deadline, which a busy machine can need.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var books []*catalogv1.Book
	for i := range int32(3 * shelf) {
		books = append(books, &catalogv1.Book{
			Id: i + 1, Title: fmt.Sprint("Book ", i+1), Authors: []string{"Somebody"}, Category: catalogv1.Category(i/shelf + 1), Source: "test", SourceId: strconv.Itoa(int(i)),
		})
	}
	if _, err := c.catalog.ImportBooks(ctx, &catalogv1.ImportBooksRequest{Books: books}); err != nil {
		t.Fatal(err)
	}
	c.fillLog(t)
}

// fillLog imports the readers and what they did, and returns the log's end.
func (c clients) fillLog(t *testing.T) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var everybody []*readersv1.Reader
	var log []*readersv1.Interaction
	random := rand.New(rand.NewPCG(1, 2))
	for i := range int32(people) {
		everybody = append(everybody, &readersv1.Reader{Id: i + 1, Origin: readersv1.Origin_ORIGIN_SIMULATED, Source: "test", SourceId: strconv.Itoa(int(i))})
		for _, b := range random.Perm(shelf)[:8] {
			log = append(log, did(i+1, shelf*(i%3)+int32(b)+1))
		}
	}
	if _, err := c.readers.ImportReaders(ctx, &readersv1.ImportReadersRequest{Readers: everybody}); err != nil {
		t.Fatal(err)
	}
	recorded, err := c.readers.RecordInteractions(ctx, &readersv1.RecordInteractionsRequest{Interactions: log})
	if err != nil {
		t.Fatal(err)
	}
	return recorded.GetPosition()
}

func did(reader, book int32) *readersv1.Interaction {
	return &readersv1.Interaction{
		Id: fmt.Sprintf("%d-%d", reader, book), ReaderId: reader, BookId: book, Kind: readersv1.InteractionKind_INTERACTION_KIND_FINISHED,
	}
}

func openModels(t *testing.T) *modelstore.Dir {
	t.Helper()
	models, err := modelstore.Open(filepath.Join(t.TempDir(), "models"))
	if err != nil {
		t.Fatal(err)
	}
	return models
}

func TestRecommendationsFollowRealServices(t *testing.T) {
	onEachEngine(t, func(t *testing.T, db databases) {
		catalogProcess := startCatalog(t, "127.0.0.1:0", db.catalog)
		readersProcess := startReaders(t, "127.0.0.1:0", db.readers)
		models := openModels(t)
		follower := startFollower(t, "127.0.0.1:0", catalogProcess.addr, readersProcess.addr, models, 0)
		c := connect(t, catalogProcess.addr, readersProcess.addr, follower.addr)
		waittest.Until(t, "ready with nothing there", patience, func() bool { return follower.server.Ready() == nil })

		fill(t, c)
		result, err := trainer.Run(t.Context(), trainer.Config{Catalog: c.catalog, Readers: c.readers, Models: models, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		if result.Books != 3*shelf || result.Readers != people || result.Position != people*8 {
			t.Errorf("trained on %+v", result)
		}
		best, err := c.catalog.ListBooks(t.Context(), &catalogv1.ListBooksRequest{PageSize: 1})
		if err != nil || best.GetBooks()[0].GetPopularity() == 0 {
			t.Errorf("the catalogue does not know the training's popularity: %v, %v", best, err)
		}
		waittest.Until(t, "the model is in use", patience, func() bool {
			model, err := c.recommendations.GetModel(t.Context(), &recommendationsv1.GetModelRequest{})
			return err == nil && model.GetModelVersion() == result.Version
		})
		for reader := range int32(20) {
			c.click(t, reader+1)
		}

		const gone = 150
		if n := c.history(t, gone); n != 8 {
			t.Fatalf("reader %d has a history of %d", gone, n)
		}
		asked := time.Now()
		erased, err := c.readers.EraseReader(t.Context(), &readersv1.EraseReaderRequest{ReaderId: gone})
		if err != nil {
			t.Fatal(err)
		}
		waittest.Until(t, "the erased reader is a stranger", patience, func() bool { return c.history(t, gone) == 0 })
		// A second is the promise; a machine with much else to do is given more.
		if took := time.Since(asked); took > 5*time.Second {
			t.Errorf("forgotten after %v", took)
		} else {
			t.Logf("forgotten after %v", took)
		}
		again, err := trainer.Run(t.Context(), trainer.Config{Catalog: c.catalog, Readers: c.readers, Models: models, Log: quiet})
		if err != nil || again.Readers != people-1 || again.Position != erased.GetPosition() {
			t.Errorf("trained on %d readers up to %d, %v; want one less than %d up to %d", again.Readers, again.Position, err, people, erased.GetPosition())
		}

		catalogProcess.stop()
		readersProcess.stop()
		for reader := range int32(10) {
			response, err := c.recommendations.Recommend(t.Context(), &recommendationsv1.RecommendRequest{ReaderId: reader + 1})
			if err != nil || len(response.GetRecommendations()) != 10 || response.GetHistorySize() < 8 {
				t.Fatalf("without the others: %v, %v", response, err)
			}
		}
		startCatalog(t, catalogProcess.addr, db.catalog)
		startReaders(t, readersProcess.addr, db.otherReaders)
		waittest.Until(t, "the empty log in the place of the old is followed", patience, func() bool {
			model, err := c.recommendations.GetModel(t.Context(), &recommendationsv1.GetModelRequest{})
			return err == nil && model.GetPosition() == 0
		})
	})
}

// Whichever of the services comes back first, after all were gone or one alone.
func TestServicesRestartInAnyOrder(t *testing.T) {
	onEachEngine(t, func(t *testing.T, db databases) {
		catalogProcess := startCatalog(t, "127.0.0.1:0", db.catalog)
		readersProcess := startReaders(t, "127.0.0.1:0", db.readers)
		models := openModels(t)
		follower := startFollower(t, "127.0.0.1:0", catalogProcess.addr, readersProcess.addr, models, 0)
		c := connect(t, catalogProcess.addr, readersProcess.addr, follower.addr)
		fill(t, c)
		stop := map[string]func(){
			"catalog": func() { catalogProcess.stop() }, "readers": func() { readersProcess.stop() }, "recommendations": func() { follower.stop() },
		}
		begin := map[string]func(){
			"catalog": func() { catalogProcess = startCatalog(t, catalogProcess.addr, db.catalog) },
			"readers": func() { readersProcess = startReaders(t, readersProcess.addr, db.readers) },
			"recommendations": func() {
				follower = startFollower(t, follower.addr, catalogProcess.addr, readersProcess.addr, models, 0)
			},
		}
		for i, order := range [][]string{
			{"catalog"}, {"readers"}, {"recommendations"},
			{"catalog", "readers", "recommendations"}, {"catalog", "recommendations", "readers"},
			{"readers", "catalog", "recommendations"}, {"readers", "recommendations", "catalog"},
			{"recommendations", "catalog", "readers"}, {"recommendations", "readers", "catalog"},
		} {
			t.Run(strings.Join(order, ", "), func(t *testing.T) {
				for _, name := range order {
					stop[name]()
				}
				for _, name := range order {
					begin[name]()
				}
				reader := int32(100 + i)
				c.click(t, reader)
				if n := c.history(t, reader); n != 9 {
					t.Errorf("reader %d has a history of %d, want 9", reader, n)
				}
			})
		}
	})
}

// The services and who follows them run on while their database is away.
func TestTheDatabaseRestartsUnderFollowers(t *testing.T) {
	server := postgrestest.Start(t, "fsync=off")
	db := postgres(server.Database(t), server.Database(t))
	catalogProcess := startCatalog(t, "127.0.0.1:0", db.catalog)
	readersProcess := startReaders(t, "127.0.0.1:0", db.readers)
	follower := startFollower(t, "127.0.0.1:0", catalogProcess.addr, readersProcess.addr, openModels(t), 0)
	c := connect(t, catalogProcess.addr, readersProcess.addr, follower.addr)
	fill(t, c)
	for reader, end := range []func() error{server.Stop, server.Kill} {
		reader := int32(reader + 1)
		c.click(t, reader)
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if n := c.history(t, reader); n != 9 {
			t.Errorf("without a database, reader %d has a history of %d, want 9", reader, n)
		}
		if err := server.Up(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		c.click(t, reader+10)
		t.Logf("a click was followed %v after the database was back", time.Since(began).Round(time.Millisecond))
	}
}

// A follower that was away comes to all that happened meanwhile, also to who was
// erased and who does not want to be followed, without starting anew.
func TestAFollowerThatIsFarBehind(t *testing.T) {
	const missed = 20_000
	onEachEngine(t, func(t *testing.T, db databases) {
		catalogProcess := startCatalog(t, "127.0.0.1:0", db.catalog)
		readersProcess := startReaders(t, "127.0.0.1:0", db.readers)
		way := nettest.Start(t, readersProcess.addr)
		follower := startFollower(t, "127.0.0.1:0", catalogProcess.addr, way.Addr, openModels(t), 0)
		c := connect(t, catalogProcess.addr, readersProcess.addr, follower.addr)
		fill(t, c)
		waittest.Until(t, "all is known", patience, func() bool { return follower.metric(t, "octavo_feed_position") == people*8 })

		way.Close()
		waittest.Until(t, "the follower says that it follows no more", patience, func() bool {
			return follower.metric(t, "octavo_feed_connected") == 0 && follower.metric(t, "octavo_feed_behind_seconds") > 0
		})
		if _, err := c.readers.EraseReader(t.Context(), &readersv1.EraseReaderRequest{ReaderId: 1}); err != nil {
			t.Fatal(err)
		}
		var head int64
		for n := int32(0); n < missed; {
			request := &readersv1.RecordInteractionsRequest{}
			for range 1000 {
				request.Interactions = append(request.GetInteractions(), &readersv1.Interaction{
					ReaderId: n%(people-10) + 10, BookId: n%(3*shelf) + 1, Kind: readersv1.InteractionKind_INTERACTION_KIND_VIEW,
				})
				n++
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			recorded, err := c.readers.RecordInteractions(ctx, request)
			cancel()
			if err != nil {
				t.Fatal(err)
			}
			head = recorded.GetPosition()
		}
		if n := c.history(t, 1); n != 8 {
			t.Errorf("the follower has a history of %d of the reader that was erased meanwhile, want the 8 that it knew", n)
		}
		way.Open()
		began := time.Now()
		waittest.Until(t, "the follower is at the end", patience, func() bool { return follower.metric(t, "octavo_feed_position") == float64(head) })
		t.Logf("%d interactions behind, the follower was at the end after %v", missed, time.Since(began).Round(time.Millisecond))
		if n := c.history(t, 1); n != 0 {
			t.Errorf("the reader that was erased meanwhile has a history of %d", n)
		}
		if behind := follower.metric(t, "octavo_feed_behind_seconds"); behind != 0 {
			t.Errorf("at the end, it is said to be %v s behind", behind)
		}
		c.click(t, 2)
	})
}
