package importer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

// CSVOptions say how CSV files are read. The zero value is usable.
type CSVOptions struct {
	// Source is the name the records get, "csv" when empty. Files of different
	// origin whose ids mean different things need different names.
	Source string
	// Map names the column of the file for a field, where they differ: title →
	// "Name". The fields are those of BookFields and InteractionFields.
	Map map[string]string
}

// bookFields and interactionFields are the fields of a row, each with the names
// its column can have. Names are compared without case, spaces and signs.
var (
	bookFields = map[string][]string{
		"id":              {"id", "source_id", "book_id", "key"},
		"title":           {"title", "name", "book title"},
		"authors":         {"authors", "author"},
		"category":        {"category", "genre"},
		"year":            {"year", "first_year", "original_publication_year", "publication_year", "published"},
		"tags":            {"tags", "subjects", "keywords"},
		"series":          {"series"},
		"series_position": {"series_position", "position", "volume"},
		"isbn":            {"isbns", "isbn13", "isbn", "isbn10"},
		"language":        {"language", "language_code", "lang"},
		"popularity":      {"popularity", "ratings_count", "readers"},
		"source":          {"source"},
	}
	interactionFields = map[string][]string{
		"reader": {"reader", "reader_id", "user", "user_id"},
		"book":   {"book", "book_id", "item", "item_id"},
		"kind":   {"kind", "event", "action", "shelf"},
		"value":  {"value", "rating", "stars"},
		"time":   {"time", "timestamp", "occurred_at", "date"},
	}
)

// kinds are the interactions by the names people give them, folded.
var kinds = map[string]readersv1.InteractionKind{
	"view":             readersv1.InteractionKind_INTERACTION_KIND_VIEW,
	"viewed":           readersv1.InteractionKind_INTERACTION_KIND_VIEW,
	"click":            readersv1.InteractionKind_INTERACTION_KIND_CLICK,
	"clicked":          readersv1.InteractionKind_INTERACTION_KIND_CLICK,
	"want":             readersv1.InteractionKind_INTERACTION_KIND_WANT,
	"wanttoread":       readersv1.InteractionKind_INTERACTION_KIND_WANT,
	"toread":           readersv1.InteractionKind_INTERACTION_KIND_WANT,
	"wishlist":         readersv1.InteractionKind_INTERACTION_KIND_WANT,
	"reading":          readersv1.InteractionKind_INTERACTION_KIND_READING,
	"currentlyreading": readersv1.InteractionKind_INTERACTION_KIND_READING,
	"finished":         readersv1.InteractionKind_INTERACTION_KIND_FINISHED,
	"read":             readersv1.InteractionKind_INTERACTION_KIND_FINISHED,
	"rating":           readersv1.InteractionKind_INTERACTION_KIND_RATING,
	"rated":            readersv1.InteractionKind_INTERACTION_KIND_RATING,
	"rate":             readersv1.InteractionKind_INTERACTION_KIND_RATING,
	"notinterested":    readersv1.InteractionKind_INTERACTION_KIND_NOT_INTERESTED,
	"bought":           readersv1.InteractionKind_INTERACTION_KIND_BOUGHT,
	"purchase":         readersv1.InteractionKind_INTERACTION_KIND_BOUGHT,
	"purchased":        readersv1.InteractionKind_INTERACTION_KIND_BOUGHT,
	"removed":          readersv1.InteractionKind_INTERACTION_KIND_REMOVED,
}

// BookFields are the fields of a CSV file of books.
func BookFields() []string { return sortedKeys(bookFields) }

// InteractionFields are the fields of a CSV file of interactions.
func InteractionFields() []string { return sortedKeys(interactionFields) }

// CSV is any number of CSV files with a header, of books or of interactions: a
// file with a column for the reader and one for the book has interactions, any
// other needs a title. Books are imported first, whatever the order of the
// paths. The separator is found by the header (comma, semicolon or tab).
//
// A book needs a title. Authors and tags are separated by ; or |, ISBNs by
// commas, too. A book's key is its id, else its first ISBN, else made from title and authors; it may name a
// source other than that of the options. An interaction
// names its book by that key. Without a kind it is a rating when it has a value
// and otherwise a finished book; another kind with a value is both.
func CSV(o CSVOptions, paths ...string) Source { return csvFiles{o, paths} }

type csvFiles struct {
	options CSVOptions
	paths   []string
}

func (c csvFiles) Name() string {
	if c.options.Source == "" {
		return "csv"
	}
	return c.options.Source
}

// Inputs implements Source.
func (c csvFiles) Inputs() (Inputs, error) {
	var options strings.Builder
	for _, field := range sortedKeys(c.options.Map) {
		fmt.Fprintf(&options, "%s=%q ", field, c.options.Map[field])
	}
	return Inputs{c.paths, options.String()}, nil
}

