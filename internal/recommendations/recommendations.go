// Package recommendations answers which books to show to a reader, and why.
//
// It follows the feeds of the catalogue and of the readers' log and holds what
// they say in memory, takes up each model that is published, and answers from
// both. Nothing it holds is durable: all of it comes back from the feeds. It
// keeps answering from what it knows when the other services are away.
//
// It never writes anywhere and never calls another service to answer.
package recommendations

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

const (
	defaultMaxWait    = 500 * time.Millisecond
	defaultModelsPoll = 500 * time.Millisecond
	defaultMaxSilence = 40 * time.Second // the services send a heartbeat every 15 s
)

// Config is what the service needs.
type Config struct {
	Catalog catalogv1.CatalogServiceClient
	Readers readersv1.ReadersServiceClient
	Models  Models
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil for none

	// MaxWait bounds how long an answer waits for the min_position it was
	// asked for; 0 means 500 ms.
	MaxWait time.Duration
	// ModelsPoll is how often Models is asked for a new one, give or take a fifth;
	// 0 means 500 ms. It is asked less often while it does not answer.
	ModelsPoll time.Duration
	// KeptMemory is how many bytes the rankings may take that are kept for
	// readers until they do something; 0 for none. Answers are the same.
	KeptMemory int64
	// MaxSilence is how long a feed may send nothing, heartbeats included, before
	// it is opened anew; 0 means 40 s.
	MaxSilence time.Duration
}

// Server is the service. Register and Run it; either may be first.
type Server struct {
	service
	catalogClient catalogv1.CatalogServiceClient
	readersClient readersv1.ReadersServiceClient
	modelsPoll    time.Duration
}

// service is what answers are made of.
type service struct {
	logger     *slog.Logger
	metrics    *metrics
	maxWait    time.Duration
	keptMemory int64
	models     holder
	catalogue  *catalogue
	histories  atomic.Pointer[histories]
	books      feed
	log        feed
	sessions   sync.Pool
}

// New makes a service that knows nothing yet.
func New(c Config) *Server {
	s := &Server{
		catalogClient: c.Catalog,
		readersClient: c.Readers,
		modelsPoll:    orDefault(c.ModelsPoll, defaultModelsPoll),
	}
	s.logger = c.Log
	s.maxWait = orDefault(c.MaxWait, defaultMaxWait)
	s.catalogue = newCatalogue()
	s.keptMemory = c.KeptMemory
	s.histories.Store(newHistories(s.keptMemory))
	s.books.name = "catalogue"
	s.log.name = "log"
	s.books.silence = orDefault(c.MaxSilence, defaultMaxSilence)
	s.log.silence = s.books.silence
	s.sessions.New = func() any { return &session{} }
	s.metrics = newMetrics(c.Metrics, &s.service)
	s.models.models = c.Models
	s.models.log = c.Log
	s.models.metrics = s.metrics
	s.models.learn = s.catalogue.learn
	return s
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Run follows the feeds and the models until ctx ends, and then returns nil.
// Answers can still be given after it: the model stays mapped.
func (s *Server) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { s.followCatalogue(ctx, s.catalogClient); return nil })
	g.Go(func() error { s.followLog(ctx, s.readersClient); return nil })
	g.Go(func() error { s.models.watch(ctx, s.modelsPoll); return nil })
	return g.Wait()
}

// Ready is nil once both feeds have been read to their end, and stays nil when
// the other services go away later. A model is not needed: before the first
// one, books are ranked by their popularity.
func (s *Server) Ready() error {
	if err := s.books.ready(); err != nil {
		return err
	}
	return s.log.ready()
}
