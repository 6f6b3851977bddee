package readers

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/octavo-books/octavo/fault"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/feed"
	"github.com/octavo-books/octavo/internal/page"
)

const (
	defaultPage, maxPage = 20, 200
	maxEntries           = 1000
	// What one message of the feed holds at most: some 60 kB.
	watchInteractions = 2000

	scrapeLimit = time.Second // for what a metric is asked from the store
)

// Server answers octavo.readers.v1.ReadersService.
type Server struct {
	readersv1.UnimplementedReadersServiceServer

	store     Store
	accepted  [Removed + 1]prometheus.Counter // interactions by kind
	erased    prometheus.Counter
	log       *slog.Logger
	stop      chan struct{}
	heartbeat time.Duration
	clock     func() time.Time
}

// NewServer makes a server over a store.
func NewServer(store Store, log *slog.Logger) *Server {
	s := &Server{store: store, log: log, stop: make(chan struct{}), heartbeat: feed.Heartbeat, clock: time.Now}
	s.erased = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "octavo_readers_erased_total", Help: "Readers who were erased for good.",
	})
	for kind := View; kind <= Removed; kind++ {
		name := strings.ToLower(strings.TrimPrefix(readersv1.InteractionKind(kind).String(), "INTERACTION_KIND_"))
		s.accepted[kind] = prometheus.NewCounter(prometheus.CounterOpts{
			Name:        "octavo_interactions_accepted_total",
			Help:        "Interactions that are in the log for certain, by kind. One that was sent again counts again.",
			ConstLabels: prometheus.Labels{"kind": name},
		})
	}
	return s
}

// Measure registers the service's metrics.
func (s *Server) Measure(registry prometheus.Registerer) {
	for kind := View; kind <= Removed; kind++ {
		registry.MustRegister(s.accepted[kind])
	}
	registry.MustRegister(
		s.erased,
		s.gauge("octavo_readers", "Readers there are, visitors included.", s.store.Size),
		s.gauge("octavo_interactions", "Interactions that were put in the log, erased ones included.", func(ctx context.Context) (int64, error) {
			log, err := s.store.Log(ctx, 0, 0)
			return log.Head, err
		}),
	)
}

// gauge is a number that the store is asked for at each scrape; it is not a
// number when the store does not answer.
func (s *Server) gauge(name, help string, of func(context.Context) (int64, error)) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
		defer cancel()
		n, err := of(ctx)
		if err != nil {
			s.log.Warn("a metric cannot be read", "metric", name, "error", err)
			return math.NaN()
		}
		return float64(n)
	})
}

// Register adds the service to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) { readersv1.RegisterReadersServiceServer(r, s) }

// Run waits until ctx ends, then ends all streams, which would otherwise hold
// up a graceful stop. It is called once.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	close(s.stop)
	return nil
}

// CreateReader implements the contract.
func (s *Server) CreateReader(ctx context.Context, req *readersv1.CreateReaderRequest) (*readersv1.CreateReaderResponse, error) {
	reader := Reader{Origin: Anonymous, DisplayName: req.GetDisplayName(), CreatedAt: s.now()}
	var err error
	if reader.ID, err = s.store.Create(ctx, reader); err != nil {
		return nil, err
	}
	return &readersv1.CreateReaderResponse{Reader: readerToProto(reader)}, nil
}

