package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/catalogservice"
	"github.com/octavo-books/octavo/cmd/internal/marketplaceservice"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/cmd/internal/program"
	"github.com/octavo-books/octavo/cmd/internal/readersservice"
	"github.com/octavo-books/octavo/cmd/internal/recommendationsservice"
)

type serveCommand struct{ serveFlags }

// Run composes the same constructors as the single programs over real gRPC.
func (c *serveCommand) Run(ctx context.Context) error {
	folder, err := openDataFolder(c.DataDir)
	if err != nil {
		return err
	}
	app, err := chassis.New("octavo", program.Version(), c.Flags, os.Stderr)
	if err != nil {
		return errors.Join(err, folder.Close())
	}
	app.OnClose("data folder", folder.Close)
	at, clients, err := c.compose(ctx, app, folder)
	if err != nil {
		return errors.Join(err, app.Close())
	}
	app.Go("first start", func(ctx context.Context) error {
		if err := c.prepare(ctx, app, folder, clients); err != nil {
			return err
		}
		if err := c.announce(folder, at, os.Stdout); err != nil {
			return err
		}
		return newRenewer(app, folder, clients).run(ctx, c.TrainEvery, c.RefreshEvery)
	})
	return app.Run(ctx)
}

// compose adds every service. Each is dialled at the address it really got, so
// that port 0 works.
func (c *serveCommand) compose(ctx context.Context, app *chassis.App, folder *dataFolder) (peers.Addresses, *peers.Peers, error) {
	var at peers.Addresses
	fail := func(err error) (peers.Addresses, *peers.Peers, error) { return at, nil, err }
	var err error
	if at.Catalog, err = catalogservice.Add(ctx, app, c.CatalogAddr, folder.catalogDB()); err != nil {
		return fail(err)
	}
	if at.Readers, err = readersservice.Add(ctx, app, c.ReadersAddr, folder.readersDB()); err != nil {
		return fail(err)
	}
	feeds, err := peers.Dial(app, peers.Addresses{Catalog: at.Catalog, Readers: at.Readers})
	if err != nil {
		return fail(err)
	}
	if at.Recommendations, err = recommendationsservice.Add(app, c.RecommendationsAddr, folder.models(), feeds); err != nil {
		return fail(err)
	}
	clients, err := peers.Dial(app, peers.Addresses{Catalog: at.Catalog, Readers: at.Readers, Recommendations: at.Recommendations})
	if err != nil {
		return fail(err)
	}
	key, err := marketplaceservice.SessionKey(folder.sessionKey())
	if err != nil {
		return fail(err)
	}
	if at.HTTP, err = marketplaceservice.Add(app, c.HTTPAddr, program.Version(), key, clients); err != nil {
		return fail(err)
	}
	at.Admin = app.AdminAddr()
	return at, clients, nil
}

// announce prints the addresses once all of them answer.
func (c *serveCommand) announce(folder *dataFolder, at peers.Addresses, out io.Writer) error {
	if err := folder.publishAddresses(at); err != nil {
		return err
	}
	if c.AddressesFile != "" {
		if err := writeAddresses(c.AddressesFile, at); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, `Octavo is ready.

  storefront        http://%s
  recommendations   %s  (gRPC)
  catalog           %s  (gRPC)
  readers           %s  (gRPC)
  admin             http://%s  (metrics, health)

  data folder       %s
  stop with Ctrl-C
`, at.HTTP, at.Recommendations, at.Catalog, at.Readers, at.Admin, folder.path)
	return err
}
