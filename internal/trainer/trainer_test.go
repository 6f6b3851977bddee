package trainer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/chassis/chassistest"
	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/feedtest"
	"github.com/octavo-books/octavo/internal/modelstore"
	"github.com/octavo-books/octavo/internal/recommender"
	"github.com/octavo-books/octavo/internal/trainer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a place for models.
type store interface {
	trainer.Models
	List(ctx context.Context) ([]string, error)
}

type world struct {
	catalog *feedtest.Catalog
	readers *feedtest.Readers
	models  store
	config  trainer.Config
}

func newWorld(t *testing.T) *world {
	t.Helper()
	models, err := modelstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{catalog: &feedtest.Catalog{}, readers: &feedtest.Readers{}, models: models}
	conn := chassistest.Serve(t, func(r grpc.ServiceRegistrar) {
		w.catalog.Register(r)
		w.readers.Register(r)
	})
	w.config = trainer.Config{
		Catalog: catalogv1.NewCatalogServiceClient(conn), Readers: readersv1.NewReadersServiceClient(conn),
		Models: models, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Seed: 1,
		Parts: models.Parts(),
	}
	return w
}

const books, readers, each = 60, 150, 7

// putBooks puts them twice, the second time with the title changed.
func (w *world) putBooks() {
	for range 2 {
		for id := range int32(books) {
			w.catalog.Put(&catalogv1.Book{Id: id + 1, Title: fmt.Sprint("Book ", id), Category: 1})
		}
	}
}

// record makes readers who keep to one of three tastes.
func (w *world) record() {
	random := rand.New(rand.NewPCG(1, 2))
	for reader := range int32(readers) {
		for _, b := range random.Perm(books / 3)[:each] {
			w.finish(reader+1, int32(b)+1+books/3*(reader%3))
		}
	}
}

// finish lets a reader finish a book.
func (w *world) finish(reader, book int32) {
	w.readers.Record(&readersv1.Interaction{
		Position: int64(len(w.readers.Lines())) + 1,
		ReaderId: reader, BookId: book, Kind: readersv1.InteractionKind_INTERACTION_KIND_FINISHED,
	})
}

func TestRunPublishesAModelAndTellsTheCatalogue(t *testing.T) {
	w := newWorld(t)
	w.putBooks()
	w.record()
	stages := map[string]int{}
	w.config.Progress = func(stage string, done, total int) {
		if done < 0 || done > total {
			t.Errorf("%s: %d of %d", stage, done, total)
		}
		stages[stage]++
	}
	result, err := trainer.Run(t.Context(), w.config)
	if err != nil {
		t.Fatal(err)
	}
	if result.Books != books || result.Readers != readers || result.Interactions != readers*each || result.Position != readers*each {
		t.Errorf("result %+v", result)
	}
	name, path, err := w.models.Current(t.Context())
	if err != nil || name != result.Name {
		t.Fatalf("current is %s, %v, want %s", name, err, result.Name)
	}
	model, err := recommender.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	if info := model.Info(); info.Version != result.Version || info.Version == "" || info.Position != result.Position {
		t.Errorf("the file's info is %+v, the result %+v", info, result)
	}
	var sum int64
	for _, n := range w.catalog.Popularity() {
		sum += n
	}
	if len(w.catalog.Popularity()) != books || sum != readers*each {
		t.Errorf("the catalogue was told of %d books and %d readers in all, want %d and %d", len(w.catalog.Popularity()), sum, books, readers*each)
	}
	for _, stage := range []string{trainer.StageCatalogue, trainer.StageLog, trainer.StagePopularity} {
		if stages[stage] == 0 {
			t.Errorf("no progress was told of the stage %q", stage)
		}
	}
	if len(result.Metrics) == 0 || len(result.Parameters) == 0 || result.LearntPosition != result.Position {
		t.Errorf("result %+v", result)
	}
	var names []string
	for _, stage := range result.Stages {
		names = append(names, stage.Name)
		if stage.Seconds <= 0 {
			t.Errorf("%s took %v seconds", stage.Name, stage.Seconds)
		}
	}
	want := []string{trainer.StageCatalogue, trainer.StageLog, trainer.StageSort, "choosing parameters", "blending", "training", trainer.StagePublish, trainer.StagePopularity}
	if !slices.Equal(names, want) {
		t.Errorf("stages %v, want %v", names, want)
	}
	if runtime.GOOS == "linux" && (result.PeakMemory < 1<<20 || result.PeakMemory > 1<<40) {
		t.Errorf("peak memory %d", result.PeakMemory)
	}
}

