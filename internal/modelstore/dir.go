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
	"time"

	"golang.org/x/sys/unix"

	"github.com/octavo-books/octavo/fault"
)

const (
	pointerNewFile = "CURRENT.new"
	lockFile       = "LOCK"
	newFolder      = "new" // a model being written; whatever is in it outside a Publish is left from a crash
	lockPoll       = 20 * time.Millisecond
)

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
	return d.publish(ctx, trained, false, write)
}

// PublishOnce is Publish, but a model that is in the folder already, byte for
// byte, is made current and not added again: however often it is tried, and by
// however many, there is one.
func (d *Dir) PublishOnce(ctx context.Context, write func(path string) error) (string, error) {
	return d.publish(ctx, trained, true, write)
}

// PublishRefreshed is Publish for a model that was refreshed rather than trained
// anew. There are many more of these: they are counted apart, so that they do
// not push out the trained ones.
func (d *Dir) PublishRefreshed(ctx context.Context, write func(path string) error) (string, error) {
	return d.publish(ctx, refreshed, false, write)
}

func (d *Dir) publish(ctx context.Context, kind string, once bool, write func(path string) error) (string, error) {
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
	name := nextName(names, kind)
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
	same := ""
	if once {
		if same, err = d.find(temporary, names); err != nil {
			return "", fmt.Errorf("look for the model among those published: %w", err)
		}
	}
	if same != "" {
		name = same
	} else {
		if err := os.Rename(temporary, d.file(name)); err != nil {
			return "", fmt.Errorf("publish model %s: %w", name, err)
		}
		if err := syncPath(d.path); err != nil {
			return "", fmt.Errorf("publish model %s: %w", name, err)
		}
		names = append(names, name)
	}
	past, err := d.history()
	if err != nil {
		past = nil
	}
	history := goTo(past, name)
	if err := d.point(history); err != nil {
		return "", err
	}
	d.prune(names, history)
	return name, nil
}

// find names the model that has the content of a file; it is empty when none
// has.
func (d *Dir) find(path string, names []string) (string, error) {
	sum, size, err := sumOf(path)
	if err != nil {
		return "", err
	}
	for _, name := range slices.Backward(names) {
		if info, err := os.Stat(d.file(name)); err != nil || info.Size() != size {
			continue
		}
		if other, _, err := sumOf(d.file(name)); err == nil && other == sum {
			return name, nil
		}
	}
	return "", nil
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

// Last is Current: a folder is never away.
func (d *Dir) Last() (name, path string, err error) { return d.Current(context.Background()) }

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
	sortByNumber(names)
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
	before, err := goBack(history)
	if err != nil {
		return "", err
	}
	return before[0], d.point(before)
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
		return unknown(name)
	}
	history, err := d.history()
	if err != nil {
		return err
	}
	return d.point(goTo(history, name))
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
	named, err := parsePointer(content, d.file(pointerFile))
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(d.file(named[0])); err != nil || !info.Mode().IsRegular() {
		return nil, fault.Wrap(fault.Conflict, err,
			"%s names %s, which is not there: write the name of a model of that folder into it, or train again", d.file(pointerFile), named[0])
	}
	history := named[:1]
	for _, name := range named[1:] {
		if info, err := os.Stat(d.file(name)); err == nil && info.Mode().IsRegular() {
			history = append(history, name)
		}
	}
	return history, nil
}

// point replaces CURRENT.
func (d *Dir) point(history []string) error {
	temporary := d.file(pointerNewFile)
	if err := os.WriteFile(temporary, pointerTo(history), 0o644); err != nil {
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

// prune removes what is surplus. A file that cannot be removed is in nobody's
// way until the next time.
func (d *Dir) prune(names, history []string) {
	for _, name := range surplus(names, history) {
		_ = os.Remove(d.file(name))
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
