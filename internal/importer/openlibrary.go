package importer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
)

// OpenLibrary is any number of files of Open Library's dumps, plain or
// compressed: of works, authors and editions, one file each or all in one. A
// line has five fields separated by tabs, the last of which is a record in
// JSON. Every work is a book. The names of its authors, all ISBNs, the language
// and an earlier year come from the other two kinds, if they are there.
//
// The files are read twice: first what is known of authors and editions, which
// is kept in memory, some hundred bytes each; then the works.
func OpenLibrary(paths ...string) Source { return openLibrary{paths} }

type openLibrary struct{ paths []string }

func (openLibrary) Name() string { return "openlibrary" }

// edition is what a work learns from its editions.
type edition struct {
	isbns    []string // of thirteen digits each
	language string
	year     int32
}

// dumpRecord has the fields of all three kinds that are used. Records of the
// dumps are not of one mind about the form of a field: what may have several
// is decoded later.
type dumpRecord struct {
	Title    string            `json:"title"`
	Name     string            `json:"name"`
	Authors  []json.RawMessage `json:"authors"`
	Subjects []string          `json:"subjects"`
	First    string            `json:"first_publish_date"`
	Date     string            `json:"publish_date"`
	Works    []dumpKey         `json:"works"`
	ISBN10   []string          `json:"isbn_10"`
	ISBN13   []string          `json:"isbn_13"`
	Language []dumpKey         `json:"languages"`
}

type dumpKey struct {
	Key string `json:"key"`
}

const (
	dumpFields  = 5
	dumpAuthor  = "/type/author"
	dumpEdition = "/type/edition"
	dumpWork    = "/type/work"
	// Subjects of a work that are looked at.
	maxSubjects = 200
)

// dumpLine splits a line. The error says what is wrong with it.
func dumpLine(line string) (kind, key string, record string, err error) {
	fields := strings.SplitN(line, "\t", dumpFields)
	if len(fields) != dumpFields {
		return "", "", "", fmt.Errorf("%s: type, key, revision, time and record are expected, separated by tabs", plural(len(fields), "field"))
	}
	key = fields[1][strings.LastIndexByte(fields[1], '/')+1:]
	return fields[0], key, fields[4], nil
}

func decodeDump(record string) (dumpRecord, error) {
	var r dumpRecord
	if err := json.Unmarshal([]byte(record), &r); err != nil {
		return r, fmt.Errorf("the record is not the JSON it should be: %w", err)
	}
	return r, nil
}

// take uses a record. The reason refuses it; an error ends the import.
type take func(at Place, kind, key, record string) (reason, err error)

// Inputs implements Source.
func (o openLibrary) Inputs() (Inputs, error) { return Inputs{Files: o.paths}, nil }

func (o openLibrary) Send(ctx context.Context, in *Intake) error {
	authors, editions := make(map[string]string), make(map[string]edition)
	works := 0
	learn := func(_ Place, kind, key, record string) (reason, err error) {
		switch kind {
		case dumpWork:
			works++
		case dumpAuthor:
			r, err := decodeDump(record)
			if err != nil {
				return err, nil
			}
			authors[key] = strings.Join(strings.Fields(r.Name), " ")
		case dumpEdition:
			r, err := decodeDump(record)
			if err != nil {
				return err, nil
			}
			for _, w := range r.Works {
				work := w.Key[strings.LastIndexByte(w.Key, '/')+1:]
				editions[work] = editions[work].with(r)
			}
		}
		return nil, nil
	}
	for _, path := range o.paths {
		if err := o.each(ctx, in, "authors and editions", path, true, learn); err != nil {
			return err
		}
	}
	if works == 0 {
		return fmt.Errorf("there is no work in %s: the dump of works is needed", plural(len(o.paths), "file"))
	}
	send := func(at Place, kind, key, record string) (reason, err error) {
		if kind != dumpWork {
			return nil, nil
		}
		r, err := decodeDump(record)
		if err != nil {
			return err, nil
		}
		return nil, in.Book(ctx, at, r.book(key, authors, editions[key]))
	}
	for _, path := range o.paths {
		if err := o.each(ctx, in, "works", path, false, send); err != nil {
			return err
		}
	}
	return nil
}

