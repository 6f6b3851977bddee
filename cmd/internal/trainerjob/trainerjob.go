// Package trainerjob wires the trainer: its clients and its model folder. The
// program trainer and octavo share it.
package trainerjob

import (
	"context"
	"fmt"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/internal/modelstore"
	"github.com/octavo-books/octavo/internal/recommender"
	"github.com/octavo-books/octavo/internal/trainer"
)

// Flags are the settings of the trainer program.
type Flags struct {
	CatalogAddr string `env:"OCTAVO_CATALOG_ADDR" default:"127.0.0.1:50052" help:"Address of the catalog service (${env})."`
	ReadersAddr string `env:"OCTAVO_READERS_ADDR" default:"127.0.0.1:50053" help:"Address of the readers service (${env})."`
	Models      string `name:"models-dir" env:"OCTAVO_MODELS_DIR" default:"octavo-data/models" type:"path" help:"Folder to publish the model in (${env})."`

	chassis.Flags `embed:""`
}

// Run trains one model from the feeds of the peers and publishes it in the
// folder at models. Progress may be nil.
func Run(ctx context.Context, app *chassis.App, models string, clients *peers.Peers, progress recommender.Progress) (trainer.Result, error) {
	store, err := modelstore.Open(models)
	if err != nil {
		return trainer.Result{}, fmt.Errorf("open model folder: %w", err)
	}
	return trainer.Run(ctx, trainer.Config{
		Catalog:  clients.Catalog,
		Readers:  clients.Readers,
		Models:   store,
		Log:      app.Log(),
		Progress: progress,
	})
}