func TestRunIsDeterministic(t *testing.T) {
	w := newWorld(t)
	w.putBooks()
	w.record()
	first, err := trainer.Run(t.Context(), w.config)
	if err != nil {
		t.Fatal(err)
	}
	second, err := trainer.Run(t.Context(), w.config)
	if err != nil {
		t.Fatal(err)
	}
	if first.Version != second.Version || first.Name == second.Name {
		t.Errorf("%s is %s, %s is %s", first.Name, first.Version, second.Name, second.Version)
	}
}

// A log with more interactions than can be numbered is refused, whatever the kind
// of training, and the position that the refusal names is the last that is taken.
func TestALogThatIsTooLongIsRefused(t *testing.T) {
	w := newWorld(t)
	w.putBooks()
	w.record()
	before, err := trainer.Run(t.Context(), w.config)
	if err != nil {
		t.Fatal(err)
	}
	w.config.MaxInteractions = readers * each
	w.finish(1, 60)
	for name, train := range map[string]func() (trainer.Result, error){
		"training": func() (trainer.Result, error) { return trainer.Run(t.Context(), w.config) },
		"refresh":  func() (trainer.Result, error) { return trainer.Refresh(t.Context(), w.config) },
		"a part":   func() (trainer.Result, error) { return trainer.Shard(t.Context(), w.config, 0, 2) },
	} {
		_, err := train()
		if fault.KindOf(err) != fault.TooLarge {
			t.Fatalf("%s: %v, want TooLarge", name, err)
		}
		for _, part := range []string{"takes 1050 interactions", "--position=1050", "scale.md"} {
			if !strings.Contains(fault.Message(err), part) {
				t.Errorf("%s: %q does not say %q", name, fault.Message(err), part)
			}
		}
	}
	w.config.Position = readers * each
	if again, err := trainer.Run(t.Context(), w.config); err != nil || again.Version != before.Version {
		t.Errorf("up to that position the model is %s, %v, want %s", again.Version, err, before.Version)
	}
}

// Parts of a model that agree on a position agree on who has paused, too.
func TestAPauseAfterTheGivenPositionDoesNotCount(t *testing.T) {
	w := newWorld(t)
	w.putBooks()
	w.record()
	w.config.Position = readers * each
	before, err := trainer.Run(t.Context(), w.config)
	if err != nil {
		t.Fatal(err)
	}
	w.readers.Record(&readersv1.Interaction{Position: readers*each + 1, ReaderId: 7, Kind: readersv1.InteractionKind_INTERACTION_KIND_PAUSED})
	after, err := trainer.Run(t.Context(), w.config)
	if err != nil || after.Version != before.Version {
		t.Errorf("up to the same position the model is %s and then %s, %v", before.Version, after.Version, err)
	}
}

// A model after an erasure is, byte for byte, the one that never saw the
// reader: of a log that the reader is gone from, and of one that was being read
// when it happened. So is one that is made while the reader has paused.
func TestRunLeavesErasedReadersOut(t *testing.T) {
	erased := &readersv1.Interaction{
		Position: readers*each + 1, ReaderId: 7, Kind: readersv1.InteractionKind_INTERACTION_KIND_ERASED,
	}
	newer := &readersv1.Interaction{
		Position: readers*each + 2, ReaderId: 1, Kind: readersv1.InteractionKind(266),
	}
	of := func(lines func([]*readersv1.Interaction) []*readersv1.Interaction) []byte {
		w := newWorld(t)
		w.putBooks()
		w.record()
		w.readers.Replace(lines(w.readers.Lines())...)
		result, err := trainer.Run(t.Context(), w.config)
		if err != nil {
			t.Fatal(err)
		}
		_, path, err := w.models.Current(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d readers, model %s", result.Readers, result.Version)
		return file
	}
	never := of(func(lines []*readersv1.Interaction) []*readersv1.Interaction {
		for i, line := range lines {
			if line.GetReaderId() == 7 {
				// A line that says nothing keeps the length.
				lines[i] = newer
			}
		}
		return append(lines, newer, newer)
	})
	read := of(func(lines []*readersv1.Interaction) []*readersv1.Interaction { return append(lines, erased, newer) })
	if !bytes.Equal(read, never) {
		t.Error("the model differs from one that never saw the reader")
	}
	marked := func(kinds ...readersv1.InteractionKind) func([]*readersv1.Interaction) []*readersv1.Interaction {
		return func(lines []*readersv1.Interaction) []*readersv1.Interaction {
			for _, kind := range kinds {
				lines = append(lines, &readersv1.Interaction{Position: int64(len(lines)) + 1, ReaderId: 7, Kind: kind})
			}
			return lines
		}
	}
	const paused, resumed = readersv1.InteractionKind_INTERACTION_KIND_PAUSED, readersv1.InteractionKind_INTERACTION_KIND_RESUMED
	if !bytes.Equal(of(marked(resumed, paused)), never) {
		t.Error("the model made during a pause differs from one that never saw the reader")
	}
	with := of(func(lines []*readersv1.Interaction) []*readersv1.Interaction { return append(lines, newer, newer) })
	if bytes.Equal(with, never) {
		t.Error("the model is the same with the reader, so that this test shows nothing")
	}
	if !bytes.Equal(of(marked(paused, resumed)), with) {
		t.Error("the model made after a pause is not that with the reader")
	}
}

func TestRunRefusesWhatIsNotWorthPublishing(t *testing.T) {
	tests := []struct {
		name string
		fill func(*world)
		want string
	}{
		{"an empty log", func(w *world) { w.putBooks() }, "nothing to learn from yet: 60 books and 0 interactions"},
		{"nothing at all", func(*world) {}, "nothing to learn from yet"},
		{"one book a reader", func(w *world) {
			for i := range int32(5) {
				w.readers.Record(&readersv1.Interaction{ReaderId: i + 1, BookId: i + 1, Kind: readersv1.InteractionKind_INTERACTION_KIND_BOUGHT})
			}
		}, "nothing to learn from yet: 5 books and 5 interactions"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			test.fill(w)
			_, err := trainer.Run(t.Context(), w.config)
			if fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want a conflict with %q", err, test.want)
			}
			if names, err := w.models.List(t.Context()); err != nil || len(names) != 0 {
				t.Errorf("published: %v, %v", names, err)
			}
		})
	}
}

