package certs_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/octavo-books/octavo/chassis/certs"
	"github.com/octavo-books/octavo/chassis/chassistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFilesWithWhichSomethingIsWrongStopTheStart(t *testing.T) {
	authority, other := chassistest.NewAuthority(t), chassistest.NewAuthority(t)
	good := authority.Issue(chassistest.Certificate{Identity: "catalog"})
	past := chassistest.Certificate{Identity: "catalog", NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}
	future := chassistest.Certificate{Identity: "catalog", NotBefore: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour)}
	with := func(change func(*chassistest.Files)) chassistest.Files {
		f := good
		change(&f)
		return f
	}
	for name, test := range map[string]struct {
		files chassistest.Files
		want  []string
	}{
		"no certificate":           {with(func(f *chassistest.Files) { f.Certificate = nil }), []string{"tls.crt", "no such file", "needs tls.crt, tls.key and ca.crt"}},
		"no key":                   {with(func(f *chassistest.Files) { f.Key = nil }), []string{"tls.key", "no such file"}},
		"no authority":             {with(func(f *chassistest.Files) { f.Authority = nil }), []string{"ca.crt", "no such file"}},
		"an empty file":            {with(func(f *chassistest.Files) { f.Certificate = []byte{} }), []string{"tls.crt", "no certificate in PEM"}},
		"words for a certificate":  {with(func(f *chassistest.Files) { f.Certificate = []byte("hello") }), []string{"tls.crt", "no certificate in PEM"}},
		"a key for an authority":   {with(func(f *chassistest.Files) { f.Authority = f.Key }), []string{"ca.crt", "there is a PRIVATE KEY in it"}},
		"a cut-off certificate":    {with(func(f *chassistest.Files) { f.Certificate = f.Certificate[:200] }), []string{"tls.crt", "no certificate in PEM"}},
		"the key of another":       {with(func(f *chassistest.Files) { f.Key = other.Issue(chassistest.Certificate{}).Key }), []string{"tls.key does not go with the certificate in tls.crt"}},
		"another authority":        {with(func(f *chassistest.Files) { f.Authority = other.Bundle() }), []string{"ca.crt does not vouch for the certificate in tls.crt"}},
		"a self-signed one":        {authority.SelfSigned(chassistest.Certificate{Identity: "catalog"}), []string{"does not vouch"}},
		"an expired one":           {authority.Issue(past), []string{"which is not now", "renew it"}},
		"one that is not yet good": {authority.Issue(future), []string{"which is not now"}},
		"no identity":              {authority.Issue(chassistest.Certificate{}), []string{"0 URIs", "such as spiffe://octavo/marketplace"}},
		"two identities":           {authority.Issue(chassistest.Certificate{Identity: "catalog", URIs: []string{"spiffe://octavo/readers"}}), []string{"2 URIs"}},
		"the identity of others":   {authority.Issue(chassistest.Certificate{URIs: []string{"spiffe://elsewhere/catalog"}}), []string{"spiffe://elsewhere/catalog", "does not begin with spiffe://octavo/"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := certs.Open(certs.Config{Dir: test.files.Dir(t)})
			if err == nil {
				t.Fatal("it was accepted")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error is %q, want %q in it", err, want)
				}
			}
			if strings.Contains(err.Error(), "BEGIN") {
				t.Errorf("the error shows a key: %v", err)
			}
		})
	}

	t.Run("good", func(t *testing.T) {
		folder, err := certs.Open(certs.Config{Dir: good.Dir(t)})
		if err != nil {
			t.Fatal(err)
		}
		if got := folder.Identity(); got != "catalog" {
			t.Errorf("the identity is %q, want catalog", got)
		}
	})
	t.Run("good for the public", func(t *testing.T) {
		public := with(func(f *chassistest.Files) { f.Authority = nil })
		if _, err := certs.Open(certs.Config{Dir: public.Dir(t), Public: true}); err != nil {
			t.Error(err)
		}
	})
	t.Run("a prefix as the CSI driver for SPIFFE has it", func(t *testing.T) {
		files := authority.Issue(chassistest.Certificate{URIs: []string{"spiffe://cluster.local/ns/octavo/sa/catalog"}})
		folder, err := certs.Open(certs.Config{Dir: files.Dir(t), IdentityPrefix: "spiffe://cluster.local/ns/octavo/sa/"})
		if err != nil {
			t.Fatal(err)
		}
		if got := folder.Identity(); got != "catalog" {
			t.Errorf("the identity is %q, want catalog", got)
		}
	})
}

// followed is a folder that is followed while the test runs.
type followed struct {
	*certs.Folder
	dir string
	log *buffer
	end func() // ends the following, and with it the log
}

