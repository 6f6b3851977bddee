package library

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
)

const (
	header          = "slug\tcategory\ttitle\tauthors\tyear\ttags\tseries\tposition"
	columns         = 8
	authorSeparator = "; "
	tagSeparator    = ", "
	categoryPrefix  = "CATEGORY_"

	// The catalogue's own bounds.
	earliestYear     = -4000
	latestYear       = 3000
	greatestPosition = 10000
)

var slugPattern = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// decode reads a table: the header, then one book a line, each line ended by a
// line feed. An error names the line.
func decode(table string) ([]*catalogv1.Book, error) {
	body, found := strings.CutPrefix(table, header+"\n")
	if !found {
		return nil, fmt.Errorf("line 1: want the header %q", header)
	}
	var books []*catalogv1.Book
	slugs := make(map[string]bool)
	for row := range strings.Lines(body) {
		line := len(books) + 2
		row, ended := strings.CutSuffix(row, "\n")
		if !ended {
			return nil, fmt.Errorf("line %d: the last line is cut off", line)
		}
		book, err := decodeRow(row)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		if slugs[book.SourceId] {
			return nil, fmt.Errorf("line %d: slug %q is there already", line, book.SourceId)
		}
		slugs[book.SourceId] = true
		book.Id = int32(len(books) + 1)
		books = append(books, book)
	}
	return books, nil
}

// decodeRow reads one line without its line feed. There is one way only to
// write a book, so that a row that was read and written again is the same row.
func decodeRow(row string) (*catalogv1.Book, error) {
	if !utf8.ValidString(row) {
		return nil, fmt.Errorf("not UTF-8")
	}
	fields := strings.Split(row, "\t")
	if len(fields) != columns {
		return nil, fmt.Errorf("%d columns, want %d", len(fields), columns)
	}
	for i, field := range fields {
		if field != strings.TrimSpace(field) || strings.ContainsFunc(field, unicode.IsControl) {
			return nil, fmt.Errorf("column %d: stray space or control character in %q", i+1, field)
		}
	}

	slug, name, title, authors, year, tags, series, position :=
		fields[0], fields[1], fields[2], fields[3], fields[4], fields[5], fields[6], fields[7]
	book := &catalogv1.Book{Title: title, Series: series, Source: Source, SourceId: slug}
	if !slugPattern.MatchString(slug) {
		return nil, fmt.Errorf("slug %q is not lower-case words joined by hyphens", slug)
	}
	number, known := catalogv1.Category_value[categoryPrefix+name]
	if !known || number == 0 {
		return nil, fmt.Errorf("no category %q", name)
	}
	book.Category = catalogv1.Category(number)
	if title == "" {
		return nil, fmt.Errorf("no title")
	}
	var err error
	if book.Authors, err = decodeList(authors, authorSeparator); err != nil {
		return nil, fmt.Errorf("authors: %w", err)
	}
	if book.Year, err = decodeYear(year); err != nil {
		return nil, err
	}
	if book.Tags, err = decodeList(tags, tagSeparator); err != nil {
		return nil, fmt.Errorf("tags: %w", err)
	}
	if tags != strings.ToLower(tags) {
		return nil, fmt.Errorf("tags %q are not lower-case", tags)
	}
	if book.SeriesPosition, err = decodePosition(position); err != nil {
		return nil, err
	}
	if series == "" && position != "" {
		return nil, fmt.Errorf("position %s in no series", position)
	}
	return book, nil
}

func decodeList(field, separator string) ([]string, error) {
	items := strings.Split(field, separator)
	seen := make(map[string]bool, len(items))
	for _, item := range items {
		if item == "" || item != strings.TrimSpace(item) {
			return nil, fmt.Errorf("an empty item or stray space in %q", field)
		}
		if seen[item] {
			return nil, fmt.Errorf("%q twice", item)
		}
		seen[item] = true
	}
	return items, nil
}

// decodeYear reads a year of first publication. Every book has one, and no
// book is of the year 0, which there was not.
func decodeYear(field string) (int32, error) {
	year, err := strconv.Atoi(field)
	if err != nil || strconv.Itoa(year) != field {
		return 0, fmt.Errorf("year %q is not a whole number", field)
	}
	if year < earliestYear || year > latestYear || year == 0 {
		return 0, fmt.Errorf("year %d cannot be", year)
	}
	return int32(year), nil
}

// decodePosition reads a place in a series; empty is 0, not known.
func decodePosition(field string) (float32, error) {
	if field == "" {
		return 0, nil
	}
	position, err := strconv.ParseFloat(field, 32)
	if err != nil || formatPosition(float32(position)) != field {
		return 0, fmt.Errorf("position %q is not a plain decimal number", field)
	}
	if !(position > 0 && position <= greatestPosition) {
		return 0, fmt.Errorf("position %s is not above 0 and up to %d", field, greatestPosition)
	}
	return float32(position), nil
}

func formatPosition(position float32) string {
	if position == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(position), 'f', -1, 32)
}
