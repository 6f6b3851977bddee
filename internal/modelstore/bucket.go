package modelstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/octavo-books/octavo/fault"
)

const (
	scratchPattern = "new-*"        // folders of files on their way
	scratchAge     = 24 * time.Hour // after which such a folder is nobody's
	lastFile       = "LAST"         // in the cache: the name of the file that is current as far as is known
)

// BucketConfig says where a bucket is.
type BucketConfig struct {
	URL        string // s3://bucket, or s3://bucket/prefix
	Endpoint   string // https://host:port, or with http
	Region     string
	Addressing string // path, host, or auto, also when empty
	// Credentials reads them, for each request anew.
	Credentials func() (Credentials, error)
	// Cache is a folder for files that come and go. Several processes may share
	// it.
	Cache   string
	Metrics prometheus.Registerer // nil for none
	// Stall is how long nothing may move in a transfer; 0 means 30 s.
	Stall time.Duration
}

// Bucket is models in an S3-compatible bucket. Several may use the same one at
// the same time, also from different machines: a server that knows conditional
// writes keeps them from undoing one another's work.
type Bucket struct {
	objects *objects
	cache   string

	downloads, bytes prometheus.Counter
	failures         prometheus.Counter

	mu      sync.Mutex
	etag    string // of CURRENT when it was read last
	current string // path of the current model in the cache; empty before the first
	before  string // path of the one before
}