func follow(t *testing.T, dir string) followed {
	t.Helper()
	f := followed{dir: dir, log: &buffer{}}
	var err error
	f.Folder, err = certs.Open(certs.Config{Dir: dir, PollInterval: 5 * time.Millisecond, Log: slog.New(slog.NewTextHandler(f.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.Follow(ctx) }()
	f.end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(f.end)
	return f
}

func (f followed) reloads(t *testing.T, used, refused string) error {
	t.Helper()
	return testutil.CollectAndCompare(f, strings.NewReader(
		"# HELP tls_reloads_total Changes of the certificate's files, by result: used, or refused because something is wrong with them.\n"+
			"# TYPE tls_reloads_total counter\n"+
			"tls_reloads_total{dir=\""+f.dir+"\",result=\"refused\"} "+refused+"\n"+
			"tls_reloads_total{dir=\""+f.dir+"\",result=\"used\"} "+used+"\n"), "tls_reloads_total")
}

func TestChangedFilesAreTakenUp(t *testing.T) {
	authority := chassistest.NewAuthority(t)
	issue := func() chassistest.Files { return authority.Issue(chassistest.Certificate{Identity: "catalog"}) }
	secret := chassistest.NewSecret(t, issue())
	folder := follow(t, secret.Path)
	first := folder.Leaf().SerialNumber

	secret.Put(issue())
	eventually(t, "the new certificate is used", func() bool { return folder.Leaf().SerialNumber.Cmp(first) != 0 })
	second := folder.Leaf().SerialNumber

	broken := issue()
	broken.Key = issue().Key
	secret.Put(broken)
	eventually(t, "the broken one is counted", func() bool { return folder.reloads(t, "1", "1") == nil })
	if err := os.Remove(filepath.Join(secret.Path, certs.CertificateFile)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the missing one is counted", func() bool { return folder.reloads(t, "1", "2") == nil })
	if folder.Leaf().SerialNumber.Cmp(second) != 0 {
		t.Error("the certificate before the broken one is no longer in use")
	}
	secret.Put(issue())
	eventually(t, "a good one is used again", func() bool { return folder.reloads(t, "2", "2") == nil })
	folder.end() // what is counted is logged a moment later
	for what, want := range map[string]int{
		"the new certificate cannot be used; the one before serves on": 2,
		"does not go with the certificate":                             1,
		"took up a new certificate":                                    2,
	} {
		if got := strings.Count(folder.log.String(), what); got != want {
			t.Errorf("the log says %d times that %s, want %d:\n%s", got, what, want, folder.log)
		}
	}
}

func TestACertificateThatNobodyRenewsIsWarnedOfOnce(t *testing.T) {
	authority := chassistest.NewAuthority(t)
	end := time.Now().Add(time.Minute)
	files := authority.Issue(chassistest.Certificate{Identity: "catalog", NotBefore: time.Now().Add(-time.Hour), NotAfter: end})
	dir := files.Dir(t)
	folder := follow(t, dir)
	eventually(t, "it is said", func() bool { return strings.Contains(folder.log.String(), "ends soon") })
	if got := folder.NotAfter().Unix(); got != end.Unix() {
		t.Errorf("it ends at %d, want %d", got, end.Unix())
	}
	metric := fmt.Sprintf("tls_certificate_not_after_timestamp_seconds{dir=%q} %g\n", dir, float64(end.Unix()))
	if err := testutil.CollectAndCompare(folder, strings.NewReader(
		"# HELP tls_certificate_not_after_timestamp_seconds When the certificate in use ends, in seconds since 1970.\n"+
			"# TYPE tls_certificate_not_after_timestamp_seconds gauge\n"+metric), "tls_certificate_not_after_timestamp_seconds"); err != nil {
		t.Error(err)
	}
}

// TestAnHTTPServerServesTheCertificateOfTheMoment: the storefront's, over TLS
// 1.2 and newer, HTTP/2 first.
func TestAnHTTPServerServesTheCertificateOfTheMoment(t *testing.T) {
	authority := chassistest.NewAuthority(t)
	secret := chassistest.NewSecret(t, authority.Issue(chassistest.Certificate{}))
	folder, err := certs.Open(certs.Config{Dir: secret.Path, Public: true})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", folder.ServerTLS())
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	defer listener.Close()
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			// What the handshake says is what the client sees.
			_ = conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.Bundle())
	shake := func(change func(*tls.Config)) (tls.ConnectionState, error) {
		config := &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"h2", "http/1.1"}}
		change(config)
		conn, err := (&tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: config}).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer conn.Close()
		return conn.(*tls.Conn).ConnectionState(), nil
	}
	state, err := shake(func(*tls.Config) {})
	if err != nil {
		t.Fatal(err)
	}
	if state.Version != tls.VersionTLS13 || state.NegotiatedProtocol != "h2" {
		t.Errorf("got %s and %q, want TLS 1.3 and h2", tls.VersionName(state.Version), state.NegotiatedProtocol)
	}
	if _, err := shake(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }); err != nil {
		t.Errorf("a browser with TLS 1.2: %v", err)
	}
	if _, err := shake(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }); err == nil {
		t.Error("a client with TLS 1.1 was let in")
	}
	secret.Put(authority.Issue(chassistest.Certificate{}))
	if err := folder.Reload(); err != nil {
		t.Fatal(err)
	}
	renewed, err := shake(func(*tls.Config) {})
	if err != nil {
		t.Fatal(err)
	}
	if renewed.PeerCertificates[0].SerialNumber.Cmp(state.PeerCertificates[0].SerialNumber) == 0 {
		t.Error("a new connection sees the certificate from before")
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !is() {
		select {
		case <-deadline:
			t.Fatalf("not within 10 s: %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
