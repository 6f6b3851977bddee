package trainer_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/buckettest"
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

// inBucket moves the models and the parts of a world into a bucket.
func (w *world) inBucket(t *testing.T) *world {
	bucket := buckettest.Start(t).Open(t, "models")
	w.models, w.config.Models, w.config.Parts = bucket, bucket, bucket.Parts()
	return w
}

// everywhere runs a test with models and parts in a folder and in a bucket.
func everywhere(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("folder", func(t *testing.T) { test(t, filled(t)) })
	t.Run("bucket", func(t *testing.T) { test(t, filled(t).inBucket(t)) })
}

func (w *world) run(t *testing.T) trainer.Result {
	t.Helper()
	result, err := trainer.Run(t.Context(), w.config)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// shard makes a part, and checks which ones it says are missing.
func (w *world) shard(t *testing.T, index, count int, missing ...int) trainer.Result {
	t.Helper()
	result, err := trainer.Shard(t.Context(), w.config, index, count)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(result.Missing, missing) || (result.Name == "") != (len(missing) > 0) {
		t.Fatalf("after part %d the missing ones are %v, and the model %q; want %v missing", index, result.Missing, result.Name, missing)
	}
	return result
}

// left are the names of the parts, and of what belongs to them.
func (w *world) left(t *testing.T) []string {
	t.Helper()
	all, err := w.config.Parts.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// whole is the model that one machine makes, which is not published where the
// parts are.
func whole(t *testing.T, w *world) trainer.Result {
	t.Helper()
	alone := newWorld(t)
	c := w.config
	c.Models, c.Parts = alone.models, alone.config.Parts
	result, err := trainer.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestPartsMakeTheModelOfOneMachine(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		one := whole(t, w)
		for _, count := range []int{3, 1} {
			for i := range count - 1 {
				part := w.shard(t, count-1-i, count, slices.Collect(upTo(count-1-i))...)
				if part.Version != "" || part.Books != books || part.Position != readers*each || len(part.Stages) == 0 {
					t.Errorf("part %+v", part)
				}
			}
			last := w.shard(t, 0, count)
			if last.Version != one.Version || last.Name != "model-000001.safetensors" || last.Position != one.Position || len(last.Metrics) == 0 {
				t.Errorf("%d parts make %+v, one machine %+v", count, last, one)
			}
			if name, _, err := w.config.Models.Current(t.Context()); err != nil || name != last.Name {
				t.Errorf("current is %s, %v, want %s", name, err, last.Name)
			}
			if left := w.left(t); len(left) != 0 {
				t.Errorf("left of the parts: %v", left)
			}
		}
		if len(w.catalog.Popularity()) != books {
			t.Errorf("the catalogue was told of %d books", len(w.catalog.Popularity()))
		}
	})
}

func upTo(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func TestPartsAgreeOnAPosition(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		one := whole(t, w)
		w.shard(t, 0, 2, 1)
		w.finish(1, 5)
		w.finish(2, 6)
		if merged := w.shard(t, 1, 2); merged.Version != one.Version {
			t.Errorf("a log that grew between two parts makes %+v, want %+v", merged, one)
		}
		// Those of the next model begin where the log ends now.
		if next := w.shard(t, 0, 2, 1); next.Position != one.Position+2 {
			t.Errorf("the next part is of position %d, want %d", next.Position, one.Position+2)
		}
		// A position that is given comes before one agreed upon.
		w.config.Position = one.Position
		if pinned := w.shard(t, 0, 1); pinned.Position != one.Position || pinned.Interactions != one.Interactions || pinned.Version != one.Version {
			t.Errorf("the part is %+v, want position %d", pinned, one.Position)
		}
		if left := w.left(t); len(left) != 2 || left[1] != "unnamed/position" {
			t.Errorf("left of the parts of another position: %v", left)
		}
	})
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
	w.shard(t, 1, 2, 0) // of other parameters, perhaps
	w.config.KeepParameters = true
	w.shard(t, 1, 2, 0)
	merged := w.shard(t, 0, 2)
	if merged.Version == before.Version || merged.Name == before.Name {
		t.Errorf("merged %s %s, before %s %s", merged.Name, merged.Version, before.Name, before.Version)
	}
	for name, value := range before.Parameters {
		if merged.Parameters[name] != value {
			t.Errorf("%s is %v, before %v", name, merged.Parameters[name], value)
		}
	}
	if one := w.run(t); merged.Version != one.Version {
		t.Errorf("merged %s, of one machine %s", merged.Version, one.Version)
	}
}