func (c csvFiles) Send(ctx context.Context, in *Intake) error {
	if len(c.paths) == 0 {
		return errors.New("no file is given")
	}
	for field := range c.options.Map {
		if bookFields[field] == nil && interactionFields[field] == nil {
			all := slices.Concat(BookFields(), InteractionFields())
			if n := nearest(field, all); n != "" {
				return fmt.Errorf("there is no field %q to map: did you mean %q?", field, n)
			}
			return fmt.Errorf("there is no field %q to map; the fields are %s", field, strings.Join(all, ", "))
		}
	}
	// All headers are read before anything is sent: a wrong one costs nothing.
	var books, interactions []string
	used := map[string]bool{}
	for _, path := range c.paths {
		t, err := openTable(path)
		if err != nil {
			return err
		}
		isInteractions, err := c.interactions(t)
		t.Close()
		if err != nil {
			return err
		}
		if isInteractions {
			interactions = append(interactions, path)
		} else {
			books = append(books, path)
		}
		for field, name := range c.options.Map {
			used[field] = used[field] || t.column(name) >= 0
		}
	}
	for _, field := range sortedKeys(c.options.Map) {
		if !used[field] {
			return fmt.Errorf("no file has the column %q, which is mapped to %s", c.options.Map[field], field)
		}
	}
	for _, path := range books {
		if err := c.each(ctx, in, path, bookFields, in.RefuseBook, c.book); err != nil {
			return err
		}
	}
	for _, path := range interactions {
		if err := c.each(ctx, in, path, interactionFields, in.RefuseInteraction, c.interaction); err != nil {
			return err
		}
	}
	return nil
}

// interactions reports whether the file is one of interactions.
func (c csvFiles) interactions(t *table) (bool, error) {
	ofInteractions := c.columns(t, interactionFields)
	if ofInteractions["reader"] >= 0 && ofInteractions["book"] >= 0 {
		return true, nil
	}
	if c.columns(t, bookFields)["title"] >= 0 {
		return false, nil
	}
	if ofInteractions["reader"] >= 0 {
		return false, fmt.Errorf("%s has a column for the reader but none for the book; it has %s; another name can be mapped to book", t.file, strings.Join(t.header, ", "))
	}
	return false, fmt.Errorf("%s has no column title, nor reader and book; it has %s; other names can be mapped to these", t.file, strings.Join(t.header, ", "))
}

// columns finds the columns of the fields; -1 for those the file has not.
func (c csvFiles) columns(t *table, fields map[string][]string) map[string]int {
	out := make(map[string]int, len(fields))
	taken := map[int]bool{}
	for field := range fields {
		out[field] = -1
		if name, ok := c.options.Map[field]; ok {
			out[field] = t.column(name)
			taken[out[field]] = true
		}
	}
	for field, names := range fields {
		// A column that is mapped to one field is not taken for another.
		if i := t.column(names...); out[field] < 0 && c.options.Map[field] == "" && !taken[i] {
			out[field] = i
		}
	}
	return out
}

// record is a row with the columns of its fields.
type record struct {
	table   *table
	columns map[string]int
	row     []string
}

func (r record) value(field string) string {
	if i := r.columns[field]; i >= 0 {
		return strings.TrimSpace(disarm(r.row[i]))
	}
	return ""
}

// at is the place of a field, or of the row when it has no such column.
func (r record) at(field string) Place { return r.table.at(r.columns[field]) }

// each calls f with every record of a file, and refuse with what is none.
func (c csvFiles) each(ctx context.Context, in *Intake, path string, fields map[string][]string,
	refuse func(Place, string, ...any), f func(context.Context, *Intake, record) error,
) error {
	t, err := openTable(path)
	if err != nil {
		return err
	}
	defer t.Close()
	r := record{table: t, columns: c.columns(t, fields)}
	for n := 0; ; n++ {
		if n%rowsPerContextCheck == 0 {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			done, total := t.progress()
			in.Progress(t.file, done, total)
		}
		r.row, err = t.next()
		if errors.Is(err, io.EOF) {
			done, total := t.progress()
			in.Progress(t.file, done, total)
			return nil
		}
		if wrong, ok := errors.AsType[Finding](err); ok {
			refuse(wrong.Place, "%s", wrong.Reason)
			continue
		}
		if err != nil {
			return err
		}
		if err := f(ctx, in, r); err != nil {
			return err
		}
	}
}

