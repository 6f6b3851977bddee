package password

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/octavo-books/octavo/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cheap keeps tests quick that are not about the costs.
var cheap = Params{Memory: 64, Passes: 1, Lanes: 1}

func TestASVS_11_4_2_PasswordsAreKeptAsArgon2id(t *testing.T) {
	h := New(Config{})
	hash, err := h.Hash(t.Context(), "a password of mine")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %s", hash)
	}
	again, err := h.Hash(t.Context(), "a password of mine")
	if err != nil || again == hash {
		t.Errorf("the same password twice: %s, %v; the salt must differ", again, err)
	}
	for given, want := range map[string]bool{"a password of mine": true, "a password of mine ": false, "A password of mine": false, "": false} {
		fits, outdated, err := h.Verify(t.Context(), hash, given)
		if fits != want || outdated || err != nil {
			t.Errorf("%q: fits %v, outdated %v, %v", given, fits, outdated, err)
		}
	}
	if fits, _, err := h.Verify(t.Context(), h.Decoy(), "a password of mine"); fits || err != nil {
		t.Errorf("the decoy: fits %v, %v", fits, err)
	}
	if len(h.Decoy()) != len(hash) || h.Decoy()[:31] != hash[:31] {
		t.Errorf("the decoy %s costs something else than %s", h.Decoy(), hash)
	}
}

// The vector is that of the reference implementation's test of version 0x13
// ("password", "somesalt", t=2, m=65536, p=1).
func TestOtherImplementationsHashesAreUnderstood(t *testing.T) {
	const hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	fits, outdated, err := New(Config{}).Verify(t.Context(), hash, "password")
	if !fits || !outdated || err != nil {
		t.Errorf("fits %v, outdated %v, %v", fits, outdated, err)
	}
}

func TestABrokenHashFitsNothing(t *testing.T) {
	good := New(Config{Params: cheap}).Decoy()
	for _, hash := range []string{
		"", "$", "plain", strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=64", "m=4294967295", 1), strings.Replace(good, "m=64", "m=064", 1), strings.Replace(good, "t=1", "t=0", 1),
		strings.Replace(good, "p=1", "p=0", 1), strings.Replace(good, "p=1", "p=1,x", 1), good[:60], good + "$", good + "=",
	} {
		if fits, _, err := New(Config{Params: cheap}).Verify(t.Context(), hash, ""); fits || err == nil {
			t.Errorf("%q: fits %v, %v", hash, fits, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(New(Config{}).Decoy())
	f.Add("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parse(text)
		if err == nil && (p.String() != text || p.params.Memory > highest.Memory) {
			t.Errorf("%q was read as %v", text, p)
		}
	})
}

// However many want to sign in, no more than so many hashes take memory at
// once, and those beyond the queue are told to come again.
func TestFault18_HashesAreBoundedInParallel(t *testing.T) {
	const atOnce, waiting, callers = 2, 6, 60
	h := New(Config{AtOnce: atOnce, Waiting: waiting, Wait: time.Minute})
	if h.Memory() != atOnce*19<<20 {
		t.Errorf("%d hashes may take %d bytes", atOnce, h.Memory())
	}
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	done := make(chan struct{})
	var watch sync.WaitGroup
	most, heap := 0, uint64(0)
	watch.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				most, heap = max(most, h.AtWork()), max(heap, now.HeapAlloc)
			}
		}
	})
	var calls sync.WaitGroup
	var mu sync.Mutex
	results := map[fault.Kind]int{}
	fine := 0
	for range callers {
		calls.Go(func() {
			_, err := h.Hash(context.Background(), "a password of mine")
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				fine++
				return
			}
			results[fault.KindOf(err)]++
		})
	}
	calls.Wait()
	close(done)
	watch.Wait()
	if most > atOnce || most == 0 {
		t.Errorf("%d at once, want at most %d", most, atOnce)
	}
	if fine < atOnce+waiting || fine+results[fault.Exhausted] != callers || results[fault.Exhausted] == 0 {
		t.Errorf("%d were served, others failed with %v", fine, results)
	}
	// Freed blocks wait for the collector, so that up to as much again is held.
	if grown, bound := heap-min(heap, before.HeapAlloc), uint64(3*h.Memory()); grown > bound {
		t.Errorf("the heap grew by %d MiB, want at most %d", grown>>20, bound>>20)
	}
}

