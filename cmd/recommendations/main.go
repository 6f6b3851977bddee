// Command recommendations runs the recommendations service by itself.
package main

import (
	"context"
	"os"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/cmd/internal/program"
	"github.com/octavo-books/octavo/cmd/internal/recommendationsservice"
)

type flags struct{ recommendationsservice.Flags }

func (f *flags) Run(ctx context.Context) error {
	app, err := chassis.New("recommendations", program.Version(), f.Flags.Flags, os.Stderr)
	if err != nil {
		return err
	}
	clients, err := peers.Dial(app, peers.Addresses{Catalog: f.CatalogAddr, Readers: f.ReadersAddr})
	if err != nil {
		return err
	}
	if _, err := recommendationsservice.Add(app, f.Addr, f.Models, clients); err != nil {
		return err
	}
	return app.Run(ctx)
}

func main() {
	os.Exit(program.Main("recommendations", "The recommendations of Octavo: books chosen for a reader, with exact reasons, over gRPC.", "127.0.0.1:9091", &flags{}))
}
