package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/internal/importer"
)

type importCommand struct {
	Goodbooks   importGoodbooksCommand   `cmd:"" help:"A folder of goodbooks-10k: books.csv with ratings.csv or train.tsv."`
	CSV         importCSVCommand         `cmd:"" name:"csv" help:"CSV files of books and of what readers did."`
	OpenLibrary importOpenLibraryCommand `cmd:"" name:"openlibrary" help:"Works, authors and editions from Open Library's dumps."`
	ONIX        importONIXCommand        `cmd:"" name:"onix" help:"Products from ONIX for Books 3 messages."`
	JSON        importJSONCommand        `cmd:"" name:"json" help:"Books from a JSON object of categories and their titles."`
	Shelves     importShelvesCommand     `cmd:"" aliases:"goodreads,storygraph,librarything" help:"The shelves of one reader: an export of Goodreads, StoryGraph, LibraryThing or Octavo."`
	Demo        importDemoCommand        `cmd:"" help:"The demo library with its simulated readers."`
}

// importFlags are those of all imports.
type importFlags struct {
	workFlags `embed:""`

	Checkpoint string `placeholder:"FILE" type:"path" help:"A file that keeps how far the import is. When it was stopped, even by a power cut, the same command goes on there and sends nothing again; without it the same command sends everything again, which doubles nothing. Removed at the end; of another import, or of files that have changed since, it is refused."`
	Report     string `placeholder:"FILE" type:"path" help:"A CSV file for every row that is refused or imported without a field: file, line, column, what became of it, reason."`
}

type importGoodbooksCommand struct {
	importFlags `embed:""`

	Dir string `arg:"" type:"existingdir" help:"The folder."`
}

func (c *importGoodbooksCommand) Run(ctx context.Context) error {
	return runImport(ctx, c.importFlags, importer.Goodbooks(c.Dir))
}

type importCSVCommand struct {
	importFlags `embed:""`

	Files  []string          `arg:"" name:"file" type:"existingfile" help:"Files with a header each: of books, or of what readers did. Which it is shows in the columns."`
	Source string            `default:"csv" help:"Name the records get. Files whose ids mean different things need different names."`
	Map    map[string]string `placeholder:"FIELD=COLUMN;..." help:"Columns with names of their own, such as title=Name;isbn=EAN."`
}

func (importCSVCommand) Help() string {
	return "Columns of books: " + strings.Join(importer.BookFields(), ", ") + "; title is needed. " +
		"Columns of what readers did: " + strings.Join(importer.InteractionFields(), ", ") + "; reader and book are needed. " +
		"Authors and tags are separated by ; or |, and so are ISBNs, of which a book may have several, with ten digits or thirteen. " + joining +
		" A malformed row is reported with its place, and the others are imported."
}

func (c *importCSVCommand) Run(ctx context.Context) error {
	return runImport(ctx, c.importFlags, importer.CSV(importer.CSVOptions{Source: c.Source, Map: c.Map}, c.Files...))
}

// joining is said of every import whose books have ISBNs.
const joining = "A book with an ISBN of one that is there from another source is joined to it when their titles agree, and reported otherwise."

type importOpenLibraryCommand struct {
	importFlags `embed:""`

	Files []string `arg:"" name:"file" type:"existingfile" help:"Dumps, compressed or not: of works, and for authors' names, ISBNs and languages those of authors and editions too."`
}

func (importOpenLibraryCommand) Help() string {
	return "Every work is a book, with the ISBNs of all its editions. " + joining + " What is known of authors and editions is kept in memory: some hundred bytes each."
}

func (c *importOpenLibraryCommand) Run(ctx context.Context) error {
	return runImport(ctx, c.importFlags, importer.OpenLibrary(c.Files...))
}

type importONIXCommand struct {
	importFlags `embed:""`

	Files []string `arg:"" name:"file" type:"existingfile" help:"Messages, compressed or not, with reference names or short tags."`
}

func (importONIXCommand) Help() string {
	return "Every product is a book, known by its ISBN. Products that are said to be other formats of it are the same book. " + joining
}

func (c *importONIXCommand) Run(ctx context.Context) error {
	return runImport(ctx, c.importFlags, importer.ONIX(c.Files...))
}

type importJSONCommand struct {
	importFlags `embed:""`

	File string `arg:"" type:"existingfile" help:"The file."`
}

func (c *importJSONCommand) Run(ctx context.Context) error {
	return runImport(ctx, c.importFlags, importer.SeedJSON(c.File))
}

type importShelvesCommand struct {
	workFlags `embed:""`

	File   string `arg:"" type:"existingfile" help:"The file."`
	Reader int32  `required:"" placeholder:"N" help:"Number of the reader whose shelves the books come onto."`
}

func (importShelvesCommand) Help() string {
	return "Which site the file is from shows in its columns. A book is found by any of its ISBNs, or else by its title and an author: " +
		"subtitles, a series in brackets, articles, initials and accents make no difference, and where two books may be meant, none is taken. " +
		"Every row that is not taken, or not as it is, is printed with its line. The same file imported again changes nothing."
}

func (c *importShelvesCommand) Run(ctx context.Context) error {
	f, err := os.Open(c.File)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	defer f.Close()
	name := filepath.Base(c.File)
	file, err := importer.ReadShelves(name, f)
	if err != nil {
		return fmt.Errorf("import %s: %w", name, err)
	}
	return withServices(ctx, c.workFlags, func(ctx context.Context, _ *chassis.App, clients *peers.Peers) error {
		target := importer.Target{Catalog: clients.Catalog, Readers: clients.Readers}
		done, err := importer.ImportShelves(ctx, target, c.Reader, name, file)
		if done != nil {
			fmt.Print(done)
		}
		if err != nil {
			return fmt.Errorf("import: %w; import the file again to go on: nothing is recorded twice", err)
		}
		return nil
	})
}

type importDemoCommand struct {
	importFlags `embed:""`
}

func (c *importDemoCommand) Run(ctx context.Context) error {
	return runImport(ctx, c.importFlags, importer.Demo(demoReaders, demoSeed))
}

func runImport(ctx context.Context, f importFlags, source importer.Source) (err error) {
	options := importer.Options{Checkpoint: f.Checkpoint}
	if f.Report != "" {
		file, failed := os.Create(f.Report)
		if failed != nil {
			return fmt.Errorf("write the report: %w", failed)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		options.Findings = file
	}
	return withServices(ctx, f.workFlags, func(ctx context.Context, _ *chassis.App, clients *peers.Peers) error {
		bars := newProgress(os.Stderr)
		target := importer.Target{Catalog: clients.Catalog, Readers: clients.Readers}
		options.Progress = bars.report
		report, err := importer.Load(ctx, target, source, options)
		bars.Close()
		if err == nil || report.Begun() {
			fmt.Print(report)
		}
		if err != nil {
			return err
		}
		fmt.Println("\nNext: 'octavo train' learns from it.")
		return nil
	})
}
