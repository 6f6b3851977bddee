// Package peers makes the clients by which services call one another.
//
// It makes no calls and imports no service.
package peers

import (
	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/chassis"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
)

// Peers are clients of the other services. One that was not dialled is nil.
type Peers struct {
	Catalog         catalogv1.CatalogServiceClient
	Readers         readersv1.ReadersServiceClient
	Accounts        readersv1.AccountsServiceClient
	Recommendations recommendationsv1.RecommendationsServiceClient
}

// Addresses say where services are. An empty one is not dialled.
type Addresses struct {
	HTTP            string `json:"http,omitempty"`
	Recommendations string `json:"recommendations,omitempty"`
	Catalog         string `json:"catalog,omitempty"`
	Readers         string `json:"readers,omitempty"`
	Admin           string `json:"admin,omitempty"`
}

// Dial makes clients of the gRPC services that have an address. Connections
// are made when the app runs and closed with it.
func Dial(app *chassis.App, at Addresses) (*Peers, error) {
	peers := &Peers{}
	for _, peer := range []struct {
		name, addr string
		set        func(*grpc.ClientConn)
	}{
		{"catalog", at.Catalog, func(c *grpc.ClientConn) { peers.Catalog = catalogv1.NewCatalogServiceClient(c) }},
		{"readers", at.Readers, func(c *grpc.ClientConn) {
			peers.Readers, peers.Accounts = readersv1.NewReadersServiceClient(c), readersv1.NewAccountsServiceClient(c)
		}},
		{"recommendations", at.Recommendations, func(c *grpc.ClientConn) {
			peers.Recommendations = recommendationsv1.NewRecommendationsServiceClient(c)
		}},
	} {
		if peer.addr == "" {
			continue
		}
		conn, err := app.Dial(peer.name, peer.addr)
		if err != nil {
			return nil, err
		}
		peer.set(conn)
	}
	return peers, nil
}
