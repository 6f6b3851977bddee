package recommendations

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/recommender"
)

// retryRefused is how long a model that was refused is left alone: it is
// immutable, only what is around it, such as free memory, can change.
const retryRefused = time.Minute

// mostPause is how long the pause between two looks at a store that does not
// answer gets at most.
const mostPause = time.Minute

// Models says which model to answer from. The error for "none yet" has the
// kind NotFound.
type Models interface {
	Current(ctx context.Context) (name, path string, err error)
	// Last is Current as far as is known without asking anybody: what to begin
	// with when nobody can be asked.
	Last() (name, path string, err error)
}

// model is a mapped model, and who uses it. The mapping is closed by the last
// user after another model took its place.
type model struct {
	*recommender.Model
	info      recommender.Info
	weights   recommender.Weights
	name      string
	published time.Time

	users    atomic.Int64 // the holder counts as one
	resolved atomic.Pointer[resolved]
}

// resolved ties a model's indices to the books of one generation of the
// catalogue.
type resolved struct {
	generation uint64
	books      []*book // by index; nil when the catalogue does not have it
	missing    []int32 // the indices with nil
}

// books returns the tie to the present catalogue, made anew after a change.
func (m *model) books(c *catalogue) *resolved {
	if r := m.resolved.Load(); r != nil && r.generation == c.generation.Load() {
		return r
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	r := &resolved{generation: c.generation.Load(), books: make([]*book, m.info.Books)}
	for i := range r.books {
		r.books[i] = c.books[m.BookID(int32(i))]
		if r.books[i] == nil {
			r.missing = append(r.missing, int32(i))
		}
	}
	m.resolved.Store(r)
	return r
}

// learnt reports whether the model knows a book by its readers. One that had
// none when the model was trained is as new to it as one it never heard of.
func (m *model) learnt(book int32) bool {
	index, known := m.Index(book)
	return known && m.Readers(index) > 0
}

// use is false when the model has been closed.
func (m *model) use() bool {
	for {
		users := m.users.Load()
		if users == 0 {
			return false
		}
		if m.users.CompareAndSwap(users, users+1) {
			return true
		}
	}
}

func (m *model) release() {
	if m.users.Add(-1) == 0 {
		_ = m.Close() // nothing was written, and nobody is left to tell
	}
}

// holder has the model that answers.
type holder struct {
	models  Models
	log     *slog.Logger
	metrics *metrics
	current atomic.Pointer[model]
	// learn is told which books a new model knows by their readers, before the
	// one in use goes.
	learn func(learnt func(book int32) bool)

	// What was refused last and why; of the watching goroutine only.
	refused   string
	refusedAt time.Time
	complaint string
}

// acquire returns the model to answer from, nil before the first. The caller
// releases it.
func (h *holder) acquire() *model {
	for {
		m := h.current.Load()
		if m == nil || m.use() {
			return m
		}
	}
}

// watch follows the store until ctx ends. It looks at intervals of a fifth more
// or less, so that replicas do not all ask at once, and less often while the
// store does not answer.
func (h *holder) watch(ctx context.Context, every time.Duration) {
	pause := every
	for {
		if h.look(ctx) {
			pause = every
		} else {
			pause = max(every, min(2*pause, mostPause))
		}
		timer := time.NewTimer(pause*4/5 + rand.N(pause*2/5+1))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// look takes up the store's current model if it is not in use yet. One that is
// damaged or fails its own check is refused, and the one before serves on. It
// reports whether the store answered.
func (h *holder) look(ctx context.Context) bool {
	name, path, err := h.models.Current(ctx)
	switch {
	case ctx.Err() != nil || fault.KindOf(err) == fault.NotFound:
		return true
	case err != nil:
		h.complain("cannot tell which model is current", err)
		if h.current.Load() == nil {
			if name, path, err := h.models.Last(); err == nil {
				h.take(name, path)
			}
		}
		return false
	}
	h.take(name, path)
	return true
}

// take makes a model the one that answers, unless it is or was refused.
func (h *holder) take(name, path string) {
	old := h.current.Load()
	if old != nil && old.name == name {
		h.complaint = ""
		return
	}
	if name == h.refused && time.Since(h.refusedAt) < retryRefused {
		return
	}
	m, err := load(name, path)
	if err != nil {
		h.refused, h.refusedAt = name, time.Now()
		h.metrics.modelsRefused.Inc()
		h.complain("model refused", err, "model", name)
		return
	}
	h.refused, h.complaint = "", ""
	h.current.Store(m)
	h.learn(m.learnt)
	if old != nil {
		old.release()
	}
	h.metrics.modelsLoaded.Inc()
	h.log.Info("model in use", "model", name, "version", m.info.Version, "books", m.info.Books, "readers", m.info.Readers, "position", m.info.Position)
}

// complain logs a condition once, not at every look.
func (h *holder) complain(what string, err error, attrs ...any) {
	serving := "none"
	if m := h.current.Load(); m != nil {
		serving = m.name
	}
	if text := what + err.Error(); text != h.complaint {
		h.complaint = text
		h.log.Error(what+"; the one before serves on", append(attrs, "serving", serving, "error", err)...)
	}
}

func load(name, path string) (*model, error) {
	file, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	opened, err := recommender.Open(path)
	if err != nil {
		return nil, err
	}
	if err := opened.Check(); err != nil {
		return nil, errors.Join(fmt.Errorf("check: %w", err), opened.Close())
	}
	weights, err := opened.Weights()
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	m := &model{Model: opened, info: opened.Info(), weights: weights, name: name, published: file.ModTime()}
	m.users.Store(1)
	return m, nil
}