func TestWaitingForATurnEnds(t *testing.T) {
	h := New(Config{Params: cheap, AtOnce: 1, Waiting: 1, Wait: time.Millisecond})
	end, err := h.turn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Hash(t.Context(), "x")
	if fault.KindOf(err) != fault.Exhausted {
		t.Errorf("after the wait: %v", err)
	}
	patient := New(Config{Params: cheap, AtOnce: 1, Wait: time.Hour})
	endPatient, err := patient.turn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := patient.Hash(ctx, "x"); fault.KindOf(err) != fault.Canceled {
		t.Errorf("when the caller goes: %v", err)
	}
	end()
	endPatient()
	for _, h := range []*Hasher{h, patient} {
		if _, err := h.Hash(t.Context(), "x"); err != nil {
			t.Errorf("with a turn free again: %v", err)
		}
		if len(h.places) != 0 || h.AtWork() != 0 {
			t.Errorf("%d places and %d turns are kept", len(h.places), h.AtWork())
		}
	}
}

func TestASVS_6_2_1_PasswordLengths(t *testing.T) {
	for _, c := range []struct {
		name, password string
		fine           bool
	}{
		{"seven characters", "gxwqzup", false},
		{"eight", "gxwqzupk", true},
		{"eight that are sixteen bytes", "жшюэцйщъ", true},
		{"128", strings.Repeat("xkqw jvy", 16)[:128], true},
		{"129", strings.Repeat("xkqw jvy", 17)[:129], false},
		{"nothing", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Check("password", c.password, "ada")
			// Long ones here repeat themselves, with a period of eight.
			if (err == nil) != c.fine || err != nil && fault.KindOf(err) != fault.Invalid {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestASVS_6_2_4_CommonPasswordsAreRefused(t *testing.T) {
	for _, password := range []string{
		"password", "Password1", "P@ssw0rd!", "password123", "12345678", "123456789", "1234567890", "87654321", "abcdefgh", "qwertyuiop",
		"iloveyou", "ILoveYou2", "sunshine", "Sunshine2024!", "football1", "princess", "11111111", "abababab", "abcabcabc", "letmein123",
		"trustno1", "1q2w3e4r", "qazwsxedc", "1qaz2wsx", "monkey12", "dragon99", "welcome1", "admin123", "passw0rd", "starwars", "michelle",
		"superman", "computer", "correcthorsebatterystaple", "12341234", "adminadmin", "ladybird1815", "--------",
	} {
		if err := Check("password", password, "ladybird1815"); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s is accepted: %v", password, err)
		}
	}
	// No kinds of characters are asked for (6.2.5), and a word may be part of
	// something longer.
	for _, password := range []string{
		"xkqwjvyz", "gelber stuhl am see", "84920173650", "sunshine on a wet road", "tramlines-of-melbourne", "вечерний трамвай", "dragonfly wings at dusk",
	} {
		if err := Check("password", password, "ada"); err != nil {
			t.Errorf("%s is refused: %v", password, err)
		}
	}
}

func TestASVS_6_2_8_PasswordsAreComparedAsGiven(t *testing.T) {
	for given, want := range map[string]string{
		"  two spaces ":                  "  two spaces ",
		"CaSe":                           "CaSe",
		"no\u00a0break":                  "no break",
		"e\u0301te\u0301 a la plage":     "été a la plage", // one spelling, whatever the keyboard
		strings.Repeat("long ", 60):      strings.Repeat("long ", 60),
		"\U0001F4DA\U0001F4DA are books": "\U0001F4DA\U0001F4DA are books",
	} {
		if got, ok := Prepare(given); got != want || !ok {
			t.Errorf("%q became %q, %v", given, got, ok)
		}
	}
	for _, given := range []string{"bell\a", "\xff\xfe", "null\x00byte", ""} {
		if got, ok := Prepare(given); ok {
			t.Errorf("%q became %q", given, got)
		}
	}
}
