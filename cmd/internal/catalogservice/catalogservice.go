// Package catalogservice wires the catalog service into a chassis.App: its
// store and its server. The program catalog and octavo share it.
package catalogservice

import (
	"context"
	"fmt"
	"net"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/program"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	"github.com/octavo-books/octavo/internal/catalog"
	"github.com/octavo-books/octavo/internal/catalog/postgres"
	"github.com/octavo-books/octavo/internal/catalog/sqlite"
	"github.com/octavo-books/octavo/internal/postgresdb"
)

// access says who may call what: the storefront reads, recommendations and the
// trainer follow the feed, and octavo brings books in.
var access = chassis.Access{
	catalogv1.CatalogService_GetBook_FullMethodName:        {"marketplace", "octavo"},
	catalogv1.CatalogService_BatchGetBooks_FullMethodName:  {"marketplace", "octavo"},
	catalogv1.CatalogService_ListBooks_FullMethodName:      {"marketplace", "octavo"},
	catalogv1.CatalogService_ListCategories_FullMethodName: {"marketplace", "octavo"},
	catalogv1.CatalogService_SearchBooks_FullMethodName:    {"marketplace", "octavo"},
	catalogv1.CatalogService_SuggestBooks_FullMethodName:   {"marketplace", "octavo"},
	catalogv1.CatalogService_MatchBooks_FullMethodName:     {"marketplace", "octavo"},
	catalogv1.CatalogService_WatchBooks_FullMethodName:     {"recommendations", "trainer", "octavo"},
	catalogv1.CatalogService_SetPopularity_FullMethodName:  {"trainer", "octavo"},
	catalogv1.CatalogService_ImportBooks_FullMethodName:    {"octavo"},
}

// Service is the catalog service with its settings.
type Service struct {
	Addr     string `aliases:"catalog-addr" env:"OCTAVO_CATALOG_ADDR" default:"127.0.0.1:50052" group:"addresses" help:"Address to listen on (${env})."`
	Database string `name:"db" env:"OCTAVO_CATALOG_DB" default:"octavo-data/catalog.db" type:"path" group:"data" help:"SQLite database of the books, made when missing (${env})."`

	DatabaseURLFile string `name:"database-url-file" env:"OCTAVO_CATALOG_DATABASE_URL_FILE" type:"path" placeholder:"FILE" group:"data" help:"File with the URL of a PostgreSQL database, to use in place of SQLite: postgres://user:password@host:5432/database (${env})."`
}

type store interface {
	catalog.Store
	Close() error
}

func (s *Service) open(ctx context.Context) (store, error) {
	if s.DatabaseURLFile == "" {
		return sqlite.Open(ctx, s.Database)
	}
	url, err := program.DatabaseURL(s.DatabaseURLFile)
	if err != nil {
		return nil, err
	}
	return postgres.Open(ctx, string(url.Reveal()))
}

// Add adds the service, over its database, to the app. It returns the address
// it listens on.
func (s *Service) Add(ctx context.Context, app *chassis.App) (net.Addr, error) {
	store, err := s.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("open catalog database: %w", err)
	}
	app.OnClose("catalog database", store.Close)
	server := catalog.NewServer(store, app.Log())
	server.Measure(app.Metrics())
	app.Go("catalog", server.Run)
	app.ReadyWhen("search", server.Ready)
	app.Allow(access)
	app.Background(catalogv1.CatalogService_ImportBooks_FullMethodName, catalogv1.CatalogService_SetPopularity_FullMethodName)
	return app.GRPC("catalog", s.Addr, nil, server.Register)
}

// Check tries what Add needs.
func (s *Service) Check(r *program.Report) {
	r.GRPC("--addr", "catalog", s.Addr)
	if s.DatabaseURLFile == "" {
		r.File("--db", s.Database, program.SQLite(s.Database))
		return
	}
	s.CheckURL(r, "--database-url-file")
}

// CheckURL tries the database that a flag names a file for.
func (s *Service) CheckURL(r *program.Report, flag string) {
	url, err := program.DatabaseURL(s.DatabaseURLFile)
	if err == nil {
		err = postgresdb.Try(context.Background(), string(url.Reveal()))
	}
	r.Tried(flag, "the database answers", err)
}
