package main

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

const page = 5000

// catalogFeed and readersFeed give a world as the feeds of the two services
// would, made while they are read: what the process holds is what it took in.
// Nothing but the feeds is there.
type catalogFeed struct {
	catalogv1.CatalogServiceClient
	world world
}

type readersFeed struct {
	readersv1.ReadersServiceClient
	world world
}

func (f catalogFeed) WatchBooks(ctx context.Context, in *catalogv1.WatchBooksRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[catalogv1.WatchBooksResponse], error) {
	return &books{ctx: ctx, world: f.world, position: int(in.GetAfterPosition())}, nil
}

func (f readersFeed) WatchInteractions(ctx context.Context, in *readersv1.WatchInteractionsRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[readersv1.WatchInteractionsResponse], error) {
	if in.GetAfterPosition()%int64(f.world.each) != 0 {
		return nil, fmt.Errorf("resume at %d: pages end with a reader", in.GetAfterPosition())
	}
	return &interactions{ctx: ctx, world: f.world, reader: int32(in.GetAfterPosition()) / int32(f.world.each), known: map[int32]bool{}}, nil
}

type books struct {
	grpc.ClientStream
	ctx      context.Context
	world    world
	position int
}

func (b *books) Recv() (*catalogv1.WatchBooksResponse, error) {
	if b.position == b.world.books {
		<-b.ctx.Done()
		return nil, b.ctx.Err()
	}
	response := &catalogv1.WatchBooksResponse{Head: int64(b.world.books)}
	for range min(page, b.world.books-b.position) {
		b.position++
		id := int32(b.position)
		response.Books = append(response.Books, &catalogv1.Book{
			Id: id, Title: fmt.Sprintf("Generated book %d", id), Authors: []string{fmt.Sprintf("Generator %d", id/7)},
			Category: catalogv1.Category(b.world.category(id)), Year: 2000,
		})
	}
	response.Position = int64(b.position)
	return response, nil
}

type interactions struct {
	grpc.ClientStream
	ctx    context.Context
	world  world
	reader int32
	known  map[int32]bool
}

func (i *interactions) Recv() (*readersv1.WatchInteractionsResponse, error) {
	if int(i.reader) == i.world.readers {
		<-i.ctx.Done()
		return nil, i.ctx.Err()
	}
	response := &readersv1.WatchInteractionsResponse{Head: int64(i.world.readers * i.world.each)}
	for len(response.GetInteractions()) < page && int(i.reader) < i.world.readers {
		i.reader++
		i.world.reader(i.reader, i.known, func(book int32, at int64) {
			response.Interactions = append(response.Interactions, &readersv1.Interaction{
				ReaderId: i.reader, BookId: book, Kind: readersv1.InteractionKind_INTERACTION_KIND_FINISHED,
				OccurredAt: &timestamppb.Timestamp{Seconds: at},
			})
		})
	}
	response.Position = int64(i.reader) * int64(i.world.each)
	return response, nil
}
