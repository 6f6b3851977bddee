// Package marketplaceservice wires the storefront into a chassis.App. The
// program marketplace and octavo share it.
package marketplaceservice

import (
	"context"
	"fmt"
	"net"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/cmd/internal/program"
	"github.com/octavo-books/octavo/internal/marketplace"
)

// Access are the settings on who comes in how.
type Access struct {
	DemoReaders    string `env:"OCTAVO_DEMO_READERS" default:"auto" enum:"auto,on,off" group:"access" help:"Whether anybody may read as a simulated or imported reader: on, off, or auto, which is until the first account is made (${env})."`
	PublicURL      string `env:"OCTAVO_PUBLIC_URL" group:"access" placeholder:"URL" help:"Where browsers find the storefront, such as https://books.example. Passkeys are for this host, and are off without it, except at localhost and the port served (${env})."`
	TrustedProxies int    `env:"OCTAVO_TRUSTED_PROXIES" default:"0" group:"access" help:"How many proxies of your own requests pass, each of which adds to X-Forwarded-For. Wrong passwords are limited by the address that the first of them saw, and no address is kept away for a flood (${env})."`
}

// Service is the storefront with its settings.
type Service struct {
	Addr                string `aliases:"http-addr" env:"OCTAVO_HTTP_ADDR" default:"127.0.0.1:8080" group:"addresses" help:"Address to listen on for browsers (${env})."`
	TLSDir              string `name:"http-tls-dir" env:"OCTAVO_HTTP_TLS_DIR" type:"path" placeholder:"DIR" group:"tls" help:"Folder with the tls.crt and tls.key that browsers see: pages are then over HTTPS. Changed files are taken up (${env})."`
	CatalogAddr         string `env:"OCTAVO_CATALOG_ADDR" default:"127.0.0.1:50052" group:"addresses" help:"Address of the catalog service (${env})."`
	ReadersAddr         string `env:"OCTAVO_READERS_ADDR" default:"127.0.0.1:50053" group:"addresses" help:"Address of the readers service (${env})."`
	RecommendationsAddr string `env:"OCTAVO_RECOMMENDATIONS_ADDR" default:"127.0.0.1:50051" group:"addresses" help:"Address of the recommendations service (${env})."`
	SessionKeyFile      string `env:"OCTAVO_SESSION_KEY_FILE" default:"octavo-data/session.key" type:"path" group:"data" help:"File with the key that signs visitors' cookies, made when missing. All replicas need the same. Keys put behind it are believed and sign nothing (${env})."`
	Access              `embed:""`
}

// Add adds the storefront to the app. It returns the address it listens on.
func (s *Service) Add(_ context.Context, app *chassis.App) (net.Addr, error) {
	key, err := SessionKey(s.SessionKeyFile)
	if err != nil {
		return nil, err
	}
	clients, err := peers.Dial(app, peers.Addresses{Catalog: s.CatalogAddr, Readers: s.ReadersAddr, Recommendations: s.RecommendationsAddr})
	if err != nil {
		return nil, err
	}
	handler, err := marketplace.New(marketplace.Config{
		Catalog:         clients.Catalog,
		Readers:         clients.Readers,
		Accounts:        clients.Accounts,
		Recommendations: clients.Recommendations,
		DemoReaders:     s.DemoReaders,
		TrustedProxies:  s.TrustedProxies,
		PublicURL:       s.PublicURL,
		SessionKey:      key.Reveal(),
		Log:             app.Log(),
		Metrics:         app.Metrics(),
		Version:         program.Version(),
	})
	if err != nil {
		return nil, fmt.Errorf("make the storefront: %w", err)
	}
	if s.TrustedProxies > 0 {
		app.BehindProxies("http")
	}
	if s.TLSDir != "" {
		return app.HTTPS("http", s.Addr, s.TLSDir, handler)
	}
	return app.HTTP("http", s.Addr, handler)
}

// Check tries what Add needs.
func (s *Service) Check(r *program.Report) {
	r.HTTP("--addr", s.Addr, s.TLSDir)
	r.Peer("--catalog-addr", s.CatalogAddr)
	r.Peer("--readers-addr", s.ReadersAddr)
	r.Peer("--recommendations-addr", s.RecommendationsAddr)
	r.File("--session-key-file", s.SessionKeyFile, func() error {
		_, err := SessionKey(s.SessionKeyFile)
		return err
	})
}
