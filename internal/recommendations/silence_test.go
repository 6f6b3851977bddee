package recommendations_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/chassis/chassistest"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/recommendations"
)

// silent is a log whose first streams say nothing after their first message, as
// when the network has cut the peer off: no end and no heartbeat comes.
type silent struct {
	readersv1.UnimplementedReadersServiceServer
	after  readersv1.ReadersServiceServer
	opened atomic.Int32
}

func (s *silent) WatchInteractions(q *readersv1.WatchInteractionsRequest, stream grpc.ServerStreamingServer[readersv1.WatchInteractionsResponse]) error {
	if s.opened.Add(1) > 2 {
		return s.after.WatchInteractions(q, stream)
	}
	if err := stream.Send(&readersv1.WatchInteractionsResponse{Head: 1}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

func TestAFeedThatFallsSilentIsOpenedAgain(t *testing.T) {
	w := newWorld(t)
	w.readers.Record(finished(1, 1))
	log := &silent{after: w.readers}
	conn := chassistest.Serve(t, func(r grpc.ServiceRegistrar) { readersv1.RegisterReadersServiceServer(r, log) })
	server := recommendations.New(recommendations.Config{
		Catalog: w.catalogClient, Readers: readersv1.NewReadersServiceClient(conn), Models: w.models,
		Log: slog.New(slog.NewTextHandler(w.logged, nil)), MaxSilence: 100 * time.Millisecond,
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	w.eventually("what the silent streams kept back is known", func() bool { return server.Ready() == nil })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
