package importer

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"

	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

// ShelfEntry is a book on somebody's shelves, as a file says it.
type ShelfEntry struct {
	Title   string
	Authors []string
	ISBNs   []string // of 13 digits each, right by their check digits
	// WANT, READING, FINISHED, BOUGHT or NOT_INTERESTED; UNSPECIFIED for a book
	// that is only rated.
	Shelf readersv1.InteractionKind
	Stars float32   // 0.5 to 5 in half steps, 0 when not rated
	At    time.Time // of the last change, or when it was read; zero when not known
}

// shelfNames are the shelves by their names in Octavo's own file.
var shelfNames = map[readersv1.InteractionKind]string{
	readersv1.InteractionKind_INTERACTION_KIND_WANT:           "want to read",
	readersv1.InteractionKind_INTERACTION_KIND_READING:        "reading",
	readersv1.InteractionKind_INTERACTION_KIND_FINISHED:       "finished",
	readersv1.InteractionKind_INTERACTION_KIND_BOUGHT:         "bought",
	readersv1.InteractionKind_INTERACTION_KIND_NOT_INTERESTED: "not interested",
}

// octavoColumns is the header of Octavo's own file.
var octavoColumns = []string{"Title", "Authors", "ISBN13", "Octavo Shelf", "Rating", "Changed"}

// ShelfWriter writes the CSV file of somebody's shelves. ReadShelves reads it
// again. No spreadsheet takes a cell of it for a formula.
type ShelfWriter struct{ csv *csv.Writer }

// NewShelfWriter begins a file.
func NewShelfWriter(w io.Writer) *ShelfWriter {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	_ = out.Write(octavoColumns) // Flush tells
	return &ShelfWriter{out}
}

// Write adds an entry. Flush tells of errors.
func (w *ShelfWriter) Write(e ShelfEntry) {
	row := []string{e.Title, strings.Join(e.Authors, "; "), strings.Join(e.ISBNs, "; "), shelfNames[e.Shelf], "", ""}
	if e.Stars > 0 {
		row[4] = strconv.FormatFloat(float64(e.Stars), 'f', -1, 32)
	}
	if !e.At.IsZero() {
		row[5] = e.At.UTC().Format(time.RFC3339Nano)
	}
	for i := range row {
		row[i] = Harmless(row[i])
	}
	_ = w.csv.Write(row)
}

// Flush writes what has been held back, and returns the first error of all.
func (w *ShelfWriter) Flush() error {
	w.csv.Flush()
	return w.csv.Error()
}

// formulaStarts are the first characters by which a spreadsheet takes text for
// a formula, full-width forms included (OWASP, CSV Injection).
const formulaStarts = "=+-@\t\r\n＝＋－＠"

// Harmless is text as a cell of a CSV file that no spreadsheet evaluates: what
// could begin a formula gets an apostrophe before it, and so does what begins
// with such an apostrophe already. plainCell takes it off again.
func Harmless(text string) string {
	if startsFormula(strings.TrimLeft(text, "'")) {
		return "'" + text
	}
	return text
}

// plainCell undoes Harmless.
func plainCell(cell string) string {
	if strings.HasPrefix(cell, "'") && startsFormula(strings.TrimLeft(cell, "'")) {
		return cell[1:]
	}
	return cell
}

func startsFormula(text string) bool {
	for _, first := range text {
		return strings.ContainsRune(formulaStarts, first)
	}
	return false
}
