package trainer_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/recommender"
	"github.com/octavo-books/octavo/internal/trainer"
)

// filled is a world with books, readers and a log.
func filled(t *testing.T) *world {
	w := newWorld(t)
	w.putBooks()
	w.record()
	return w
}

func (w *world) run(t *testing.T) trainer.Result {
	t.Helper()
	result, err := trainer.Run(t.Context(), w.config)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func (w *world) shard(t *testing.T, index, count int) trainer.Result {
	t.Helper()
	result, err := trainer.Shard(t.Context(), w.config, index, count)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func (w *world) merge(t *testing.T) trainer.Result {
	t.Helper()
	result, err := trainer.Merge(t.Context(), w.config)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// refuses checks that there is nothing to merge, and why.
func (w *world) refuses(t *testing.T, want string) {
	t.Helper()
	if _, err := trainer.Merge(t.Context(), w.config); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), want) {
		t.Errorf("Merge: %v, want a conflict with %q", err, want)
	}
}

// left are the names in the folder of parts.
func (w *world) left(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(w.config.Parts)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestPartsMakeTheModelOfOneMachine(t *testing.T) {
	w := filled(t)
	whole := w.run(t)
	for _, count := range []int{1, 3} {
		for i := range count {
			part := w.shard(t, count-1-i, count)
			if part.Name != "" || part.Version != "" || part.Books != books || part.Position != readers*each || len(part.Stages) == 0 {
				t.Errorf("part %+v", part)
			}
		}
		merged := w.merge(t)
		if merged.Version != whole.Version || merged.Name == whole.Name || merged.Position != whole.Position || len(merged.Metrics) == 0 {
			t.Errorf("%d parts make %+v, one machine %+v", count, merged, whole)
		}
		if name, _, err := w.models.Current(t.Context()); err != nil || name != merged.Name {
			t.Errorf("current is %s, %v, want %s", name, err, merged.Name)
		}
		if left := w.left(t); len(left) != 0 {
			t.Errorf("left in the folder of parts: %v", left)
		}
		w.refuses(t, "no parts")
	}
	if len(w.catalog.Popularity()) != books {
		t.Errorf("the catalogue was told of %d books", len(w.catalog.Popularity()))
	}
}

func TestPartsAgreeOnAPosition(t *testing.T) {
	w := filled(t)
	whole := w.run(t)
	w.shard(t, 0, 2)
	w.finish(1, 5)
	w.finish(2, 6)
	w.shard(t, 1, 2)
	if merged := w.merge(t); merged.Version != whole.Version {
		t.Errorf("a log that grew between two parts makes %+v, want %+v", merged, whole)
	}
	// Those of the next model begin where the log ends now.
	if next := w.shard(t, 0, 2); next.Position != whole.Position+2 {
		t.Errorf("the next part is of position %d, want %d", next.Position, whole.Position+2)
	}
	// A position that is given comes before one agreed upon.
	w.config.Position = whole.Position
	if pinned := w.shard(t, 0, 1); pinned.Position != whole.Position || pinned.Interactions != whole.Interactions {
		t.Errorf("the part is %+v, want position %d", pinned, whole.Position)
	}
	if merged := w.merge(t); merged.Version != whole.Version {
		t.Errorf("at the position given: %+v, want %+v", merged, whole)
	}
	if left := w.left(t); !slices.Contains(left, "position") || len(left) != 2 {
		t.Errorf("left of the parts of another position: %v", left)
	}
}

func TestPartsKeepTheParametersOfTheModel(t *testing.T) {
	w := filled(t)
	w.config.KeepParameters = true
	if _, err := trainer.Shard(t.Context(), w.config, 0, 2); !errors.Is(err, trainer.ErrNoModel) || fault.KindOf(err) != fault.Conflict {
		t.Errorf("without a model: %v", err)
	}
	w.config.KeepParameters = false
	before := w.run(t)
	for reader := range int32(readers) {
		w.finish(reader+1, books/3*(reader%3)+1)
	}
	w.config.KeepParameters = true
	whole := w.run(t)
	w.shard(t, 1, 2)
	w.shard(t, 0, 2)
	merged := w.merge(t)
	if merged.Version != whole.Version || merged.Version == before.Version {
		t.Errorf("merged %s, of one machine %s, before %s", merged.Version, whole.Version, before.Version)
	}
	for name, value := range before.Parameters {
		if merged.Parameters[name] != value {
			t.Errorf("%s is %v, before %v", name, merged.Parameters[name], value)
		}
	}
}

func TestMergeRefusesAndSaysWhatToDo(t *testing.T) {
	w := filled(t)
	w.refuses(t, "no parts to merge in "+w.config.Parts)
	w.shard(t, 0, 3)
	w.shard(t, 2, 3)
	w.refuses(t, "has [0 2] of 0 to 2")

	// A book came in between: parts of other data do not count.
	w.catalog.Put(&catalogv1.Book{Id: 1000, Title: "New", Category: 1})
	w.shard(t, 1, 3)
	w.refuses(t, "has [1] of 0 to 2")
	w.shard(t, 0, 3)
	w.shard(t, 2, 3)

	// A damaged part, and one of other parameters.
	folder := w.partsFolder(t)
	path := filepath.Join(folder, "part-1-of-3.safetensors")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, good[:len(good)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	w.refuses(t, path)
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	w.config.Seed = 2
	w.shard(t, 1, 3)
	w.refuses(t, "disagree on the seed")
	w.config.Seed = 1
	w.shard(t, 1, 3)
	merged := w.merge(t)
	if whole := w.run(t); merged.Version != whole.Version {
		t.Errorf("merged %s, want %s", merged.Version, whole.Version)
	}
	if left := w.left(t); len(left) != 0 {
		t.Errorf("left in the folder of parts: %v", left)
	}
}

// partsFolder is the folder that was written to last.
func (w *world) partsFolder(t *testing.T) string {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(w.config.Parts, "*-*"))
	if err != nil || len(folders) == 0 {
		t.Fatal(folders, err)
	}
	return slices.MaxFunc(folders, func(a, b string) int {
		x, err := os.Stat(a)
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.Stat(b)
		if err != nil {
			t.Fatal(err)
		}
		return x.ModTime().Compare(y.ModTime())
	})
}

func TestAFailureToPublishKeepsTheParts(t *testing.T) {
	w := filled(t)
	w.shard(t, 0, 1)
	w.config.Models = publisher(func(func(string) error) (string, error) { return "", errors.New("disk full") })
	if _, err := trainer.Merge(t.Context(), w.config); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("Merge: %v", err)
	}
	w.config.Models = w.models
	w.merge(t)
}

func TestPartsOfALogWithNothingToLearn(t *testing.T) {
	w := newWorld(t)
	w.finish(1, 1)
	if _, err := trainer.Shard(t.Context(), w.config, 0, 2); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "nothing to learn from yet") {
		t.Errorf("Shard: %v", err)
	}
	// The next attempt is not held to that position.
	w.readers.Replace()
	w.record()
	w.shard(t, 0, 1)
	if result := w.merge(t); result.Position != readers*each {
		t.Errorf("merged %+v", result)
	}
	empty := newWorld(t)
	if _, err := trainer.Shard(t.Context(), empty.config, 0, 2); fault.KindOf(err) != fault.Conflict {
		t.Errorf("Shard of nothing at all: %v", err)
	}
}