// TestPartsOfDifferentDataNeverMix: a book that comes in, another seed, and
// another run.
func TestPartsOfDifferentDataNeverMix(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		w.shard(t, 0, 2, 1)
		w.catalog.Put(&catalogv1.Book{Id: 1000, Title: "New", Category: 1})
		w.shard(t, 1, 2, 0)
		w.config.Seed = 2
		w.shard(t, 0, 2, 1)
		w.config.Run = "other"
		w.shard(t, 1, 2, 0)
		w.shard(t, 1, 3, 0, 2)
		w.config.Run, w.config.Seed = "", 1
		one := whole(t, w)
		if merged := w.shard(t, 0, 2); merged.Version != one.Version || merged.Books != books+1 {
			t.Errorf("merged %+v, want %+v", merged, one)
		}
		left := w.left(t)
		if slices.ContainsFunc(left, func(name string) bool { return !strings.HasPrefix(name, "run-other/") }) || len(left) != 3 {
			t.Errorf("left: %v, want what belongs to the other run", left)
		}
	})
}

// TestAPartThatIsThereIsNotMadeAgain, which is what a shard does that was killed
// after it; and one that is damaged is.
func TestAPartThatIsThereIsNotMadeAgain(t *testing.T) {
	w := filled(t)
	one := whole(t, w)
	w.shard(t, 0, 3, 1, 2)
	trained := false
	w.config.Progress = func(stage string, _, _ int) { trained = trained || stage == "training" }
	if again := w.shard(t, 0, 3, 1, 2); trained || len(again.Metrics) == 0 {
		t.Errorf("made again: %v, with the metrics %v", trained, again.Metrics)
	}
	w.shard(t, 1, 3, 2)
	for _, part := range w.left(t)[:2] { // both, one half and one with a flipped bit
		path := w.config.Parts.Where(part)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bad := slices.Clone(good[:len(good)/2])
		if strings.Contains(part, "part-1") {
			bad = slices.Clone(good)
			bad[len(bad)/2] ^= 1
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trained = false
	w.shard(t, 1, 3, 2) // its own
	if merged := w.shard(t, 2, 3); !trained || merged.Version != one.Version {
		t.Errorf("made again: %v; merged %s, want %s", trained, merged.Version, one.Version)
	}
}

// TestManyAttemptsPublishOnce: all parts at the same time, each tried twice, and
// once more when all is over.
func TestManyAttemptsPublishOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		w.config.Run = "nightly"
		one := whole(t, w)
		const count = 3
		results, errs := make([]trainer.Result, 2*count), make([]error, 2*count)
		var wg sync.WaitGroup
		for i := range results {
			wg.Go(func() { results[i], errs[i] = trainer.Shard(t.Context(), w.config, i%count, count) })
		}
		wg.Wait()
		merged := 0
		for i, r := range results {
			if errs[i] != nil {
				t.Errorf("attempt %d: %v", i, errs[i])
			}
			if r.Version != "" {
				merged++
				if r.Version != one.Version || r.Name != "model-000001.safetensors" {
					t.Errorf("attempt %d made %s %s, want %s", i, r.Name, r.Version, one.Version)
				}
			}
		}
		if merged == 0 {
			t.Errorf("nobody merged: %+v", results)
		}
		w.finish(1, 5) // the log goes on, and the run is over nevertheless
		again, err := trainer.Shard(t.Context(), w.config, 1, count)
		if err != nil || again.Name != "model-000001.safetensors" || again.Version != "" || again.Books != 0 {
			t.Errorf("once more: %+v, %v", again, err)
		}
		if names, err := w.models.List(t.Context()); len(names) != 1 || err != nil {
			t.Errorf("the models are %v, %v", names, err)
		}
		if left := w.left(t); !slices.Equal(left, []string{"run-nightly/outcome", "run-nightly/position"}) {
			t.Errorf("left of the run: %v", left)
		}
	})
}

