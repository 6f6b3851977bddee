package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/chassis/chassistest"
	"github.com/octavo-books/octavo/cmd/internal/catalogservice"
	"github.com/octavo-books/octavo/cmd/internal/models"
	"github.com/octavo-books/octavo/cmd/internal/program"
	"github.com/octavo-books/octavo/cmd/internal/readersservice"
	"github.com/octavo-books/octavo/cmd/internal/recommendationsservice"
)

const (
	seed                = "Recommendations"
	catalogService      = "octavo.catalog.v1.CatalogService"
	readersService      = "octavo.readers.v1.ReadersService"
	accountsService     = "octavo.readers.v1.AccountsService"
	recommendedServices = "octavo.recommendations.v1.RecommendationsService"
)

// calls are the arrows of the drawing in ARCHITECTURE.md, and all that octavo
// does: nobody may call anything else.
var calls = map[string]map[string][]string{
	"marketplace": {
		recommendedServices: {"Recommend", "BatchRecommend", "SimilarBooks", "GetModel"},
		catalogService:      {"GetBook", "BatchGetBooks", "ListBooks", "ListCategories", "SearchBooks", "SuggestBooks", "MatchBooks"},
		readersService:      {"CreateReader", "GetReader", "ListReaders", "RecordInteractions", "ListShelf", "ExportReader", "EraseReader", "SetPersonalisation"},
		accountsService:     {"CreateAccount", "SignIn", "CheckSession", "ListSessions", "EndSessions", "ChangePassword", "BeginPasskeyRegistration", "FinishPasskeyRegistration", "BeginPasskeySignIn", "FinishPasskeySignIn", "ListPasskeys", "RenamePasskey", "RemovePasskey"},
	},
	"recommendations": {catalogService: {"WatchBooks"}, readersService: {"WatchInteractions"}},
	"trainer":         {catalogService: {"WatchBooks", "SetPopularity"}, readersService: {"WatchInteractions"}},
	"client":          {seed: {"Recommend"}},
	"octavo": {
		seed:                {"Recommend"},
		recommendedServices: {"Recommend", "BatchRecommend", "SimilarBooks", "GetModel"},
		catalogService:      {"GetBook", "BatchGetBooks", "ListBooks", "ListCategories", "SearchBooks", "SuggestBooks", "MatchBooks", "WatchBooks", "SetPopularity", "ImportBooks"},
		readersService:      {"CreateReader", "GetReader", "ListReaders", "RecordInteractions", "ListShelf", "ExportReader", "EraseReader", "SetPersonalisation", "WatchInteractions", "ImportReaders"},
	},
	"catalog": {}, "readers": {}, "nobody": {}, "octavo/": {}, "Octavo": {}, "marketplace2": {},
}

// TestWhoMayCallWhat tries every method of every service, as the contracts
// describe them, with every identity and with all sorts of certificates that
// are none.
func TestWhoMayCallWhat(t *testing.T) {
	authority, other := chassistest.NewAuthority(t), chassistest.NewAuthority(t)
	past := time.Now().Add(-time.Hour)
	callers := map[string]struct {
		files chassistest.Files
		want  string // of every call; empty for what calls says
	}{
		"no certificate":               {want: "unauthenticated"},
		"no identity":                  {authority.Issue(chassistest.Certificate{}), "unauthenticated"},
		"a name instead of a URI":      {authority.Issue(chassistest.Certificate{Names: []string{"octavo"}}), "unauthenticated"},
		"two identities":               {authority.Issue(chassistest.Certificate{Identity: "octavo", URIs: []string{"spiffe://octavo/client"}}), "unauthenticated"},
		"an identity of somebody else": {authority.Issue(chassistest.Certificate{URIs: []string{"spiffe://elsewhere/octavo"}}), "unauthenticated"},
		"expired":                      {authority.Issue(chassistest.Certificate{Identity: "octavo", NotBefore: past.Add(-time.Hour), NotAfter: past}), "no connection"},
		"not yet valid":                {authority.Issue(chassistest.Certificate{Identity: "octavo", NotBefore: time.Now().Add(time.Minute), NotAfter: time.Now().Add(time.Hour)}), "no connection"},
		"self-signed":                  {authority.SelfSigned(chassistest.Certificate{Identity: "octavo"}), "no connection"},
		"of another authority":         {other.Issue(chassistest.Certificate{Identity: "octavo"}), "no connection"},
	}
	for identity := range calls {
		c := callers[identity]
		c.files = authority.Issue(chassistest.Certificate{Identity: identity})
		callers[identity] = c
	}
	at := serveAll(t, authority)
	methods := contractMethods(t)

	var tried sync.Map
	for name, caller := range callers {
		t.Run(name, func(t *testing.T) {
			var wg sync.WaitGroup
			for service, addr := range at {
				conn := dialAs(t, authority, caller.files, addr)
				probe(t, conn, caller.want == "no connection")
				for _, method := range methods[service] {
					wg.Go(func() {
						want := caller.want
						if want == "" {
							want = "denied"
							if slices.Contains(calls[name][service], string(method.Name())) {
								want = "served"
							}
						}
						if got := outcome(conn, method); got != want {
							t.Errorf("%s calls %s: %s, want %s", name, method.FullName(), got, want)
						}
						tried.Store(name+string(method.FullName()), true)
					})
				}
			}
			wg.Wait()
		})
	}
	count := 0
	tried.Range(func(any, any) bool { count++; return true })
	total := 0
	for _, m := range methods {
		total += len(m)
	}
	if count != total*len(callers) || total < 20 {
		t.Errorf("%d calls were tried, want %d methods by %d callers", count, total, len(callers))
	}
	t.Logf("%d methods × %d callers", total, len(callers))
}