func (c csvFiles) book(ctx context.Context, in *Intake, r record) error {
	b, field, err := decodeBook(r)
	if err != nil {
		in.RefuseBook(r.at(field), "%v", err)
		return nil
	}
	// A wrong ISBN or language is no reason to go without the book.
	isbns, wrong := parseISBNs(r.value("isbn"))
	for _, err := range wrong {
		in.Warn(r.at("isbn"), "%v", err)
	}
	b.Isbns = isbns
	if b.Language, err = parseLanguage(r.value("language")); err != nil {
		in.Warn(r.at("language"), "%v", err)
	}
	b.Source, b.SourceId = r.value("source"), r.value("id")
	b.Id = wish(b.SourceId)
	if b.SourceId == "" && len(isbns) > 0 {
		b.SourceId = isbns[0]
	}
	if b.SourceId == "" {
		b.SourceId = slug(b.Title, b.Authors)
	}
	return in.Book(ctx, r.table.at(-1), b)
}

// decodeBook reads what a book must get right. An error comes with the name of
// the field at fault.
func decodeBook(r record) (b *catalogv1.Book, field string, err error) {
	b = &catalogv1.Book{
		Authors: splitList(r.value("authors"), ";|"),
		Series:  r.value("series"),
		Tags:    splitList(strings.ToLower(r.value("tags")), ";|"),
	}
	if b.Title = strings.Join(strings.Fields(r.value("title")), " "); b.Title == "" {
		return nil, "title", errors.New("the title is empty")
	}
	if b.Series == "" {
		b.Title, b.Series, b.SeriesPosition = splitTitle(b.Title)
	}
	if b.Category, err = parseCategory(r.value("category")); err != nil {
		return nil, "category", err
	}
	if b.Year, err = parseYear(r.value("year")); err != nil {
		return nil, "year", fmt.Errorf("the year %w", err)
	}
	if s := r.value("series_position"); s != "" {
		p, err := strconv.ParseFloat(strings.TrimPrefix(s, "#"), 32)
		if err != nil || !(p >= 0 && p <= 10000) {
			return nil, "series_position", fmt.Errorf("the place in the series %q is not a number from 0 to 10000", s)
		}
		b.SeriesPosition = float32(p)
	}
	if s := r.value("popularity"); s != "" {
		if b.Popularity, err = strconv.ParseInt(s, 10, 64); err != nil || b.Popularity < 0 {
			return nil, "popularity", fmt.Errorf("the popularity %q is not a whole number from 0", s)
		}
	}
	return b, "", nil
}

// slug is the key of a book that has none: title and authors, or a digest of
// them when they are long.
func slug(title string, authors []string) string {
	s := fold(title) + "/" + fold(strings.Join(authors, ";"))
	if len(s) <= 100 && s != "/" {
		return s
	}
	sum := sha256.Sum256([]byte(title + "\x00" + strings.Join(authors, "\x00")))
	return hex.EncodeToString(sum[:16])
}

func (c csvFiles) interaction(ctx context.Context, in *Intake, r record) error {
	is, field, err := decodeInteraction(r)
	if err != nil {
		in.RefuseInteraction(r.at(field), "%v", err)
		return nil
	}
	for _, i := range is {
		if err := in.Interaction(ctx, r.table.at(-1), i); err != nil {
			return err
		}
	}
	return nil
}

// decodeInteraction reads what a row says: one interaction, or two when it has
// a shelf and stars. An error comes with the name of the field at fault.
func decodeInteraction(r record) (is []Interaction, field string, err error) {
	i := Interaction{Reader: r.value("reader"), Book: r.value("book")}
	if i.Reader == "" {
		return nil, "reader", errors.New("there is no reader")
	}
	if i.Book == "" {
		return nil, "book", errors.New("there is no book")
	}
	if i.Time, err = parseTime(r.value("time")); err != nil {
		return nil, "time", err
	}
	const rating = readersv1.InteractionKind_INTERACTION_KIND_RATING
	kind, value := r.value("kind"), r.value("value")
	if value == "0" { // not rated, in the exports of reading sites
		value = ""
	}
	switch {
	case kind != "":
		if i.Kind = kinds[fold(kind)]; i.Kind == 0 {
			if n := nearest(kind, sortedKeys(kinds)); n != "" {
				return nil, "kind", fmt.Errorf("unknown kind %q: did you mean %q?", kind, n)
			}
			return nil, "kind", fmt.Errorf("unknown kind %q; the kinds are view, click, want, reading, finished, rating, not interested, bought, removed", kind)
		}
	case value != "":
		i.Kind = rating
	default:
		i.Kind = readersv1.InteractionKind_INTERACTION_KIND_FINISHED
	}
	if i.Kind != rating {
		is = append(is, i)
	}
	if i.Kind == rating || value != "" {
		i.Kind = rating
		if i.Value, err = parseStars(value); err != nil {
			return nil, "value", err
		}
		is = append(is, i)
	}
	return is, "", nil
}
