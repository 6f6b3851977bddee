package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/library"
)

// Goodbooks is a folder with goodbooks-10k, in its first release or a later
// one: books.csv, and the ratings in ratings.csv (columns user_id, book_id and
// rating, in any order) or, when that is not there, in train.tsv (reader, book,
// rating, separated by tabs, without a header). The ids of the data are kept
// where they are free.
//
// The categories of the books are read from tags.csv and book_tags.csv when
// they are there. Otherwise they are inferred, see inferCategories; books about
// which too little is known have none.
func Goodbooks(dir string) Source { return goodbooks{dir} }

type goodbooks struct{ dir string }

// GoodbooksTitles returns the books of such a folder as far as books.csv tells
// of them: without categories and tags, and without the rows that give none.
func GoodbooksTitles(ctx context.Context, dir string) ([]*catalogv1.Book, error) {
	rows, err := goodbooks{dir}.readBooks(ctx, &Intake{})
	if err != nil {
		return nil, err
	}
	books := make([]*catalogv1.Book, len(rows))
	for i, r := range rows {
		books[i] = r.book
	}
	return books, nil
}

// goodbook is a row of books.csv.
type goodbook struct {
	at        Place
	book      *catalogv1.Book
	goodreads string // its id in book_tags.csv
}

func (goodbooks) Name() string { return "goodbooks" }

// Inputs implements Source.
func (g goodbooks) Inputs() (Inputs, error) {
	ratings, err := g.ratingsPath()
	if err != nil {
		return Inputs{}, err
	}
	inputs := Inputs{Files: []string{filepath.Join(g.dir, "books.csv"), ratings}}
	for _, name := range []string{"tags.csv", "book_tags.csv"} {
		if _, err := os.Stat(filepath.Join(g.dir, name)); err == nil {
			inputs.Files = append(inputs.Files, filepath.Join(g.dir, name))
		}
	}
	return inputs, nil
}

func (g goodbooks) Send(ctx context.Context, in *Intake) error {
	ratings, err := g.ratingsPath()
	if err != nil {
		return err
	}
	books, err := g.readBooks(ctx, in)
	if err != nil {
		return err
	}
	if err := g.categorise(ctx, in, books, ratings); err != nil {
		return err
	}
	for _, b := range books {
		if err := in.Book(ctx, b.at, b.book); err != nil {
			return err
		}
	}
	return eachRating(ctx, ratings, func(r *rows, reader, book, rating string) error {
		value, err := parseStars(rating)
		if err != nil {
			in.RefuseInteraction(r.at(-1), "%v", err)
			return nil
		}
		if len(reader) == 0 || len(book) == 0 {
			in.RefuseInteraction(r.at(-1), "the reader or the book is missing")
			return nil
		}
		return in.Interaction(ctx, r.at(-1), Interaction{
			Reader: reader, Book: book, Kind: readersv1.InteractionKind_INTERACTION_KIND_RATING, Value: value,
		})
	}, func(f Finding) { in.RefuseInteraction(f.Place, "%s", f.Reason) }, in.progress("ratings"))
}

// progress is a stage that tells the caller of Load how far a file is read.
func (in *Intake) progress(stage string) func(done, total int) {
	return func(done, total int) { in.Progress(stage, done, total) }
}

