package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/models"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/importer"
	"github.com/octavo-books/octavo/internal/modelstore"
)

const (
	demoReaders = 2000
	demoSeed    = 1
	// modelPatience is how long a model that was published before may take to
	// be verified and taken up, until a new one is trained in its place.
	modelPatience = 10 * time.Second
)

// prepare fills an empty folder with the demo library, trains the first model,
// and waits until the recommendations answer.
func (c *serveCommand) prepare(ctx context.Context, app *chassis.App, folder *dataFolder, clients *peers.Peers) error {
	if c.Demo {
		if err := importDemo(ctx, app, folder, clients); err != nil {
			return fmt.Errorf("import the demo library: %w", err)
		}
	}
	if err := app.WaitReady(ctx); err != nil {
		return err
	}
	have, err := haveModel(ctx, c.place(c.DataDir), clients.Recommendations)
	if have || err != nil {
		return err
	}
	err = train(ctx, app, c.place(c.DataDir), clients)
	switch {
	case err == nil:
		_, err = waitForModel(ctx, clients.Recommendations, modelPatience)
		return err
	case fault.KindOf(err) == fault.Conflict:
		app.Log().Warn("there is no model yet; books are ranked by popularity", slog.Any("error", err))
		return nil
	default:
		return err
	}
}

// importDemo imports the demo library when there are no books, or when an
// import of it was cut off, which a mark in the folder tells.
func importDemo(ctx context.Context, app *chassis.App, folder *dataFolder, clients *peers.Peers) error {
	books, err := clients.Catalog.ListBooks(ctx, &catalogv1.ListBooksRequest{PageSize: 1})
	if err != nil {
		return err
	}
	if _, err := os.Stat(folder.demoMark()); len(books.GetBooks()) > 0 && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.WriteFile(folder.demoMark(), nil, 0o600); err != nil {
		return err
	}
	target := importer.Target{Catalog: clients.Catalog, Readers: clients.Readers}
	report, err := importer.Load(ctx, target, importer.Demo(demoReaders, demoSeed), importer.Options{})
	if err != nil {
		return err
	}
	app.Log().Info("imported the demo library", "books", report.Books.Imported, "simulated_readers", report.Readers.Imported, "interactions", report.Interactions.Imported)
	return os.Remove(folder.demoMark())
}

// haveModel reports whether the service answers from a model, or will: one that
// was published is given time to be taken up.
func haveModel(ctx context.Context, place models.Place, client recommendationsv1.RecommendationsServiceClient) (bool, error) {
	store, _, err := place.Open(nil)
	if err != nil {
		return false, err
	}
	if _, _, err := store.Current(ctx); errors.Is(err, modelstore.ErrNone) {
		return false, nil
	}
	return waitForModel(ctx, client, modelPatience)
}

// waitForModel reports whether the service takes up a model in time.
func waitForModel(ctx context.Context, client recommendationsv1.RecommendationsServiceClient, patience time.Duration) (bool, error) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		model, err := client.GetModel(ctx, &recommendationsv1.GetModelRequest{})
		if err == nil && model.GetModelVersion() != "" {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-timeout.C:
			return false, nil
		case <-ticker.C:
		}
	}
}
