package chassis

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/octavo-books/octavo/chassis/certs"
	"github.com/octavo-books/octavo/fault"
)

// operators are the identities that may see the admin port over TLS.
var operators = []string{"octavo", "prometheus"}

// probes are the pages of the admin port that anybody may see: what probes them
// has no certificate.
var probes = []string{"/healthz", "/readyz"}

// openCerts reads the certificate of the process, where it has one, and follows
// its files.
func (a *App) openCerts() error {
	if a.flags.Dir == "" {
		if a.flags.AdminTLS {
			return errors.New("--admin-tls needs the certificate of --tls-dir")
		}
		return nil
	}
	folder, err := a.followCerts(certs.Config{Dir: a.flags.Dir, IdentityPrefix: a.flags.IdentityPrefix})
	if err != nil {
		return fmt.Errorf("%w (--tls-dir)", err)
	}
	a.certs = folder
	a.log.Debug("connections between services are over mutual TLS", "identity", folder.Identity(), "ends", folder.NotAfter())
	return nil
}

func (a *App) followCerts(c certs.Config) (*certs.Folder, error) {
	c.Log = a.log
	folder, err := certs.Open(c)
	if err != nil {
		return nil, err
	}
	if err := a.registry.Register(folder); err != nil {
		return nil, fmt.Errorf("register the metrics of %s: %w", c.Dir, err)
	}
	a.Go("certificates in "+c.Dir, folder.Follow)
	return folder, nil
}

// ReloadCertificates takes up changed certificates of --tls-dir now. The App
// does so by itself within seconds; without TLS there is nothing to do.
func (a *App) ReloadCertificates() error {
	if a.certs == nil {
		return nil
	}
	return a.certs.Reload()
}

func (a *App) serverCredentials() credentials.TransportCredentials {
	if a.certs == nil {
		return insecure.NewCredentials()
	}
	return a.certs.Server()
}

func (a *App) clientCredentials() credentials.TransportCredentials {
	if a.certs == nil {
		return insecure.NewCredentials()
	}
	return a.certs.Client()
}

// reflects says whether gRPC servers describe themselves.
func (a *App) reflects() bool {
	switch a.flags.Reflection {
	case "on":
		return true
	case "off":
		return false
	default:
		return a.certs == nil
	}
}

// HTTPS is HTTP over TLS, for anybody. The folder dir has tls.crt and tls.key,
// and changed files are taken up. Clients speak TLS 1.2 or newer, and HTTP/2
// where they can.
func (a *App) HTTPS(name, addr, dir string, h http.Handler) (net.Addr, error) {
	folder, err := a.followCerts(certs.Config{Dir: dir, Public: true})
	if err != nil {
		return nil, fmt.Errorf("%w (--%s-tls-dir)", err, name)
	}
	return a.serveHTTP(name, addr, folder, h)
}

// BehindProxies says that clients of the HTTP server of this name come through
// proxies, so that none is kept away for what another one did from the same
// address. It is to be called before HTTP or HTTPS.
func (a *App) BehindProxies(server string) { a.proxied[server] = true }

// newDoorkeeper makes that of a server.
func (a *App) newDoorkeeper(server string, encrypted bool) *doorkeeper {
	if a.proxied[server] {
		return nil
	}
	handshakes := a.flags.Handshakes
	if !encrypted {
		handshakes = 0
	}
	return newDoorkeeper(a.flags.FloodWait, handshakes)
}

func (s *httpServer) useTLS(folder *certs.Folder) {
	if folder != nil {
		s.server.TLSConfig = folder.ServerTLS()
	}
}

// listen listens on a TCP address. One that other machines can reach has to be
// protected, or asked for.
func (f Flags) listen(name, addr string, protected bool) (net.Listener, error) {
	listener, err := listen(name, addr)
	if err != nil || protected || f.Plaintext || onLoopback(listener) {
		return listener, err
	}
	listener.Close()
	flag := "tls-dir"
	if name == "http" {
		flag = "http-tls-dir"
	}
	return nil, fmt.Errorf("%s would listen on %s without TLS, where other machines can reach it: give it certificates with --%s, or say --plaintext if the network is closed or a proxy has TLS", name, addr, flag)
}

func (f Flags) listenAdmin(addr string) (net.Listener, error) {
	listener, err := listen("admin", addr)
	if err != nil || f.AdminTLS || f.AdminExposed || onLoopback(listener) {
		return listener, err
	}
	listener.Close()
	return nil, fmt.Errorf("the admin port would listen on %s, where other machines can reach its profiles and settings and nobody is asked who they are: have it ask with --admin-tls, or say --admin-exposed if the network is closed", addr)
}

// onLoopback says whether only this machine can connect.
func onLoopback(listener net.Listener) bool {
	tcp, ok := listener.Addr().(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// forOperators lets operators in, and anybody to the probes.
func (a *App) forOperators(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(probes, r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		switch who := a.certs.PeerOver(*r.TLS); {
		case who.Identity == "":
			refuse(w, r, fault.Wrap(fault.Unauthenticated, who.Problem, "this page needs a client certificate of an operator: %v", who.Problem))
		case !slices.Contains(operators, who.Identity):
			refuse(w, r, fault.New(fault.Denied, "%s may not see this page", who.Identity))
		default:
			next.ServeHTTP(w, r)
		}
	})
}
