package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/octavo-books/octavo/cmd/internal/peers"
)

// folderFormat is the layout of the data folder that this program writes. A
// folder with a higher number belongs to a newer Octavo.
const folderFormat = 1

// dataFolder is the folder in which octavo keeps everything, held by one
// process at a time.
type dataFolder struct {
	path string
	lock *os.File
}

// errFolderInUse is answered by openDataFolder when another process holds the
// folder.
var errFolderInUse = errors.New("the data folder is in use by another octavo")

// needDataFolder refuses a folder that is not there, for commands that would
// find nothing in one just made.
func needDataFolder(path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no data folder %s: name with --data-dir the one that 'octavo serve' or 'octavo import' has filled", path)
	}
	return nil
}

// openDataFolder makes the folder when it is missing, checks its format, and
// takes the lock that ends with the process.
func openDataFolder(path string) (*dataFolder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s; stop it, or choose another folder with --data-dir", errFolderInUse, path)
		}
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	folder := &dataFolder{path: path, lock: lock}
	if err := folder.checkFormat(); err != nil {
		folder.Close()
		return nil, err
	}
	return folder, nil
}

func (f *dataFolder) checkFormat() error {
	path := f.versionFile()
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return os.WriteFile(path, fmt.Appendln(nil, folderFormat), 0o600)
	}
	if err != nil {
		return fmt.Errorf("read the format of the data folder: %w", err)
	}
	format, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return fmt.Errorf("%s does not hold a number: is %s a data folder of Octavo?", path, f.path)
	}
	if format > folderFormat {
		return fmt.Errorf("the data folder %s has format %d, written by a newer Octavo; this one knows up to %d: use the newer program, or another folder with --data-dir", f.path, format, folderFormat)
	}
	return nil
}

func (f *dataFolder) versionFile() string { return filepath.Join(f.path, "VERSION") }
func (f *dataFolder) catalogDB() string   { return filepath.Join(f.path, "catalog.db") }
func (f *dataFolder) readersDB() string   { return filepath.Join(f.path, "readers.db") }
func (f *dataFolder) sessionKey() string  { return filepath.Join(f.path, "session.key") }

// demoMark is a file that is there while the demo library is being imported.
func (f *dataFolder) demoMark() string { return filepath.Join(f.path, "importing-demo") }

func addressesFileIn(dataDir string) string { return filepath.Join(dataDir, "addresses.json") }

// publishAddresses tells the operator's commands where the services of this
// folder are. The file is removed with Close.
func (f *dataFolder) publishAddresses(at peers.Addresses) error {
	return writeAddresses(addressesFileIn(f.path), at)
}

// Close gives the folder free.
func (f *dataFolder) Close() error {
	if err := os.Remove(addressesFileIn(f.path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.lock.Close()
}

// runningIn reads where the services of a folder that is in use are.
func runningIn(dataDir string) (peers.Addresses, error) {
	var at peers.Addresses
	content, err := os.ReadFile(addressesFileIn(dataDir))
	if err != nil {
		return at, fmt.Errorf("%w: %s; wait until it has started or stopped", errFolderInUse, dataDir)
	}
	if err := json.Unmarshal(content, &at); err != nil {
		return at, fmt.Errorf("read %s: %w", addressesFileIn(dataDir), err)
	}
	return at, nil
}

// writeAddresses replaces the file as a whole, so that nobody reads half of it.
func writeAddresses(path string, at peers.Addresses) error {
	content, err := json.Marshal(at)
	if err != nil {
		return err
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("write addresses: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("write addresses: %w", err)
	}
	return nil
}
