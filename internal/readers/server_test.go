package readers_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/octavo-books/octavo/chassis/chassistest"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// within gives a call more time than a connection does by itself: a machine
// that runs many tests at once is slow.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func newServer(t testing.TB) *readers.Server {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "readers.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return readers.NewServer(store, slog.New(slog.DiscardHandler))
}

func serve(t testing.TB) readersv1.ReadersServiceClient {
	t.Helper()
	return readersv1.NewReadersServiceClient(chassistest.Serve(t, newServer(t).Register))
}

func create(t testing.TB, client readersv1.ReadersServiceClient) int32 {
	t.Helper()
	resp, err := client.CreateReader(within(t), &readersv1.CreateReaderRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetReader().GetId()
}

func record(t testing.TB, client readersv1.ReadersServiceClient, interactions ...*readersv1.Interaction) *readersv1.RecordInteractionsResponse {
	t.Helper()
	resp, err := client.RecordInteractions(within(t), &readersv1.RecordInteractionsRequest{Interactions: interactions})
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func want(reader, book int32) *readersv1.Interaction {
	return &readersv1.Interaction{ReaderId: reader, BookId: book, Kind: readersv1.InteractionKind_INTERACTION_KIND_WANT}
}

func watch(t testing.TB, client readersv1.ReadersServiceClient, after int64) grpc.ServerStreamingClient[readersv1.WatchInteractionsResponse] {
	t.Helper()
	stream, err := client.WatchInteractions(within(t), &readersv1.WatchInteractionsRequest{AfterPosition: after})
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func wantCode(t *testing.T, err error, code codes.Code, parts ...string) {
	t.Helper()
	if status.Code(err) != code {
		t.Errorf("got %v, want %v", err, code)
	}
	for _, part := range parts {
		if err != nil && !strings.Contains(status.Convert(err).Message(), part) {
			t.Errorf("%q does not say %q", status.Convert(err).Message(), part)
		}
	}
}

func near(t *testing.T, what string, got *timestamppb.Timestamp) {
	t.Helper()
	if ago := time.Since(got.AsTime()); ago < -time.Second || ago > time.Minute {
		t.Errorf("%s is %v ago, want now", what, ago)
	}
}

// An export has all that the log has of the reader, and the shelf that it leads
// to, which is the one that is kept.
func TestExportReader(t *testing.T) {
	client := serve(t)
	id, other := create(t, client), create(t, client)
	for round := range int32(3) {
		var batch []*readersv1.Interaction
		for book := range int32(1500) {
			in := want(id, book+1)
			in.Kind = readersv1.InteractionKind(book%9 + 1)
			if in.Kind == readersv1.InteractionKind_INTERACTION_KIND_RATING {
				in.Value = float32(round+1) / 2
			}
			in.BookId = (book*7+round)%1000 + 1
			batch = append(batch, in, want(other, book+1))
		}
		record(t, client, batch...)
	}
	stream, err := client.ExportReader(within(t), &readersv1.ExportReaderRequest{ReaderId: id})
	if err != nil {
		t.Fatal(err)
	}
	var got readersv1.ExportReaderResponse
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		proto.Merge(&got, part)
	}
	if got.GetReader().GetId() != id || len(got.GetInteractions()) != 4500 {
		t.Errorf("an export of reader %d with %d interactions, want %d with 4500", got.GetReader().GetId(), len(got.GetInteractions()), id)
	}
	for i, in := range got.GetInteractions() {
		if in.GetReaderId() != id || i > 0 && in.GetPosition() <= got.GetInteractions()[i-1].GetPosition() {
			t.Fatalf("interaction %d is %v", i, in)
		}
	}
	shelf, err := client.ListShelf(within(t), &readersv1.ListShelfRequest{ReaderId: id})
	if err != nil {
		t.Fatal(err)
	}
	if len(shelf.GetEntries()) == 0 || !proto.Equal(&readersv1.ListShelfResponse{Entries: got.GetEntries()}, shelf) {
		t.Errorf("the export has %d entries and the shelf %d, or others", len(got.GetEntries()), len(shelf.GetEntries()))
	}
	nobody, err := client.ExportReader(within(t), &readersv1.ExportReaderRequest{ReaderId: 99})
	if err == nil {
		_, err = nobody.Recv()
	}
	wantCode(t, err, codes.NotFound)
}

// A follower that was there hears of it, and one that starts from 0 never sees
// what the reader did.
func TestEraseReader(t *testing.T) {
	client := serve(t)
	gone, stays := create(t, client), create(t, client)
	live := watch(t, client, 0)
	if first, err := live.Recv(); err != nil || len(first.GetInteractions()) > 0 {
		t.Fatalf("first message %v, %v", first, err)
	}
	record(t, client, want(gone, 1), want(stays, 2), want(gone, 3))
	erased, err := client.EraseReader(within(t), &readersv1.EraseReaderRequest{ReaderId: gone})
	if err != nil || erased.GetPosition() != 4 {
		t.Fatalf("EraseReader = %v, %v; want position 4", erased, err)
	}
	for last := (&readersv1.Interaction{}); last.GetPosition() < 4; {
		page, err := live.Recv()
		if err != nil {
			t.Fatal(err)
		}
		last = page.GetInteractions()[len(page.GetInteractions())-1]
		if last.GetPosition() == 4 && (last.GetKind() != readersv1.InteractionKind_INTERACTION_KIND_ERASED || last.GetReaderId() != gone || last.GetBookId() != 0) {
			t.Errorf("the follower is told %v", last)
		}
	}
	page, err := watch(t, client, 0).Recv()
	if err != nil {
		t.Fatal(err)
	}
	if got := page.GetInteractions(); len(got) != 2 || got[0].GetReaderId() != stays || got[1].GetPosition() != 4 || page.GetHead() != 4 {
		t.Errorf("a new follower sees %v", page)
	}
	_, err = client.EraseReader(within(t), &readersv1.EraseReaderRequest{ReaderId: gone})
	wantCode(t, err, codes.NotFound)
	_, err = client.RecordInteractions(within(t), &readersv1.RecordInteractionsRequest{Interactions: []*readersv1.Interaction{want(gone, 1)}})
	wantCode(t, err, codes.NotFound)
	tombstone := want(stays, 1)
	tombstone.Kind = readersv1.InteractionKind_INTERACTION_KIND_ERASED
	_, err = client.RecordInteractions(within(t), &readersv1.RecordInteractionsRequest{Interactions: []*readersv1.Interaction{tombstone}})
	wantCode(t, err, codes.InvalidArgument)
}

// Who follows, and whoever reads the log from its start, is told where the pause
// begins and ends; what is done meanwhile is kept, and exported with it.
func TestSetPersonalisation(t *testing.T) {
	client := serve(t)
	id := create(t, client)
	set := func(paused bool, position int64) {
		t.Helper()
		response, err := client.SetPersonalisation(within(t), &readersv1.SetPersonalisationRequest{ReaderId: id, Paused: paused})
		if err != nil || response.GetPosition() != position {
			t.Fatalf("SetPersonalisation = %v, %v; want position %d", response, err, position)
		}
		reader, err := client.GetReader(within(t), &readersv1.GetReaderRequest{Id: id})
		if err != nil || reader.GetReader().GetPersonalisationPaused() != paused {
			t.Fatalf("GetReader = %v, %v; want paused %t", reader, err, paused)
		}
	}
	record(t, client, want(id, 1))
	set(true, 2)
	set(true, 2)
	record(t, client, want(id, 2))
	set(false, 4)
	set(true, 5)

	kinds := []readersv1.InteractionKind{
		readersv1.InteractionKind_INTERACTION_KIND_WANT, readersv1.InteractionKind_INTERACTION_KIND_PAUSED,
		readersv1.InteractionKind_INTERACTION_KIND_WANT, readersv1.InteractionKind_INTERACTION_KIND_RESUMED,
		readersv1.InteractionKind_INTERACTION_KIND_PAUSED,
	}
	check := func(what string, got []*readersv1.Interaction, want []readersv1.InteractionKind) {
		t.Helper()
		var have []readersv1.InteractionKind
		for _, in := range got {
			have = append(have, in.GetKind())
			if about := in.GetBookId() != 0; in.GetReaderId() != id || about != (in.GetKind() == readersv1.InteractionKind_INTERACTION_KIND_WANT) {
				t.Errorf("%s has %v", what, in)
			}
		}
		if !slices.Equal(have, want) {
			t.Errorf("%s is %v, want %v", what, have, want)
		}
	}
	for _, after := range []int64{0, 1, 4} {
		page, err := watch(t, client, after).Recv()
		if err != nil {
			t.Fatal(err)
		}
		check(fmt.Sprintf("the log after %d", after), page.GetInteractions(), kinds[after:])
	}
	stream, err := client.ExportReader(within(t), &readersv1.ExportReaderRequest{ReaderId: id})
	if err != nil {
		t.Fatal(err)
	}
	var export readersv1.ExportReaderResponse
	for part, err := stream.Recv(); !errors.Is(err, io.EOF); part, err = stream.Recv() {
		if err != nil {
			t.Fatal(err)
		}
		proto.Merge(&export, part)
	}
	check("the export", export.GetInteractions(), kinds)
	if !export.GetReader().GetPersonalisationPaused() || len(export.GetEntries()) != 2 {
		t.Errorf("the export is of %v with %d books", export.GetReader(), len(export.GetEntries()))
	}

	_, err = client.SetPersonalisation(within(t), &readersv1.SetPersonalisationRequest{ReaderId: 99, Paused: true})
	wantCode(t, err, codes.NotFound)
	_, err = client.SetPersonalisation(within(t), &readersv1.SetPersonalisationRequest{Paused: true})
	wantCode(t, err, codes.InvalidArgument, "reader_id")
	for _, kind := range []readersv1.InteractionKind{readersv1.InteractionKind_INTERACTION_KIND_PAUSED, readersv1.InteractionKind_INTERACTION_KIND_RESUMED} {
		_, err = client.RecordInteractions(within(t), &readersv1.RecordInteractionsRequest{Interactions: []*readersv1.Interaction{{ReaderId: id, BookId: 1, Kind: kind}}})
		wantCode(t, err, codes.InvalidArgument, "kind")
	}
}

func TestReaders(t *testing.T) {
	client := serve(t)
	made, err := client.CreateReader(within(t), &readersv1.CreateReaderRequest{DisplayName: "Noor"})
	if err != nil {
		t.Fatal(err)
	}
	if r := made.GetReader(); r.GetId() < 1 || r.GetOrigin() != readersv1.Origin_ORIGIN_ANONYMOUS || r.GetDisplayName() != "Noor" {
		t.Errorf("CreateReader = %v", r)
	}
	near(t, "created_at", made.GetReader().GetCreatedAt())
	got, err := client.GetReader(within(t), &readersv1.GetReaderRequest{Id: made.GetReader().GetId()})
	if err != nil || !proto.Equal(got.GetReader(), made.GetReader()) {
		t.Errorf("GetReader = %v, %v; want %v", got, err, made.GetReader())
	}
	_, err = client.GetReader(within(t), &readersv1.GetReaderRequest{Id: 41})
	wantCode(t, err, codes.NotFound, "41")
}

func TestImportAndListReaders(t *testing.T) {
	client := serve(t)
	var batch []*readersv1.Reader
	for i := range 250 {
		batch = append(batch, &readersv1.Reader{Id: int32(i + 1), Origin: readersv1.Origin_ORIGIN_SIMULATED, Source: "simulation", SourceId: fmt.Sprint(i)})
	}
	batch[249].Origin = readersv1.Origin_ORIGIN_UNSPECIFIED
	resp, err := client.ImportReaders(within(t), &readersv1.ImportReadersRequest{Readers: batch})
	if err != nil || resp.GetCreated() != 250 || len(resp.GetIds()) != 250 || resp.GetIds()[7] != 8 {
		t.Fatalf("ImportReaders = %v, %v", resp, err)
	}
	create(t, client)
	for _, c := range []struct {
		origin readersv1.Origin
		size   int32
		first  int
		all    int
	}{
		{0, 0, 20, 251}, {0, math.MaxInt32, 200, 251}, {readersv1.Origin_ORIGIN_SIMULATED, 83, 83, 249},
		{readersv1.Origin_ORIGIN_IMPORTED, 1, 1, 1}, {readersv1.Origin_ORIGIN_ANONYMOUS, 0, 1, 1},
	} {
		var ids []int32
		for token, pages := "", 0; pages == 0 || token != ""; pages++ {
			page, err := client.ListReaders(within(t), &readersv1.ListReadersRequest{Origin: c.origin, PageSize: c.size, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			if pages == 0 && len(page.GetReaders()) != c.first {
				t.Errorf("first page of %+v has %d readers", c, len(page.GetReaders()))
			}
			for _, r := range page.GetReaders() {
				ids = append(ids, r.GetId())
			}
			token = page.GetNextPageToken()
		}
		if len(ids) != c.all || !slices.IsSorted(ids) || len(slices.Compact(ids)) != c.all {
			t.Errorf("%+v: got %d readers, in order: %v", c, len(ids), slices.IsSorted(ids))
		}
	}
	first, err := client.ListReaders(within(t), &readersv1.ListReadersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.ListReaders(within(t), &readersv1.ListReadersRequest{PageToken: first.GetNextPageToken(), Origin: 1})
	wantCode(t, err, codes.InvalidArgument, "page_token")
}

func TestImportRefuses(t *testing.T) {
	client := serve(t)
	good := &readersv1.Reader{Source: "s", SourceId: "1"}
	for field, bad := range map[string]*readersv1.Reader{
		"readers[1].source":     {SourceId: "2"},
		"readers[1].source_id":  {Source: "s"},
		"readers[1].created_at": {Source: "s", SourceId: "2", CreatedAt: &timestamppb.Timestamp{Nanos: -1}},
	} {
		_, err := client.ImportReaders(within(t), &readersv1.ImportReadersRequest{Readers: []*readersv1.Reader{good, bad}})
		wantCode(t, err, codes.InvalidArgument, field)
	}
	if list, err := client.ListReaders(within(t), &readersv1.ListReadersRequest{}); err != nil || len(list.GetReaders()) > 0 {
		t.Errorf("after refused imports there are %v, %v", list, err)
	}
}

func TestInteractionsAndReadersAreCounted(t *testing.T) {
	server, registry := newServer(t), prometheus.NewPedanticRegistry()
	server.Measure(registry)
	client := readersv1.NewReadersServiceClient(chassistest.Serve(t, server.Register))
	id := create(t, client)
	record(t, client, want(id, 8), want(id, 9))
	// All or none: an unknown reader is no interaction.
	if _, err := client.RecordInteractions(within(t), &readersv1.RecordInteractionsRequest{
		Interactions: []*readersv1.Interaction{want(id, 10), want(id+1, 8)},
	}); err == nil {
		t.Error("an unknown reader was recorded")
	}
	if _, err := client.EraseReader(within(t), &readersv1.EraseReaderRequest{ReaderId: create(t, client)}); err != nil {
		t.Fatal(err)
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP octavo_interactions Interactions that were put in the log, erased ones included.
# TYPE octavo_interactions gauge
octavo_interactions 3
# HELP octavo_interactions_accepted_total Interactions that are in the log for certain, by kind. One that was sent again counts again.
# TYPE octavo_interactions_accepted_total counter
octavo_interactions_accepted_total{kind="bought"} 0
octavo_interactions_accepted_total{kind="click"} 0
octavo_interactions_accepted_total{kind="finished"} 0
octavo_interactions_accepted_total{kind="not_interested"} 0
octavo_interactions_accepted_total{kind="rating"} 0
octavo_interactions_accepted_total{kind="reading"} 0
octavo_interactions_accepted_total{kind="removed"} 0
octavo_interactions_accepted_total{kind="view"} 0
octavo_interactions_accepted_total{kind="want"} 2
# HELP octavo_readers Readers there are, visitors included.
# TYPE octavo_readers gauge
octavo_readers 1
# HELP octavo_readers_erased_total Readers who were erased for good.
# TYPE octavo_readers_erased_total counter
octavo_readers_erased_total 1
`)); err != nil {
		t.Error(err)
	}
}

func TestRecordInteractions(t *testing.T) {
	client := serve(t)
	id := create(t, client)
	then := timestamppb.New(time.UnixMilli(1_500_000_000_123))
	rating := &readersv1.Interaction{
		Id: "r1", ReaderId: id, BookId: 3, Kind: readersv1.InteractionKind_INTERACTION_KIND_RATING, Value: 4.5, OccurredAt: then,
	}
	if resp := record(t, client, rating, want(id, 8), rating); resp.GetPosition() != 2 || resp.GetRecorded() != 2 {
		t.Errorf("RecordInteractions = %v, want position 2, 2 recorded", resp)
	}
	if resp := record(t, client, rating); resp.GetPosition() != 2 || resp.GetRecorded() != 0 {
		t.Errorf("sent again: %v, want position 2, none recorded", resp)
	}
	shelf, err := client.ListShelf(within(t), &readersv1.ListShelfRequest{ReaderId: id})
	if err != nil || len(shelf.GetEntries()) != 2 {
		t.Fatalf("ListShelf = %v, %v", shelf, err)
	}
	wanted, rated := shelf.GetEntries()[0], shelf.GetEntries()[1]
	if wanted.GetBookId() != 8 || wanted.GetShelf() != readersv1.InteractionKind_INTERACTION_KIND_WANT {
		t.Errorf("first entry = %v", wanted)
	}
	near(t, "updated_at", wanted.GetUpdatedAt())
	if !proto.Equal(rated, &readersv1.ShelfEntry{BookId: 3, Rating: 4.5, UpdatedAt: then}) {
		t.Errorf("second entry = %v", rated)
	}
	filtered, err := client.ListShelf(within(t), &readersv1.ListShelfRequest{ReaderId: id, BookIds: []int32{3, 4}, MaxResults: 5})
	if err != nil || len(filtered.GetEntries()) != 1 || filtered.GetEntries()[0].GetBookId() != 3 {
		t.Errorf("ListShelf of books 3 and 4 = %v, %v", filtered, err)
	}
	if nobody, err := client.ListShelf(within(t), &readersv1.ListShelfRequest{ReaderId: 99}); err != nil || len(nobody.GetEntries()) > 0 {
		t.Errorf("ListShelf of nobody = %v, %v", nobody, err)
	}
}

// TestTheClockJumps: an hour forward and two back change what the time was, and
// neither the order of the log nor that of a shelf.
func TestTheClockJumps(t *testing.T) {
	server := newServer(t)
	var offset atomic.Int64
	server.SetClock(func() time.Time { return time.Now().Add(time.Duration(offset.Load())) })
	client := readersv1.NewReadersServiceClient(chassistest.Serve(t, server.Register))
	id := create(t, client)
	stream := watch(t, client, 0)
	next := int64(1)
	for book, jump := range []time.Duration{0, time.Hour, -time.Hour, 0} {
		offset.Store(int64(jump))
		if resp := record(t, client, want(id, int32(book+1))); resp.GetPosition() != int64(book+1) {
			t.Errorf("the clock shows %v more: position %d, want %d", jump, resp.GetPosition(), book+1)
		}
		for next <= int64(book+1) {
			part, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			for _, in := range part.GetInteractions() {
				if in.GetBookId() != int32(next) {
					t.Errorf("a follower gets book %d, want %d", in.GetBookId(), next)
				}
				if off := in.GetOccurredAt().AsTime().Sub(time.Now().Add(jump)).Abs(); off > time.Minute {
					t.Errorf("the interaction is %v off the clock", off)
				}
				next++
			}
		}
	}
	shelf, err := client.ListShelf(within(t), &readersv1.ListShelfRequest{ReaderId: id})
	if err != nil {
		t.Fatal(err)
	}
	var books []int32
	for _, e := range shelf.GetEntries() {
		books = append(books, e.GetBookId())
	}
	if !slices.Equal(books, []int32{4, 3, 2, 1}) {
		t.Errorf("the shelf has the books %v, want the last changed first", books)
	}
}

func TestRecordRefuses(t *testing.T) {
	client := serve(t)
	id := create(t, client)
	for name, c := range map[string]struct {
		bad  *readersv1.Interaction
		code codes.Code
		part string
	}{
		"unknown reader": {want(id+1, 1), codes.NotFound, fmt.Sprint(id + 1)},
		"no reader":      {want(0, 1), codes.InvalidArgument, "reader_id"},
		"no book":        {want(id, 0), codes.InvalidArgument, "book_id"},
		"no kind":        {&readersv1.Interaction{ReaderId: id, BookId: 1}, codes.InvalidArgument, "kind"},
		"rating of 4.3":  {&readersv1.Interaction{ReaderId: id, BookId: 1, Kind: 6, Value: 4.3}, codes.InvalidArgument, "half steps"},
		"not a number":   {&readersv1.Interaction{ReaderId: id, BookId: 1, Kind: 6, Value: float32(math.NaN())}, codes.InvalidArgument, "half steps"},
		"not a time": {&readersv1.Interaction{ReaderId: id, BookId: 1, Kind: 1, OccurredAt: &timestamppb.Timestamp{Seconds: math.MaxInt64}},
			codes.InvalidArgument, "interactions[1].occurred_at"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.RecordInteractions(within(t), &readersv1.RecordInteractionsRequest{
				Interactions: []*readersv1.Interaction{want(id, 1), c.bad},
			})
			wantCode(t, err, c.code, c.part)
		})
	}
	if resp := record(t, client, want(id, 1)); resp.GetPosition() != 1 {
		t.Errorf("position after refused batches is %d, want 1", resp.GetPosition())
	}
}

func TestWatchInteractions(t *testing.T) {
	client := serve(t)
	stream := watch(t, client, 0)
	first, err := stream.Recv()
	if err != nil || len(first.GetInteractions()) > 0 || first.GetPosition() != 0 || first.GetHead() != 0 {
		t.Fatalf("first message of an empty log = %v, %v", first, err)
	}
	id := create(t, client)
	sent := want(id, 4)
	sent.Id = "private"
	record(t, client, sent)
	next, err := stream.Recv()
	if err != nil || len(next.GetInteractions()) != 1 || next.GetPosition() != 1 || next.GetHead() != 1 {
		t.Fatalf("after a click: %v, %v", next, err)
	}
	if in := next.GetInteractions()[0]; in.GetPosition() != 1 || in.GetId() != "" || in.GetReaderId() != id || in.GetBookId() != 4 {
		t.Errorf("interaction = %v", in)
	}
	near(t, "occurred_at", next.GetInteractions()[0].GetOccurredAt())
	_, err = watch(t, client, 2).Recv()
	wantCode(t, err, codes.FailedPrecondition, "start again from 0")
}

// Followers who come and go while many write see every position once, in order.
func TestFollowersAndWriters(t *testing.T) {
	client := serve(t)
	const writers, writes, size = 8, 20, 30
	const total = writers * writes * size
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var wait sync.WaitGroup
	for range writers {
		id := create(t, client)
		wait.Go(func() {
			for range writes {
				var batch []*readersv1.Interaction
				for book := range int32(size) {
					batch = append(batch, want(id, book+1))
				}
				if _, err := client.RecordInteractions(ctx, &readersv1.RecordInteractionsRequest{Interactions: batch}); err != nil {
					t.Errorf("write: %v", err)
					cancel()
					return
				}
			}
		})
	}
	for _, messages := range []int{3, 6, math.MaxInt} {
		wait.Go(func() {
			for position := int64(0); position < total; {
				var err error
				if position, err = follow(ctx, client, position, total, messages); err != nil {
					t.Errorf("follow: %v", err)
					cancel()
					return
				}
			}
		})
	}
	wait.Wait()
}

// follow reads messages until there are enough or the end is reached, and
// returns the position to go on from.
func follow(ctx context.Context, client readersv1.ReadersServiceClient, position, end int64, messages int) (int64, error) {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	stream, err := client.WatchInteractions(ctx, &readersv1.WatchInteractionsRequest{AfterPosition: position})
	if err != nil {
		return 0, err
	}
	for ; messages > 0 && position < end; messages-- {
		resp, err := stream.Recv()
		if err != nil {
			return 0, err
		}
		for _, in := range resp.GetInteractions() {
			if position++; in.GetPosition() != position {
				return 0, fmt.Errorf("position %d follows %d", in.GetPosition(), position-1)
			}
		}
		if resp.GetPosition() != position || resp.GetHead() < position {
			return 0, fmt.Errorf("message at %d says position %d, head %d", position, resp.GetPosition(), resp.GetHead())
		}
	}
	return position, nil
}

// A copy of the database that goes on without the original has other entries from
// there on, and tells so to who followed the original, however long it grows.
func TestARestoredLogIsToldFromTheOneItWas(t *testing.T) {
	dir := t.TempDir()
	original, restored := filepath.Join(dir, "readers.db"), filepath.Join(dir, "restored.db")
	open := func(path string) (readersv1.ReadersServiceClient, *sqlite.Store) {
		store, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		return readersv1.NewReadersServiceClient(chassistest.Serve(t, readers.NewServer(store, slog.New(slog.DiscardHandler)).Register)), store
	}
	end := func(client readersv1.ReadersServiceClient) *readersv1.WatchInteractionsResponse {
		t.Helper()
		page, err := watch(t, client, 0).Recv()
		if err != nil || page.GetPosition() != page.GetHead() || page.GetCheck() == 0 {
			t.Fatalf("the log is %v, %v", page, err)
		}
		near(t, "recorded_at", page.GetRecordedAt())
		return page
	}
	client, store := open(original)
	id, other := create(t, client), create(t, client)
	record(t, client, want(id, 1), want(id, 2))
	shared := end(client)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(original)
	if err == nil {
		err = os.WriteFile(restored, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	client, store = open(original)
	record(t, client, want(other, 3))
	followed := end(client)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}

	client, store = open(restored)
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	for time.Now().UnixMilli() <= followed.GetCheck() {
	}
	record(t, client, want(other, 4), want(id, 5))
	resume := func(position, check int64) (*readersv1.WatchInteractionsResponse, error) {
		stream, err := client.WatchInteractions(within(t), &readersv1.WatchInteractionsRequest{AfterPosition: position, AfterCheck: check})
		if err != nil {
			t.Fatal(err)
		}
		return stream.Recv()
	}
	_, err = resume(followed.GetPosition(), followed.GetCheck())
	wantCode(t, err, codes.FailedPrecondition, "start again from 0")
	_, err = resume(5, 0)
	wantCode(t, err, codes.FailedPrecondition, "start again from 0")
	for name, c := range map[string]struct {
		position, check int64
		want            int
	}{
		"what both have":             {shared.GetPosition(), shared.GetCheck(), 2},
		"a follower without a check": {followed.GetPosition(), 0, 1},
		"its own end":                {4, end(client).GetCheck(), 0},
	} {
		page, err := resume(c.position, c.check)
		if err != nil || len(page.GetInteractions()) != c.want || page.GetPosition() != 4 {
			t.Errorf("%s: %v, %v; want %d interactions up to 4", name, page, err, c.want)
		}
	}
	// What is gone cannot be compared.
	if _, err := client.EraseReader(within(t), &readersv1.EraseReaderRequest{ReaderId: other}); err != nil {
		t.Fatal(err)
	}
	if page, err := resume(followed.GetPosition(), followed.GetCheck()); err != nil || len(page.GetInteractions()) != 2 {
		t.Errorf("after an erasure: %v, %v", page, err)
	}
}

func TestWatchInteractionsHeartbeat(t *testing.T) {
	server := newServer(t)
	server.SetHeartbeat(time.Millisecond)
	client := readersv1.NewReadersServiceClient(chassistest.Serve(t, server.Register))
	stream := watch(t, client, 0)
	for range 5 {
		if resp, err := stream.Recv(); err != nil || len(resp.GetInteractions()) > 0 {
			t.Fatalf("heartbeat = %v, %v", resp, err)
		}
	}
}

// A stop of the process ends the streams, which would otherwise hold it up.
func TestWatchInteractionsEndsWithTheProcess(t *testing.T) {
	server := newServer(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	client := readersv1.NewReadersServiceClient(chassistest.Serve(t, server.Register))
	stream := watch(t, client, 0)
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	stop()
	_, err := stream.Recv()
	wantCode(t, err, codes.Unavailable, "stopping")
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// BenchmarkFeedLag is the time from before a click is sent until a follower
// has it: the commit, with its sync, is in it.
func BenchmarkFeedLag(b *testing.B) {
	client := serve(b)
	id := create(b, client)
	stream := watch(b, client, 0)
	if _, err := stream.Recv(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		record(b, client, want(id, 1))
		if _, err := stream.Recv(); err != nil {
			b.Fatal(err)
		}
	}
}
