package main

import (
	"context"
	"errors"
	"os"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/chassis/overload"
	"github.com/octavo-books/octavo/cmd/internal/catalogservice"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/cmd/internal/program"
	"github.com/octavo-books/octavo/cmd/internal/readersservice"
)

// withServices runs work with clients of the catalog and the readers: those that
// addresses were given for, or those of a data folder. These are the ones of the
// octavo that is serving the folder, or, when none is, of services started here
// for as long as the work takes.
func withServices(ctx context.Context, f workFlags, work func(context.Context, *chassis.App, *peers.Peers) error) error {
	at := peers.Addresses{Catalog: f.CatalogAddr, Readers: f.ReadersAddr}
	var folder *dataFolder // opened when the services are started here
	if at.Catalog == "" {
		var err error
		folder, err = openDataFolder(f.DataDir)
		if errors.Is(err, errFolderInUse) {
			at, err = runningIn(f.DataDir)
		}
		if err != nil {
			return err
		}
	}
	flags := chassis.Flags{LogLevel: "warn", LogFormat: "auto"}
	if folder == nil {
		flags.TLS = f.TLS // what is started here is for this process alone
	}
	app, err := chassis.New("octavo", program.Version(), flags, os.Stderr)
	if err != nil {
		if folder != nil {
			err = errors.Join(err, folder.Close())
		}
		return err
	}
	if folder != nil {
		app.OnClose("data folder", folder.Close)
		if at, err = startServices(ctx, app, folder, f.databaseFlags); err != nil {
			return errors.Join(err, app.Close())
		}
	}
	clients, err := peers.Dial(app, at)
	if err != nil {
		return errors.Join(err, app.Close())
	}
	return program.Job(ctx, app, func(ctx context.Context) error {
		return work(overload.WithPriority(ctx, overload.Background), app, clients)
	})
}

func startServices(ctx context.Context, app *chassis.App, folder *dataFolder, f databaseFlags) (peers.Addresses, error) {
	books, err := (&catalogservice.Service{Addr: "127.0.0.1:0", Database: folder.catalogDB(), DatabaseURLFile: f.CatalogDatabaseURLFile}).Add(ctx, app)
	if err != nil {
		return peers.Addresses{}, err
	}
	people, err := (&readersservice.Service{Addr: "127.0.0.1:0", Database: folder.readersDB(), DatabaseURLFile: f.ReadersDatabaseURLFile}).Add(ctx, app)
	if err != nil {
		return peers.Addresses{}, err
	}
	return peers.Addresses{Catalog: books.String(), Readers: people.String()}, nil
}
