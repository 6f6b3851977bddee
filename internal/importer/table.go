package importer

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// table is a file of rows under a header.
type table struct {
	*rows
	header  []string       // as written
	columns map[string]int // by folded name
}

// openTable opens a file and reads its header. The separator is the one of
// comma, semicolon and tab that the header has most of.
func openTable(path string) (*table, error) {
	rs, err := openRows(path)
	if err != nil {
		return nil, err
	}
	t, err := newTable(rs)
	if err != nil {
		rs.Close()
		return nil, err
	}
	return t, nil
}

func newTable(rs *rows) (*table, error) {
	first, err := rs.nextLine()
	switch {
	case errors.Is(err, errLineTooLong):
		return nil, fmt.Errorf("%s: the header is longer than %d bytes: this is not a CSV file", rs.file, maxLine)
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s is empty", rs.file)
	case err != nil:
		return nil, err
	}
	rs.pending, rs.line = append(rs.pending, first), rs.line-1
	rs.comma = separator(first)
	header, err := rs.next()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s has no header", rs.file)
	}
	if err != nil {
		return nil, err
	}
	t := &table{rows: rs, header: slices.Clone(header), columns: map[string]int{}}
	for i, name := range header {
		if _, again := t.columns[fold(name)]; !again {
			t.columns[fold(name)] = i
		}
	}
	rs.fields = len(header)
	return t, nil
}

// separator is the one of comma, semicolon and tab that there is most of
// outside quotes.
func separator(header string) byte {
	counts := map[byte]int{}
	quoted := false
	for i := range len(header) {
		switch c := header[i]; c {
		case '"':
			quoted = !quoted
		case ',', ';', '\t':
			if !quoted {
				counts[c]++
			}
		}
	}
	best := byte(',')
	for _, c := range []byte{';', '\t'} {
		if counts[c] > counts[best] {
			best = c
		}
	}
	return best
}

// fold makes names that differ only in case, spaces and signs equal.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

// column is the first of the names that the header has; -1 for none.
func (t *table) column(names ...string) int {
	for _, n := range names {
		if i, ok := t.columns[fold(n)]; ok {
			return i
		}
	}
	return -1
}

// require is column, with an error when there is none.
func (t *table) require(names ...string) (int, error) {
	if i := t.column(names...); i >= 0 {
		return i, nil
	}
	return -1, fmt.Errorf("%s has no column %s; it has %s", t.file, strings.Join(names, " or "), strings.Join(t.header, ", "))
}

// nearest is the one of the names that s was probably meant to be, empty when
// none is near.
func nearest(s string, names []string) string {
	best, distance := "", 3
	for _, n := range names {
		if d := editDistance(fold(s), fold(n)); d < distance && d*2 < len(n) {
			best, distance = n, d
		}
	}
	return best
}

func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(y)]
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