func TestAPositionThatMakesNoSenseIsRefused(t *testing.T) {
	w := filled(t)
	w.config.Position = readers*each + 1
	for name, run := range map[string]func() (trainer.Result, error){
		"Shard": func() (trainer.Result, error) { return trainer.Shard(t.Context(), w.config, 0, 1) },
		"Run":   func() (trainer.Result, error) { return trainer.Run(t.Context(), w.config) },
	} {
		if _, err := run(); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "the log ends at 1050") {
			t.Errorf("%s beyond the log: %v", name, err)
		}
	}
	w.config.Position = 0
	if err := os.MkdirAll(w.config.Parts, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.config.Parts, "position")
	if err := os.WriteFile(path, []byte("all of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := trainer.Shard(t.Context(), w.config, 0, 1); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), path) {
		t.Errorf("Shard: %v, want a conflict that names %s", err, path)
	}
	w.refuses(t, path)
}

func TestARefreshTakesInWhatIsNew(t *testing.T) {
	w := filled(t)
	if _, err := trainer.Refresh(t.Context(), w.config); !errors.Is(err, trainer.ErrNoModel) || fault.KindOf(err) != fault.Conflict {
		t.Errorf("without a model: %v", err)
	}
	before := w.run(t)
	w.catalog.Put(&catalogv1.Book{Id: 1000, Title: "New", Category: 1})
	for reader := range int32(40) {
		w.finish(3*reader+1, 1000)
	}
	got, err := trainer.Refresh(t.Context(), w.config)
	if err != nil {
		t.Fatal(err)
	}
	if got.Position != before.Position+40 || got.LearntPosition != before.Position || got.Books != books+1 || got.Name == before.Name {
		t.Errorf("refreshed %+v, before %+v", got, before)
	}
	for name, value := range before.Metrics {
		if got.Metrics[name] != value {
			t.Errorf("%s is %v, before %v", name, got.Metrics[name], value)
		}
	}
	_, path, err := w.models.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	model, err := recommender.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	book, ok := model.Index(1000)
	if near := model.Similar(book, 5, nil); !ok || len(near) != 5 {
		t.Errorf("the new book is like %v", near)
	}
	if w.catalog.Popularity()[1000] != 40 {
		t.Errorf("the catalogue was told of %d readers of the new book", w.catalog.Popularity()[1000])
	}

	// A model that cannot be read is none to go on from.
	if err := os.WriteFile(path, []byte("no model"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := trainer.Refresh(t.Context(), w.config); !errors.Is(err, trainer.ErrNoModel) {
		t.Errorf("of a broken model: %v", err)
	}
	// Nor is there anything to refresh from when all readers are gone.
	w.run(t)
	w.readers.Replace(&readersv1.Interaction{Position: 1, ReaderId: 1, BookId: 1, Kind: readersv1.InteractionKind_INTERACTION_KIND_BOUGHT})
	if _, err := trainer.Refresh(t.Context(), w.config); !errors.Is(err, recommender.ErrNoData) {
		t.Errorf("of nothing: %v", err)
	}
}
