// Package modelstore keeps published model files, in a folder or in an
// S3-compatible bucket: immutable, numbered, and one of them current. Beside
// them it keeps the parts of models that several machines make together.
//
// The file, or object, CURRENT names the models that have been current, the
// present one first. It is replaced as a whole, so that whoever reads at any
// moment, or after any crash, finds either the state before a change or the
// one after it. Reading needs no lock and no right to write.
//
// It never looks into a model file.
package modelstore

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/octavo-books/octavo/fault"
)

const (
	pointerFile  = "CURRENT"
	pointerLimit = 4 << 10 // bytes of CURRENT that are read at most
	keep         = 5       // how many trained models pruning leaves, and how many refreshed ones
	partsFolder  = "parts"
)

// ErrNone is answered by Current, Last and Rollback before the first Publish.
var ErrNone = fault.New(fault.NotFound, "no model has been published yet")

// The kinds of models, as their names end.
const (
	trained   = ".safetensors"
	refreshed = "-refreshed.safetensors"
)

// Refreshed reports whether a model of this name was refreshed rather than
// trained anew.
func Refreshed(name string) bool { return strings.HasSuffix(name, refreshed) }

func nameOf(number int, kind string) string { return fmt.Sprintf("model-%06d%s", number, kind) }

// numberOf is 0 for anything that is not the name of a model.
func numberOf(name string) int {
	var number int
	if n, err := fmt.Sscanf(name, "model-%d", &number); n != 1 || err != nil || number < 1 || nameOf(number, trained) != name && nameOf(number, refreshed) != name {
		return 0
	}
	return number
}

// nextName is the name after those of a list that is in order.
func nextName(names []string, kind string) string {
	if len(names) == 0 {
		return nameOf(1, kind)
	}
	return nameOf(numberOf(names[len(names)-1])+1, kind)
}

func sortByNumber(names []string) {
	slices.SortFunc(names, func(a, b string) int { return numberOf(a) - numberOf(b) })
}

// parsePointer reads the content of CURRENT, which is at a place that an error
// names. The answer has the name of one model at least, and none twice.
func parsePointer(content []byte, place string) ([]string, error) {
	lines := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	if numberOf(lines[0]) == 0 {
		return nil, fault.New(fault.Conflict,
			"%s holds %.40q, which is not the name of a model: write the name of a model of that folder into it, or train again", place, lines[0])
	}
	var history []string
	for _, name := range lines {
		if numberOf(name) > 0 && !slices.Contains(history, name) {
			history = append(history, name)
		}
	}
	return history, nil
}

// pointerTo is what CURRENT holds for a history.
func pointerTo(history []string) []byte {
	return []byte(strings.Join(history[:min(len(history), 2*keep)], "\n") + "\n")
}

// goBack is the history without the present model.
func goBack(history []string) ([]string, error) {
	if len(history) < 2 {
		return nil, fault.New(fault.Conflict, "there is no model before %s to go back to", history[0])
	}
	return history[1:], nil
}

// goTo is the history with another present model.
func goTo(history []string, name string) []string {
	rest := slices.DeleteFunc(slices.Clone(history), func(before string) bool { return before == name })
	return slices.Insert(rest, 0, name)
}

func unknown(name string) error {
	return fault.New(fault.NotFound, "there is no model %.80q: 'octavo models' lists those that are there", name)
}

// surplus are all but the newest models of each kind, the current one and the
// one before.
func surplus(names, history []string) []string {
	protected := history[:min(len(history), 2)]
	left := map[bool]int{true: keep, false: keep}
	var more []string
	for _, name := range slices.Backward(names) {
		left[Refreshed(name)]--
		if left[Refreshed(name)] < 0 && !slices.Contains(protected, name) {
			more = append(more, name)
		}
	}
	return more
}

// sumOf is the SHA-256 of a file, hexadecimal, and its size.
func sumOf(path string) (sum string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// syncPath makes a file, or the names in a folder, survive a loss of power.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
