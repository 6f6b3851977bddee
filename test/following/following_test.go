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
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/octavo-books/octavo/chassis"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/catalog"
	catalogsqlite "github.com/octavo-books/octavo/internal/catalog/sqlite"
	"github.com/octavo-books/octavo/internal/modelstore"
	"github.com/octavo-books/octavo/internal/readers"
	readerssqlite "github.com/octavo-books/octavo/internal/readers/sqlite"
	"github.com/octavo-books/octavo/internal/recommendations"
	"github.com/octavo-books/octavo/internal/trainer"
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

func startCatalog(t *testing.T, addr, db string) *process {
	t.Helper()
	return start(t, "catalog", func(app *chassis.App) string {
		store, err := catalogsqlite.Open(t.Context(), db)
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

func startReaders(t *testing.T, addr, db string) *process {
	t.Helper()
	return start(t, "readers", func(app *chassis.App) string {
		store, err := readerssqlite.Open(t.Context(), db)
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

type clients struct {
	catalog         catalogv1.CatalogServiceClient
	readers         readersv1.ReadersServiceClient
	recommendations recommendationsv1.RecommendationsServiceClient
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("never came true: %s", what)
		case <-ticker.C:
		}
	}
}

const (
	shelf  = 30
	people = 200
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
	if _, err := c.readers.RecordInteractions(ctx, &readersv1.RecordInteractionsRequest{Interactions: log}); err != nil {
		t.Fatal(err)
	}
}

func did(reader, book int32) *readersv1.Interaction {
	return &readersv1.Interaction{
		Id: fmt.Sprintf("%d-%d", reader, book), ReaderId: reader, BookId: book, Kind: readersv1.InteractionKind_INTERACTION_KIND_FINISHED,
	}
}

func TestRecommendationsFollowRealServices(t *testing.T) {
	dir := t.TempDir()
	catalogDB, readersDB := filepath.Join(dir, "catalog.db"), filepath.Join(dir, "readers.db")
	catalogProcess := startCatalog(t, "127.0.0.1:0", catalogDB)
	readersProcess := startReaders(t, "127.0.0.1:0", readersDB)
	models, err := modelstore.Open(filepath.Join(dir, "models"))
	if err != nil {
		t.Fatal(err)
	}

	var c clients
	var server *recommendations.Server
	start(t, "recommendations", func(app *chassis.App) string {
		catalogConn, err := app.Dial("catalog", catalogProcess.addr)
		if err != nil {
			t.Fatal(err)
		}
		readersConn, err := app.Dial("readers", readersProcess.addr)
		if err != nil {
			t.Fatal(err)
		}
		c.catalog, c.readers = catalogv1.NewCatalogServiceClient(catalogConn), readersv1.NewReadersServiceClient(readersConn)
		server = recommendations.New(recommendations.Config{
			Catalog: c.catalog, Readers: c.readers, Models: models, Log: app.Log(), Metrics: app.Metrics(), ModelsPoll: 10 * time.Millisecond,
		})
		app.Go("recommendations", server.Run)
		addr, err := app.GRPC("recommendations", "127.0.0.1:0", server.Ready, server.Register)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := app.Dial("recommendations", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		c.recommendations = recommendationsv1.NewRecommendationsServiceClient(conn)
		return addr.String()
	})
	eventually(t, "ready with nothing there", func() bool { return server.Ready() == nil })

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
	eventually(t, "the model is in use", func() bool {
		model, err := c.recommendations.GetModel(t.Context(), &recommendationsv1.GetModelRequest{})
		return err == nil && model.GetModelVersion() == result.Version
	})

	click := func(reader int32) {
		t.Helper()
		ask := &recommendationsv1.RecommendRequest{ReaderId: reader, MaxResults: 20}
		before, err := c.recommendations.Recommend(t.Context(), ask)
		if err != nil {
			t.Fatal(err)
		}
		book := before.GetRecommendations()[0].GetId()
		var recorded *readersv1.RecordInteractionsResponse
		eventually(t, "the click is recorded", func() bool {
			recorded, err = c.readers.RecordInteractions(t.Context(), &readersv1.RecordInteractionsRequest{Interactions: []*readersv1.Interaction{did(reader, book)}})
			return err == nil
		})
		ask.MinPosition = recorded.GetPosition()
		eventually(t, "an answer is not stale", func() bool {
			after, err := c.recommendations.Recommend(t.Context(), ask)
			if err != nil {
				t.Fatal(err)
			}
			if after.GetStale() {
				return false
			}
			if slices.ContainsFunc(after.GetRecommendations(), func(b *recommendationsv1.Recommendation) bool { return b.GetId() == book }) {
				t.Errorf("reader %d finished book %d and is recommended it at position %d of %d", reader, book, after.GetPosition(), ask.GetMinPosition())
			}
			return true
		})
	}
	for reader := range int32(20) {
		click(reader + 1)
	}

	const gone = 150
	history := func() int32 {
		response, err := c.recommendations.Recommend(t.Context(), &recommendationsv1.RecommendRequest{ReaderId: gone})
		if err != nil {
			t.Fatal(err)
		}
		return response.GetHistorySize()
	}
	if history() != 8 {
		t.Fatalf("reader %d has a history of %d", gone, history())
	}
	asked := time.Now()
	erased, err := c.readers.EraseReader(t.Context(), &readersv1.EraseReaderRequest{ReaderId: gone})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the erased reader is a stranger", func() bool { return history() == 0 })
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

	for round := range int32(3) {
		catalogProcess.stop()
		readersProcess.stop()
		for reader := range int32(10) {
			response, err := c.recommendations.Recommend(t.Context(), &recommendationsv1.RecommendRequest{ReaderId: reader + 1})
			if err != nil || len(response.GetRecommendations()) != 10 || response.GetHistorySize() < 8 {
				t.Fatalf("without the others: %v, %v", response, err)
			}
		}
		catalogProcess = startCatalog(t, catalogProcess.addr, catalogDB)
		readersProcess = startReaders(t, readersProcess.addr, readersDB)
		click(100 + round)
	}

	readersProcess.stop()
	readersProcess = startReaders(t, readersProcess.addr, filepath.Join(dir, "other.db"))
	eventually(t, "the empty log in the place of the old is followed", func() bool {
		model, err := c.recommendations.GetModel(t.Context(), &recommendationsv1.GetModelRequest{})
		return err == nil && model.GetPosition() == 0
	})
}
