package chassis_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/chassis/chassistest"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

func answering() *service {
	return &service{plain: func(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
		return &recommendationspb.RecommendationResponse{}, nil
	}}
}

// withTLS makes an App with a certificate of its own.
func withTLS(t *testing.T, files chassistest.Files, change ...func(*chassis.Flags)) *process {
	t.Helper()
	dir := files.Dir(t)
	return newProcess(t, append([]func(*chassis.Flags){func(f *chassis.Flags) { f.Dir = dir }}, change...)...)
}

// clientOf is a connection of another process.
func clientOf(t *testing.T, files chassistest.Files, addr string) recommendationspb.RecommendationsClient {
	t.Helper()
	p := withTLS(t, files, func(f *chassis.Flags) { f.AdminAddr = "" })
	t.Cleanup(func() { p.Close() })
	return recommendationspb.NewRecommendationsClient(p.dial(addr))
}

func TestCallersMayDoWhatTheirIdentityMay(t *testing.T) {
	authority := chassistest.NewAuthority(t)
	p := withTLS(t, authority.Issue(chassistest.Certificate{Identity: "server"}))
	addr := p.listen(nil, answering().register).String()
	p.Allow(chassis.Access{"/Recommendations/Recommend": {"friend"}})
	p.start()

	call := func(client recommendationspb.RecommendationsClient) error {
		_, err := client.Recommend(t.Context(), &recommendationspb.RecommendationRequest{})
		return err
	}
	if err := call(clientOf(t, authority.Issue(chassistest.Certificate{Identity: "friend"}), addr)); err != nil {
		t.Errorf("who may call was refused: %v", err)
	}
	err := call(clientOf(t, authority.Issue(chassistest.Certificate{Identity: "stranger"}), addr))
	if status.Code(err) != codes.PermissionDenied || status.Convert(err).Message() != "stranger may not call /Recommendations/Recommend" {
		t.Errorf("a stranger got %v", err)
	}
	records := p.log.records(t, "call")
	if len(records) != 2 || records[0]["caller"] != "friend" || records[1]["caller"] != "stranger" || records[1]["code"] != "PermissionDenied" {
		t.Errorf("the calls are logged as %v", records)
	}
	if !p.hasMetric(`grpc_server_handled_total{grpc_code="PermissionDenied",grpc_method="Recommend",grpc_service="Recommendations",grpc_type="unary"} 1`) {
		t.Error("the refusal is not counted")
	}
}

func TestAServerIsWhoItsCertificateSays(t *testing.T) {
	authority := chassistest.NewAuthority(t)
	friend := authority.Issue(chassistest.Certificate{Identity: "friend"})
	for name, test := range map[string]struct {
		server chassistest.Certificate
		dial   string // the host
		want   string // in the error; empty for success
	}{
		"its address is in it":        {chassistest.Certificate{Names: []string{"127.0.0.1"}}, "127.0.0.1", ""},
		"its name is in it":           {chassistest.Certificate{Names: []string{"localhost"}}, "localhost", ""},
		"dialled at no address":       {chassistest.Certificate{Names: []string{"localhost"}}, "0.0.0.0", ""},
		"its address is not in it":    {chassistest.Certificate{Names: []string{"localhost"}}, "127.0.0.1", "cannot validate certificate for 127.0.0.1"},
		"it is the one of another":    {chassistest.Certificate{Names: []string{"catalog"}}, "localhost", "certificate is valid for catalog, not localhost"},
		"another authority issued it": {chassistest.Certificate{}, "localhost", "certificate signed by unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			test.server.Identity = "server"
			issuer := authority
			if strings.HasPrefix(name, "another authority") {
				issuer = chassistest.NewAuthority(t)
			}
			p := withTLS(t, issuer.Issue(test.server))
			_, port, _ := net.SplitHostPort(p.listen(nil, answering().register).String())
			p.Allow(chassis.Access{"/Recommendations/Recommend": {"friend"}})
			p.start()
			_, err := clientOf(t, friend, net.JoinHostPort(test.dial, port)).Recommend(t.Context(), &recommendationspb.RecommendationRequest{})
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want UNAVAILABLE with %q", err, test.want)
			}
		})
	}
}

