// Command search measures how well and how fast the catalog finds books whose
// titles are misspelled: a letter put in, left out, replaced, or swapped with
// its neighbour, spaces among them. A misspelling counts as found when a book
// of that title is among the first three answers.
//
//	go run ./test/search                              # the demo library, and 1,000,000 generated books
//	go run ./test/search -books folder                # goodbooks-10k too
//	go run ./test/search -postgres postgres://...     # over a PostgreSQL database instead of SQLite; it must be empty
//	go run ./test/search -generated 20000             # for the impatient
//
// Every search is a call over loopback, of a catalog service as it is in
// production, one after the other.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/octavo-books/octavo/chassis"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	"github.com/octavo-books/octavo/internal/catalog"
	"github.com/octavo-books/octavo/internal/catalog/index"
	"github.com/octavo-books/octavo/internal/catalog/postgres"
	"github.com/octavo-books/octavo/internal/catalog/sqlite"
	"github.com/octavo-books/octavo/internal/importer"
	"github.com/octavo-books/octavo/internal/library"
)

const (
	batch = 1000 // books of an import
	first = 3    // answers a book has to be among
)

func main() {
	dir := flag.String("books", "", "a folder of goodbooks-10k")
	generated := flag.Int("generated", 1_000_000, "books to generate; 0 for none")
	misspelled := flag.Int("misspellings", 1000, "misspellings of titles of each catalogue")
	url := flag.String("postgres", "", "a PostgreSQL database, in which each catalogue replaces the one before; SQLite in a temporary folder when empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *dir, *generated, *misspelled, *url); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// catalogue is a set of books to measure on.
type catalogue struct {
	name  string
	books func(context.Context) ([]catalog.Book, error)
}

func run(ctx context.Context, out io.Writer, dir string, generated, misspelled int, url string) error {
	catalogues := []catalogue{{"demo library", func(context.Context) ([]catalog.Book, error) { return demo(), nil }}}
	if dir != "" {
		catalogues = append(catalogues, catalogue{"goodbooks-10k", func(ctx context.Context) ([]catalog.Book, error) { return goodbooks(ctx, dir) }})
	}
	if generated > 0 {
		catalogues = append(catalogues, catalogue{"generated", func(context.Context) ([]catalog.Book, error) { return generate(generated), nil }})
	}
	if url != "" && len(catalogues) > 1 {
		catalogues = catalogues[len(catalogues)-1:] // one database, one catalogue
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "catalogue\tbooks\t")
	for _, kind := range kinds {
		fmt.Fprint(table, kind, "\t")
	}
	fmt.Fprint(table, "all\tp50 ms\tp99 ms\tsuggest p50\tp99\timport s\tready s\tMB\t\n")
	for _, c := range catalogues {
		books, err := c.books(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		m, err := measureOver(ctx, url, books, misspelled)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(table, "%s\t%d\t", c.name, len(books))
		for _, kind := range kinds {
			fmt.Fprintf(table, "%.1f %%\t", 100*m.recall(kind))
		}
		fmt.Fprintf(table, "%.1f %%\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t\n", 100*m.recall(""),
			quantile(m.searches, .5), quantile(m.searches, .99), quantile(m.suggestions, .5), quantile(m.suggestions, .99),
			m.imported.Seconds(), m.ready.Seconds(), m.megabytes)
		if err := table.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func demo() []catalog.Book {
	var books []catalog.Book
	for _, b := range library.Books() {
		books = append(books, fromContract(b))
	}
	return books
}

func fromContract(b *catalogv1.Book) catalog.Book {
	return catalog.Book{
		ID: b.GetId(), Title: b.GetTitle(), Authors: b.GetAuthors(), Category: catalog.Category(b.GetCategory()), Year: b.GetYear(), Tags: b.GetTags(),
		Series: b.GetSeries(), Language: b.GetLanguage(), Source: b.GetSource(), SourceID: b.GetSourceId(), Popularity: b.GetPopularity(),
	}
}

// goodbooks reads the books of a folder as an import would.
func goodbooks(ctx context.Context, dir string) ([]catalog.Book, error) {
	read, err := importer.GoodbooksTitles(ctx, dir)
	if err != nil {
		return nil, err
	}
	books := make([]catalog.Book, len(read))
	for i, b := range read {
		books[i] = fromContract(b)
		books[i].Source = "goodbooks"
	}
	return books, nil
}

func measureOver(ctx context.Context, url string, books []catalog.Book, misspelled int) (m measurement, err error) {
	var store catalog.Store
	var closeStore func() error
	if url != "" {
		s, err := postgres.Open(ctx, url)
		if err != nil {
			return m, err
		}
		store, closeStore = s, s.Close
	} else {
		dir, err := os.MkdirTemp("", "octavo-search")
		if err != nil {
			return m, err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		s, err := sqlite.Open(ctx, filepath.Join(dir, "catalog.db"))
		if err != nil {
			return m, err
		}
		store, closeStore = s, s.Close
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	return measure(ctx, store, books, misspelled)
}

// measurement is what came out. Times are in milliseconds.
type measurement struct {
	found, asked          map[string]int // by kind
	missed                []misspelling
	searches, suggestions []float64
	imported, ready       time.Duration
	megabytes             float64 // of the heap that the search takes
}

// recall is the share of the misspellings of a kind, or of all, that found
// their books.
func (m measurement) recall(kind string) float64 {
	found, asked := 0, 0
	for _, k := range kinds {
		if kind == "" || kind == k {
			found, asked = found+m.found[k], asked+m.asked[k]
		}
	}
	return float64(found) / float64(asked)
}

// measure imports the books into an empty store, serves it, and searches.
func measure(ctx context.Context, store catalog.Store, books []catalog.Book, misspelled int) (measurement, error) {
	m := measurement{found: make(map[string]int), asked: make(map[string]int)}
	start := time.Now()
	for part := range slices.Chunk(books, batch) {
		if _, err := store.Import(ctx, part); err != nil {
			return m, err
		}
	}
	m.imported = time.Since(start)
	searches := misspell(books, misspelled)

	app, err := chassis.New("search", "", chassis.Flags{LogLevel: "error"}, os.Stderr)
	if err != nil {
		return m, err
	}
	server := catalog.NewServer(store, app.Log())
	app.Go("catalog", server.Run)
	at, err := app.GRPC("catalog", "127.0.0.1:0", nil, server.Register)
	if err != nil {
		return m, errors.Join(err, app.Close())
	}
	conn, err := app.Dial("catalog", at.String())
	if err != nil {
		return m, errors.Join(err, app.Close())
	}
	before := heap()
	running, stop := context.WithCancel(ctx)
	defer stop()
	app.Go("searches", func(ctx context.Context) error {
		defer stop()
		if err := app.WaitReady(ctx); err != nil {
			return err
		}
		if err := m.search(ctx, catalogv1.NewCatalogServiceClient(conn), searches); err != nil {
			return err
		}
		m.megabytes = heap() - before
		return nil
	})
	err = app.Run(running)
	runtime.KeepAlive(books) // which are no part of the search
	return m, err
}

func (m *measurement) search(ctx context.Context, client catalogv1.CatalogServiceClient, searches []misspelling) error {
	start := time.Now()
	patient, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if _, err := client.SearchBooks(patient, &catalogv1.SearchBooksRequest{Query: searches[0].title}); err != nil {
		return err
	}
	m.ready = time.Since(start)
	for _, s := range searches {
		start := time.Now()
		response, err := client.SearchBooks(ctx, &catalogv1.SearchBooksRequest{Query: s.text})
		if err != nil {
			return fmt.Errorf("search %q: %w", s.text, err)
		}
		m.searches = append(m.searches, milliseconds(start))
		answers := response.GetBooks()
		m.asked[s.kind]++
		if slices.ContainsFunc(answers[:min(len(answers), first)], func(b *catalogv1.Book) bool {
			return index.Fold(b.GetTitle()) == index.Fold(s.title)
		}) {
			m.found[s.kind]++
		} else {
			m.missed = append(m.missed, s)
		}
		letters := []rune(s.title)
		begun := string(letters[:1+len(m.searches)%min(len(letters), 8)])
		start = time.Now()
		if _, err := client.SuggestBooks(ctx, &catalogv1.SuggestBooksRequest{Query: begun}); err != nil {
			return fmt.Errorf("suggest %q: %w", begun, err)
		}
		m.suggestions = append(m.suggestions, milliseconds(start))
	}
	return nil
}

func milliseconds(since time.Time) float64 { return float64(time.Since(since).Microseconds()) / 1000 }

func quantile(of []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// heap is how many megabytes are in use.
func heap() float64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc) / (1 << 20)
}