func (g goodbooks) ratingsPath() (string, error) {
	for _, name := range []string{"ratings.csv", "train.tsv"} {
		path := filepath.Join(g.dir, name)
		_, err := os.Stat(path)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("%s has neither ratings.csv nor train.tsv", g.dir)
}

func (g goodbooks) readBooks(ctx context.Context, in *Intake) ([]goodbook, error) {
	t, err := openTable(filepath.Join(g.dir, "books.csv"))
	if err != nil {
		return nil, err
	}
	defer t.Close()
	// In the first release id is the book's number and book_id the one of
	// Goodreads; later book_id is the number and goodreads_book_id the other.
	id, goodreads := t.column("id"), t.column("book_id")
	if id < 0 {
		id, goodreads = goodreads, t.column("goodreads_book_id")
	}
	title, err := t.require("title")
	if err != nil {
		return nil, err
	}
	if id < 0 {
		_, err := t.require("id", "book_id")
		return nil, err
	}
	var (
		authors    = t.column("authors")
		year       = t.column("original_publication_year")
		isbn       = t.column("isbn")
		isbn13     = t.column("isbn13")
		lang       = t.column("language_code")
		popularity = t.column("ratings_count")
	)
	var books []goodbook
	progress := in.progress("books")
	for n := 0; ; n++ {
		if n%rowsPerContextCheck == 0 {
			if err := context.Cause(ctx); err != nil {
				return nil, err
			}
			progress(t.progress())
		}
		row, err := t.next()
		if errors.Is(err, io.EOF) {
			progress(t.progress())
			return books, nil
		}
		if wrong, ok := errors.AsType[Finding](err); ok {
			in.RefuseBook(wrong.Place, "%s", wrong.Reason)
			continue
		}
		if err != nil {
			return nil, err
		}
		value := func(column int) string {
			if column < 0 {
				return ""
			}
			return strings.TrimSpace(row[column])
		}
		b := &catalogv1.Book{Id: wish(value(id)), SourceId: value(id), Authors: splitList(value(authors), ",")}
		b.Title, b.Series, b.SeriesPosition = splitTitle(value(title))
		if b.Title == "" {
			in.RefuseBook(t.at(title), "the title is empty")
			continue
		}
		// What follows is worth less than the book: a value that makes no sense
		// is left out.
		if b.Year, err = parseYear(value(year)); err != nil {
			in.Warn(t.at(year), "the year %v", err)
		}
		if b.Language, err = parseLanguage(value(lang)); err != nil {
			in.Warn(t.at(lang), "the language %v", err)
		}
		// Many editions here have a publisher's number in place of the ISBN, and
		// isbn13 has lost its last digits to a spreadsheet (9.78043902348e+12):
		// no warning for either.
		b.Isbns, _ = parseISBNs(value(isbn))
		if text := value(isbn13); len(text) >= 13 && len(b.Isbns) == 0 {
			b.Isbns, _ = parseISBNs(text)
		}
		if p, err := strconv.ParseInt(value(popularity), 10, 64); err == nil && p > 0 {
			b.Popularity = p
		}
		books = append(books, goodbook{t.at(-1), b, value(goodreads)})
	}
}

// categorise gives the books their categories, by the tags or by inference.
func (g goodbooks) categorise(ctx context.Context, in *Intake, books []goodbook, ratings string) error {
	byTags, err := g.readTags(ctx, in, books)
	if err != nil {
		return err
	}
	how := "taken from the tags"
	if !byTags {
		how = "inferred from well-known books and authors and from who reads what"
		list := make([]*catalogv1.Book, len(books))
		for i, b := range books {
			list[i] = b.book
		}
		graph, err := readCoReadership(ctx, ratings, list, in.progress("co-readership"))
		if err != nil {
			return err
		}
		for i, c := range inferCategories(list, library.Books(), graph) {
			list[i].Category = c
		}
	}
	with := 0
	for _, b := range books {
		if b.book.Category != 0 {
			with++
		}
	}
	in.Note("%d of %d books have a category, %s.", with, len(books), how)
	return nil
}

// readTags gives the books the category their readers' tags speak for most, and
// the tags that do. It reports whether there are tags at all.
func (g goodbooks) readTags(ctx context.Context, in *Intake, books []goodbook) (bool, error) {
	tags, err := openTable(filepath.Join(g.dir, "tags.csv"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer tags.Close()
	uses, err := openTable(filepath.Join(g.dir, "book_tags.csv"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer uses.Close()

	names := map[string]string{} // by id, of those that speak for a category
	err = eachRow(ctx, tags, []string{"tag_id", "tag_name"}, nil, func(v []string) {
		if categories[fold(v[1])] != 0 {
			names[v[0]] = strings.ToLower(strings.Join(strings.FieldsFunc(v[1], func(r rune) bool { return r == '-' || r == ' ' }), " "))
		}
	})
	if err != nil {
		return false, err
	}
	counts := map[string]map[string]int{} // by the Goodreads id of the book and by tag
	for _, b := range books {
		counts[b.goodreads] = map[string]int{}
	}
	err = eachRow(ctx, uses, []string{"goodreads_book_id", "tag_id", "count"}, in.progress("tags"), func(v []string) {
		if n, err := strconv.Atoi(v[2]); err == nil && n > 0 && names[v[1]] != "" && counts[v[0]] != nil {
			counts[v[0]][names[v[1]]] += n
		}
	})
	if err != nil {
		return false, err
	}
	for _, b := range books {
		b.book.Category, b.book.Tags = bestTags(counts[b.goodreads])
	}
	return true, nil
}

// maxTags is how many tags a book keeps.
const maxTags = 8

// bestTags is the category that most uses of the tags speak for, and the tags,
// most used first.
func bestTags(uses map[string]int) (catalogv1.Category, []string) {
	var sums [numCategories]int
	names := sortedKeys(uses)
	for _, n := range names {
		sums[categories[fold(n)]] += uses[n]
	}
	best := 0
	for c := range sums {
		if sums[c] > sums[best] {
			best = c
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return uses[b] - uses[a] })
	return catalogv1.Category(best), names[:min(len(names), maxTags)]
}

// eachRow calls f with the named columns of every row that has them.
func eachRow(ctx context.Context, t *table, names []string, progress func(done, total int), f func([]string)) error {
	columns := make([]int, len(names))
	for i, n := range names {
		var err error
		if columns[i], err = t.require(n); err != nil {
			return err
		}
	}
	values := make([]string, len(names))
	for n := 0; ; n++ {
		if n%rowsPerContextCheck == 0 {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if progress != nil {
				progress(t.progress())
			}
		}
		row, err := t.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.As(err, new(Finding)) {
			continue
		}
		if err != nil {
			return err
		}
		for i, c := range columns {
			values[i] = row[c]
		}
		f(values)
	}
}

// eachRating calls f with every rating of the file, and refuse with every row
// that is none.
func eachRating(ctx context.Context, path string, f func(r *rows, reader, book, rating string) error, refuse func(Finding), progress func(done, total int)) error {
	reader, book, rating := 0, 1, 2
	var r *rows
	if filepath.Ext(path) == ".csv" {
		t, err := openTable(path)
		if err != nil {
			return err
		}
		defer t.Close()
		if reader, err = t.require("user_id", "reader", "user"); err != nil {
			return err
		}
		if book, err = t.require("book_id", "book"); err != nil {
			return err
		}
		if rating, err = t.require("rating"); err != nil {
			return err
		}
		r = t.rows
	} else {
		var err error
		if r, err = openRows(path); err != nil {
			return err
		}
		defer r.Close()
		r.comma, r.fields, r.shape = '\t', 3, "reader, book and rating are expected, separated by tabs"
	}
	for n := 0; ; n++ {
		if n%rowsPerContextCheck == 0 {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			progress(r.progress())
		}
		row, err := r.next()
		if errors.Is(err, io.EOF) {
			progress(r.progress())
			return nil
		}
		if wrong, ok := errors.AsType[Finding](err); ok {
			refuse(wrong)
			continue
		}
		if err != nil {
			return err
		}
		if err := f(r, row[reader], row[book], row[rating]); err != nil {
			return err
		}
	}
}
