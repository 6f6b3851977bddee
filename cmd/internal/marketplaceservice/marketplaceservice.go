// Package marketplaceservice wires the storefront into a chassis.App. The
// program marketplace and octavo share it.
package marketplaceservice

import (
	"fmt"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/internal/marketplace"
)

// Flags are the settings of the marketplace program.
type Flags struct {
	Addr                string `aliases:"http-addr" env:"OCTAVO_HTTP_ADDR" default:"127.0.0.1:8080" help:"Address to listen on for browsers (${env})."`
	CatalogAddr         string `env:"OCTAVO_CATALOG_ADDR" default:"127.0.0.1:50052" help:"Address of the catalog service (${env})."`
	ReadersAddr         string `env:"OCTAVO_READERS_ADDR" default:"127.0.0.1:50053" help:"Address of the readers service (${env})."`
	RecommendationsAddr string `env:"OCTAVO_RECOMMENDATIONS_ADDR" default:"127.0.0.1:50051" help:"Address of the recommendations service (${env})."`
	SessionKeyFile      string `env:"OCTAVO_SESSION_KEY_FILE" default:"octavo-data/session.key" type:"path" help:"File with the key that signs visitors' cookies, made when missing. All replicas need the same (${env})."`

	chassis.Flags `embed:""`
}

// Add adds the storefront, listening on addr. It returns the address
// it listens on.
func Add(app *chassis.App, addr, version string, sessionKey []byte, clients *peers.Peers) (string, error) {
	handler, err := marketplace.New(marketplace.Config{
		Catalog:         clients.Catalog,
		Readers:         clients.Readers,
		Recommendations: clients.Recommendations,
		SessionKey:      sessionKey,
		Log:             app.Log(),
		Metrics:         app.Metrics(),
		Version:         version,
	})
	if err != nil {
		return "", fmt.Errorf("make the storefront: %w", err)
	}
	listening, err := app.HTTP("http", addr, handler)
	if err != nil {
		return "", err
	}
	return listening.String(), nil
}
