// Package readersservice wires the readers service into a chassis.App: its
// store and its server. The program readers and octavo share it.
package readersservice

import (
	"context"
	"fmt"
	"net"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/sqlite"
)

// Service is the readers service with its settings.
type Service struct {
	Addr     string `aliases:"readers-addr" env:"OCTAVO_READERS_ADDR" default:"127.0.0.1:50053" help:"Address to listen on (${env})."`
	Database string `name:"db" env:"OCTAVO_READERS_DB" default:"octavo-data/readers.db" type:"path" help:"SQLite database of the readers and their log, made when missing (${env})."`
}

// Add adds the service, over its database, to the app. It returns the address
// it listens on.
func (s *Service) Add(ctx context.Context, app *chassis.App) (net.Addr, error) {
	store, err := sqlite.Open(ctx, s.Database)
	if err != nil {
		return nil, fmt.Errorf("open readers database: %w", err)
	}
	app.OnClose("readers database", store.Close)
	server := readers.NewServer(store, app.Log())
	app.Go("readers", server.Run)
	return app.GRPC("readers", s.Addr, nil, server.Register)
}
