package marketplaceservice

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestTheSessionKeyIsMadeOnceAndKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "session.key")
	keys := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			key, err := SessionKey(path)
			if err != nil {
				t.Error(err)
			}
			keys[i] = key.Reveal()
		})
	}
	wg.Wait()
	for _, key := range keys {
		if len(key) != SessionKeySize || !bytes.Equal(key, keys[0]) {
			t.Fatalf("programs that start at once got different keys: %x and %x", key, keys[0])
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("the key's file has mode %o, want 600: others could sign cookies", mode)
	}
	left, err := filepath.Glob(path + ".*")
	if err != nil || len(left) != 0 {
		t.Errorf("temporary files are left: %v %v", left, err)
	}
}

func TestSeveralSessionKeysMayFollowOneAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "session.key")
	want := bytes.Repeat([]byte("a key of thirty-two bytes, or so"), 2)
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := SessionKey(path); err != nil || !bytes.Equal(got.Reveal(), want) {
		t.Errorf("got %q, %v; want both keys", got.Reveal(), err)
	}
}

func TestABrokenSessionKeyStopsTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "session.key")
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := SessionKey(path); err == nil || !strings.Contains(err.Error(), "5 bytes instead of 32") {
		t.Errorf("got %v, want an error that tells the size", err)
	}
	if _, err := SessionKey(filepath.Join(path, "below-a-file")); err == nil {
		t.Error("a key that cannot be read was accepted")
	}
}
