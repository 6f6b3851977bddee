// Package waittest waits in tests for what other goroutines and programs do. It
// never sleeps for a time that somebody has guessed.
package waittest

import (
	"testing"
	"time"
)

// every is the time between two looks.
const every = 5 * time.Millisecond

// Until looks again and again until it is so, and ends the test when that does
// not come true in time.
func Until(t testing.TB, what string, within time.Duration, is func() bool) {
	t.Helper()
	deadline := time.After(within)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for !is() {
		select {
		case <-deadline:
			t.Fatalf("not within %v: %s", within, what)
		case <-ticker.C:
		}
	}
}
