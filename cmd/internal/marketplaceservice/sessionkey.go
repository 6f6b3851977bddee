package marketplaceservice

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/octavo-books/octavo/chassis/secret"
)

// SessionKeySize is the length in bytes of a key that signs cookies.
const SessionKeySize = 32

// SessionKey reads the key that signs visitors' cookies, and makes one when
// the file does not exist. The file is readable by its owner only. Further keys
// may follow in it, whose cookies are believed as well.
func SessionKey(path string) (secret.Bytes, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = newSessionKey(path)
	}
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("read session key: %w; let this user read the file, or name another with --session-key-file", err)
	}
	if len(key) == 0 || len(key)%SessionKeySize != 0 {
		return secret.Bytes{}, fmt.Errorf("session key %s has %d bytes instead of %d, or of several keys of %[3]d: remove the file and a new one is made, which makes strangers of all visitors without an account", path, len(key), SessionKeySize)
	}
	return secret.Of(key), nil
}

// newSessionKey links a finished file into place, so that of two programs that
// start at once both end up with the same key.
func newSessionKey(path string) ([]byte, error) {
	key := make([]byte, SessionKeySize)
	rand.Read(key)
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".")
	if err != nil {
		return nil, fmt.Errorf("write session key: %w", err)
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(key)
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return nil, fmt.Errorf("write session key: %w", err)
	}
	if err := os.Link(temporary.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("write session key: %w", err)
	}
	return os.ReadFile(path)
}
