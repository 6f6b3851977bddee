// Command readers runs the readers service by itself.
package main

import (
	"context"
	"os"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/program"
	"github.com/octavo-books/octavo/cmd/internal/readersservice"
)

type flags struct{ readersservice.Flags }

func (f *flags) Run(ctx context.Context) error {
	app, err := chassis.New("readers", program.Version(), f.Flags.Flags, os.Stderr)
	if err != nil {
		return err
	}
	if _, err := readersservice.Add(ctx, app, f.Addr, f.Database); err != nil {
		return err
	}
	return app.Run(ctx)
}

func main() {
	os.Exit(program.Main("readers", "The readers of Octavo: who they are, their shelves, and the log of what they do, over gRPC.", "127.0.0.1:9093", &flags{}))
}
