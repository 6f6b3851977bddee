package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/feedtest"
	"github.com/octavo-books/octavo/internal/modelstore"
	"github.com/octavo-books/octavo/internal/recommender"
)

const (
	categories    = 32
	tastes        = 100
	benchCategory = 5 // the number of octavo.catalog.v1; one less in the first contract
)

func titleOf(book int32) string { return fmt.Sprintf("The Long Way to Book %d", book) }

func categoryOf(book int32) uint8 { return uint8(book%categories) + 1 }

// each calls take for every line of a generated log: readers of one of many
// tastes, in which a few books are read by many and most by few, and who read
// one book in five outside of their taste.
func each(s settings, take func(reader, book int32)) {
	random := rand.New(rand.NewPCG(1, 2))
	perTaste := s.books / tastes
	for reader := range int32(s.readers) {
		taste := random.IntN(tastes)
		for range 5 + random.IntN(2*s.history-9) {
			book := random.IntN(s.books)
			if random.IntN(5) > 0 {
				u := random.Float64()
				book = taste + tastes*int(u*u*float64(perTaste))
			}
			take(reader+1, int32(book)+1)
		}
	}
}

// publishModel trains on the generated log, with the parameters of no search;
// it has neighbours alone. What factors add to an answer's time is in
// BenchmarkReaders of internal/recommender.
func publishModel(ctx context.Context, s settings, dir string) error {
	var events []recommender.Event
	each(s, func(reader, book int32) {
		events = append(events, recommender.Event{Reader: reader, Book: book, Kind: recommender.Finished, Time: int64(len(events))})
	})
	books := make([]recommender.Book, s.books)
	for i := range books {
		id := int32(i) + 1
		books[i] = recommender.Book{ID: id, Category: categoryOf(id)}
	}
	model, err := recommender.Train(ctx, recommender.NewDataset(events, books), recommender.Options{
		Parameters: &recommender.Parameters{
			BookExponent: 0.4, OwnExponent: 0.4, ReaderExponent: 0.4, Smoothing: 3, Sharpness: 1.2, Prior: 0.01, PriorExponent: 1, Stars: 1,
		},
	})
	if err != nil {
		return err
	}
	defer model.Close()
	store, err := modelstore.Open(dir)
	if err != nil {
		return err
	}
	_, err = store.Publish(ctx, model.Save)
	return err
}

// serveFeeds serves the catalogue and the log that the server follows.
func serveFeeds(ctx context.Context, s settings) (addr string, err error) {
	catalog, readers := &feedtest.Catalog{}, &feedtest.Readers{}
	books := make([]*catalogv1.Book, s.books+s.newBooks)
	for i := range books {
		id := int32(i) + 1
		books[i] = &catalogv1.Book{
			Id: id, Title: titleOf(id), Authors: []string{fmt.Sprintf("Author %d", i%(s.books/5))},
			Tags:     []string{fmt.Sprint("tag ", id%97), fmt.Sprint("tag ", id%311), fmt.Sprint("tag ", id%1009)},
			Category: catalogv1.Category(categoryOf(id)), Year: 1990,
		}
	}
	catalog.Put(books...)
	var log []*readersv1.Interaction
	each(s, func(reader, book int32) {
		log = append(log, &readersv1.Interaction{
			ReaderId: reader, BookId: book, Kind: readersv1.InteractionKind_INTERACTION_KIND_FINISHED, OccurredAt: &timestamppb.Timestamp{Seconds: int64(len(log))},
		})
	})
	readers.Record(log...)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := grpc.NewServer()
	catalog.Register(server)
	readers.Register(server)
	context.AfterFunc(ctx, server.Stop)
	go func() { _ = server.Serve(listener) }() // ends with Stop
	return listener.Addr().String(), nil
}
