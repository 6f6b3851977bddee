package importer

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/octavo-books/octavo/chassis/chassistest"
	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

// services is both services in memory, as far as an import needs them.
type services struct {
	catalogv1.UnimplementedCatalogServiceServer
	readersv1.UnimplementedReadersServiceServer

	mu           sync.Mutex
	books        []*catalogv1.Book
	readers      []*readersv1.Reader
	interactions []*readersv1.Interaction
	seen         map[string]bool
	batches      []int // sizes of RecordInteractions
	failAfter    int   // batches of interactions that are taken; 0: all
}

// serve starts the services behind the production chain.
func serve(t *testing.T) (*services, Target) {
	s := &services{seen: map[string]bool{}}
	conn := chassistest.Serve(t, func(r grpc.ServiceRegistrar) {
		catalogv1.RegisterCatalogServiceServer(r, s)
		readersv1.RegisterReadersServiceServer(r, s)
	})
	return s, Target{Catalog: catalogv1.NewCatalogServiceClient(conn), Readers: readersv1.NewReadersServiceClient(conn)}
}

func (s *services) ImportBooks(_ context.Context, req *catalogv1.ImportBooksRequest) (*catalogv1.ImportBooksResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	resp := &catalogv1.ImportBooksResponse{Position: 1}
sent:
	for _, b := range req.Books {
		for i, old := range s.books {
			if old.Source == b.Source && old.SourceId == b.SourceId {
				b.Id = old.Id
				if proto.Equal(old, b) {
					resp.Unchanged++
				} else {
					resp.Updated++
				}
				s.books[i] = b
				resp.Ids = append(resp.Ids, b.Id)
				continue sent
			}
		}
		taken := b.Id == 0
		for _, old := range s.books {
			taken = taken || old.Id == b.Id
		}
		if taken {
			b.Id = int32(1000 + len(s.books))
		}
		s.books = append(s.books, b)
		resp.Ids = append(resp.Ids, b.Id)
		resp.Created++
	}
	return resp, nil
}

func (s *services) WatchBooks(_ *catalogv1.WatchBooksRequest, stream grpc.ServerStreamingServer[catalogv1.WatchBooksResponse]) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := stream.Send(&catalogv1.WatchBooksResponse{Books: s.books, Position: 1, Head: 2}); err != nil {
		return err
	}
	if err := stream.Send(&catalogv1.WatchBooksResponse{Position: 2, Head: 2}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

func (s *services) ImportReaders(_ context.Context, req *readersv1.ImportReadersRequest) (*readersv1.ImportReadersResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	resp := &readersv1.ImportReadersResponse{}
sent:
	for _, r := range req.Readers {
		for _, old := range s.readers {
			if old.Source == r.Source && old.SourceId == r.SourceId {
				resp.Ids = append(resp.Ids, old.Id)
				continue sent
			}
		}
		if r.Id == 0 {
			r.Id = int32(1000 + len(s.readers))
		}
		s.readers = append(s.readers, r)
		resp.Ids = append(resp.Ids, r.Id)
		resp.Created++
	}
	return resp, nil
}

func (s *services) RecordInteractions(_ context.Context, req *readersv1.RecordInteractionsRequest) (*readersv1.RecordInteractionsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failAfter > 0 && len(s.batches) == s.failAfter {
		return nil, fault.New(fault.Unavailable, "the disk is full")
	}
	s.batches = append(s.batches, len(req.Interactions))
	resp := &readersv1.RecordInteractionsResponse{}
	for _, i := range req.Interactions {
		if !s.seen[i.Id] {
			s.seen[i.Id] = true
			s.interactions = append(s.interactions, i)
			resp.Recorded++
		}
	}
	resp.Position = int64(len(s.interactions))
	return resp, nil
}

// write makes a folder of files.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// findings are the refusals and warnings of a report, a line each.
func findings(r Report) string {
	var b strings.Builder
	for _, f := range r.Refused {
		b.WriteString(f.String() + "\n")
	}
	for _, f := range r.Warnings {
		b.WriteString("kept: " + f.String() + "\n")
	}
	return b.String()
}