// TestWhatIsOpenOverTLS: health is, for probes without a certificate;
// reflection where it was asked for; and nothing without TLS or before 1.3.
func TestWhatIsOpenOverTLS(t *testing.T) {
	authority := chassistest.NewAuthority(t)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.Bundle())
	for name, test := range map[string]struct {
		reflection string
		want       codes.Code
	}{
		"auto": {"auto", codes.Unimplemented},
		"off":  {"off", codes.Unimplemented},
		"on":   {"on", codes.OK},
	} {
		t.Run("reflection "+name, func(t *testing.T) {
			p := withTLS(t, authority.Issue(chassistest.Certificate{Identity: "server"}), func(f *chassis.Flags) { f.Reflection = test.reflection })
			addr := p.listen(nil, answering().register).String()
			p.start()
			dial := func(with grpc.DialOption) *grpc.ClientConn {
				conn, err := grpc.NewClient(addr, with)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { conn.Close() })
				return conn
			}
			probe := dial(grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots})))
			eventually(t, "health is open", 30*time.Second, func() bool {
				got, err := healthpb.NewHealthClient(probe).Check(t.Context(), &healthpb.HealthCheckRequest{})
				return err == nil && got.GetStatus() == healthpb.HealthCheckResponse_SERVING
			})
			if got := askReflection(t, probe); got != test.want {
				t.Errorf("reflection answers %v, want %v", got, test.want)
			}
			_, err := recommendationspb.NewRecommendationsClient(probe).Recommend(t.Context(), &recommendationspb.RecommendationRequest{})
			if status.Code(err) != codes.Unauthenticated {
				t.Errorf("a call without a certificate got %v, want UNAUTHENTICATED", err)
			}
			for what, with := range map[string]grpc.DialOption{
				"no TLS":  insecureCredentials(),
				"TLS 1.2": grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS12})),
			} {
				if _, err := healthpb.NewHealthClient(dial(with)).Check(t.Context(), &healthpb.HealthCheckRequest{}); status.Code(err) != codes.Unavailable {
					t.Errorf("a client with %s got %v, want UNAVAILABLE", what, err)
				}
			}
		})
	}
}

func askReflection(t *testing.T, conn *grpc.ClientConn) codes.Code {
	t.Helper()
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// What went wrong is what Recv says.
	_ = stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
	_, err = stream.Recv()
	return status.Code(err)
}

func TestAccessToWhatIsNotThereStopsTheStart(t *testing.T) {
	p := newProcess(t)
	p.listen(nil, answering().register)
	p.Allow(chassis.Access{"/Recommendations/Recommend": {"friend"}, "/Recommendations/Recomend": {"friend"}})
	err := p.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no server has: /Recommendations/Recomend") {
		t.Errorf("got %v, want an error that names the method", err)
	}
}

