package importer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Bounds on what is held of a file at a time. A quote that is opened and never
// closed costs its own row, not the rest of the file.
const (
	maxLine     = 1 << 20 // bytes of a line
	maxRowLines = 500     // lines of a row whose quoted fields have line breaks
)

// rows reads a file of separated values row by row (RFC 4180: quotes around a
// field, doubled inside; line breaks of either kind, also inside quotes; a
// byte-order mark is skipped). A row that makes no sense is an error of type
// Finding, after which reading goes on with the line that follows it.
type rows struct {
	file   string
	r      *bufio.Reader
	close  func() error
	input  *file // nil when it is no file
	comma  byte
	fields int    // every row must have as many; 0: any
	shape  string // said of a row that has not; empty: the header is named

	line    int      // lines taken so far
	pending []string // lines to read again

	// The row last read.
	first  int // its first line
	text   []string
	values []string
	starts []position
}

// position of a field: a line of the row and a byte of that line, from 0.
type position struct{ line, offset int }

// openRows opens a file, compressed or not. Its first line must be UTF-8; files in UTF-16 are
// told apart by their mark.
func openRows(path string) (*rows, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	rs, err := newRows(f.name, f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	rs.input, rs.close = f, f.Close
	return rs, nil
}

func newRows(file string, r io.Reader) (*rows, error) {
	rs := &rows{file: file, r: bufio.NewReaderSize(r, 1<<16), comma: ',', close: func() error { return nil }}
	mark, err := rs.r.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	switch {
	case len(mark) == 0:
		return nil, fmt.Errorf("%s is empty", file)
	case bytes.HasPrefix(mark, []byte("\xef\xbb\xbf")):
		if _, err := rs.r.Discard(3); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
	case bytes.HasPrefix(mark, []byte("\xff\xfe")), bytes.HasPrefix(mark, []byte("\xfe\xff")):
		return nil, fmt.Errorf("%s is in UTF-16: save it as UTF-8 (in a spreadsheet: “CSV UTF-8”)", file)
	}
	return rs, nil
}

// Close closes the file.
func (rs *rows) Close() error { return rs.close() }

// progress is how far the file is read, in bytes.
func (rs *rows) progress() (done, total int) {
	if rs.input == nil {
		return 0, 0
	}
	return int(rs.input.read), int(rs.input.size)
}

// at is the place of a field of the last row; of the row itself when it has no
// such field.
func (rs *rows) at(field int) Place {
	p := Place{File: rs.file, Line: rs.first, Column: 1}
	if field >= 0 && field < len(rs.starts) {
		s := rs.starts[field]
		p.Line += s.line
		p.Column += utf8.RuneCountInString(rs.text[s.line][:s.offset])
	}
	return p
}

// Error makes a Finding an error.
func (f Finding) Error() string { return f.String() }

// errLineTooLong is given by nextLine, which has skipped the line.
var errLineTooLong = errors.New("line too long")

// nextLine is the next line without its end. At the end of the file it is
// io.EOF.
func (rs *rows) nextLine() (string, error) {
	rs.line++
	if len(rs.pending) > 0 {
		s := rs.pending[0]
		rs.pending = rs.pending[1:]
		return s, nil
	}
	b, err := rs.r.ReadSlice('\n')
	var long []byte
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(long) <= maxLine {
			long = append(long, b...)
		}
		b, err = rs.r.ReadSlice('\n')
	}
	if long != nil {
		if len(long)+len(b) > maxLine {
			if err != nil && !errors.Is(err, io.EOF) {
				return "", fmt.Errorf("read %s: %w", rs.file, err)
			}
			return "", errLineTooLong
		}
		b = append(long, b...)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read %s: %w", rs.file, err)
	}
	if len(b) == 0 {
		rs.line--
		return "", io.EOF
	}
	b = bytes.TrimSuffix(b, []byte("\n"))
	b = bytes.TrimSuffix(b, []byte("\r"))
	return string(b), nil
}

// next reads a row, skipping empty lines. The values are good until the next
// call. At the end it is io.EOF; an error of type Finding concerns one row.
func (rs *rows) next() ([]string, error) {
	for {
		rs.text, rs.values, rs.starts = rs.text[:0], rs.values[:0], rs.starts[:0]
		s, err := rs.nextLine()
		rs.first = rs.line
		if errors.Is(err, errLineTooLong) {
			return nil, Finding{rs.at(-1), fmt.Sprintf("the line is longer than %d bytes", maxLine)}
		}
		if err != nil {
			return nil, err
		}
		if s == "" {
			continue
		}
		return rs.row(s)
	}
}

