package skew

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/octavo-books/octavo/chassis/chassistest"
	_ "github.com/octavo-books/octavo/gen/octavo/catalog/v1" // today's contracts
	_ "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	_ "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	_ "github.com/octavo-books/octavo/gen/recommendations"
)

const folder = "../../protobufs/released"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryReleaseUnderstandsToday(t *testing.T) {
	releases, err := Released(folder)
	if err != nil {
		t.Fatal(err)
	}
	for name, release := range releases {
		t.Run(name+", client of the release, server of today", func(t *testing.T) {
			if err := exchange(t, release, release, protoregistry.GlobalFiles); err != nil {
				t.Error(err)
			}
		})
		t.Run(name+", client of today, server of the release", func(t *testing.T) {
			if err := exchange(t, release, protoregistry.GlobalFiles, release); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAContractThatBreaksIsFound: each change is one that somebody could make
// to a contract without meaning harm.
func TestAContractThatBreaksIsFound(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(t *testing.T, file *descriptorpb.FileDescriptorProto)
		want   string
	}{
		{"nothing changes", func(*testing.T, *descriptorpb.FileDescriptorProto) {}, ""},
		{"a field is added", func(t *testing.T, f *descriptorpb.FileDescriptorProto) {
			request := messageOf(t, f, "GetBookRequest")
			request.Field = append(request.Field, &descriptorpb.FieldDescriptorProto{
				Name: proto.String("edition"), Number: proto.Int32(2),
				Type: descriptorpb.FieldDescriptorProto_TYPE_INT32.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			})
		}, ""},
		{"a rule is loosened", func(t *testing.T, f *descriptorpb.FileDescriptorProto) {
			messageOf(t, f, "GetBookRequest").Field[0].Options = nil
		}, ""},
		{"a field gets another number", func(t *testing.T, f *descriptorpb.FileDescriptorProto) {
			messageOf(t, f, "Book").Field[4].Number = proto.Int32(99)
		}, "octavo.catalog.v1.Book: a field of the release is not known any more"},
		{"a field gets another type", func(t *testing.T, f *descriptorpb.FileDescriptorProto) {
			popularity := messageOf(t, f, "Book").Field[12]
			popularity.Type, popularity.Options = descriptorpb.FieldDescriptorProto_TYPE_SINT64.Enum(), nil
		}, "popularity: is optional int64 popularity at the one end and optional sint64 popularity at the other"},
		{"a field gets another meaning", func(t *testing.T, f *descriptorpb.FileDescriptorProto) {
			messageOf(t, f, "Book").Field[4].Name = proto.String("pages")
		}, "year at the one end"},
		{"a field is dropped", func(t *testing.T, f *descriptorpb.FileDescriptorProto) {
			book := messageOf(t, f, "Book")
			book.Field = book.Field[:12]
		}, "octavo.catalog.v1.Book: a field of the release is not known any more"},
		{"a rule is tightened", func(t *testing.T, f *descriptorpb.FileDescriptorProto) {
			search := messageOf(t, f, "SearchBooksRequest")
			search.Field[0].Options = messageOf(t, f, "Book").Field[1].Options // not empty
		}, "SearchBooks: rpc error: code = InvalidArgument"},
		{"a field that is added has to be set", func(t *testing.T, f *descriptorpb.FileDescriptorProto) {
			request := messageOf(t, f, "ListBooksRequest")
			request.Field = append(request.Field, &descriptorpb.FieldDescriptorProto{
				Name: proto.String("shop"), Number: proto.Int32(9), Options: messageOf(t, f, "GetBookRequest").Field[0].Options,
				Type: descriptorpb.FieldDescriptorProto_TYPE_INT32.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			})
		}, "ListBooks: rpc error: code = InvalidArgument"},
		{"a method is dropped", func(_ *testing.T, f *descriptorpb.FileDescriptorProto) {
			f.Service[0].Method = f.Service[0].Method[1:]
		}, "GetBook: rpc error: code = Unimplemented"},
		{"a method is no longer free to repeat", func(_ *testing.T, f *descriptorpb.FileDescriptorProto) {
			f.Service[0].Method[0].Options = nil
		}, "GetBook: clients of the release repeat calls of it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			set, err := read(filepath.Join(folder, "0.1.binpb"))
			if err != nil {
				t.Fatal(err)
			}
			set.File = slices.DeleteFunc(set.File, func(f *descriptorpb.FileDescriptorProto) bool {
				return f.GetPackage() == "octavo.readers.v1" || f.GetPackage() == "octavo.recommendations.v1"
			})
			before, err := protodesc.NewFiles(set)
			if err != nil {
				t.Fatal(err)
			}
			changed := proto.CloneOf(set)
			for _, file := range changed.GetFile() {
				if file.GetName() == "octavo/catalog/v1/catalog.proto" {
					test.change(t, file)
				}
			}
			after, err := protodesc.NewFiles(changed)
			if err != nil {
				t.Fatal(err)
			}
			err = errors.Join(exchange(t, before, before, after), exchange(t, before, after, before))
			switch {
			case test.want == "" && err != nil:
				t.Errorf("found what is no fault: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("found %v, want %q", err, test.want)
			}
		})
	}
}

// repeatable reports whether a client may make a call of the method again.
func repeatable(m protoreflect.MethodDescriptor) bool {
	return m.Options().(*descriptorpb.MethodOptions).GetIdempotencyLevel() != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN
}

func messageOf(t *testing.T, f *descriptorpb.FileDescriptorProto, name string) *descriptorpb.DescriptorProto {
	t.Helper()
	for _, m := range f.GetMessageType() {
		if m.GetName() == name {
			return m
		}
	}
	t.Fatalf("there is no message %s", name)
	return nil
}

// exchange calls every method of a release, with a client and a server that
// each know the contracts they are given, and says what either did not
// understand. A client of the release sends all that its rules allow; one of
// today may send what only today's server accepts, and sends one message.
func exchange(t *testing.T, release, clientSide, serverSide *protoregistry.Files) error {
	t.Helper()
	server := newServer(serverSide)
	conn := chassistest.Serve(t, server.register)
	var errs []error
	for _, m := range Methods(release) {
		found, err := clientSide.FindDescriptorByName(m.FullName())
		if err != nil {
			continue // a method that the client does not know is not called
		}
		m := found.(protoreflect.MethodDescriptor)
		if served, err := serverSide.FindDescriptorByName(m.FullName()); err == nil &&
			clientSide == release && repeatable(m) && !repeatable(served.(protoreflect.MethodDescriptor)) {
			errs = append(errs, fmt.Errorf("%s: clients of the release repeat calls of it", m.FullName()))
		}
		requests := []protoreflect.Message{Fill(m.Input())}
		if clientSide == release {
			requests = append(requests, Accepted(m.Input())...)
		}
		for _, request := range requests {
			if violations(request) > 0 {
				errs = append(errs, fmt.Errorf("%s: there is no request that keeps the rules, or this test does not find one", m.FullName()))
				break
			}
			answer, err := call(t.Context(), conn, m, request)
			if err == nil {
				got := server.received[FullName(m)]
				err = errors.Join(Agree(request, got, clientSide == release), Agree(server.answers[FullName(m)], answer, serverSide == release))
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", m.FullName(), err))
				break
			}
		}
	}
	return errors.Join(errs...)
}

func call(ctx context.Context, conn *grpc.ClientConn, m protoreflect.MethodDescriptor, request protoreflect.Message) (protoreflect.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	answer := dynamicpb.NewMessage(m.Output())
	if !m.IsStreamingServer() && !m.IsStreamingClient() {
		return answer, conn.Invoke(ctx, FullName(m), request.Interface(), answer)
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: m.IsStreamingServer(), ClientStreams: m.IsStreamingClient()}, FullName(m))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(stream.SendMsg(request.Interface()), stream.CloseSend()); err != nil {
		return nil, err
	}
	return answer, stream.RecvMsg(answer)
}

// server answers every method with a message in which every field is set, and
// keeps the last request to each.
type server struct {
	methods  []protoreflect.MethodDescriptor
	answers  map[string]protoreflect.Message
	mu       sync.Mutex
	received map[string]protoreflect.Message
}

func newServer(contracts *protoregistry.Files) *server {
	s := &server{methods: Methods(contracts), answers: map[string]protoreflect.Message{}, received: map[string]protoreflect.Message{}}
	for _, m := range s.methods {
		s.answers[FullName(m)] = Fill(m.Output())
	}
	return s
}

func (s *server) receive(m protoreflect.MethodDescriptor, request protoreflect.Message) proto.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received[FullName(m)] = request
	return s.answers[FullName(m)].Interface()
}

func (s *server) register(r grpc.ServiceRegistrar) {
	services := map[protoreflect.FullName]*grpc.ServiceDesc{}
	for _, m := range s.methods {
		name := m.Parent().FullName()
		if strings.HasPrefix(string(name), "grpc.") {
			continue // the chassis has its own
		}
		if services[name] == nil {
			services[name] = &grpc.ServiceDesc{ServiceName: string(name), HandlerType: (*any)(nil)}
		}
		s.add(services[name], m)
	}
	for _, desc := range services {
		r.RegisterService(desc, s)
	}
}

func (s *server) add(desc *grpc.ServiceDesc, m protoreflect.MethodDescriptor) {
	if m.IsStreamingServer() || m.IsStreamingClient() {
		desc.Streams = append(desc.Streams, grpc.StreamDesc{
			StreamName: string(m.Name()), ServerStreams: m.IsStreamingServer(), ClientStreams: m.IsStreamingClient(),
			Handler: func(_ any, stream grpc.ServerStream) error {
				request := dynamicpb.NewMessage(m.Input())
				if err := stream.RecvMsg(request); err != nil {
					return err
				}
				return stream.SendMsg(s.receive(m, request))
			},
		})
		return
	}
	desc.Methods = append(desc.Methods, grpc.MethodDesc{
		MethodName: string(m.Name()),
		Handler: func(_ any, ctx context.Context, decode func(any) error, chain grpc.UnaryServerInterceptor) (any, error) {
			request := dynamicpb.NewMessage(m.Input())
			if err := decode(request); err != nil {
				return nil, err
			}
			info := &grpc.UnaryServerInfo{Server: s, FullMethod: FullName(m)}
			return chain(ctx, request, info, func(context.Context, any) (any, error) { return s.receive(m, request), nil })
		},
	})
}