// TestRotationDropsNoRequest replaces all certificates, then their authority, in
// the steps of docs/operations/rotate.md. Each process takes up each step at a
// time of its own, in any order, while calls go over connections that are closed
// for their age all the time and over new ones. None of them is repeated.
func TestRotationDropsNoRequest(t *testing.T) {
	before, after := chassistest.NewAuthority(t), chassistest.NewAuthority(t)
	both := before.Bundle(after)
	steps := []struct {
		name   string
		issuer *chassistest.Authority
		bundle []byte
		trusts int
	}{
		{"new certificates", before, before.Bundle(), 1},
		{"trust in both", before, both, 2},
		{"certificates of the new one", after, both, 2},
		{"trust in the new one alone", after, after.Bundle(), 1},
	}
	type member struct {
		*process
		identity string
		secret   *chassistest.Secret
	}
	join := func(identity string) *member {
		secret := chassistest.NewSecret(t, before.Issue(chassistest.Certificate{Identity: identity}))
		return &member{newProcess(t, func(f *chassis.Flags) { f.Dir, f.ConnectionAge = secret.Path, 200*time.Millisecond }), identity, secret}
	}
	var addrs []string
	var all, callers []*member
	for range 3 {
		server := join("server")
		addrs = append(addrs, server.listen(nil, answering().register).String())
		server.Allow(chassis.Access{"/Recommendations/Recommend": {"friend"}})
		server.start()
		if err := server.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		all = append(all, server)
	}
	for range 2 {
		caller := join("friend")
		defer caller.Close()
		callers, all = append(callers, caller), append(all, caller)
	}
	dial := func(p *member, addr string) *grpc.ClientConn {
		conn, err := p.DialOnce("server", addr)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	ctx := within(t)
	var calls, failures atomic.Int64
	call := func(conn *grpc.ClientConn) {
		calls.Add(1)
		if _, err := recommendationspb.NewRecommendationsClient(conn).Recommend(ctx, &recommendationspb.RecommendationRequest{}); err != nil && failures.Add(1) < 5 {
			t.Errorf("a call failed: %v", err)
		}
	}
	var load sync.WaitGroup
	over, stop := context.WithCancel(ctx)
	defer load.Wait()
	defer stop()
	for _, caller := range callers {
		for _, addr := range addrs {
			conn := dial(caller, addr)
			load.Go(func() {
				for over.Err() == nil {
					call(conn)
				}
			})
		}
	}
	for _, step := range steps {
		for _, p := range all {
			files := step.issuer.Issue(chassistest.Certificate{Identity: p.identity})
			files.Authority = step.bundle
			p.secret.Put(files)
		}
		for _, i := range rand.Perm(len(all)) {
			if err := all[i].ReloadCertificates(); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: process %d has it after %d calls", step.name, i, calls.Load())
			for _, caller := range callers {
				for _, addr := range addrs {
					fresh := dial(caller, addr)
					call(fresh)
					if err := fresh.Close(); err != nil {
						t.Error(err)
					}
				}
			}
		}
		if line := fmt.Sprintf("tls_trusted_authorities{dir=%q} %d", all[0].secret.Path, step.trusts); !all[0].hasMetric(line) {
			t.Errorf("%s: the metrics lack %s", step.name, line)
		}
	}
	stop()
	load.Wait()
	if calls.Load() < 200 {
		t.Errorf("only %d calls were made", calls.Load())
	}

	// The certificates from before are of no use any more.
	if _, err := clientOf(t, before.Issue(chassistest.Certificate{Identity: "friend"}), addrs[0]).Recommend(ctx, &recommendationspb.RecommendationRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("a client of the old authority got %v, want UNAVAILABLE", err)
	}
}

func TestWhatOtherMachinesCanReachIsAskedFor(t *testing.T) {
	files := chassistest.NewAuthority(t).Issue(chassistest.Certificate{Identity: "server"})
	dir := files.Dir(t)
	grpcServer := func(p *chassis.App) error {
		_, err := p.GRPC("catalog", "0.0.0.0:0", nil, answering().register)
		return err
	}
	httpServer := func(p *chassis.App) error {
		_, err := p.HTTP("http", ":0", http.NotFoundHandler())
		return err
	}
	httpsServer := func(p *chassis.App) error {
		_, err := p.HTTPS("http", ":0", dir, http.NotFoundHandler())
		return err
	}
	adminOnly := func(*chassis.App) error { return nil }
	for name, test := range map[string]struct {
		flags chassis.Flags
		add   func(*chassis.App) error
		want  []string // in the error; nothing for success
	}{
		"gRPC":                     {chassis.Flags{}, grpcServer, []string{"0.0.0.0:0 without TLS", "--tls-dir", "--plaintext"}},
		"gRPC, asked for":          {chassis.Flags{Plaintext: true}, grpcServer, nil},
		"gRPC over TLS":            {chassis.Flags{TLS: chassis.TLS{Dir: dir}}, grpcServer, nil},
		"HTTP":                     {chassis.Flags{}, httpServer, []string{":0 without TLS", "--http-tls-dir", "--plaintext"}},
		"HTTP though gRPC has TLS": {chassis.Flags{TLS: chassis.TLS{Dir: dir}}, httpServer, []string{"--http-tls-dir"}},
		"HTTP, asked for":          {chassis.Flags{Plaintext: true}, httpServer, nil},
		"HTTPS":                    {chassis.Flags{}, httpsServer, nil},
		"admin":                    {chassis.Flags{AdminAddr: ":0"}, adminOnly, []string{":0", "--admin-tls", "--admin-exposed"}},
		"admin, with plain text":   {chassis.Flags{AdminAddr: ":0", Plaintext: true}, adminOnly, []string{"--admin-exposed"}},
		"admin, asked for":         {chassis.Flags{AdminAddr: ":0", AdminExposed: true}, adminOnly, nil},
		"admin over TLS":           {chassis.Flags{AdminAddr: ":0", AdminTLS: true, TLS: chassis.TLS{Dir: dir}}, adminOnly, nil},
		"admin without any TLS":    {chassis.Flags{AdminAddr: ":0", AdminTLS: true}, adminOnly, []string{"--admin-tls needs", "--tls-dir"}},
	} {
		t.Run(name, func(t *testing.T) {
			app, err := chassis.New("test", "test", test.flags, t.Output())
			if err == nil {
				defer app.Close()
				err = test.add(app)
			}
			if test.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("it was let through")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error is %q, want %q in it", err, want)
				}
			}
		})
	}
}

