package main

import (
	"context"
	"errors"
	"os"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/catalogservice"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/cmd/internal/program"
	"github.com/octavo-books/octavo/cmd/internal/readersservice"
)

// withServices runs work with clients of the catalog and the readers of a data
// folder: those of the octavo that is serving the folder, or, when none is, of
// services started here for as long as the work takes.
func withServices(ctx context.Context, dataDir string, work func(context.Context, *chassis.App, *peers.Peers) error) error {
	app, err := chassis.New("octavo", program.Version(), chassis.Flags{LogLevel: "warn", LogFormat: "auto"}, os.Stderr)
	if err != nil {
		return err
	}
	at, err := attach(ctx, app, dataDir)
	if err != nil {
		return errors.Join(err, app.Close())
	}
	clients, err := peers.Dial(app, at)
	if err != nil {
		return errors.Join(err, app.Close())
	}
	return program.Job(ctx, app, func(ctx context.Context) error { return work(ctx, app, clients) })
}

func attach(ctx context.Context, app *chassis.App, dataDir string) (peers.Addresses, error) {
	folder, err := openDataFolder(dataDir)
	if errors.Is(err, errFolderInUse) {
		return runningIn(dataDir)
	}
	if err != nil {
		return peers.Addresses{}, err
	}
	app.OnClose("data folder", folder.Close)
	books, err := (&catalogservice.Service{Addr: "127.0.0.1:0", Database: folder.catalogDB()}).Add(ctx, app)
	if err != nil {
		return peers.Addresses{}, err
	}
	people, err := (&readersservice.Service{Addr: "127.0.0.1:0", Database: folder.readersDB()}).Add(ctx, app)
	if err != nil {
		return peers.Addresses{}, err
	}
	return peers.Addresses{Catalog: books.String(), Readers: people.String()}, nil
}
