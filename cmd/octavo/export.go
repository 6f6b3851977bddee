package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/internal/importer"
)

type exportCommand struct {
	Catalog exportCatalogCommand `cmd:"" help:"All books, to the terminal or a file."`
}

type exportCatalogCommand struct {
	workFlags `embed:""`

	Format string `enum:"csv,jsonl" default:"csv" help:"csv, which 'octavo import csv' reads and a spreadsheet can open safely, or jsonl: a book of the contract as JSON on each line."`
	Output string `short:"o" placeholder:"FILE" type:"path" help:"The file, made anew; the terminal when not given."`
}

func (c *exportCatalogCommand) Run(ctx context.Context) error {
	if err := c.needData(); err != nil {
		return err
	}
	return withServices(ctx, c.workFlags, func(ctx context.Context, _ *chassis.App, clients *peers.Peers) (err error) {
		out := io.Writer(os.Stdout)
		if c.Output != "" {
			file, failed := os.Create(c.Output)
			if failed != nil {
				return fmt.Errorf("export: %w", failed)
			}
			defer func() { err = errors.Join(err, file.Close()) }()
			out = file
		}
		buffered := bufio.NewWriter(out)
		n, err := importer.Export(ctx, clients.Catalog, importer.Format(c.Format), buffered)
		if err = errors.Join(err, buffered.Flush()); err != nil {
			return fmt.Errorf("export: %w", err)
		}
		fmt.Fprintf(os.Stderr, "%d books exported.\n", n)
		return nil
	})
}
