package importer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/octavo-books/octavo/fault"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

// What is taken of a file of shelves. A file with more is refused whole.
const (
	MaxShelfBytes = 32 << 20
	MaxShelfRows  = 50_000
)

// ShelfFile is what a file of somebody's shelves says.
type ShelfFile struct {
	Format  string // "Goodreads", "StoryGraph", "LibraryThing" or "Octavo"
	Entries []ShelfRow
	Refused []Finding // rows that say nothing that can be taken
	// Warnings are the rows of which something could not be read.
	Warnings []Finding
}

// ShelfRow is an entry and the line it is from.
type ShelfRow struct {
	ShelfEntry
	Listed string // the title with what else stands there, such as the series in brackets
	Line   int
}

// shelfFormat is how one site writes its exports. A file is of the format whose
// marks are all in its header.
type shelfFormat struct {
	name    string
	marks   []string
	title   string
	authors string // the column, and what separates the names in it
	between string
	isbns   []string
	rating  string
	dates   []string // the first that has one counts
	shelf   func(cell func(string) string) (readersv1.InteractionKind, bool)
}

var shelfFormats = []shelfFormat{
	{
		name: "Goodreads", marks: []string{"Title", "Author", "My Rating", "Exclusive Shelf"},
		title: "Title", authors: "Author", isbns: []string{"ISBN13", "ISBN"}, rating: "My Rating",
		dates: []string{"Date Read", "Date Added"}, shelf: namedShelf("Exclusive Shelf"),
	},
	{
		name: "StoryGraph", marks: []string{"Title", "Authors", "Read Status", "Star Rating"},
		title: "Title", authors: "Authors", between: ",", isbns: []string{"ISBN/UID"}, rating: "Star Rating",
		dates: []string{"Last Date Read", "Date Added"}, shelf: namedShelf("Read Status"),
	},
	{
		name: "LibraryThing", marks: []string{"Title", "Primary Author", "Collections", "Rating"},
		title: "Title", authors: "Primary Author", isbns: []string{"ISBNs", "ISBN"}, rating: "Rating",
		dates: []string{"Date Read", "Date Started", "Entry Date", "Acquired"}, shelf: collections,
	},
	{
		name: "Octavo", marks: octavoColumns,
		title: "Title", authors: "Authors", between: ";", isbns: []string{"ISBN13"}, rating: "Rating",
		dates: []string{"Changed"}, shelf: namedShelf("Octavo Shelf"),
	},
}

// sitesShelves are the shelves by the names that sites give them, folded.
var sitesShelves = map[string]readersv1.InteractionKind{
	"toread":           readersv1.InteractionKind_INTERACTION_KIND_WANT,
	"wanttoread":       readersv1.InteractionKind_INTERACTION_KIND_WANT,
	"wishlist":         readersv1.InteractionKind_INTERACTION_KIND_WANT,
	"currentlyreading": readersv1.InteractionKind_INTERACTION_KIND_READING,
	"reading":          readersv1.InteractionKind_INTERACTION_KIND_READING,
	"paused":           readersv1.InteractionKind_INTERACTION_KIND_READING,
	"read":             readersv1.InteractionKind_INTERACTION_KIND_FINISHED,
	"finished":         readersv1.InteractionKind_INTERACTION_KIND_FINISHED,
	"readbutunowned":   readersv1.InteractionKind_INTERACTION_KIND_FINISHED,
	"bought":           readersv1.InteractionKind_INTERACTION_KIND_BOUGHT,
	"notinterested":    readersv1.InteractionKind_INTERACTION_KIND_NOT_INTERESTED,
}

// namedShelf reads a column that names one shelf. It says false for a name that
// no shelf of Octavo's answers to, such as "did-not-finish".
func namedShelf(column string) func(func(string) string) (readersv1.InteractionKind, bool) {
	return func(cell func(string) string) (readersv1.InteractionKind, bool) {
		name := fold(cell(column))
		kind, known := sitesShelves[name]
		return kind, known || name == ""
	}
}

// collections reads LibraryThing's, of which a book can be in several: what says
// most about reading counts. A book that is only in "Your library" is one that
// somebody has.
func collections(cell func(string) string) (readersv1.InteractionKind, bool) {
	if strings.TrimSpace(cell("Date Read")) != "" {
		return readersv1.InteractionKind_INTERACTION_KIND_FINISHED, true
	}
	best, owned := readersv1.InteractionKind_INTERACTION_KIND_UNSPECIFIED, false
	for name := range strings.SplitSeq(cell("Collections"), ",") {
		best = max(best, sitesShelves[fold(name)])
		owned = owned || fold(name) == "yourlibrary"
	}
	if best == 0 && owned {
		best = readersv1.InteractionKind_INTERACTION_KIND_BOUGHT
	}
	return best, true
}

