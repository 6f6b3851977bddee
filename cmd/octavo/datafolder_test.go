package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/octavo-books/octavo/cmd/internal/peers"
)

func TestADataFolderIsMadeAndOpenedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "some", "where")
	for range 2 {
		folder, err := openDataFolder(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := folder.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADataFolderOfAnotherKindIsRefusedAndLeftAsItIs(t *testing.T) {
	for name, test := range map[string]struct{ version, want string }{
		"a newer format": {"2\n", "written by a newer Octavo"},
		"garbage":        {"goodness\n", "does not hold a number"},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			version := filepath.Join(path, "VERSION")
			if err := os.WriteFile(version, []byte(test.version), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := openDataFolder(path); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
			if content, err := os.ReadFile(version); err != nil || string(content) != test.version {
				t.Errorf("VERSION is now %q (%v)", content, err)
			}
		})
	}
}

func TestADataFolderIsHeldByOneProcessAtATime(t *testing.T) {
	path := t.TempDir()
	first, err := openDataFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openDataFolder(path); !errors.Is(err, errFolderInUse) {
		t.Fatalf("a second one got %v, want errFolderInUse", err)
	}
	if _, err := runningIn(path); !errors.Is(err, errFolderInUse) {
		t.Errorf("before the services are up runningIn gives %v, want errFolderInUse", err)
	}

	at := peers.Addresses{Catalog: "127.0.0.1:1", Readers: "127.0.0.1:2"}
	if err := first.publishAddresses(at); err != nil {
		t.Fatal(err)
	}
	if got, err := runningIn(path); err != nil || got != at {
		t.Errorf("runningIn gives %+v, %v; want %+v", got, err, at)
	}

	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(addressesFileIn(path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the addresses outlive the process: %v", err)
	}
	second, err := openDataFolder(path)
	if err != nil {
		t.Fatalf("after the first one ended: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}
