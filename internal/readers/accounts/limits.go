package accounts

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"strings"
	"time"

	"github.com/octavo-books/octavo/fault"
)

// limit says how long to wait after so many attempts in a row. The wait doubles
// with each, up to a bound, so that nobody is locked out for good.
type limit struct {
	free        int           // attempts without a wait
	first, most time.Duration // the wait after them, and the longest
	forget      time.Duration // after so long without any all are forgotten
}

var (
	// One address guesses one account.
	guessAccount = limit{free: 5, first: time.Second, most: 15 * time.Minute, forget: 24 * time.Hour}
	// One address guesses whatever accounts. Many people can have one address.
	guessAnywhere = limit{free: 30, first: time.Second, most: time.Minute, forget: time.Hour}
	// Many addresses guess one account. While this one says wait, an address is
	// held to its first guess: the owner, who knows the password, gets in with
	// that.
	guessTogether = limit{free: 20, first: time.Minute, most: 15 * time.Minute, forget: 24 * time.Hour}
	// One address makes accounts or asks which names are taken.
	signUps = limit{free: 20, first: 10 * time.Second, most: 10 * time.Minute, forget: 24 * time.Hour}
)

// longestMemory is after how long no limit remembers.
const longestMemory = 24 * time.Hour

func (l limit) wait(t Tally, now time.Time) time.Duration {
	if t.Attempts < l.free || l.forgotten(t, now) {
		return 0
	}
	wait := l.most
	if doublings := t.Attempts - l.free; doublings < 16 {
		wait = min(wait, l.first<<doublings)
	}
	return max(0, t.Last.Add(wait).Sub(now))
}

func (l limit) forgotten(t Tally, now time.Time) bool { return now.Sub(t.Last) >= l.forget }

// count is the tally after another attempt.
func (l limit) count(t Tally, now time.Time) Tally {
	if l.forgotten(t, now) {
		t.Attempts = 0
	}
	return Tally{Attempts: t.Attempts + 1, Last: now}
}

// guess counts an attempt at the password of a name before it is made, so that
// many at once do not slip through. It is an Exhausted fault when the caller
// has to wait first, and then not counted.
func (s *Server) guess(ctx context.Context, name, address string, now time.Time) (keys []Digest, err error) {
	keys = []Digest{key("guess", name, address), key("guesses", address), key("guessed", name)}
	var wait time.Duration
	err = s.tallies.Tally(ctx, keys, now.Add(-longestMemory), func(t []Tally) bool {
		wait = max(guessAccount.wait(t[0], now), guessAnywhere.wait(t[1], now))
		if first := t[0].Attempts == 0 || guessAccount.forgotten(t[0], now); !first {
			wait = max(wait, guessTogether.wait(t[2], now))
		}
		if wait > 0 {
			return false
		}
		t[0], t[1], t[2] = guessAccount.count(t[0], now), guessAnywhere.count(t[1], now), guessTogether.count(t[2], now)
		return true
	})
	if err != nil {
		return nil, err
	}
	if wait > 0 {
		return nil, tooOften("Too many wrong passwords were tried.", wait)
	}
	return keys, nil
}

// right takes back what guess counted: the password was the right one, or it
// was not looked at.
func (s *Server) right(ctx context.Context, keys []Digest, now time.Time) error {
	return s.tallies.Tally(ctx, keys, now.Add(-longestMemory), func(t []Tally) bool {
		t[0].Attempts = 0
		for i := range t[1:] {
			t[i+1].Attempts = max(0, t[i+1].Attempts-1)
		}
		return true
	})
}

// tryPasskey counts an attempt to sign in with a passkey among those of the
// address at passwords, before it is known whose it is. Only the address can be
// held off: nobody guesses a passkey, but each attempt costs a row.
func (s *Server) tryPasskey(ctx context.Context, address string, now time.Time) error {
	var wait time.Duration
	err := s.tallies.Tally(ctx, []Digest{key("guesses", address)}, now.Add(-longestMemory), func(t []Tally) bool {
		if wait = guessAnywhere.wait(t[0], now); wait > 0 {
			return false
		}
		t[0] = guessAnywhere.count(t[0], now)
		return true
	})
	if err == nil && wait > 0 {
		s.signIns[limited].Inc()
		err = tooOften("Too many from your network tried to sign in.", wait)
	}
	return err
}

// rightPasskey takes back what tryPasskey counted.
func (s *Server) rightPasskey(ctx context.Context, address string, now time.Time) error {
	return s.tallies.Tally(ctx, []Digest{key("guesses", address)}, now.Add(-longestMemory), func(t []Tally) bool {
		t[0].Attempts = max(0, t[0].Attempts-1)
		return true
	})
}

// signUp counts an attempt to make an account.
func (s *Server) signUp(ctx context.Context, address string, now time.Time) error {
	var wait time.Duration
	err := s.tallies.Tally(ctx, []Digest{key("sign-up", address)}, now.Add(-longestMemory), func(t []Tally) bool {
		if wait = signUps.wait(t[0], now); wait > 0 {
			return false
		}
		t[0] = signUps.count(t[0], now)
		return true
	})
	if err == nil && wait > 0 {
		err = tooOften("Many accounts were made from your network.", wait)
	}
	return err
}

func tooOften(why string, wait time.Duration) error {
	wait = (wait + time.Second - 1).Truncate(time.Second)
	return &fault.Error{Kind: fault.Exhausted, Message: why + " Please wait, then try again.", RetryAfter: wait}
}

// key is what a tally is kept under: a hash, so that the store has no list of
// addresses and of names somebody mistyped.
func key(parts ...string) Digest { return sha256.Sum256([]byte(strings.Join(parts, "\x00"))) }

// network is the part of an address that stands for one customer of a
// provider: all of IPv4, the first 64 bits of IPv6.
func network(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	prefix, _ := addr.Prefix(64) // 64 fits every IPv6 address
	return prefix.String()
}