// TestAShardThatEndsWhileItPublishes is made up for by the next attempt, whatever
// it had come to.
func TestAShardThatEndsWhileItPublishes(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		for i, end := range []func(write func(string) error) (string, error){
			func(func(string) error) (string, error) { return "", errors.New("killed before") },
			func(write func(string) error) (string, error) {
				if _, err := w.models.PublishOnce(t.Context(), write); err != nil {
					t.Error(err)
				}
				return "", errors.New("killed after")
			},
		} {
			w.config.Run = fmt.Sprint("attempt-", i)
			w.catalog.Put(&catalogv1.Book{Id: int32(1000 + i), Title: "New", Category: 1}) // for another model
			w.config.Models = publisher(end)
			if _, err := trainer.Shard(t.Context(), w.config, 0, 1); err == nil || !strings.Contains(err.Error(), "killed") {
				t.Errorf("Shard: %v", err)
			}
			w.config.Models = w.models
			if result := w.shard(t, 0, 1); result.Name != fmt.Sprintf("model-%06d.safetensors", i+1) {
				t.Errorf("the next attempt published %s", result.Name)
			}
		}
	})
}

// TestARefusedModelEndsTheRun: another attempt would make the same.
func TestARefusedModelEndsTheRun(t *testing.T) {
	w := filled(t)
	w.config.Run = "nightly"
	w.config.Models = publisher(func(func(string) error) (string, error) { return "", fault.New(fault.Conflict, "not good enough") })
	for range 2 {
		if _, err := trainer.Shard(t.Context(), w.config, 0, 1); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "not good enough") {
			t.Errorf("Shard: %v", err)
		}
		w.config.Models = w.models
	}
	if left := w.left(t); !slices.Equal(left, []string{"run-nightly/outcome", "run-nightly/position"}) {
		t.Errorf("left of the run: %v", left)
	}
}

// TestWhatIsLeftOfRunsIsRemoved after a week.
func TestWhatIsLeftOfRunsIsRemoved(t *testing.T) {
	w := filled(t)
	for _, run := range []string{"broken", "late"} {
		w.config.Run = run
		w.shard(t, 0, 2, 1)
	}
	for _, name := range w.left(t) {
		if strings.HasPrefix(name, "run-broken/") {
			past := time.Now().Add(-8 * 24 * time.Hour)
			if err := os.Chtimes(w.config.Parts.Where(name), past, past); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.config.Run = "nightly"
	w.shard(t, 0, 1)
	left := w.left(t)
	if len(left) != 4 || slices.ContainsFunc(left, func(name string) bool { return strings.HasPrefix(name, "run-broken/") }) {
		t.Errorf("left: %v", left)
	}
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
	if result := w.shard(t, 0, 1); result.Position != readers*each {
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
	if _, err := w.config.Parts.Create(t.Context(), "unnamed/position", []byte("all of it")); err != nil {
		t.Fatal(err)
	}
	path := w.config.Parts.Where("unnamed/position")
	if _, err := trainer.Shard(t.Context(), w.config, 0, 1); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), path) {
		t.Errorf("Shard: %v, want a conflict that names %s", err, path)
	}
}

func TestRunsHaveNamesThatAreNoPaths(t *testing.T) {
	for name, want := range map[string]bool{
		"": true, "octavo-train-29401": true, "2026-11-25_02.00": true,
		"../models": false, "a/b": false, "a b": false, "ä": false, strings.Repeat("x", 101): false,
	} {
		if trainer.RunName(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
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
