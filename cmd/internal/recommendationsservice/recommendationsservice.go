// Package recommendationsservice wires the recommendations service into a
// chassis.App. The program recommendations and octavo share it.
package recommendationsservice

import (
	"fmt"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/internal/modelstore"
	"github.com/octavo-books/octavo/internal/recommendations"
)

// Flags are the settings of the recommendations program.
type Flags struct {
	Addr        string `aliases:"recommendations-addr" env:"OCTAVO_RECOMMENDATIONS_ADDR" default:"127.0.0.1:50051" help:"Address to listen on (${env})."`
	CatalogAddr string `env:"OCTAVO_CATALOG_ADDR" default:"127.0.0.1:50052" help:"Address of the catalog service (${env})."`
	ReadersAddr string `env:"OCTAVO_READERS_ADDR" default:"127.0.0.1:50053" help:"Address of the readers service (${env})."`
	Models      string `name:"models-dir" env:"OCTAVO_MODELS_DIR" default:"octavo-data/models" type:"path" help:"Folder of the published models (${env})."`

	chassis.Flags `embed:""`
}

// Add adds the recommendations service, listening on addr, over
// the model folder at models. It returns the address it listens on.
func Add(app *chassis.App, addr, models string, clients *peers.Peers) (string, error) {
	store, err := modelstore.Open(models)
	if err != nil {
		return "", fmt.Errorf("open model folder: %w", err)
	}
	server := recommendations.New(recommendations.Config{
		Catalog: clients.Catalog,
		Readers: clients.Readers,
		Models:  store,
		Log:     app.Log(),
		Metrics: app.Metrics(),
	})
	app.Go("recommendations", server.Run)
	listening, err := app.GRPC("recommendations", addr, server.Ready, server.Register)
	if err != nil {
		return "", err
	}
	return listening.String(), nil
}
