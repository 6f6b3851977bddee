// Package marketplace is the storefront: pages for readers, made on the server
// from what the catalog, readers and recommendations services answer, and the
// same as JSON for programs. It works without JavaScript.
//
// It keeps nothing: what it remembers of a visitor is in a signed cookie, and
// what it holds in memory is for speed and for the time a service is down. It
// never orders books itself.
package marketplace

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/marketplace/session"
	"github.com/octavo-books/octavo/internal/marketplace/view"
)

// Config is what a storefront needs.
type Config struct {
	Catalog         catalogv1.CatalogServiceClient
	Readers         readersv1.ReadersServiceClient
	Recommendations recommendationsv1.RecommendationsServiceClient

	// SessionKey signs cookies; 32 bytes, the same on every replica.
	SessionKey []byte
	Log        *slog.Logger
	Metrics    prometheus.Registerer // nil for none
	// Version is shown at the foot of each page.
	Version string

	// Patience is how long a page waits for a service before it comes without
	// what the service knows. 0 means 150 ms.
	Patience time.Duration
}

// writePatience is how long a click waits to be on disk. A visitor would
// rather wait than be told that it is not known whether the click was saved.
const writePatience = 3 * time.Second

// shop is the storefront.
type shop struct {
	Config
	sessions   *session.Codec
	metrics    *metrics
	outages    outages
	assets     *assets
	categories *categories
	known      *bookshelf
	best       memo[[]*view.Book]
	counts     memo[map[uint8]int]
}

// New makes the storefront's handler.
func New(c Config) (http.Handler, error) {
	if c.Catalog == nil || c.Readers == nil || c.Recommendations == nil {
		return nil, errors.New("a storefront needs clients of catalog, readers and recommendations")
	}
	sessions, err := session.NewCodec(c.SessionKey)
	if err != nil {
		return nil, err
	}
	assets, err := newAssets()
	if err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Patience <= 0 {
		c.Patience = 150 * time.Millisecond
	}
	s := &shop{Config: c, sessions: sessions, assets: assets, categories: newCategories(), known: newBookshelf()}
	s.metrics = newMetrics(c.Metrics, s.known)
	return s.routes(), nil
}

func (s *shop) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", s.page("home", s.home))
	for i := range s.categories.all {
		mux.Handle("GET "+s.categories.all[i].Path, s.page("category", s.category(&s.categories.all[i])))
	}
	mux.Handle("GET /book/{id}", s.page("book", s.book))
	mux.Handle("GET /book/{id}/{title...}", s.page("book", s.book))
	mux.Handle("POST /book/{id}/rate", s.page("rate", s.rate))
	mux.Handle("POST /book/{id}/shelf", s.page("shelve", s.shelve))
	mux.Handle("GET /reader", s.page("readers", s.picker))
	mux.Handle("POST /reader", s.page("choose", s.choose))
	mux.Handle("GET /me", s.page("shelves", s.mine))
	mux.Handle("GET /me/data", s.page("data", s.yours))
	mux.Handle("GET /me/export.csv", s.page("export", s.export("csv", "text/csv; charset=utf-8", newCSVExport)))
	mux.Handle("GET /me/export.json", s.page("export", s.export("json", "application/json", newJSONExport)))
	mux.Handle("POST /me/erase", s.page("erase", s.erase))
	mux.Handle("GET /search", s.page("search", s.search))
	mux.Handle("GET /how", s.page("how", s.how))
	s.registerAPI(mux)
	s.assets.register(mux)
	mux.Handle("/", s.page("unknown", func(*visit) error {
		return fault.New(fault.NotFound, "Nothing stands at this address. It may have been mistyped.")
	}))

	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(s.page("refused", func(*visit) error {
		return fault.New(fault.Denied, "This form was sent from another site, so nothing was changed. Open the page here and try again.")
	}))
	return secure(sameOrigin.Handler(mux))
}

// secure sets the headers that hold for every answer.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains") // ASVS 3.4.1; a proxy that has the TLS says so itself
		}
		next.ServeHTTP(w, r)
	})
}
