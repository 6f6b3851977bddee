// Package catalogservice wires the catalog service into a chassis.App: its
// store and its server. The program catalog and octavo share it.
package catalogservice

import (
	"context"
	"fmt"
	"net"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/internal/catalog"
	"github.com/octavo-books/octavo/internal/catalog/sqlite"
)

// Service is the catalog service with its settings.
type Service struct {
	Addr     string `aliases:"catalog-addr" env:"OCTAVO_CATALOG_ADDR" default:"127.0.0.1:50052" help:"Address to listen on (${env})."`
	Database string `name:"db" env:"OCTAVO_CATALOG_DB" default:"octavo-data/catalog.db" type:"path" help:"SQLite database of the books, made when missing (${env})."`
}

// Add adds the service, over its database, to the app. It returns the address
// it listens on.
func (s *Service) Add(ctx context.Context, app *chassis.App) (net.Addr, error) {
	store, err := sqlite.Open(ctx, s.Database)
	if err != nil {
		return nil, fmt.Errorf("open catalog database: %w", err)
	}
	app.OnClose("catalog database", store.Close)
	server := catalog.NewServer(store, app.Log())
	app.Go("catalog", server.Run)
	return app.GRPC("catalog", s.Addr, nil, server.Register)
}