// Readers who choose by popularity and chance alone leave nothing to find. Now
// and then a model still does better on the validation part, by chance as well.
func TestRunRefusesAModelThatIsNotBetterThanPopularity(t *testing.T) {
	w := newWorld(t)
	w.putBooks()
	random := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		w.readers.Replace()
		for reader := range int32(readers) {
			for range each {
				book := min(random.Int32N(books), random.Int32N(books), random.Int32N(books)) + 1
				w.readers.Record(&readersv1.Interaction{ReaderId: reader + 1, BookId: book, Kind: readersv1.InteractionKind_INTERACTION_KIND_FINISHED})
			}
		}
		before, err := w.models.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = trainer.Run(t.Context(), w.config)
		if err == nil {
			continue
		}
		if fault.KindOf(err) != fault.Conflict || !errors.Is(err, recommender.ErrNotBetter) || !strings.Contains(err.Error(), "not published") {
			t.Errorf("error %v, want a conflict with the reason", err)
		}
		if after, err := w.models.List(t.Context()); err != nil || !slices.Equal(before, after) {
			t.Errorf("a refused model was published: %v, before %v", after, before)
		}
		return
	}
	t.Error("ten models of nothing all passed")
}

func TestRunKeepsTheModelBeforeWhenTheNewOneFails(t *testing.T) {
	w := newWorld(t)
	w.putBooks()
	w.record()
	good, err := trainer.Run(t.Context(), w.config)
	if err != nil {
		t.Fatal(err)
	}
	refused := fault.New(fault.Conflict, "disk full")
	w.config.Models = publisher(func(func(string) error) (string, error) {
		return "", refused
	})
	if _, err := trainer.Run(t.Context(), w.config); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("Run: %v, want what the store said", err)
	}
	if name, _, err := w.models.Current(t.Context()); err != nil || name != good.Name {
		t.Errorf("current is %s, %v, want %s", name, err, good.Name)
	}
}

type publisher func(write func(string) error) (string, error)

func (publisher) Current(context.Context) (name, path string, err error) {
	return "", "", modelstore.ErrNone
}

func (p publisher) PublishRefreshed(ctx context.Context, write func(string) error) (string, error) {
	return p.Publish(ctx, write)
}

func (p publisher) PublishOnce(ctx context.Context, write func(string) error) (string, error) {
	return p.Publish(ctx, write)
}

func (p publisher) Publish(_ context.Context, write func(string) error) (string, error) {
	return p(write)
}

func TestRunEndsWithItsContextAndWithTheServices(t *testing.T) {
	w := newWorld(t)
	w.putBooks()
	w.record()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := trainer.Run(ctx, w.config); fault.KindOf(err) != fault.Canceled {
		t.Errorf("Run: %v, want canceled", err)
	}
	w.readers.Down()
	if _, err := trainer.Run(t.Context(), w.config); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "read the log") {
		t.Errorf("Run: %v, want unavailable, with what was being done", err)
	}
}
