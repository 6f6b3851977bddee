package main

import (
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/recommender"
)

const (
	each   = 50  // books of a reader
	circle = 250 // books of which a reader reads many
	page   = 2000
)

// world is a log of any length, made while it is read. Readers come in blocks,
// and all of a block read their first book before any of them reads the second:
// histories grow as they do in life, a book at a time and all at once.
type world struct {
	interactions int64
	books        int32
	block        int64 // readers
}

// at is the interaction at a position, from 1.
func (w world) at(position int64) recommender.Event {
	position--
	block, inside := position/(w.block*each), position%(w.block*each)
	readers := min(w.block, w.readers()-block*w.block)
	reader, n := block*w.block+inside%readers, inside/readers
	circles := int64(w.books / circle)
	of := (reader*7919 + n%3*104_729) % circles
	return recommender.Event{
		Reader: int32(reader) + 1, Book: int32(of*circle+(reader*31+n*7)%circle) + 1, Kind: recommender.Finished,
		Time: 1_700_000_000 + reader%100_000 + n*86_400,
	}
}

func (w world) readers() int64 { return w.interactions / each }

// catalog and log serve the feeds of a world.
type catalog struct {
	catalogv1.UnimplementedCatalogServiceServer
	world world
}

type log struct {
	readersv1.UnimplementedReadersServiceServer
	world world
}

func (c catalog) Register(r grpc.ServiceRegistrar) { catalogv1.RegisterCatalogServiceServer(r, c) }

func (c catalog) WatchBooks(request *catalogv1.WatchBooksRequest, stream grpc.ServerStreamingServer[catalogv1.WatchBooksResponse]) error {
	position, head := request.GetAfterPosition(), int64(c.world.books)
	for position < head {
		response := &catalogv1.WatchBooksResponse{Head: head}
		for range min(page, head-position) {
			position++
			response.Books = append(response.Books, &catalogv1.Book{
				Id: int32(position), Title: fmt.Sprintf("Generated book %d", position), Authors: []string{fmt.Sprintf("Generator %d", position/7)},
				Category: catalogv1.Category(position/circle%32 + 1), Year: 2000,
			})
		}
		response.Position = position
		if err := stream.Send(response); err != nil {
			return err
		}
	}
	<-stream.Context().Done()
	return fault.New(fault.Unavailable, "the feed ends")
}

func (l log) Register(r grpc.ServiceRegistrar) { readersv1.RegisterReadersServiceServer(r, l) }

func (l log) WatchInteractions(request *readersv1.WatchInteractionsRequest, stream grpc.ServerStreamingServer[readersv1.WatchInteractionsResponse]) error {
	position, head := request.GetAfterPosition(), l.world.interactions
	for position < head {
		response := l.world.part(position)
		position = response.GetPosition()
		if err := stream.Send(response); err != nil {
			return err
		}
	}
	<-stream.Context().Done()
	return fault.New(fault.Unavailable, "the feed ends")
}

// part is what the feed sends after a position.
func (w world) part(position int64) *readersv1.WatchInteractionsResponse {
	response := &readersv1.WatchInteractionsResponse{Head: w.interactions}
	for range min(page, w.interactions-position) {
		position++
		e := w.at(position)
		response.Interactions = append(response.Interactions, &readersv1.Interaction{
			Position: position, ReaderId: e.Reader, BookId: e.Book, Kind: readersv1.InteractionKind(e.Kind), OccurredAt: &timestamppb.Timestamp{Seconds: e.Time},
		})
	}
	response.Position = position
	return response
}

// bytes is how many the feed sends for an interaction, of those at the end.
func (w world) bytes() float64 {
	last := w.part(max(0, w.interactions-page))
	return float64(proto.Size(last)) / float64(len(last.GetInteractions()))
}
