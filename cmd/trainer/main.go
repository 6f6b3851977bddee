// Command trainer trains a model from the feeds of catalog and readers,
// publishes it if it is good enough, and ends.
package main

import (
	"context"
	"os"

	"github.com/alecthomas/kong"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/chassis/overload"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/cmd/internal/program"
	"github.com/octavo-books/octavo/cmd/internal/trainerjob"
)

type flags struct {
	trainerjob.Flags
	program.CheckFlag
}

func (f *flags) Run(ctx context.Context, k *kong.Context) error {
	if f.CheckConfig {
		return program.Check(os.Stdout, k, f.Chassis, func(r *program.Report) {
			r.Peer("--catalog-addr", f.CatalogAddr)
			r.Peer("--readers-addr", f.ReadersAddr)
			f.Place().Check(r, "--models", "--models-cache")
		})
	}
	app, err := chassis.New("trainer", program.Version(), f.Chassis, os.Stderr)
	if err != nil {
		return err
	}
	clients, err := peers.Dial(app, peers.Addresses{Catalog: f.CatalogAddr, Readers: f.ReadersAddr})
	if err != nil {
		return err
	}
	return program.Job(ctx, app, func(ctx context.Context) error {
		ctx = overload.WithPriority(ctx, overload.Background)
		result, err := trainerjob.Run(ctx, app, f.Place(), clients, f.Mode, nil)
		return trainerjob.Print(os.Stdout, f.Mode, result, err)
	})
}

func main() {
	os.Exit(program.Main("trainer", "Trains a model from the feeds of catalog and readers, publishes it if it is good enough, and ends.", "", &flags{}))
}
