// Command marketplace runs the storefront by itself.
package main

import (
	"context"
	"os"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/marketplaceservice"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/cmd/internal/program"
)

type flags struct{ marketplaceservice.Flags }

func (f *flags) Run(ctx context.Context) error {
	app, err := chassis.New("marketplace", program.Version(), f.Flags.Flags, os.Stderr)
	if err != nil {
		return err
	}
	key, err := marketplaceservice.SessionKey(f.SessionKeyFile)
	if err != nil {
		return err
	}
	clients, err := peers.Dial(app, peers.Addresses{Catalog: f.CatalogAddr, Readers: f.ReadersAddr, Recommendations: f.RecommendationsAddr})
	if err != nil {
		return err
	}
	if _, err := marketplaceservice.Add(app, f.Addr, program.Version(), key, clients); err != nil {
		return err
	}
	return app.Run(ctx)
}

func main() {
	os.Exit(program.Main("marketplace", "The storefront of Octavo, for browsers.", "127.0.0.1:9094", &flags{}))
}
