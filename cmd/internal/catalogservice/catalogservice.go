// Package catalogservice wires the catalog service into a chassis.App: its
// store and its server. The program catalog and octavo share it.
package catalogservice

import (
	"context"
	"fmt"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/internal/catalog"
	"github.com/octavo-books/octavo/internal/catalog/sqlite"
)

// Flags are the settings of the catalog program.
type Flags struct {
	Addr     string `aliases:"catalog-addr" env:"OCTAVO_CATALOG_ADDR" default:"127.0.0.1:50052" help:"Address to listen on (${env})."`
	Database string `name:"db" env:"OCTAVO_CATALOG_DB" default:"octavo-data/catalog.db" type:"path" help:"SQLite database of the books, made when missing (${env})."`

	chassis.Flags `embed:""`
}

// Add adds the catalog service, listening on addr, over the database at
// path. It returns the address it listens on.
func Add(ctx context.Context, app *chassis.App, addr, path string) (string, error) {
	store, err := sqlite.Open(ctx, path)
	if err != nil {
		return "", fmt.Errorf("open catalog database: %w", err)
	}
	app.OnClose("catalog database", store.Close)
	server := catalog.NewServer(store, app.Log())
	app.Go("catalog", server.Run)
	listening, err := app.GRPC("catalog", addr, nil, server.Register)
	if err != nil {
		return "", err
	}
	return listening.String(), nil
}
