package importer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
)

// maxSeed is the longest JSON file taken, in bytes: about a million books. It is
// read whole, to be known to be JSON before the first book is sent.
const maxSeed = 128 << 20

// SeedJSON is a JSON file of books by category, as small examples of
// recommendation services have it: an object with a list of books for each
// category, every book an object with an id and a title (authors, a list, may
// be added), or its title alone.
//
//	{"MYSTERY": [{"id": 1, "title": "The Maltese Falcon"}], "SCIENCE": ["Cosmos"]}
func SeedJSON(path string) Source { return seedJSON{path} }

type seedJSON struct{ path string }

func (seedJSON) Name() string { return "json" }

type seedBook struct {
	ID      int32    `json:"id"`
	Title   string   `json:"title"`
	Authors []string `json:"authors"`
}

// UnmarshalJSON reads an object or a title alone.
func (b *seedBook) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &b.Title)
	}
	type plain seedBook
	return json.Unmarshal(data, (*plain)(b))
}

// Inputs implements Source.
func (s seedJSON) Inputs() (Inputs, error) { return Inputs{Files: []string{s.path}}, nil }

func (s seedJSON) Send(ctx context.Context, in *Intake) error {
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	var buffer bytes.Buffer
	info, err := f.Stat()
	if err != nil {
		return err
	}
	file := baseName(s.path)
	if info.Size() <= maxSeed {
		buffer.Grow(int(info.Size()) + bytes.MinRead)
	}
	if _, err := buffer.ReadFrom(io.LimitReader(f, maxSeed+1)); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	text := buffer.Bytes()
	if len(text) > maxSeed {
		return fmt.Errorf("%s is larger than %d MiB", file, maxSeed>>20)
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(text) {
		valid := 0
		for valid < len(text) {
			r, size := utf8.DecodeRune(text[valid:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			valid += size
		}
		return Finding{placeOf(file, text, int64(valid)), badByte(text[valid])}
	}
	return decodeSeed(file, text, func(at Place, category string, b seedBook, wrong error) error {
		c, err := parseCategory(category)
		switch {
		case wrong != nil:
			in.RefuseBook(at, "%v", wrong)
			return nil
		case err != nil:
			in.RefuseBook(at, "%v", err)
			return nil
		}
		key := strconv.Itoa(int(b.ID))
		if b.ID == 0 {
			key = slug(b.Title, b.Authors)
		}
		in.Progress("books", in.report.Books.Read, in.report.Books.Read)
		return in.Book(ctx, at, &catalogv1.Book{
			Id: max(b.ID, 0), SourceId: key, Title: b.Title, Authors: b.Authors, Category: c,
		})
	})
}

// decodeSeed calls f with every book, or with what is wrong with it. Text that
// is not JSON, or JSON of another shape, is an error.
func decodeSeed(file string, text []byte, f func(at Place, category string, b seedBook, wrong error) error) error {
	var syntax *json.SyntaxError
	if json.Valid(text) {
		// Nothing is to be said.
	} else if err := json.Unmarshal(text, new(json.RawMessage)); errors.As(err, &syntax) {
		at := syntax.Offset
		if at < int64(len(text)) || !strings.Contains(err.Error(), "end of JSON") {
			at-- // it counts the byte at fault
		}
		return Finding{placeOf(file, text, at), err.Error()}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	places := placing{file: file, text: text, line: 1}
	// expect reads one token, which must be the delimiter.
	expect := func(want json.Delim) error {
		t, err := d.Token()
		if err != nil {
			return Finding{placeOf(file, text, d.InputOffset()), err.Error()}
		}
		if t != want {
			return Finding{placeOf(file, text, d.InputOffset()),
				fmt.Sprintf("%v where %v was expected: the file is to be an object with a list of books for each category", t, want)}
		}
		return nil
	}
	if err := expect('{'); err != nil {
		return err
	}
	for d.More() {
		category, err := d.Token()
		if err != nil {
			return Finding{placeOf(file, text, d.InputOffset()), err.Error()}
		}
		if err := expect('['); err != nil {
			return err
		}
		for d.More() {
			var raw json.RawMessage
			if err := d.Decode(&raw); err != nil {
				return Finding{placeOf(file, text, d.InputOffset()), err.Error()}
			}
			at := places.of(d.InputOffset() - int64(len(raw)))
			var b seedBook
			wrong := json.Unmarshal(raw, &b)
			if mistyped, ok := errors.AsType[*json.UnmarshalTypeError](wrong); ok {
				wrong = fmt.Errorf("%s is not what the %s of a book can be", mistyped.Value, orElse(mistyped.Field, "description"))
			}
			if err := f(at, category.(string), b, wrong); err != nil {
				return err
			}
		}
		if err := expect(']'); err != nil {
			return err
		}
	}
	return expect('}')
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// placing tells places one after the other, without counting all lines again.
type placing struct {
	file        string
	text        []byte
	line, start int // the line that was found last, and where it begins
}

// of is the place of a byte of the text, which must not be before the last.
func (p *placing) of(offset int64) Place {
	before := p.text[p.start:min(max(offset, int64(p.start)), int64(len(p.text)))]
	p.line += bytes.Count(before, []byte("\n"))
	last := bytes.LastIndexByte(before, '\n') + 1
	p.start += last
	return Place{File: p.file, Line: p.line, Column: utf8.RuneCount(before[last:]) + 1}
}

// placeOf is the place of a byte of a text.
func placeOf(file string, text []byte, offset int64) Place {
	p := placing{file: file, text: text, line: 1}
	return p.of(offset)
}
