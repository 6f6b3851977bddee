// Package eventfile reads files of what readers did, for evaluations of the
// recommender: they come from anywhere, and are never sent to a service.
package eventfile

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/octavo-books/octavo/internal/importer"
	"github.com/octavo-books/octavo/internal/recommender"
)

// Read reads a file: on each line a reader, a book,
// and if known a rating and a time in Unix seconds, separated by tabs, commas,
// semicolons or single spaces, whichever the first line has. Readers and books
// are whole numbers from 0. A header is allowed; when there is one its names
// say which column is which. A line without a rating is a finished book.
//
// An error names file, line and column. A file without events is an error.
func Read(path string) ([]recommender.Event, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decodeEvents(path, text, mayLackTime)
}

// ReadTimed is Read for a file that must have a time on each line.
func ReadTimed(path string) ([]recommender.Event, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decodeEvents(path, text, mustHaveTime)
}

// timing says whether an event without a time is an error.
type timing bool

const (
	mayLackTime  timing = false
	mustHaveTime timing = true
)

// noTime is said of a line without a time where there must be one.
const noTime = "there is no time; to split by time, each line must have one, in seconds since 1970, as the fourth field or in a column that the header calls time"

// eventColumns are the names a header can have, whatever their case and signs.
var eventColumns = map[string]int{
	"reader": 0, "readerid": 0, "user": 0, "userid": 0,
	"book": 1, "bookid": 1, "item": 1, "itemid": 1,
	"rating": 2, "value": 2, "stars": 2,
	"time": 3, "timestamp": 3, "unixtime": 3,
}

var eventNames = [4]string{"reader", "book", "rating", "time"}

func decodeEvents(file string, text []byte, t timing) ([]recommender.Event, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	line, rest := cutLine(text)
	comma := byte('\t')
	for _, c := range []byte("\t,; ") {
		if bytes.IndexByte(line, c) >= 0 {
			comma = c
			break
		}
	}
	order := []int{0, 1, 2, 3}
	number := 1
	if len(line) > 0 && (line[0] < '0' || line[0] > '9') && line[0] != '-' {
		var err error
		if order, err = eventHeader(file, line, comma); err != nil {
			return nil, err
		}
		if t == mustHaveTime && !slices.Contains(order, 3) {
			return nil, importer.Finding{Place: importer.Place{File: file, Line: 1, Column: utf8.RuneCount(line) + 1}, Reason: noTime}
		}
		text, number = rest, 2
	}

	events := make([]recommender.Event, 0, bytes.Count(text, []byte("\n"))+1)
	for ; len(text) > 0; number++ {
		line, text = cutLine(text)
		if len(line) == 0 {
			continue
		}
		e, column, err := decodeEvent(line, comma, order)
		if err != nil {
			return nil, importer.Finding{Place: importer.Place{File: file, Line: number, Column: utf8.RuneCount(line[:column]) + 1}, Reason: err.Error()}
		}
		if t == mustHaveTime && e.Time == 0 {
			return nil, importer.Finding{Place: importer.Place{File: file, Line: number, Column: utf8.RuneCount(line) + 1}, Reason: noTime}
		}
		events = append(events, e)
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("%s is empty", file)
	}
	return events, nil
}

// cutLine takes the first line off, without its end.
func cutLine(text []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(text, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), rest
}

// eventHeader is the order of the columns that a header names.
func eventHeader(file string, line []byte, comma byte) ([]int, error) {
	var order []int
	column := 1
	for name := range bytes.SplitSeq(line, []byte{comma}) {
		c, ok := eventColumns[plain(name)]
		if !ok || slices.Contains(order, c) {
			return nil, importer.Finding{Place: importer.Place{File: file, Line: 1, Column: column}, Reason: fmt.Sprintf("%q is neither a number nor the name of a column (reader, book, rating, time)", name)}
		}
		order = append(order, c)
		column += utf8.RuneCount(name) + 1
	}
	if !slices.Contains(order, 0) || !slices.Contains(order, 1) {
		return nil, importer.Finding{Place: importer.Place{File: file, Line: 1, Column: 1}, Reason: "the header names no reader or no book"}
	}
	return order, nil
}

// plain is a name in lower case, without spaces and signs.
func plain(name []byte) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, string(name))
}

// decodeEvent reads a line. An error comes with the byte of the line, from 0,
// at which it is.
func decodeEvent(line []byte, comma byte, order []int) (e recommender.Event, column int, err error) {
	e.Kind = recommender.Finished
	fields := 0
	for start := 0; start <= len(line); fields++ {
		end := bytes.IndexByte(line[start:], comma)
		if end < 0 {
			end = len(line)
		} else {
			end += start
		}
		if fields == len(order) {
			return e, start, fmt.Errorf("more than %d fields", len(order))
		}
		field := line[start:end]
		switch order[fields] {
		case 0:
			e.Reader, err = parseID(field)
		case 1:
			e.Book, err = parseID(field)
		case 2:
			if len(field) > 0 {
				e.Kind = recommender.Rating
				e.Value, err = parseValue(field)
			}
		case 3:
			if len(field) > 0 {
				e.Time, err = strconv.ParseInt(string(field), 10, 64)
			}
		}
		if err != nil {
			return e, start, eventError(field, order[fields])
		}
		start = end + 1
	}
	if missing := slices.IndexFunc([]int{0, 1}, func(c int) bool { return !slices.Contains(order[:fields], c) }); missing >= 0 {
		return e, len(line), fmt.Errorf("there is no %s", eventNames[missing])
	}
	return e, 0, nil
}

func eventError(field []byte, column int) error {
	shape := [...]string{
		"a whole number from 0 to 2147483647", "a whole number from 0 to 2147483647",
		"a number from 0.5 to 5", "a time in whole seconds since 1970",
	}[column]
	if len(field) > 40 {
		field = field[:40]
	}
	return fmt.Errorf("the %s %q is not %s", eventNames[column], field, shape)
}

var errNumber = errors.New("not a number in range")

func parseID(field []byte) (int32, error) {
	if len(field) == 0 || len(field) > 10 {
		return 0, errNumber
	}
	var n int64
	for _, c := range field {
		if c < '0' || c > '9' {
			return 0, errNumber
		}
		n = n*10 + int64(c-'0')
	}
	if n > math.MaxInt32 {
		return 0, errNumber
	}
	return int32(n), nil
}

func parseValue(field []byte) (float32, error) {
	if len(field) == 1 && field[0] >= '1' && field[0] <= '5' { // nearly all of them
		return float32(field[0] - '0'), nil
	}
	v, err := strconv.ParseFloat(string(field), 32)
	if err != nil || !(v >= 0.5 && v <= 5) {
		return 0, errNumber
	}
	return float32(v), nil
}
