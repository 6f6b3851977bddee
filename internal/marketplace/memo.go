package marketplace

import (
	"context"
	"sync"
	"time"
)

const (
	// freshFor is how long a memo answers without asking.
	freshFor = 2 * time.Second
	// restFor is how long a memo leaves a service alone that did not answer.
	restFor = time.Second
)

// memo keeps the last answer to a question that all visitors share. An old
// answer is better than none: it stays for as long as no newer one comes. The
// zero value is ready to use.
type memo[V any] struct {
	mu    sync.Mutex
	value V
	has   bool
	next  time.Time // when to ask again
}

// get is the answer kept, or a new one when the time has come. Only a caller
// who finds nothing kept can get an error.
func (m *memo[V]) get(ctx context.Context, now time.Time, ask func(context.Context) (V, error)) (V, error) {
	m.mu.Lock()
	if m.has && now.Before(m.next) {
		defer m.mu.Unlock()
		return m.value, nil
	}
	// One visitor asks; until there is an answer the others see the old one.
	m.next = now.Add(restFor)
	m.mu.Unlock()

	value, err := ask(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.value, m.has, m.next = value, true, now.Add(freshFor)
	}
	if m.has {
		return m.value, nil
	}
	return value, err
}

// peek is the answer kept, if any.
func (m *memo[V]) peek() (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.value, m.has
}
