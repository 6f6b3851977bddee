package marketplace

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestMemo(t *testing.T) {
	var (
		m     memo[int]
		now   = time.Unix(1_700_000_000, 0)
		asked int
		fail  error
	)
	get := func() (int, error) {
		return m.get(t.Context(), now, func(context.Context) (int, error) {
			asked++
			return asked, fail
		})
	}
	expect := func(what string, value, times int, wantErr error) {
		t.Helper()
		got, err := get()
		if !errors.Is(err, wantErr) || wantErr == nil && got != value || asked != times {
			t.Errorf("%s: %d, %v after asking %d times; want %d, %v after %d", what, got, err, asked, value, wantErr, times)
		}
	}
	broken := errors.New("broken")

	fail = broken
	expect("nothing kept", 0, 1, broken)
	expect("still nothing kept", 0, 2, broken)
	fail = nil
	expect("first answer", 3, 3, nil)
	expect("kept", 3, 3, nil)
	now = now.Add(freshFor)
	expect("asked anew", 4, 4, nil)
	now = now.Add(freshFor)
	fail = broken
	expect("the old answer", 4, 5, nil)
	expect("the service is left alone", 4, 5, nil)
	now = now.Add(restFor)
	fail = nil
	expect("recovered", 6, 6, nil)
}