func TestTheAdminPortOverTLSIsForOperators(t *testing.T) {
	authority := chassistest.NewAuthority(t)
	p := withTLS(t, authority.Issue(chassistest.Certificate{Identity: "server"}), func(f *chassis.Flags) { f.AdminTLS = true })
	p.start()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.Bundle())
	get := func(path string, certificate tls.Certificate) (int, error) {
		// It shows its certificate whatever authority the server asks for.
		show := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, GetClientCertificate: show}, DisableKeepAlives: true}
		response, err := (&http.Client{Transport: transport}).Get("https://" + p.AdminAddr() + path)
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		return response.StatusCode, nil
	}
	for identity, want := range map[string]map[string]int{
		"":            {"/healthz": 200, "/readyz": 200, "/metrics": 401, "/debug/pprof/": 401, "/debug/log-level": 401},
		"marketplace": {"/healthz": 200, "/readyz": 200, "/metrics": 403, "/debug/pprof/": 403, "/debug/log-level": 403},
		"prometheus":  {"/healthz": 200, "/readyz": 200, "/metrics": 200},
		"octavo":      {"/metrics": 200, "/debug/pprof/": 200, "/debug/log-level": 200},
	} {
		var shown tls.Certificate
		if identity != "" {
			shown = keyPair(t, authority.Issue(chassistest.Certificate{Identity: identity}))
		}
		for path, status := range want {
			if got, err := get(path, shown); err != nil || got != status {
				t.Errorf("%q got %d, %v at %s, want %d", identity, got, err, path, status)
			}
		}
	}
	stranger := keyPair(t, authority.SelfSigned(chassistest.Certificate{Identity: "octavo"}))
	if got, err := get("/metrics", stranger); err == nil {
		t.Errorf("a self-signed octavo got %d, want no connection", got)
	}
}

func keyPair(t *testing.T, files chassistest.Files) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(files.Certificate, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func TestAMissingCertificateStopsTheStart(t *testing.T) {
	dir := t.TempDir()
	_, err := chassis.New("test", "test", chassis.Flags{TLS: chassis.TLS{Dir: dir}}, t.Output())
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(dir, "tls.crt")) || !strings.Contains(err.Error(), "--tls-dir") {
		t.Errorf("got %v, want an error that names the file and the flag", err)
	}
}

// TestAStrangersFlood: who has no identity has no calls to give up, and waits
// after having done so many times. A service may give up what it has made.
func TestAStrangersFlood(t *testing.T) {
	authority := chassistest.NewAuthority(t)
	p := withTLS(t, authority.Issue(chassistest.Certificate{Identity: "server"}), func(f *chassis.Flags) { f.FloodWait = time.Minute })
	addr := p.listen(nil, answering().register).String()
	p.Allow(chassis.Access{"/Recommendations/Recommend": {"friend"}})
	p.start()
	friend := authority.Issue(chassistest.Certificate{Identity: "friend"})
	pair, err := tls.X509KeyPair(friend.Certificate, friend.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		from         string
		certificates []tls.Certificate
		disconnected bool
	}{
		{"127.0.0.2", nil, true},
		{"127.0.0.3", []tls.Certificate{pair}, false},
	} {
		dial := func() (*tls.Conn, error) {
			return tls.DialWithDialer(&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(test.from)}}, "tcp", addr,
				&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, Certificates: test.certificates})
		}
		conn, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		var sent bytes.Buffer
		sent.WriteString(http2.ClientPreface)
		framer := http2.NewFramer(&sent, nil)
		_ = framer.WriteSettings() // writing to memory does not fail
		for n := range 500 {
			stream := uint32(2*n + 1)
			_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte{0x82, 0x86, 0x84}, EndHeaders: true})
			_ = framer.WriteRSTStream(stream, http2.ErrCodeCancel)
		}
		_ = framer.WritePing(false, [8]byte{1})
		if _, err := conn.Write(sent.Bytes()); err != nil && !test.disconnected {
			t.Fatal(err)
		}
		answered := make(chan bool)
		go func() {
			answers := http2.NewFramer(nil, conn)
			for {
				frame, err := answers.ReadFrame()
				if err != nil {
					answered <- false
					return
				}
				if ping, ok := frame.(*http2.PingFrame); ok && ping.IsAck() && ping.Data == [8]byte{1} {
					answered <- true
					return
				}
			}
		}()
		if got := <-answered; got == test.disconnected {
			t.Errorf("from %s: what follows the resets is answered: %v", test.from, got)
		}
		again, err := dial()
		if (err != nil) != test.disconnected {
			t.Errorf("from %s, connecting once more: %v", test.from, err)
		}
		if err == nil {
			again.Close()
		}
	}
	if !p.hasMetric(`server_connections_closed_total{reason="flood",server="server"} 1`) || !p.hasMetric(`server_connections_closed_total{reason="waiting",server="server"} 1`) {
		t.Error("the metrics do not tell")
	}
}
