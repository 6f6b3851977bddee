package main

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/crowd"
	"github.com/octavo-books/octavo/internal/feedtest"
	"github.com/octavo-books/octavo/internal/modelstore"
	"github.com/octavo-books/octavo/internal/recommender"
)

const (
	categories    = 32
	benchCategory = 5 // the number of octavo.catalog.v1; one less in the first contract

	avidReaders = 5000
	avidHistory = 20 // books on the average
)

func titleOf(book int32) string { return fmt.Sprintf("The Long Way to Book %d", book) }

func categoryOf(book int32) uint8 { return uint8(book%categories) + 1 }

// shop has readers like those of a large public data set, from whom the model
// learns, and behind them those who came since, with longer histories.
type shop struct{ crowd, avid crowd.Crowd }

func newShop(s settings) shop {
	return shop{
		crowd: crowd.Crowd{Books: s.books, Readers: s.readers, History: s.history, Seed: 1},
		avid:  crowd.Crowd{Books: s.books, Readers: avidReaders, History: avidHistory, Seed: 2},
	}
}

// each calls take for every line of the log of one part of the readers, whose
// ids follow the first.
func each(c crowd.Crowd, first int, take func(reader, book int32)) {
	for reader, books := range c.Histories() {
		for _, book := range books {
			take(int32(first+reader), int32(book)+1)
		}
	}
}

// parameters are near those that the search finds on the data the crowd is made
// after; the blend of all three parts costs an answer most.
var parameters = recommender.Parameters{
	BookExponent: 0.4, OwnExponent: 0.4, ReaderExponent: 0.4, Smoothing: 3, Sharpness: 1.2, Evenness: 0.4, Prior: 0.01, PriorExponent: 1, Stars: 1,
	Regression: 2, Ridge: 10, RegressionExponent: 0.2, Factors: 1, Unobserved: 0.005,
}

// publishModel trains on the generated log with the given parameters. The model
// passes the gate like any other.
func publishModel(ctx context.Context, s settings, dir string) (recommender.Info, error) {
	var events []recommender.Event
	each(newShop(s).crowd, 1, func(reader, book int32) {
		events = append(events, recommender.Event{Reader: reader, Book: book, Kind: recommender.Finished, Time: int64(len(events))})
	})
	books := make([]recommender.Book, s.books)
	for i := range books {
		id := int32(i) + 1
		books[i] = recommender.Book{ID: id, Category: categoryOf(id)}
	}
	model, err := recommender.Train(ctx, recommender.NewDataset(events, books), recommender.Options{Parameters: &parameters})
	if err != nil {
		return recommender.Info{}, err
	}
	defer model.Close()
	if err := model.Check(); err != nil {
		return recommender.Info{}, err
	}
	store, err := modelstore.Open(dir)
	if err != nil {
		return recommender.Info{}, err
	}
	_, err = store.Publish(ctx, model.Save)
	return model.Info(), err
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
	record := func(reader, book int32) {
		log = append(log, &readersv1.Interaction{
			ReaderId: reader, BookId: book, Kind: readersv1.InteractionKind_INTERACTION_KIND_FINISHED, OccurredAt: &timestamppb.Timestamp{Seconds: int64(len(log))},
		})
	}
	shop := newShop(s)
	each(shop.crowd, 1, record)
	each(shop.avid, 1+s.readers, record)
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
