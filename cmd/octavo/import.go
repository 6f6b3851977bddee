package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/internal/importer"
)

type importCommand struct {
	Goodbooks importGoodbooksCommand `cmd:"" help:"A folder of goodbooks-10k: books.csv with ratings.csv or train.tsv."`
	CSV       importCSVCommand       `cmd:"" name:"csv" help:"CSV files of books and of what readers did."`
	JSON      importJSONCommand      `cmd:"" name:"json" help:"Books from a JSON object of categories and their titles."`
	Demo      importDemoCommand      `cmd:"" help:"The demo library with its simulated readers."`
}

type importGoodbooksCommand struct {
	workFlags `embed:""`

	Dir string `arg:"" type:"existingdir" help:"The folder."`
}

func (c *importGoodbooksCommand) Run(ctx context.Context) error {
	return runImport(ctx, c.workFlags, importer.Goodbooks(c.Dir))
}

type importCSVCommand struct {
	workFlags `embed:""`

	Files  []string          `arg:"" name:"file" type:"existingfile" help:"Files with a header each: of books, or of what readers did. Which it is shows in the columns."`
	Source string            `default:"csv" help:"Name the records get. Files whose ids mean different things need different names."`
	Map    map[string]string `placeholder:"FIELD=COLUMN;..." help:"Columns with names of their own, such as title=Name."`
}

func (importCSVCommand) Help() string {
	return "Columns of books: " + strings.Join(importer.BookFields(), ", ") + "; title is needed. " +
		"Columns of what readers did: " + strings.Join(importer.InteractionFields(), ", ") + "; reader and book are needed. " +
		"Authors and tags are separated by ; or |. A malformed row is reported with its place, and the others are imported."
}

func (c *importCSVCommand) Run(ctx context.Context) error {
	return runImport(ctx, c.workFlags, importer.CSV(importer.CSVOptions{Source: c.Source, Map: c.Map}, c.Files...))
}

type importJSONCommand struct {
	workFlags `embed:""`

	File string `arg:"" type:"existingfile" help:"The file."`
}

func (c *importJSONCommand) Run(ctx context.Context) error {
	return runImport(ctx, c.workFlags, importer.SeedJSON(c.File))
}

type importDemoCommand struct {
	workFlags `embed:""`
}

func (c *importDemoCommand) Run(ctx context.Context) error {
	return runImport(ctx, c.workFlags, importer.Demo(demoReaders, demoSeed))
}

func runImport(ctx context.Context, f workFlags, source importer.Source) error {
	return withServices(ctx, f, func(ctx context.Context, _ *chassis.App, clients *peers.Peers) error {
		bars := newProgress(os.Stderr)
		target := importer.Target{Catalog: clients.Catalog, Readers: clients.Readers}
		report, err := importer.Load(ctx, target, source, importer.Options{Progress: bars.report})
		bars.Close()
		fmt.Print(report)
		if err != nil {
			return fmt.Errorf("import: %w", err)
		}
		fmt.Println("\nNext: 'octavo train' learns from it.")
		return nil
	})
}
