// Package storetest says in tests what holds for models and parts wherever they
// are kept.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/modelstore"
)

// Models is a store of models.
type Models interface {
	Publish(ctx context.Context, write func(path string) error) (string, error)
	PublishOnce(ctx context.Context, write func(path string) error) (string, error)
	PublishRefreshed(ctx context.Context, write func(path string) error) (string, error)
	Current(ctx context.Context) (name, path string, err error)
	Last() (name, path string, err error)
	List(ctx context.Context) ([]string, error)
	Rollback(ctx context.Context) (string, error)
	RollbackTo(ctx context.Context, name string) error
}

// Parts is a store of parts.
type Parts interface {
	Create(ctx context.Context, name string, content []byte) (bool, error)
	Put(ctx context.Context, name string, write func(path string) error) error
	Get(ctx context.Context, name string, read func(path string) error) error
	List(ctx context.Context) (map[string]time.Time, error)
	Remove(ctx context.Context, name string) error
	Where(name string) string
}

// file writes content.
func file(content string) func(path string) error {
	return func(path string) error { return os.WriteFile(path, []byte(content), 0o600) }
}

// Publish publishes a model with some content.
func Publish(t testing.TB, store Models, content string) string {
	t.Helper()
	name, err := store.Publish(t.Context(), file(content))
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// Current is the name and the content of the current model.
func Current(t testing.TB, store Models) (name, content string) {
	t.Helper()
	name, path, err := store.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if last, lastPath, err := store.Last(); last != name || lastPath != path || err != nil {
		t.Errorf("Last is %s at %s, %v; current is %s at %s", last, lastPath, err, name, path)
	}
	return name, string(bytes)
}

// List is the names of all models.
func List(t testing.TB, store Models) []string {
	t.Helper()
	names, err := store.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestModels tests a kind of store. open gives one with the contents of that
// name, which are none at first: as another machine would.
func TestModels(t *testing.T, open func(t *testing.T, name string) Models) {
	tests := map[string]func(t *testing.T, open func() Models){
		"there is nothing at first":                      nothing,
		"a publication makes current and prunes":         prunes,
		"refreshes do not push out trainings":            refreshes,
		"a failed write changes nothing":                 failedWrite,
		"a publication obeys its context":                canceled,
		"what is published once is there once":           once,
		"going back":                                     rollback,
		"going to a named model":                         rollbackTo,
		"pruning keeps the predecessor after going back": predecessor,
		"publishers at the same time":                    together,
		"a model is there for everybody":                 everybody,
		"changes at the same time are made one by one":   changes,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			place := strings.ReplaceAll(name, " ", "-")
			test(t, func() Models { return open(t, place) })
		})
	}
}

func nothing(t *testing.T, open func() Models) {
	store := open()
	if _, _, err := store.Current(t.Context()); !errors.Is(err, modelstore.ErrNone) {
		t.Errorf("Current: %v, want ErrNone", err)
	}
	if _, _, err := store.Last(); !errors.Is(err, modelstore.ErrNone) {
		t.Errorf("Last: %v, want ErrNone", err)
	}
	if _, err := store.Rollback(t.Context()); !errors.Is(err, modelstore.ErrNone) {
		t.Errorf("Rollback: %v, want ErrNone", err)
	}
	if err := store.RollbackTo(t.Context(), "model-000001.safetensors"); !errors.Is(err, modelstore.ErrNone) {
		t.Errorf("RollbackTo: %v, want ErrNone", err)
	}
	if names := List(t, store); len(names) != 0 {
		t.Errorf("List: %v", names)
	}
}

func prunes(t *testing.T, open func() Models) {
	store := open()
	for i := range 8 {
		name := Publish(t, store, fmt.Sprint("model ", i))
		got, content := Current(t, store)
		if got != name || content != fmt.Sprint("model ", i) {
			t.Fatalf("after publication %d: current is %s with %q, want %s", i, got, content, name)
		}
	}
	want := []string{"model-000004.safetensors", "model-000005.safetensors", "model-000006.safetensors", "model-000007.safetensors", "model-000008.safetensors"}
	if names := List(t, store); !slices.Equal(names, want) {
		t.Errorf("List: %v, want %v", names, want)
	}
}

