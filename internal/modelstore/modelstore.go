// Package modelstore keeps published model files in a folder: immutable,
// numbered, and one of them current.
//
// The file CURRENT names the models that have been current, the present one
// first. It is replaced as a whole, so that whoever reads the folder at any
// moment, or after any crash, finds either the state before a change or the
// one after it. Reading needs no lock and no right to write.
//
// It never looks into a model file.
package modelstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/octavo-books/octavo/fault"
)

const (
	pointerFile    = "CURRENT"
	pointerNewFile = "CURRENT.new"
	lockFile       = "LOCK"
	newFolder      = "new" // a model being written; whatever is in it outside a Publish is left from a crash

	keep         = 5       // how many trained models pruning leaves, and how many refreshed ones
	pointerLimit = 4 << 10 // bytes of CURRENT that are read at most
	lockPoll     = 20 * time.Millisecond
)

// ErrNone is answered by Current and Rollback before the first Publish.
var ErrNone = fault.New(fault.NotFound, "no model has been published yet")

// Dir is a folder of models. It holds no state: several in one process or in
// many may use the same folder at the same time.
type Dir struct {
	path string
}

// Open names the folder. A missing one is an empty one; Publish makes it.
func Open(path string) (*Dir, error) {
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("open the model folder: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("open the model folder: %s is not a folder", path)
	}
	return &Dir{path: path}, nil
}

// Publish adds a trained model. It lets write make a model file at the path it is given, then makes the
// file current and removes the oldest models. When write fails, or the process
// ends at any moment before Publish returns, the model that was current still
// is. A CURRENT that makes no sense is replaced. The answer is the model's
// name in the folder.
func (d *Dir) Publish(ctx context.Context, write func(path string) error) (string, error) {
	return d.publish(ctx, trained, write)
}

// PublishRefreshed is Publish for a model that was refreshed rather than trained
// anew. There are many more of these: they are counted apart, so that they do
// not push out the trained ones.
func (d *Dir) PublishRefreshed(ctx context.Context, write func(path string) error) (string, error) {
	return d.publish(ctx, refreshed, write)
}

func (d *Dir) publish(ctx context.Context, kind string, write func(path string) error) (string, error) {
	if err := os.MkdirAll(d.path, 0o755); err != nil {
		return "", fmt.Errorf("make the model folder: %w", err)
	}
	unlock, err := d.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()

	folder := d.file(newFolder)
	if err := os.RemoveAll(folder); err != nil {
		return "", fmt.Errorf("remove what a broken publication left: %w", err)
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return "", fmt.Errorf("make a folder for the new model: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }() // what stays, the next publication removes

	names, err := d.List(ctx)
	if err != nil {
		return "", err
	}
	name := nameOf(1, kind)
	if len(names) > 0 {
		name = nameOf(numberOf(names[len(names)-1])+1, kind)
	}
	temporary := filepath.Join(folder, name)
	if err := write(temporary); err != nil {
		return "", fmt.Errorf("write model %s: %w", name, err)
	}
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("publish model %s: %w", name, err)
	}
	if err := syncPath(temporary); err != nil {
		return "", fmt.Errorf("write model %s: %w", name, err)
	}
	if err := os.Rename(temporary, d.file(name)); err != nil {
		return "", fmt.Errorf("publish model %s: %w", name, err)
	}
	if err := syncPath(d.path); err != nil {
		return "", fmt.Errorf("publish model %s: %w", name, err)
	}
	past, err := d.history()
	if err != nil {
		past = nil
	}
	history := append([]string{name}, past...)
	if err := d.point(history); err != nil {
		return "", err
	}
	d.prune(append(names, name), history)
	return name, nil
}

// Current is the name and the path of the model to answer from. It is ErrNone
// before the first Publish.
func (d *Dir) Current(context.Context) (name, path string, err error) {
	history, err := d.history()
	if err != nil {
		return "", "", err
	}
	return history[0], d.file(history[0]), nil
}

// List names the models of the folder, oldest first.
func (d *Dir) List(context.Context) ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list models: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if entry.Type().IsRegular() && numberOf(entry.Name()) > 0 {
			names = append(names, entry.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return numberOf(a) - numberOf(b) })
	return names, nil
}

// Rollback makes the model current that was it before the present one. The
// model left behind stays in the folder and is not gone back to. It is a
// Conflict when there is no model to go back to.
func (d *Dir) Rollback(ctx context.Context) (string, error) {
	if _, _, err := d.Current(ctx); err != nil {
		return "", err
	}
	unlock, err := d.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	history, err := d.history()
	if err != nil {
		return "", err
	}
	if len(history) < 2 {
		return "", fault.New(fault.Conflict, "there is no model before %s to go back to", history[0])
	}
	return history[1], d.point(history[1:])
}