// GetReader implements the contract.
func (s *Server) GetReader(ctx context.Context, req *readersv1.GetReaderRequest) (*readersv1.GetReaderResponse, error) {
	reader, err := s.store.Reader(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	return &readersv1.GetReaderResponse{Reader: readerToProto(reader)}, nil
}

// ListReaders implements the contract.
func (s *Server) ListReaders(ctx context.Context, req *readersv1.ListReadersRequest) (*readersv1.ListReadersResponse, error) {
	origin := Origin(req.GetOrigin())
	var after int32
	if token := req.GetPageToken(); token != "" {
		numbers, err := page.Parse(token, 2)
		if err != nil {
			return nil, err
		}
		if numbers[0] != int64(origin) || numbers[1] > math.MaxInt32 {
			return nil, fault.NewInvalid("page_token", "belongs to the list of another origin; start from the first page")
		}
		after = int32(numbers[1])
	}
	size := limit(req.GetPageSize(), defaultPage, maxPage)
	readers, err := s.store.List(ctx, origin, after, size+1)
	if err != nil {
		return nil, err
	}
	resp := &readersv1.ListReadersResponse{}
	if len(readers) > size {
		readers = readers[:size]
		resp.NextPageToken = page.Token(int64(origin), int64(readers[size-1].ID))
	}
	for _, r := range readers {
		resp.Readers = append(resp.Readers, readerToProto(r))
	}
	return resp, nil
}

// ImportReaders implements the contract.
func (s *Server) ImportReaders(ctx context.Context, req *readersv1.ImportReadersRequest) (*readersv1.ImportReadersResponse, error) {
	readers, now := make([]Reader, len(req.GetReaders())), s.now()
	for i, r := range req.GetReaders() {
		switch {
		case r.GetSource() == "":
			return nil, fault.NewInvalid(fmt.Sprintf("readers[%d].source", i), "must say where the reader comes from")
		case r.GetSourceId() == "":
			return nil, fault.NewInvalid(fmt.Sprintf("readers[%d].source_id", i), "must be the key of the reader in the source")
		case r.GetCreatedAt() != nil && !r.GetCreatedAt().IsValid():
			return nil, fault.NewInvalid(fmt.Sprintf("readers[%d].created_at", i), "is not a time")
		}
		readers[i] = readerFromProto(r, now)
	}
	ids, created, err := s.store.Import(ctx, readers)
	if err != nil {
		return nil, err
	}
	return &readersv1.ImportReadersResponse{Ids: ids, Created: created}, nil
}

// RecordInteractions implements the contract.
func (s *Server) RecordInteractions(ctx context.Context, req *readersv1.RecordInteractionsRequest) (*readersv1.RecordInteractionsResponse, error) {
	interactions, now := make([]Interaction, len(req.GetInteractions())), s.now()
	for i, in := range req.GetInteractions() {
		if in.GetOccurredAt() != nil && !in.GetOccurredAt().IsValid() {
			return nil, fault.NewInvalid(fmt.Sprintf("interactions[%d].occurred_at", i), "is not a time")
		}
		interactions[i] = interactionFromProto(in, now)
	}
	position, recorded, err := s.store.Record(ctx, interactions)
	if err != nil {
		return nil, err
	}
	for i := range interactions {
		if kind := interactions[i].Kind; kind >= View && kind <= Removed {
			s.accepted[kind].Inc()
		}
	}
	return &readersv1.RecordInteractionsResponse{Position: position, Recorded: recorded}, nil
}

// ListShelf implements the contract.
func (s *Server) ListShelf(ctx context.Context, req *readersv1.ListShelfRequest) (*readersv1.ListShelfResponse, error) {
	entries, err := s.store.Shelf(ctx, req.GetReaderId(), req.GetBookIds(), limit(req.GetMaxResults(), maxEntries, maxEntries))
	if err != nil {
		return nil, err
	}
	resp := &readersv1.ListShelfResponse{Entries: make([]*readersv1.ShelfEntry, len(entries))}
	for i, e := range entries {
		resp.Entries[i] = entryToProto(e)
	}
	return resp, nil
}

// ExportReader implements the contract.
func (s *Server) ExportReader(req *readersv1.ExportReaderRequest, stream grpc.ServerStreamingServer[readersv1.ExportReaderResponse]) error {
	ctx := stream.Context()
	reader, err := s.store.Reader(ctx, req.GetReaderId())
	if err != nil {
		return err
	}
	if err := stream.Send(&readersv1.ExportReaderResponse{Reader: readerToProto(reader)}); err != nil {
		return err
	}
	shelf := make(map[int32]Effect)
	for after, more := int64(0), true; more; {
		history, err := s.store.History(ctx, reader.ID, after, watchInteractions)
		if err != nil {
			return err
		}
		more = len(history) == watchInteractions
		resp := &readersv1.ExportReaderResponse{Interactions: make([]*readersv1.Interaction, len(history))}
		for i := range history {
			resp.Interactions[i] = interactionToProto(&history[i])
			after = history[i].Position
			if effect, any := shelf[history[i].Book].Then(history[i]); any {
				shelf[history[i].Book] = effect
			}
		}
		if err := stream.Send(resp); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(entriesOf(shelf), watchInteractions) {
		resp := &readersv1.ExportReaderResponse{Entries: make([]*readersv1.ShelfEntry, len(part))}
		for i, e := range part {
			resp.Entries[i] = entryToProto(e)
		}
		if err := stream.Send(resp); err != nil {
			return err
		}
	}
	return nil
}

// entriesOf is the shelf that effects lead to, last changed first.
func entriesOf(shelf map[int32]Effect) []Entry {
	books := slices.SortedFunc(maps.Keys(shelf), func(a, b int32) int {
		return cmp.Compare(shelf[b].Position, shelf[a].Position)
	})
	var entries []Entry
	for _, book := range books {
		if e := shelf[book]; e.Shelf != 0 || e.Stars != 0 {
			entries = append(entries, Entry{Book: book, Shelf: e.Shelf, Stars: e.Stars, UpdatedAt: e.At})
		}
	}
	return entries
}

// EraseReader implements the contract.
func (s *Server) EraseReader(ctx context.Context, req *readersv1.EraseReaderRequest) (*readersv1.EraseReaderResponse, error) {
	position, err := s.store.Erase(ctx, req.GetReaderId(), s.now())
	if err != nil {
		return nil, err
	}
	s.erased.Inc()
	return &readersv1.EraseReaderResponse{Position: position}, nil
}

// SetPersonalisation implements the contract.
func (s *Server) SetPersonalisation(ctx context.Context, req *readersv1.SetPersonalisationRequest) (*readersv1.SetPersonalisationResponse, error) {
	position, err := s.store.SetPaused(ctx, req.GetReaderId(), req.GetPaused(), s.now())
	if err != nil {
		return nil, err
	}
	return &readersv1.SetPersonalisationResponse{Position: position}, nil
}

// WatchInteractions implements the contract.
func (s *Server) WatchInteractions(req *readersv1.WatchInteractionsRequest, stream grpc.ServerStreamingServer[readersv1.WatchInteractionsResponse]) error {
	after, check := req.GetAfterPosition(), req.GetAfterCheck()
	s.log.DebugContext(stream.Context(), "following interactions", "after", after)
	return feed.Stream{
		Changed:   s.store.Changed,
		Heartbeat: s.heartbeat,
		Send: func(ctx context.Context, heartbeat bool) (sent, more bool, err error) {
			part, err := s.follow(ctx, after, check)
			if err != nil || len(part.Interactions) == 0 && !heartbeat {
				return false, false, err
			}
			if after = part.Position; len(part.Interactions) > 0 {
				check = checkOf(part.Interactions[len(part.Interactions)-1])
			}
			resp := &readersv1.WatchInteractionsResponse{
				Interactions: make([]*readersv1.Interaction, len(part.Interactions)),
				Position:     part.Position,
				Head:         part.Head,
			}
			if len(part.Interactions) > 0 {
				resp.Check = check
				if at := part.Interactions[0].RecordedAt; !at.IsZero() {
					resp.RecordedAt = timestamppb.New(at)
				}
			}
			for i := range part.Interactions {
				resp.Interactions[i] = interactionToProto(&part.Interactions[i])
			}
			return true, after < part.Head, stream.Send(resp)
		},
	}.Follow(stream.Context(), s.stop)
}

// follow is the next part of the log for who has followed it up to an entry that
// is told by its check, and a Conflict when the log has another one there: the
// database was restored from a time before it. An entry that has been erased
// since cannot be checked, and is believed to have been there.
func (s *Server) follow(ctx context.Context, after, check int64) (Log, error) {
	if after == 0 {
		return s.store.Log(ctx, 0, watchInteractions)
	}
	part, err := s.store.Log(ctx, after-1, watchInteractions+1)
	if err != nil {
		return Log{}, err
	}
	if len(part.Interactions) > 0 && part.Interactions[0].Position == after {
		if own := checkOf(part.Interactions[0]); own != 0 && check != 0 && own != check {
			return Log{}, fault.New(fault.Conflict, "the log has another entry at position %d: its database has been replaced; start again from 0", after)
		}
		part.Interactions = part.Interactions[1:]
	}
	if part.Head < after {
		return Log{}, fault.New(fault.Conflict, "position %d is beyond the end of the log, %d: its database has been replaced; start again from 0", after, part.Head)
	}
	part.Position = max(part.Position, after)
	return part, nil
}

// checkOf tells an interaction from what other logs have in its place, which was
// recorded at another time. It is 0 when the time is not known.
func checkOf(in Interaction) int64 {
	if in.RecordedAt.IsZero() {
		return 0
	}
	return in.RecordedAt.UnixMilli()
}

// now is the time as it is stored.
func (s *Server) now() time.Time { return s.clock().Truncate(time.Millisecond) }

// limit is the number of items to return when the client asks for n.
func limit(n int32, unset, most int) int {
	if n == 0 {
		return unset
	}
	return min(int(n), most)
}
