// Package recommendationsservice wires the recommendations service into a
// chassis.App. The program recommendations and octavo share it.
package recommendationsservice

import (
	"context"
	"net"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/models"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/cmd/internal/program"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
	"github.com/octavo-books/octavo/internal/recommendations"
)

// access says who may call what. Programs of others, which share the identity
// client, have the contract without reasons: reasons tell what a reader has read.
var access = chassis.Access{
	recommendationspb.Recommendations_Recommend_FullMethodName:             {"client", "octavo"},
	recommendationsv1.RecommendationsService_Recommend_FullMethodName:      {"marketplace", "octavo"},
	recommendationsv1.RecommendationsService_BatchRecommend_FullMethodName: {"marketplace", "octavo"},
	recommendationsv1.RecommendationsService_SimilarBooks_FullMethodName:   {"marketplace", "octavo"},
	recommendationsv1.RecommendationsService_GetModel_FullMethodName:       {"marketplace", "octavo"},
}

// Service is the recommendations service with its settings.
type Service struct {
	Addr        string `aliases:"recommendations-addr" env:"OCTAVO_RECOMMENDATIONS_ADDR" default:"127.0.0.1:50051" group:"addresses" help:"Address to listen on (${env})."`
	CatalogAddr string `env:"OCTAVO_CATALOG_ADDR" default:"127.0.0.1:50052" group:"addresses" help:"Address of the catalog service (${env})."`
	ReadersAddr string `env:"OCTAVO_READERS_ADDR" default:"127.0.0.1:50053" group:"addresses" help:"Address of the readers service (${env})."`

	models.Flags `embed:""`
	Memory       `embed:""`
}

// Memory is how much of it the service may use for what it could compute again.
type Memory struct {
	KeptMemory int64 `name:"kept-rankings-mib" env:"OCTAVO_KEPT_RANKINGS_MIB" default:"64" group:"data" help:"Most memory, in MiB, of the rankings kept for readers who come back; 0 for none (${env})."`
}

// Add adds the service, over its models, to the app. It returns the
// address it listens on.
func (s *Service) Add(_ context.Context, app *chassis.App) (net.Addr, error) {
	clients, err := peers.Dial(app, peers.Addresses{Catalog: s.CatalogAddr, Readers: s.ReadersAddr})
	if err != nil {
		return nil, err
	}
	store, _, err := s.Place().Open(app.Metrics())
	if err != nil {
		return nil, err
	}
	server := recommendations.New(recommendations.Config{
		Catalog:    clients.Catalog,
		Readers:    clients.Readers,
		Models:     store,
		ModelsPoll: s.Place().Poll(),
		Log:        app.Log(),
		Metrics:    app.Metrics(),
		KeptMemory: max(s.KeptMemory, 0) << 20,
	})
	app.Go("recommendations", server.Run)
	app.Allow(access)
	app.Background(recommendationsv1.RecommendationsService_BatchRecommend_FullMethodName)
	return app.GRPC("recommendations", s.Addr, server.Ready, server.Register)
}

// Check tries what Add needs.
func (s *Service) Check(r *program.Report) {
	r.GRPC("--addr", "recommendations", s.Addr)
	r.Peer("--catalog-addr", s.CatalogAddr)
	r.Peer("--readers-addr", s.ReadersAddr)
	s.Place().Check(r, "--models", "--models-cache")
}
