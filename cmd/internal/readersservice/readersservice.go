// Package readersservice wires the readers service into a chassis.App: its
// store and its server. The program readers and octavo share it.
package readersservice

import (
	"context"
	"fmt"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/sqlite"
)

// Flags are the settings of the readers program.
type Flags struct {
	Addr     string `aliases:"readers-addr" env:"OCTAVO_READERS_ADDR" default:"127.0.0.1:50053" help:"Address to listen on (${env})."`
	Database string `name:"db" env:"OCTAVO_READERS_DB" default:"octavo-data/readers.db" type:"path" help:"SQLite database of the readers and their log, made when missing (${env})."`

	chassis.Flags `embed:""`
}

// Add adds the readers service, listening on addr, over the database at
// path. It returns the address it listens on.
func Add(ctx context.Context, app *chassis.App, addr, path string) (string, error) {
	store, err := sqlite.Open(ctx, path)
	if err != nil {
		return "", fmt.Errorf("open readers database: %w", err)
	}
	app.OnClose("readers database", store.Close)
	server := readers.NewServer(store, app.Log())
	app.Go("readers", server.Run)
	listening, err := app.GRPC("readers", addr, nil, server.Register)
	if err != nil {
		return "", err
	}
	return listening.String(), nil
}
