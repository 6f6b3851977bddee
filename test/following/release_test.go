package following

import (
	"context"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/octavo-books/octavo/chassis"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/waittest"
	"github.com/octavo-books/octavo/test/skew"
)

// released follows the log by the contract of a release: it knows no field that
// came later.
type released struct {
	method protoreflect.MethodDescriptor
	conn   *grpc.ClientConn
	seen   map[int64]int // how often it was sent what is at each position
	at     int64
}

// follow goes on from where it is until it is at a position, or the stream ends.
func (r *released) follow(ctx context.Context, until int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := r.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, skew.FullName(r.method))
	if err != nil {
		return err
	}
	question := dynamicpb.NewMessage(r.method.Input())
	question.Set(r.method.Input().Fields().ByName("after_position"), protoreflect.ValueOfInt64(r.at))
	if err := stream.SendMsg(question); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	output := r.method.Output().Fields()
	for r.at < until {
		answer := dynamicpb.NewMessage(r.method.Output())
		if err := stream.RecvMsg(answer); err != nil {
			return err
		}
		list := answer.Get(output.ByName("interactions")).List()
		for i := range list.Len() {
			entry := list.Get(i).Message()
			r.seen[entry.Get(entry.Descriptor().Fields().ByName("position")).Int()]++
		}
		r.at = answer.Get(output.ByName("position")).Int()
	}
	return nil
}

// Followers of releases before get every entry once, with kinds among them that
// they do not know, over restarts of the service between.
func TestAFollowerOfAReleaseBefore(t *testing.T) {
	releases, err := skew.Released(filepath.Join("..", "..", "protobufs", "released"))
	if err != nil || len(releases) == 0 {
		t.Fatalf("there is no release to test with: %v", err)
	}
	onEachEngine(t, func(t *testing.T, db databases) {
		for name, files := range releases {
			service := startReaders(t, "127.0.0.1:0", db.readers)
			c := connect(t, service.addr, service.addr, service.addr)
			follower := &released{seen: map[int64]int{}}
			for _, m := range skew.Methods(files) {
				if skew.FullName(m) == readersv1.ReadersService_WatchInteractions_FullMethodName {
					follower.method = m
				}
			}
			if follower.method == nil {
				t.Fatalf("release %s has no %s", name, readersv1.ReadersService_WatchInteractions_FullMethodName)
			}
			start(t, "follower", func(app *chassis.App) string {
				follower.conn = dial(t, app, service.addr)
				return ""
			})
			goOn := func(until int64) {
				t.Helper()
				waittest.Until(t, "it has come on", patience, func() bool { return follower.follow(t.Context(), until) == nil })
			}
			first := c.fillLog(t)
			goOn(first)
			if _, err := c.readers.SetPersonalisation(t.Context(), &readersv1.SetPersonalisationRequest{ReaderId: 1, Paused: true}); err != nil {
				t.Fatal(err)
			}
			service.stop()
			service = startReaders(t, service.addr, db.readers)
			last := c.record(t, did(2, 3*shelf))
			goOn(last)
			for position := range last {
				if n := follower.seen[position+1]; n != 1 {
					t.Fatalf("a follower of release %s was sent position %d of %d %d times", name, position+1, last, n)
				}
			}
		}
	})
}
