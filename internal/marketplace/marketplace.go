// Package marketplace is the storefront: pages for readers, made on the server
// from what the catalog, readers and recommendations services answer, and the
// same as JSON for programs. It works without JavaScript; only passkeys need it.
//
// It keeps nothing: what it remembers of a visitor is in a signed cookie, and
// what it holds in memory is for speed and for the time a service is down. It
// never orders books itself.
package marketplace

import (
	"errors"
	"fmt"
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
	Accounts        readersv1.AccountsServiceClient
	Recommendations recommendationsv1.RecommendationsServiceClient

	// DemoReaders says whether visitors may read as simulated and imported
	// readers: DemoOn, DemoOff, or DemoAuto, which is until the first account is
	// made. Empty means DemoAuto.
	DemoReaders string
	// TrustedProxies is how many proxies of the operator's own a request passes,
	// each of which adds to X-Forwarded-For.
	TrustedProxies int
	// PublicURL is where browsers find the storefront, https://host with a port or
	// without, or http for localhost. Passkeys are for it; empty, there are none,
	// except for who comes to localhost and the port that is served.
	PublicURL string

	// SessionKey signs cookies: 32 bytes, or several such keys as for
	// session.NewCodec, the same on every replica.
	SessionKey []byte
	Log        *slog.Logger
	Metrics    prometheus.Registerer // nil for none
	// Version is shown at the foot of each page.
	Version string

	// Patience is how long a page waits for a service before it comes without
	// what the service knows. 0 means 150 ms.
	Patience time.Duration
}

// The settings of Config.DemoReaders.
const (
	DemoAuto = "auto"
	DemoOn   = "on"
	DemoOff  = "off"
)

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
	anyAccount memo[bool]
	seen       seenAccounts
	counts     memo[map[uint8]int]
	importing  chan struct{} // holds one for each import that runs
}

// New makes the storefront's handler.
func New(c Config) (http.Handler, error) {
	s, err := newShop(c)
	if err != nil {
		return nil, err
	}
	return s.routes(), nil
}

func newShop(c Config) (*shop, error) {
	if c.Catalog == nil || c.Readers == nil || c.Accounts == nil || c.Recommendations == nil {
		return nil, errors.New("a storefront needs clients of catalog, readers, accounts and recommendations")
	}
	switch c.DemoReaders {
	case "":
		c.DemoReaders = DemoAuto
	case DemoAuto, DemoOn, DemoOff:
	default:
		return nil, fmt.Errorf("demo readers cannot be %q; use %s, %s or %s", c.DemoReaders, DemoAuto, DemoOn, DemoOff)
	}
	if err := checkPublicURL(c.PublicURL); err != nil {
		return nil, err
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
	s := &shop{Config: c, sessions: sessions, assets: assets, categories: newCategories(), known: newBookshelf(), importing: make(chan struct{}, importsAtOnce)}
	s.metrics = newMetrics(c.Metrics, s.known)
	return s, nil
}

// route is an address of the storefront and what stands there.
type route struct {
	pattern string
	kind    string // for the metrics
	show    func(*visit) error
}

// pages are all addresses of pages and forms.
func (s *shop) pages() []route {
	all := []route{
		{"GET /{$}", "home", s.home},
		{"GET /book/{id}", "book", s.book},
		{"GET /book/{id}/{title...}", "book", s.book},
		{"POST /book/{id}/rate", "rate", s.rate},
		{"POST /book/{id}/shelf", "shelve", s.shelve},
		{"GET /reader", "readers", s.picker},
		{"POST /reader", "choose", s.choose},
		{"GET /me", "shelves", s.mine},
		{"GET /me/data", "data", s.yours},
		{"GET /me/export.csv", "export", s.export("csv", "text/csv; charset=utf-8", newCSVExport)},
		{"GET /me/export.json", "export", s.export("json", "application/json", newJSONExport)},
		{"POST /me/import", "import", s.importShelves},
		{"POST /me/erase", "erase", s.erase},
		{"POST /me/personalisation", "personalisation", s.personalise},
		{"GET /search", "search", s.search},
		{"GET /how", "how", s.how},
		{"GET /sign-in", "sign-in", s.signInPage},
		{"POST /sign-in", "sign-in", s.signIn},
		{"POST /sign-in/passkey", "sign-in", s.passkeySignIn},
		{"POST /sign-in/passkey/begin", "passkey", s.beginPasskeySignIn},
		{"GET /sign-up", "sign-up", s.signUpPage},
		{"POST /sign-up", "sign-up", s.signUp},
		{"POST /sign-out", "sign-out", s.signOut},
		{"GET /account", "account", s.accountPage},
		{"POST /account/password", "password", signedIn(s.changePassword)},
		{"POST /account/sessions", "sessions", signedIn(s.changeSessions)},
		{"POST /account/passkeys", "passkey", signedIn(s.addPasskey)},
		{"POST /account/passkeys/begin", "passkey", s.beginPasskey},
		{"POST /account/passkeys/{id}", "passkey", signedIn(s.changePasskey)},
		{"/", "unknown", func(*visit) error {
			return fault.New(fault.NotFound, "Nothing stands at this address. It may have been mistyped.")
		}},
	}
	for i := range s.categories.all {
		all = append(all, route{"GET " + s.categories.all[i].Path, "category", s.category(&s.categories.all[i])})
	}
	return all
}

func (s *shop) routes() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.pages() {
		mux.Handle(r.pattern, s.page(r.kind, r.show))
	}
	s.registerAPI(mux)
	s.assets.register(mux)

	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(s.page("refused", func(*visit) error {
		return fault.New(fault.Denied, "This form was sent from another site, so nothing was changed. Open the page here and try again.")
	}))
	return secure(sameOrigin.Handler(mux))
}

// policy is what pages may load. Only those with a form for passkeys have a
// script, and add it.
const policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// secure sets the headers that hold for every answer.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
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