// row splits the row that begins with the line s.
func (rs *rows) row(s string) ([]string, error) {
	rs.text = append(rs.text, s)
	if f := rs.encoding(0); f != nil {
		return nil, f
	}
	offset := 0
	for {
		// A quoted field may take in the lines that follow.
		line := len(rs.text) - 1
		s = rs.text[line]
		rs.starts = append(rs.starts, position{line, offset})
		rest := s[offset:]
		var value string
		if strings.HasPrefix(rest, `"`) {
			var end position
			var err error
			if value, end, err = rs.quoted(position{line, offset + 1}); err != nil {
				return nil, err
			}
			s, offset = rs.text[end.line], end.offset
			if offset < len(s) && s[offset] != rs.comma {
				rs.starts = append(rs.starts, end)
				f := Finding{rs.at(len(rs.starts) - 1), "there is text after a closing quote; a quote inside quotes is doubled"}
				return nil, rs.again(f)
			}
		} else {
			end := strings.IndexByte(rest, rs.comma)
			if end < 0 {
				end = len(rest)
			}
			value = rest[:end]
			offset += end
		}
		rs.values = append(rs.values, value)
		if offset == len(s) {
			break
		}
		offset++ // the comma
	}
	if n := len(rs.values); rs.fields > 0 && n != rs.fields {
		at := rs.at(-1)
		if n > rs.fields {
			at = rs.at(rs.fields)
		}
		reason := fmt.Sprintf("%s where the header has %d", plural(n, "field"), rs.fields)
		if rs.shape != "" {
			reason = fmt.Sprintf("%s: %s", plural(n, "field"), rs.shape)
		}
		return nil, rs.again(Finding{at, reason})
	}
	return rs.values, nil
}

// quoted reads a quoted field from behind its opening quote to behind its
// closing one.
func (rs *rows) quoted(from position) (string, position, error) {
	var b strings.Builder
	at := from
	for {
		s := rs.text[at.line]
		i := strings.IndexByte(s[at.offset:], '"')
		switch {
		case i >= 0 && strings.HasPrefix(s[at.offset+i+1:], `"`):
			b.WriteString(s[at.offset : at.offset+i+1])
			at.offset += i + 2
		case i >= 0:
			b.WriteString(s[at.offset : at.offset+i])
			at.offset += i + 1
			return b.String(), at, nil
		default:
			b.WriteString(s[at.offset:])
			b.WriteByte('\n')
			open := Finding{rs.at(len(rs.starts) - 1), "the quote that opens here is not closed"}
			if len(rs.text) == maxRowLines || b.Len() > maxLine {
				return "", at, rs.again(open)
			}
			next, err := rs.nextLine()
			switch {
			case errors.Is(err, io.EOF):
				return "", at, rs.again(open)
			case errors.Is(err, errLineTooLong):
				// The long line is skipped already; it belongs to this row.
				rs.text = append(rs.text, "")
				open.Reason += fmt.Sprintf(" before a line longer than %d bytes", maxLine)
				return "", at, rs.again(open)
			case err != nil:
				return "", at, err
			}
			rs.text = append(rs.text, next)
			at = position{line: at.line + 1}
			if rs.encoding(at.line) != nil {
				open.Reason += " before a line that is not UTF-8"
				return "", at, rs.again(open)
			}
		}
	}
}

// again puts all lines of the row but the first back, to be read as rows of
// their own, and returns the finding.
func (rs *rows) again(f error) error {
	if more := rs.text[1:]; len(more) > 0 {
		rs.pending = append(append([]string(nil), more...), rs.pending...)
		rs.line -= len(more)
	}
	return f
}

// encoding refuses a line of the row that is not text in UTF-8.
func (rs *rows) encoding(line int) error {
	s := rs.text[line]
	at := Place{File: rs.file, Line: rs.first + line, Column: 1}
	if i := strings.IndexByte(s, 0); i >= 0 && utf8.ValidString(s[:i]) {
		at.Column += utf8.RuneCountInString(s[:i])
		return Finding{at, "there is a zero byte: this is not a text file"}
	}
	if utf8.ValidString(s) {
		return nil
	}
	i := 0
	for i < len(s) {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		i += size
		at.Column++
	}
	return Finding{at, badByte(s[i])}
}

// badByte explains a byte that is not UTF-8. In practice such files were saved
// by a Western European Windows program.
func badByte(b byte) string {
	if r := windows1252(b); r != 0 {
		return fmt.Sprintf("byte 0x%x is not UTF-8; it is “%c” in Windows-1252: convert the file "+
			"(iconv -f WINDOWS-1252 -t UTF-8) and import it again", b, r)
	}
	return fmt.Sprintf("byte 0x%x is not UTF-8: convert the file and import it again", b)
}

// windows1252 is the character of a byte from 0x80 in that encoding; 0 for the
// five bytes that have none.
func windows1252(b byte) rune {
	if b >= 0xa0 {
		return rune(b)
	}
	const high = "€\x00‚ƒ„…†‡ˆ‰Š‹Œ\x00Ž\x00\x00‘’“”•–—˜™š›œ\x00žŸ"
	if b < 0x80 {
		return 0
	}
	return []rune(high)[b-0x80]
}

// isOrAre is how many there are of something, and what they do.
func isOrAre(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " is"
	}
	return plural(n, noun) + " are"
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
