package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/catalogservice"
	"github.com/octavo-books/octavo/cmd/internal/marketplaceservice"
	"github.com/octavo-books/octavo/cmd/internal/models"
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
		return newRenewer(app, c.place(c.DataDir), clients).run(ctx, c.TrainEvery, c.RefreshEvery)
	})
	return app.Run(ctx)
}

// compose adds every service. Each is dialled at the address it really got, so
// that port 0 works.
func (c *serveCommand) compose(ctx context.Context, app *chassis.App, folder *dataFolder) (peers.Addresses, *peers.Peers, error) {
	var failure error
	add := func(s program.Service) string {
		if failure != nil {
			return ""
		}
		var addr net.Addr
		if addr, failure = s.Add(ctx, app); failure != nil {
			return ""
		}
		return addr.String()
	}
	at := peers.Addresses{Admin: app.AdminAddr()}
	at.Catalog = add(&catalogservice.Service{Addr: c.CatalogAddr, Database: folder.catalogDB(), DatabaseURLFile: c.CatalogDatabaseURLFile})
	at.Readers = add(&readersservice.Service{Addr: c.ReadersAddr, Database: folder.readersDB(), DatabaseURLFile: c.ReadersDatabaseURLFile})
	place := c.place(c.DataDir)
	at.Recommendations = add(&recommendationsservice.Service{Addr: c.RecommendationsAddr, CatalogAddr: at.Catalog, ReadersAddr: at.Readers, Flags: models.Flags{Models: place.Models, Cache: place.Cache, S3: place.S3}, Memory: c.Memory})
	at.HTTP = add(&marketplaceservice.Service{Addr: c.HTTPAddr, CatalogAddr: at.Catalog, ReadersAddr: at.Readers, RecommendationsAddr: at.Recommendations, SessionKeyFile: folder.sessionKey(), TLSDir: c.HTTPTLSDir, Access: c.Access})
	if failure != nil {
		return at, nil, failure
	}
	clients, err := peers.Dial(app, at)
	return at, clients, err
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
	var text strings.Builder
	line := func(what, where string) { fmt.Fprintf(&text, "  %-16s  %s\n", what, where) }
	text.WriteString("Octavo is ready.\n\n")
	line("storefront", scheme(c.HTTPTLSDir != "")+at.HTTP)
	line("recommendations", at.Recommendations+"  (gRPC)")
	line("catalog", at.Catalog+"  (gRPC)")
	line("readers", at.Readers+"  (gRPC)")
	if at.Admin != "" {
		line("admin", scheme(c.AdminTLS)+at.Admin+"  (metrics, health)")
	}
	text.WriteString("\n")
	line("data folder", folder.path)
	text.WriteString("  stop with Ctrl-C\n")
	_, err := io.WriteString(out, text.String())
	return err
}

func scheme(secure bool) string {
	if secure {
		return "https://"
	}
	return "http://"
}