// RollbackTo makes the named model of the folder current, as List names it; the
// present one is then the one before it. It is NotFound when there is no such
// model.
func (d *Dir) RollbackTo(ctx context.Context, name string) error {
	if _, _, err := d.Current(ctx); err != nil {
		return err
	}
	unlock, err := d.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	names, err := d.List(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(names, name) {
		return fault.New(fault.NotFound, "there is no model %.80q: 'octavo models' lists those that are there", name)
	}
	history, err := d.history()
	if err != nil {
		return err
	}
	history = slices.DeleteFunc(history, func(before string) bool { return before == name })
	return d.point(slices.Insert(history, 0, name))
}

// history is what CURRENT names, the present model first, without those that
// have been removed since. It has at least one entry or an error.
func (d *Dir) history() ([]string, error) {
	f, err := os.Open(d.file(pointerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("read which model is current: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, pointerLimit))
	if err != nil {
		return nil, fmt.Errorf("read which model is current: %w", err)
	}
	lines := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	if numberOf(lines[0]) == 0 {
		return nil, fault.New(fault.Conflict,
			"%s holds %.40q, which is not the name of a model: write the name of a model of that folder into it, or train again", d.file(pointerFile), lines[0])
	}
	if info, err := os.Stat(d.file(lines[0])); err != nil || !info.Mode().IsRegular() {
		return nil, fault.Wrap(fault.Conflict, err,
			"%s names %s, which is not there: write the name of a model of that folder into it, or train again", d.file(pointerFile), lines[0])
	}
	history := lines[:1]
	for _, name := range lines[1:] {
		if numberOf(name) == 0 || name == lines[0] {
			continue
		}
		if info, err := os.Stat(d.file(name)); err == nil && info.Mode().IsRegular() {
			history = append(history, name)
		}
	}
	return history, nil
}

// point replaces CURRENT.
func (d *Dir) point(history []string) error {
	history = history[:min(len(history), 2*keep)]
	temporary := d.file(pointerNewFile)
	if err := os.WriteFile(temporary, []byte(strings.Join(history, "\n")+"\n"), 0o644); err != nil {
		return fmt.Errorf("make model %s current: %w", history[0], err)
	}
	if err := syncPath(temporary); err != nil {
		return fmt.Errorf("make model %s current: %w", history[0], err)
	}
	if err := os.Rename(temporary, d.file(pointerFile)); err != nil {
		return fmt.Errorf("make model %s current: %w", history[0], err)
	}
	if err := syncPath(d.path); err != nil {
		return fmt.Errorf("make model %s current: %w", history[0], err)
	}
	return nil
}

// prune removes all but the newest models of each kind, the current one and the
// one before. A file that cannot be removed is in nobody's way until the next
// time.
func (d *Dir) prune(names, history []string) {
	protected := history[:min(len(history), 2)]
	left := map[bool]int{true: keep, false: keep}
	for _, name := range slices.Backward(names) {
		left[Refreshed(name)]--
		if left[Refreshed(name)] < 0 && !slices.Contains(protected, name) {
			_ = os.Remove(d.file(name))
		}
	}
}

// lock waits until no other publisher is at work. The lock ends with the
// process, however that ends.
func (d *Dir) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(d.file(lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the model folder: %w", err)
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock the model folder: %w", err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for another publication to end: %w", ctx.Err())
		case <-time.After(lockPoll):
		}
	}
}

func (d *Dir) file(name string) string { return filepath.Join(d.path, name) }

// The kinds of models, as their names end.
const (
	trained   = ".safetensors"
	refreshed = "-refreshed.safetensors"
)

// Refreshed reports whether a model of this name was refreshed rather than
// trained anew.
func Refreshed(name string) bool { return strings.HasSuffix(name, refreshed) }

func nameOf(number int, kind string) string { return fmt.Sprintf("model-%06d%s", number, kind) }

// numberOf is 0 for anything that is not the name of a model.
func numberOf(name string) int {
	var number int
	if n, err := fmt.Sscanf(name, "model-%d", &number); n != 1 || err != nil || number < 1 || nameOf(number, trained) != name && nameOf(number, refreshed) != name {
		return 0
	}
	return number
}

// syncPath makes a file, or the names in a folder, survive a loss of power.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