// ReadShelves reads the export of Goodreads, StoryGraph or LibraryThing, or
// Octavo's own, which it tells by the header; in UTF-8, in UTF-16 with a mark,
// or, of LibraryThing, in ISO 8859-1. A file that is none of these, or too large,
// is an Invalid or TooLarge fault; rows that make no sense are reported.
func ReadShelves(name string, r io.Reader) (*ShelfFile, error) {
	content, err := io.ReadAll(io.LimitReader(r, MaxShelfBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(content) > MaxShelfBytes {
		return nil, fault.New(fault.TooLarge, "The file has more than %d MB. Split it into several; each can be imported by itself.", MaxShelfBytes>>20)
	}
	if content, err = inUTF8(content); err != nil {
		return nil, err
	}
	rs, err := newRows(name, bytes.NewReader(content))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The file is empty.")
	}
	t, err := newTable(rs)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The file has no header that can be read: it is not an export of Goodreads, StoryGraph, LibraryThing or Octavo.")
	}
	for i := range shelfFormats {
		if f := &shelfFormats[i]; f.fits(t) {
			return f.read(t)
		}
	}
	return nil, fault.New(fault.Invalid, "The columns of the file are not those of an export of Goodreads, StoryGraph, LibraryThing or Octavo. Send the file as the site gave it.")
}

// inUTF8 decodes a file. ISO 8859-1 is assumed for a table with tabs that is not
// UTF-8: only LibraryThing writes such.
func inUTF8(content []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(content, []byte("\xff\xfe")), bytes.HasPrefix(content, []byte("\xfe\xff")):
		decoded, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder().Bytes(content)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "The file begins like UTF-16 and is not.")
		}
		return decoded, nil
	case !utf8.Valid(content):
		header, _, _ := bytes.Cut(content, []byte("\n"))
		if separator(string(header)) != '\t' {
			return content, nil // each row that is not UTF-8 is reported
		}
		return charmap.ISO8859_1.NewDecoder().Bytes(content)
	default:
		return content, nil
	}
}

func (f *shelfFormat) fits(t *table) bool {
	for _, mark := range f.marks {
		if t.column(mark) < 0 {
			return false
		}
	}
	return true
}

func (f *shelfFormat) read(t *table) (*ShelfFile, error) {
	file := &ShelfFile{Format: f.name}
	t.fields = 0 // rows that end early are usual
	for {
		row, err := t.next()
		var bad Finding
		switch {
		case errors.Is(err, io.EOF):
			return file, nil
		case errors.As(err, &bad):
			file.Refused = append(file.Refused, bad)
		case err != nil:
			return nil, err
		default:
			entry, warning, reason := f.entry(t, row)
			switch {
			case reason != "":
				file.Refused = append(file.Refused, Finding{t.at(-1), reason})
			case warning != "":
				file.Warnings = append(file.Warnings, Finding{t.at(-1), warning})
				fallthrough
			default:
				file.Entries = append(file.Entries, entry)
			}
		}
		if len(file.Entries)+len(file.Refused) > MaxShelfRows {
			return nil, fault.New(fault.TooLarge, "The file has more than %d rows. Split it into several; each can be imported by itself.", MaxShelfRows)
		}
	}
}

// entry reads one row. A reason says why it gives nothing, a warning what it is
// taken without.
func (f *shelfFormat) entry(t *table, row []string) (e ShelfRow, warning, reason string) {
	cell := func(column string) string {
		if i := t.column(column); i >= 0 && i < len(row) {
			return plainCell(strings.TrimSpace(row[i]))
		}
		return ""
	}
	for _, mark := range f.marks {
		if t.column(mark) >= len(row) {
			return e, "", fmt.Sprintf("%s where the header has %d: the row is cut off here", plural(len(row), "field"), len(t.header))
		}
	}
	e.Line, e.Listed = t.first, cell(f.title)
	e.Title, _, _ = splitTitle(e.Listed)
	e.Authors = splitList(cell(f.authors), f.between)
	if e.Title == "" {
		return e, "", "the row has no title"
	}
	for _, column := range f.isbns {
		for _, text := range strings.FieldsFunc(cell(column), func(r rune) bool { return strings.ContainsRune(",;[]", r) }) {
			if isbn, err := parseISBN(text); err == nil && isbn != "" && !slices.Contains(e.ISBNs, isbn) {
				e.ISBNs = append(e.ISBNs, isbn)
			}
		}
	}
	var err error
	if e.Stars, err = roundedStars(cell(f.rating)); err != nil {
		return e, "", err.Error()
	}
	for _, column := range f.dates {
		at, err := parseTime(strings.TrimSpace(cell(column)))
		if err == nil && !at.IsZero() {
			e.At = at
			break
		}
		if err != nil && warning == "" {
			warning = fmt.Sprintf("the date %q under %s is none", first(cell(column), 50), column)
		}
	}
	var known bool
	if e.Shelf, known = f.shelf(cell); !known && e.Stars == 0 {
		return e, "", "it is on a shelf that Octavo does not have, and not rated"
	}
	if e.Shelf == 0 && e.Stars == 0 {
		return e, "", "it is on no shelf and not rated"
	}
	return e, warning, ""
}

// roundedStars reads a rating of 0 to 5 and rounds it to half stars, half a star
// at least. Nothing and 0 are no rating.
func roundedStars(text string) (float32, error) {
	if text == "" {
		return 0, nil
	}
	stars, err := strconv.ParseFloat(strings.Replace(text, ",", ".", 1), 64)
	if err != nil || !(stars >= 0 && stars <= 5) {
		return 0, fmt.Errorf("the rating %q is not one of 0 to 5", text)
	}
	if stars == 0 {
		return 0, nil
	}
	return float32(max(math.Round(stars*2)/2, 0.5)), nil
}