// each calls f with every line of a file. Lines that are none are reported in
// the first of the two passes only.
func (o openLibrary) each(ctx context.Context, in *Intake, stage, path string, first bool, f take) error {
	rs, err := openRows(path)
	if err != nil {
		return err
	}
	defer rs.Close()
	for n := 0; ; n++ {
		if n%rowsPerContextCheck == 0 {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			done, total := rs.progress()
			in.Progress(stage, done, total)
		}
		line, err := rs.nextLine()
		at := Place{File: rs.file, Line: rs.line, Column: 1}
		var kind, key, record string
		switch {
		case errors.Is(err, io.EOF):
			done, total := rs.progress()
			in.Progress(stage, done, total)
			return nil
		case errors.Is(err, errLineTooLong):
			err = fmt.Errorf("the line is longer than %d bytes", maxLine)
		case err != nil:
			return err
		case line == "":
			continue
		default:
			if err = valid(line); err == nil {
				kind, key, record, err = dumpLine(line)
			}
		}
		if err != nil {
			if first {
				in.RefuseBook(at, "%v", err)
			}
			continue
		}
		reason, err := f(at, kind, key, record)
		if err != nil {
			return err
		}
		if reason != nil {
			in.RefuseBook(at, "%v", reason)
		}
	}
}

// valid refuses text that is not UTF-8.
func valid(line string) error {
	for i, r := range line {
		if r == utf8.RuneError && !strings.HasPrefix(line[i:], "\ufffd") {
			return errors.New(badByte(line[i]))
		}
	}
	return nil
}

// with is what is known after one more edition: all ISBNs, the first language
// there is, and the earliest year.
func (e edition) with(r dumpRecord) edition {
	for _, text := range slices.Concat(r.ISBN13, r.ISBN10) {
		if isbn, err := parseISBN(text); err == nil && isbn != "" && len(e.isbns) < maxISBNs && !slices.Contains(e.isbns, isbn) {
			e.isbns = append(e.isbns, isbn)
		}
	}
	if len(r.Language) == 1 && e.language == "" {
		key := r.Language[0].Key
		e.language, _ = parseLanguage(key[strings.LastIndexByte(key, '/')+1:])
	}
	if year := yearIn(r.Date); year > 0 && (e.year == 0 || year < e.year) {
		e.year = year
	}
	return e
}

func (r dumpRecord) book(key string, authors map[string]string, e edition) *catalogv1.Book {
	b := &catalogv1.Book{SourceId: key, Isbns: e.isbns, Language: e.language, Year: yearIn(r.First)}
	if b.Year == 0 {
		b.Year = e.year
	}
	b.Title, b.Series, b.SeriesPosition = splitTitle(r.Title)
	for _, raw := range r.Authors {
		// {"author": {"key": …}}, {"author": "…"} and {"key": …} are all in use.
		var a struct {
			Key    string          `json:"key"`
			Author json.RawMessage `json:"author"`
		}
		if json.Unmarshal(raw, &a) != nil {
			continue
		}
		var inner dumpKey
		if json.Unmarshal(a.Author, &inner) == nil && inner.Key != "" {
			a.Key = inner.Key
		} else if len(a.Author) > 0 {
			_ = json.Unmarshal(a.Author, &a.Key)
		}
		name := authors[a.Key[strings.LastIndexByte(a.Key, '/')+1:]]
		if name != "" && !slices.Contains(b.Authors, name) && len(b.Authors) < maxAuthors {
			b.Authors = append(b.Authors, name)
		}
	}
	b.Category, b.Tags = subjects(r.Subjects)
	return b
}

// maxAuthors is how many authors the contract allows.
const maxAuthors = 50

// subjects are the category that most of the subjects speak for, and those
// that can be tags.
func subjects(all []string) (catalogv1.Category, []string) {
	uses := make(map[string]int)
	var tags []string
	for _, subject := range all[:min(len(all), maxSubjects)] {
		// "Fiction, fantasy, general" and "Fantasy fiction" say the same.
		for _, part := range strings.FieldsFunc(strings.ToLower(subject), func(r rune) bool { return strings.ContainsRune(",/;()", r) }) {
			part = strings.Join(strings.Fields(part), " ")
			for _, name := range []string{part, strings.TrimSuffix(part, " fiction")} {
				if categories[fold(name)] != 0 {
					uses[name]++
					break
				}
			}
		}
		tag := strings.Join(strings.Fields(strings.ToLower(subject)), " ")
		if tag != "" && utf8.RuneCountInString(tag) <= 100 && len(tags) < maxTags && !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	category, _ := bestTags(uses)
	return category, tags
}

var yearPattern = regexp.MustCompile(`\b(1[0-9]{3}|20[0-9]{2})\b`)

// yearIn is the first year in a date of any form, 0 for none.
func yearIn(date string) int32 {
	year, err := strconv.Atoi(yearPattern.FindString(date))
	if err != nil {
		return 0
	}
	return int32(year)
}