// serveAll runs the services over mutual TLS and returns where each contract is.
func serveAll(t *testing.T, authority *chassistest.Authority) map[string]string {
	t.Helper()
	folder := t.TempDir()
	app, err := chassis.New("octavo", "test", chassis.Flags{
		TLS:      chassis.TLS{Dir: authority.Issue(chassistest.Certificate{Identity: "octavo"}).Dir(t)},
		LogLevel: "error", ShutdownTimeout: 5 * time.Second,
	}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	add := func(s program.Service) string {
		addr, err := s.Add(t.Context(), app)
		if err != nil {
			t.Fatal(err)
		}
		return addr.String()
	}
	at := map[string]string{}
	at[catalogService] = add(&catalogservice.Service{Addr: "127.0.0.1:0", Database: filepath.Join(folder, "catalog.db")})
	at[readersService] = add(&readersservice.Service{Addr: "127.0.0.1:0", Database: filepath.Join(folder, "readers.db")})
	at[recommendedServices] = add(&recommendationsservice.Service{Addr: "127.0.0.1:0", CatalogAddr: at[catalogService], ReadersAddr: at[readersService], Flags: models.Flags{Models: filepath.Join(folder, "models")}})
	at[accountsService] = at[readersService]
	at[seed] = at[recommendedServices]
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return at
}

// contractMethods are the methods of all contracts of Octavo.
func contractMethods(t *testing.T) map[string][]protoreflect.MethodDescriptor {
	t.Helper()
	methods := map[string][]protoreflect.MethodDescriptor{}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if file.Package() != "" && !strings.HasPrefix(string(file.Package()), "octavo.") {
			return true
		}
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				methods[string(service.FullName())] = append(methods[string(service.FullName())], service.Methods().Get(j))
			}
		}
		return true
	})
	got, want := slices.Sorted(maps.Keys(methods)), []string{seed, catalogService, accountsService, readersService, recommendedServices}
	if !slices.Equal(got, want) {
		t.Fatalf("the contracts are %v, want %v: say who may call the new one", got, want)
	}
	return methods
}

// dialAs connects with a certificate, whatever the server asks for, or none.
func dialAs(t *testing.T, authority *chassistest.Authority, files chassistest.Files, addr string) *grpc.ClientConn {
	t.Helper()
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(authority.Bundle())
	if files.Certificate != nil {
		pair, err := tls.X509KeyPair(files.Certificate, files.Key)
		if err != nil {
			t.Fatal(err)
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// probe asks for health, which is open to all who get a connection.
func probe(t *testing.T, conn *grpc.ClientConn, refused bool) {
	t.Helper()
	_, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if got := status.Code(err); refused != (got == codes.Unavailable) {
		t.Errorf("health answers %v", err)
	}
}

// outcome makes a call without anything in it and says how far it came.
func outcome(conn *grpc.ClientConn, method protoreflect.MethodDescriptor) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	name := "/" + string(method.Parent().FullName()) + "/" + string(method.Name())
	var header, trailer metadata.MD
	var err error
	if method.IsStreamingServer() {
		// A feed that is let in says so with its header, and goes on for ever.
		desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: method.IsStreamingClient()}
		var stream grpc.ClientStream
		if stream, err = conn.NewStream(ctx, desc, name); err == nil {
			// What went wrong is what Recv says.
			_ = stream.SendMsg(&emptypb.Empty{})
			_ = stream.CloseSend()
			time.AfterFunc(300*time.Millisecond, cancel)
			err = stream.RecvMsg(&emptypb.Empty{})
			header, _ = stream.Header()
			trailer = stream.Trailer()
			if status.Code(err) == codes.Canceled {
				return "served"
			}
		}
	} else {
		err = conn.Invoke(ctx, name, &emptypb.Empty{}, &emptypb.Empty{}, grpc.Header(&header), grpc.Trailer(&trailer))
	}
	switch code := status.Code(err); {
	case code == codes.PermissionDenied:
		return "denied"
	case code == codes.Unauthenticated:
		return "unauthenticated"
	case len(header["x-request-id"])+len(trailer["x-request-id"]) > 0:
		return "served"
	case code == codes.Unavailable:
		return "no connection"
	default:
		return err.Error()
	}
}