// OpenBucket does not ask the bucket anything yet.
func OpenBucket(c BucketConfig) (*Bucket, error) {
	o, err := openObjects(c)
	if err != nil {
		return nil, err
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	b := &Bucket{
		objects: o, cache: c.Cache,
		downloads: counter("octavo_model_downloads_total", "Models downloaded from the bucket and verified."),
		bytes:     counter("octavo_model_download_bytes_total", "Bytes of the models downloaded from the bucket."),
		failures:  counter("octavo_model_bucket_failures_total", "Times the bucket could not say which model is current, or not deliver it."),
	}
	if c.Metrics != nil {
		c.Metrics.MustRegister(b.downloads, b.bytes, b.failures)
	}
	return b, nil
}

// Try asks the bucket for what is in it, and changes nothing.
func (b *Bucket) Try(ctx context.Context) error {
	_, _, err := b.history(ctx)
	if errors.Is(err, ErrNone) {
		_, err = b.List(ctx) // where listing is not allowed, a missing object is refused too
	}
	return err
}

// Publish adds a trained model. It lets write make a model file at the path it
// is given, then puts it into the bucket, makes it current and removes the
// oldest models. Whatever fails, and whenever the process or the server ends
// before Publish returns, the model that was current still is, or the new one.
// The answer is the model's name.
func (b *Bucket) Publish(ctx context.Context, write func(path string) error) (string, error) {
	return b.publish(ctx, trained, false, write)
}

// PublishOnce is Publish, but a model that is in the bucket already, byte for
// byte, is made current and not added again: however often it is tried, and by
// however many, there is one.
func (b *Bucket) PublishOnce(ctx context.Context, write func(path string) error) (string, error) {
	return b.publish(ctx, trained, true, write)
}

// PublishRefreshed is Publish for a model that was refreshed rather than trained
// anew; see Dir.
func (b *Bucket) PublishRefreshed(ctx context.Context, write func(path string) error) (string, error) {
	return b.publish(ctx, refreshed, false, write)
}

func (b *Bucket) publish(ctx context.Context, kind string, once bool, write func(path string) error) (name string, err error) {
	err = b.objects.temporary(func(file string) error {
		if err := write(file); err != nil {
			return fmt.Errorf("write a model: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("publish a model: %w", err)
		}
		name, err = b.add(ctx, kind, once, file)
		return err
	})
	if err != nil {
		return "", err
	}
	err = b.point(ctx, func(past, _ []string) ([]string, error) {
		history := goTo(past, name)
		if len(past) > 0 && numberOf(past[0]) > numberOf(name) && !once {
			// Another publisher was given a later number, and was quicker.
			history = goTo(history, past[0])
		}
		return history, nil
	})
	if err != nil {
		return "", err
	}
	b.prune(ctx)
	return name, nil
}

// prune removes what is surplus. What cannot be removed is in nobody's way until
// the next time.
func (b *Bucket) prune(ctx context.Context) {
	history, _, err := b.history(ctx)
	if err != nil {
		return
	}
	names, err := b.List(ctx)
	if err != nil {
		return
	}
	for _, name := range surplus(names, history) {
		_ = b.objects.remove(ctx, name)
	}
}

// add puts a file into the bucket under the next name that nobody has taken. Of
// one that is to be there once, it finds the name.
func (b *Bucket) add(ctx context.Context, kind string, once bool, file string) (string, error) {
	for {
		names, err := b.List(ctx)
		if err != nil {
			return "", err
		}
		if once {
			if same, err := b.find(ctx, file, names); same != "" || err != nil {
				return same, err
			}
		}
		name := nextName(names, kind)
		switch err := b.objects.put(ctx, name, file, condition{absent: true}); {
		case errors.Is(err, errExists):
			continue
		case err != nil:
			return "", fmt.Errorf("publish model %s: %w", name, err)
		}
		return name, nil
	}
}

// find names the model that has the content of a file; it is empty when none
// has.
func (b *Bucket) find(ctx context.Context, file string, names []string) (string, error) {
	sum, size, err := sumOf(file)
	if err != nil {
		return "", err
	}
	for _, name := range slices.Backward(names) {
		info, err := b.objects.stat(ctx, name)
		switch {
		case fault.KindOf(err) == fault.NotFound: // removed since
		case err != nil:
			return "", err
		case info.Size == size && info.UserMetadata[sumKey] == sum:
			return name, nil
		}
	}
	return "", nil
}

// point replaces CURRENT by what change makes of the history and the names of
// the models there are, until nobody else changed it at the same time.
func (b *Bucket) point(ctx context.Context, change func(history, names []string) ([]string, error)) error {
	for {
		past, etag, err := b.history(ctx)
		if err != nil && fault.KindOf(err) != fault.Conflict && !errors.Is(err, ErrNone) { // one that makes no sense is replaced
			return err
		}
		names, err := b.List(ctx)
		if err != nil {
			return err
		}
		history := slices.DeleteFunc(slices.Clone(past), func(name string) bool { return !slices.Contains(names, name) })
		want, err := change(history, names)
		if err != nil || slices.Equal(want, past) {
			return err
		}
		err = b.objects.putBytes(ctx, pointerFile, pointerTo(want), condition{etag: etag, absent: etag == ""})
		if !errors.Is(err, errExists) {
			if err != nil {
				return fmt.Errorf("make model %s current: %w", want[0], err)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("make model %s current: %w", want[0], ctx.Err())
		case <-time.After(rand.N(20 * time.Millisecond)):
		}
	}
}

// history is what CURRENT names, and its tag, empty when there is none.
func (b *Bucket) history(ctx context.Context) (history []string, etag string, err error) {
	content, etag, _, err := b.objects.small(ctx, b.objects.client, pointerFile, "", pointerLimit)
	if err != nil {
		return nil, "", none(err)
	}
	history, err = parsePointer(content, b.objects.where(pointerFile))
	return history, etag, err
}

// none makes ErrNone of a CURRENT that is not there.
func none(err error) error {
	if fault.KindOf(err) == fault.NotFound {
		return ErrNone
	}
	return err
}

// List names the models of the bucket, oldest first.
func (b *Bucket) List(ctx context.Context) ([]string, error) {
	all, err := b.objects.list(ctx, "model-")
	if err != nil {
		return nil, fmt.Errorf("list models: %w", err)
	}
	var names []string
	for name := range all {
		if numberOf(name) > 0 {
			names = append(names, name)
		}
	}
	sortByNumber(names)
	return names, nil
}

// Rollback is Dir's.
func (b *Bucket) Rollback(ctx context.Context) (name string, err error) {
	history, _, err := b.history(ctx)
	if err != nil {
		return "", err
	}
	leave := history[0]
	err = b.point(ctx, func(history, _ []string) ([]string, error) {
		if len(history) == 0 || history[0] != leave {
			return nil, fault.New(fault.Conflict, "another model became current just now: look at 'octavo models', and try again")
		}
		before, err := goBack(history)
		if err == nil {
			name = before[0]
		}
		return before, err
	})
	return name, err
}

// RollbackTo is Dir's.
func (b *Bucket) RollbackTo(ctx context.Context, name string) error {
	if _, _, err := b.history(ctx); err != nil {
		return err
	}
	return b.point(ctx, func(history, names []string) ([]string, error) {
		if !slices.Contains(names, name) {
			return nil, unknown(name)
		}
		return goTo(history, name), nil
	})
}

// Current is the name of the model to answer from, and the path of its file,
// which has been downloaded and verified. As long as nothing changes, it asks
// the bucket for no more than that. It is ErrNone before the first Publish.
func (b *Bucket) Current(ctx context.Context) (name, path string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	name, path, err = b.follow(ctx)
	if err != nil && !errors.Is(err, ErrNone) && ctx.Err() == nil {
		b.failures.Inc()
	}
	return name, path, err
}

func (b *Bucket) follow(ctx context.Context) (name, path string, err error) {
	if _, err := os.Stat(b.current); err != nil {
		b.etag = "" // there is none yet, or somebody cleaned up
	}
	content, etag, changed, err := b.objects.small(ctx, b.objects.quick, pointerFile, b.etag, pointerLimit)
	if err != nil {
		return "", "", none(err)
	}
	if changed {
		history, err := parsePointer(content, b.objects.where(pointerFile))
		if err != nil {
			return "", "", err
		}
		path, err := b.fetch(ctx, history[0])
		if err != nil {
			return "", "", err
		}
		if path != b.current {
			b.before, b.current = b.current, path
			b.remember()
		}
		b.etag = etag
	}
	return nameIn(b.current), b.current, nil
}

// fetch returns the path of a model's file in the cache, where it is put unless
// it is there.
func (b *Bucket) fetch(ctx context.Context, name string) (string, error) {
	info, err := b.objects.stat(ctx, name)
	if fault.KindOf(err) == fault.NotFound {
		return "", fault.Wrap(fault.Conflict, err, "%s names %s, which is not there: go back to another with 'octavo models rollback --to', or train again", b.objects.where(pointerFile), name)
	}
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.cache, name+"."+info.UserMetadata[sumKey])
	if !isSum(info.UserMetadata[sumKey]) {
		return "", fault.New(fault.Conflict, "%s does not say its SHA-256: it was not put there by Octavo", b.objects.where(name))
	}
	if b.verify(path) {
		return path, nil
	}
	err = b.objects.temporary(func(file string) error {
		if err := b.objects.download(ctx, name, info, file); err != nil {
			return err
		}
		// The age of a model is that of its file.
		if err := os.Chtimes(file, time.Time{}, info.LastModified); err != nil {
			return err
		}
		if err := os.Rename(file, path); err != nil {
			return err
		}
		return syncPath(b.cache)
	})
	if err != nil {
		return "", err
	}
	b.downloads.Inc()
	b.bytes.Add(float64(info.Size))
	return path, nil
}

// verify reports whether a file of the cache is what its name says. Another one
// is removed.
func (b *Bucket) verify(path string) bool {
	sum, _, err := sumOf(path)
	if err != nil {
		return false
	}
	if !strings.HasSuffix(path, "."+sum) {
		_ = os.Remove(path) // a download takes its place
		return false
	}
	return true
}

// Last is the current model as far as is known without asking the bucket: the
// one that was current last, also in another process with the same cache.
func (b *Bucket) Last() (name, path string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current == "" {
		content, err := os.ReadFile(filepath.Join(b.cache, lastFile))
		if errors.Is(err, fs.ErrNotExist) {
			return "", "", ErrNone
		}
		if err != nil {
			return "", "", fmt.Errorf("read which model was current: %w", err)
		}
		path := filepath.Join(b.cache, filepath.Base(strings.TrimSpace(string(content))))
		if numberOf(nameIn(path)) == 0 || !b.verify(path) {
			return "", "", ErrNone
		}
		b.current = path
	}
	return nameIn(b.current), b.current, nil
}

// remember keeps which model is current for Last, and removes from the cache
// what is neither that nor the one before. What fails here does so in nobody's
// way.
func (b *Bucket) remember() {
	_ = b.objects.temporary(func(file string) error {
		if err := os.WriteFile(file, []byte(filepath.Base(b.current)+"\n"), 0o600); err != nil {
			return err
		}
		return os.Rename(file, filepath.Join(b.cache, lastFile))
	})
	entries, err := os.ReadDir(b.cache)
	if err != nil {
		return
	}
	for _, e := range entries {
		path := filepath.Join(b.cache, e.Name())
		info, err := e.Info()
		scratch, _ := filepath.Match(scratchPattern, e.Name())
		switch {
		case err != nil:
		case scratch && time.Since(info.ModTime()) > scratchAge:
			_ = os.RemoveAll(path)
		case numberOf(nameIn(path)) > 0 && path != b.current && path != b.before:
			_ = os.Remove(path)
		}
	}
}

// nameIn is the model's name in that of a file of the cache, which ends in the
// SHA-256 of its content.
func nameIn(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), trained+".")
	return name + trained
}

func isSum(text string) bool {
	return len(text) == 64 && strings.Trim(text, "0123456789abcdef") == ""
}
