// Command catalog runs the catalog service by itself.
package main

import (
	"context"
	"os"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/catalogservice"
	"github.com/octavo-books/octavo/cmd/internal/program"
)

type flags struct{ catalogservice.Flags }

func (f *flags) Run(ctx context.Context) error {
	app, err := chassis.New("catalog", program.Version(), f.Flags.Flags, os.Stderr)
	if err != nil {
		return err
	}
	if _, err := catalogservice.Add(ctx, app, f.Addr, f.Database); err != nil {
		return err
	}
	return app.Run(ctx)
}

func main() {
	os.Exit(program.Main("catalog", "The catalog of Octavo: books, search, import, and the feed of their changes, over gRPC.", "127.0.0.1:9092", &flags{}))
}
