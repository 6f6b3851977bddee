package faults

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/octavo-books/octavo/chassis/chassistest"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/catalog"
	catalogsqlite "github.com/octavo-books/octavo/internal/catalog/sqlite"
	"github.com/octavo-books/octavo/internal/modelstore"
	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/accounts"
	readerssqlite "github.com/octavo-books/octavo/internal/readers/sqlite"
	"github.com/octavo-books/octavo/internal/recommendations"
)

// inProcess runs all services in this process, so that a fuzzer sees which of
// their code it reaches: with their stores, the whole chain around them, and
// the recommendations following the others.
func inProcess(f *testing.F) *grpc.ClientConn {
	f.Helper()
	log := slog.New(slog.DiscardHandler)
	opened := func(close func() error) {
		f.Cleanup(func() {
			if err := close(); err != nil {
				f.Error(err)
			}
		})
	}
	books, err := catalogsqlite.Open(f.Context(), filepath.Join(f.TempDir(), "catalog.db"))
	if err != nil {
		f.Fatal(err)
	}
	opened(books.Close)
	people, err := readerssqlite.Open(f.Context(), filepath.Join(f.TempDir(), "readers.db"))
	if err != nil {
		f.Fatal(err)
	}
	opened(people.Close)
	models, err := modelstore.Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	catalogServer, readersServer := catalog.NewServer(books, log), readers.NewServer(people, log)
	feeds := chassistest.ServeTasks(f, func(r grpc.ServiceRegistrar) {
		catalogServer.Register(r)
		readersServer.Register(r)
	}, catalogServer.Run, readersServer.Run)
	answers := recommendations.New(recommendations.Config{
		Catalog: catalogv1.NewCatalogServiceClient(feeds), Readers: readersv1.NewReadersServiceClient(feeds), Models: models, Log: log,
	})
	conn := chassistest.ServeTasks(f, func(r grpc.ServiceRegistrar) {
		catalogServer.Register(r)
		readersServer.Register(r)
		accounts.NewServer(accounts.Config{Store: people, Tallies: people, Passkeys: people, Readers: people}).Register(r)
		answers.Register(r)
	}, answers.Run)
	fill(f, conn)
	return conn
}

// fill gives messages something to meet.
func fill(f *testing.F, conn *grpc.ClientConn) {
	f.Helper()
	batch := make([]*catalogv1.Book, 30)
	for i := range batch {
		batch[i] = &catalogv1.Book{
			Id: int32(i + 1), Title: fmt.Sprintf("Book %d of dunes", i), Authors: []string{fmt.Sprintf("Author %d", i%7)},
			Source: "fuzz", SourceId: fmt.Sprint(i), Category: catalogv1.Category(i%5 + 1), Year: 1990, Popularity: int64(i),
		}
	}
	if _, err := catalogv1.NewCatalogServiceClient(conn).ImportBooks(f.Context(), &catalogv1.ImportBooksRequest{Books: batch}); err != nil {
		f.Fatal(err)
	}
	client := readersv1.NewReadersServiceClient(conn)
	for range 5 {
		reader, err := client.CreateReader(f.Context(), &readersv1.CreateReaderRequest{})
		if err != nil {
			f.Fatal(err)
		}
		did := &readersv1.Interaction{ReaderId: reader.GetReader().GetId(), BookId: 3, Kind: readersv1.InteractionKind_INTERACTION_KIND_RATING, Value: 4}
		if _, err := client.RecordInteractions(f.Context(), &readersv1.RecordInteractionsRequest{Interactions: []*readersv1.Interaction{did}}); err != nil {
			f.Fatal(err)
		}
	}
}

// FuzzUnary is row 15 of the faults, looked for by coverage: any bytes to any
// unary method, through the whole chain. A panic that the chain recovers is
// INTERNAL, which is no answer.
func FuzzUnary(f *testing.F) {
	unary := slices.DeleteFunc(methods(f), func(m protoreflect.MethodDescriptor) bool { return m.IsStreamingServer() })
	if len(unary) < 10 || len(unary) > 256 {
		f.Fatalf("there are %d unary methods", len(unary))
	}
	random := &generator{Rand: rand.New(rand.NewPCG(1, 2))}
	for i, method := range unary {
		f.Add(byte(i), []byte{})
		for range 3 {
			f.Add(byte(i), random.request(method.Input()))
		}
	}
	conn := inProcess(f)
	f.Fuzz(func(t *testing.T, which byte, request []byte) {
		method := unary[int(which)%len(unary)]
		name := fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name())
		if code, err := send(context.Background(), conn, name, false, request); !slices.Contains(harmless, code) {
			t.Errorf("%s answers %v to %q", name, err, request)
		}
	})
}