// After a day of refreshes one can still go back to what was trained.
func refreshes(t *testing.T, open func() Models) {
	store := open()
	want := []string{Publish(t, store, "trained"), Publish(t, store, "trained again")}
	for i := range 10 {
		name, err := store.PublishRefreshed(t.Context(), file("refreshed"))
		if err != nil || !modelstore.Refreshed(name) {
			t.Fatalf("refreshed: %s, %v", name, err)
		}
		if i >= 5 {
			want = append(want, name)
		}
	}
	if names := List(t, store); !slices.Equal(names, want) {
		t.Errorf("List: %v, want %v", names, want)
	}
	for range 5 {
		if _, err := store.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if name, content := Current(t, store); name != want[1] || content != "trained again" {
		t.Errorf("after as many rollbacks as there are refreshes: %s with %q", name, content)
	}
}

func failedWrite(t *testing.T, open func() Models) {
	store := open()
	Publish(t, store, "good")
	broken := errors.New("disk on fire")
	_, err := store.Publish(t.Context(), func(path string) error {
		return errors.Join(os.WriteFile(path, []byte("half"), 0o600), broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("Publish: %v, want the error of write", err)
	}
	if name, content := Current(t, store); name != "model-000001.safetensors" || content != "good" || len(List(t, store)) != 1 {
		t.Errorf("current is %s with %q of %v", name, content, List(t, store))
	}
}

func canceled(t *testing.T, open func() Models) {
	store := open()
	Publish(t, store, "good")
	ctx, cancel := context.WithCancel(t.Context())
	_, err := store.Publish(ctx, func(path string) error {
		cancel()
		return os.WriteFile(path, []byte("too late"), 0o600)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Publish: %v, want canceled", err)
	}
	if _, content := Current(t, store); content != "good" || len(List(t, store)) != 1 {
		t.Errorf("current is %q of %v", content, List(t, store))
	}
}

func once(t *testing.T, open func() Models) {
	names := make([]string, 4)
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i := range names {
		store := open()
		wg.Go(func() { names[i], errs[i] = store.PublishOnce(t.Context(), file("the model")) })
	}
	wg.Wait()
	store := open()
	if err := errors.Join(errs...); err != nil || len(slices.Compact(names)) != 1 || len(List(t, store)) != 1 {
		t.Fatalf("four publishers of the same: %v, %v; the models are %v", names, err, List(t, store))
	}
	// Another one is not the same, and the same one comes back as what it is.
	Publish(t, store, "other")
	again, err := store.PublishOnce(t.Context(), file("the model"))
	if name, content := Current(t, store); err != nil || again != names[0] || name != again || content != "the model" {
		t.Errorf("again: %s, %v; current is %s with %q", again, err, name, content)
	}
	if got := Publish(t, store, "the model"); got != "model-000003.safetensors" {
		t.Errorf("Publish adds whatever is there: %s", got)
	}
}

func rollback(t *testing.T, open func() Models) {
	store := open()
	for _, content := range []string{"one", "two", "bad"} {
		Publish(t, store, content)
	}
	name, err := store.Rollback(t.Context())
	if err != nil || name != "model-000002.safetensors" {
		t.Fatalf("Rollback: %s, %v", name, err)
	}
	if got := Publish(t, store, "four"); got != "model-000004.safetensors" {
		t.Errorf("the name of a model gone back from was used again: %s", got)
	}
	for _, want := range []string{"two", "one"} {
		if _, err := store.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, content := Current(t, store); content != want {
			t.Errorf("after Rollback current is %q, want %q", content, want)
		}
	}
	if _, err := store.Rollback(t.Context()); fault.KindOf(err) != fault.Conflict {
		t.Errorf("Rollback at the first model: %v, want a conflict", err)
	}
}

func rollbackTo(t *testing.T, open func() Models) {
	store := open()
	first := Publish(t, store, "one")
	for _, content := range []string{"two", "three"} {
		Publish(t, store, content)
	}
	for _, name := range []string{"model-000009.safetensors", "CURRENT", "../" + first, ""} {
		if err := store.RollbackTo(t.Context(), name); fault.KindOf(err) != fault.NotFound {
			t.Errorf("to %q: %v, want that it is not found", name, err)
		}
	}
	if _, content := Current(t, store); content != "three" {
		t.Errorf("current is %q after refusals", content)
	}
	for range 2 { // once more changes nothing
		if err := store.RollbackTo(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if _, content := Current(t, store); content != "one" {
			t.Errorf("current is %q, want the one asked for", content)
		}
	}
	if _, err := store.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, content := Current(t, store); content != "three" {
		t.Errorf("the model before is %q, want the one that was current", content)
	}
}

func predecessor(t *testing.T, open func() Models) {
	store := open()
	Publish(t, store, "one")
	// Models 2 to 6 are gone back from; with 7 there are more than pruning leaves.
	for range 5 {
		Publish(t, store, "bad")
		if _, err := store.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	Publish(t, store, "new")
	if _, err := store.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, content := Current(t, store); content != "one" {
		t.Errorf("current is %q, want the only good model before", content)
	}
}

func together(t *testing.T, open func() Models) {
	var (
		mu    sync.Mutex
		names []string
		wg    sync.WaitGroup
	)
	for range 3 {
		store := open()
		wg.Go(func() {
			for range 3 {
				name, err := store.Publish(t.Context(), file("model"))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				names = append(names, name)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(names)
	if unique := slices.Compact(slices.Clone(names)); len(unique) != 9 {
		t.Fatalf("9 publications got the names %v", names)
	}
	if name, _ := Current(t, open()); name != names[len(names)-1] {
		t.Errorf("current is %s, want the last, %s", name, names[len(names)-1])
	}
}

// changes: each of several who change which model is current sees what the
// others did, so that no model is lost from the history.
func changes(t *testing.T, open func() Models) {
	for _, content := range []string{"one", "two", "three", "four"} {
		Publish(t, open(), content)
	}
	var wg sync.WaitGroup
	for _, name := range List(t, open())[:3] {
		store := open()
		wg.Go(func() {
			if err := store.RollbackTo(t.Context(), name); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	store := open()
	seen := map[string]bool{}
	for {
		name, _ := Current(t, store)
		seen[name] = true
		if _, err := store.Rollback(t.Context()); err != nil {
			break
		}
	}
	if len(seen) != 4 {
		t.Errorf("the history has %v, want all four", seen)
	}
}

func everybody(t *testing.T, open func() Models) {
	here, there := open(), open()
	for i := range 3 {
		want := Publish(t, here, fmt.Sprint("model ", i))
		for range 2 { // also when nothing is new
			if name, content := Current(t, there); name != want || content != fmt.Sprint("model ", i) {
				t.Errorf("there, current is %s with %q", name, content)
			}
		}
	}
	if _, err := here.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, content := Current(t, there); content != "model 1" {
		t.Errorf("after going back here, current is %q there", content)
	}
}

// TestParts tests a kind of store for parts, as TestModels does.
func TestParts(t *testing.T, open func(t *testing.T, name string) Parts) {
	for name, test := range map[string]func(t *testing.T, open func() Parts){
		"one creates and all read":         creates,
		"what is put replaces":             puts,
		"objects are listed and removed":   lists,
		"folders come and go side by side": comesAndGoes,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			place := strings.ReplaceAll(name, " ", "-")
			test(t, func() Parts { return open(t, place) })
		})
	}
}

// Read is the content of an object.
func Read(t testing.TB, parts Parts, name string) (content string, err error) {
	t.Helper()
	err = parts.Get(t.Context(), name, func(path string) error {
		bytes, err := os.ReadFile(path)
		content = string(bytes)
		return err
	})
	return content, err
}

func creates(t *testing.T, open func() Parts) {
	if content, err := Read(t, open(), "run/position"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("before: %q, %v", content, err)
	}
	created := make([]bool, 5)
	var wg sync.WaitGroup
	for i := range created {
		parts := open()
		wg.Go(func() {
			var err error
			if created[i], err = parts.Create(t.Context(), "run/position", []byte{'0' + byte(i)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	who := slices.Index(created, true)
	if who < 0 || slices.Contains(created[who+1:], true) {
		t.Fatalf("those who created it: %v", created)
	}
	if content, err := Read(t, open(), "run/position"); content != fmt.Sprint(who) || err != nil {
		t.Errorf("it holds %q, %v, want %d", content, err, who)
	}
	if err := open().Remove(t.Context(), "run/position"); err != nil {
		t.Fatal(err)
	}
	if again, err := open().Create(t.Context(), "run/position", []byte("again")); !again || err != nil {
		t.Errorf("after it was removed: %v, %v", again, err)
	}
}

func puts(t *testing.T, open func() Parts) {
	parts := open()
	for _, want := range []string{"one", "two", ""} {
		if err := parts.Put(t.Context(), "a/b/part", file(want)); err != nil {
			t.Fatal(err)
		}
		if content, err := Read(t, open(), "a/b/part"); content != want || err != nil {
			t.Errorf("it holds %q, %v, want %q", content, err, want)
		}
	}
	broken := errors.New("disk on fire")
	if err := parts.Put(t.Context(), "a/b/part", func(string) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("Put: %v", err)
	}
	if content, err := Read(t, parts, "a/b/part"); content != "" || err != nil {
		t.Errorf("after a failure it holds %q, %v", content, err)
	}
	unread := errors.New("no part")
	if err := parts.Get(t.Context(), "a/b/part", func(string) error { return unread }); !errors.Is(err, unread) {
		t.Errorf("Get: %v", err)
	}
}

func lists(t *testing.T, open func() Parts) {
	parts := open()
	if all, err := parts.List(t.Context()); len(all) != 0 || err != nil {
		t.Errorf("at first: %v, %v", all, err)
	}
	for _, name := range []string{"a/part-0", "a/part-1", "b/c/part-0", "position"} {
		if err := parts.Put(t.Context(), name, file(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct{ remove, left string }{
		{"nothing/like/it", "a/part-0 a/part-1 b/c/part-0 position"},
		{"a/part-0", "a/part-1 b/c/part-0 position"},
		{"b/c/part-0", "a/part-1 position"},
		{"a/part-1", "position"},
		{"position", ""},
	} {
		if err := parts.Remove(t.Context(), step.remove); err != nil {
			t.Fatal(err)
		}
		all, err := open().List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for name, put := range all {
			names = append(names, name)
			if age := time.Since(put); age < -time.Minute || age > time.Hour {
				t.Errorf("%s is %v old", name, age)
			}
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != step.left {
			t.Errorf("after %s was removed there are %q, want %q", step.remove, got, step.left)
		}
	}
}

// One machine removes the last object of a folder while another puts the first.
func comesAndGoes(t *testing.T, open func() Parts) {
	var wg sync.WaitGroup
	for i := range 3 {
		parts, name := open(), fmt.Sprintf("run/%d", i)
		wg.Go(func() {
			for range 20 {
				if err := parts.Put(t.Context(), name, file(name)); err != nil {
					t.Error(err)
				}
				if err := parts.Remove(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
