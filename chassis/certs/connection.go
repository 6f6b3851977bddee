package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// Peer is what is known about the other end of a connection.
type Peer struct {
	credentials.TLSInfo

	Identity string // empty when there is none
	Problem  error  // why there is none
}

// PeerOf is who makes the call whose context this is. A call over a connection
// without TLS has nobody.
func PeerOf(ctx context.Context) (Peer, bool) {
	if p, ok := peer.FromContext(ctx); ok {
		info, ok := p.AuthInfo.(Peer)
		return info, ok
	}
	return Peer{}, false
}

// PeerOver is who is at the other end of a TLS connection to this process.
func (f *Folder) PeerOver(state tls.ConnectionState) Peer {
	p := Peer{TLSInfo: credentials.TLSInfo{State: state}}
	if len(state.VerifiedChains) == 0 {
		p.Problem = fmt.Errorf("there is no client certificate")
		return p
	}
	p.Identity, p.Problem = identityOf(state.PeerCertificates[0], f.config.IdentityPrefix)
	return p
}

// identityOf is the rest of the certificate's URI after the prefix. As SPIFFE
// has it, a certificate with several URIs is nobody's.
func identityOf(c *x509.Certificate, prefix string) (string, error) {
	if len(c.URIs) != 1 {
		return "", fmt.Errorf("the certificate has %d URIs as alternative names, want one, such as %smarketplace", len(c.URIs), prefix)
	}
	name, ours := strings.CutPrefix(c.URIs[0].String(), prefix)
	if !ours || name == "" {
		return "", fmt.Errorf("the certificate is for %s, which does not begin with %s", c.URIs[0], prefix)
	}
	return name, nil
}

// ServerTLS is for an HTTP server: it takes up new certificates as connections
// come in.
func (f *Folder) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, // what counts is in the other one
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := f.current.Load().server.Clone()
			c.NextProtos = []string{"h2", "http/1.1"}
			return c, nil
		},
	}
}

// Server is for a gRPC server. Clients with a certificate that the authority
// does not vouch for are refused; those with none have no identity.
func (f *Folder) Server() credentials.TransportCredentials { return serverEnd{f} }

// Client is for connections to gRPC servers, whose certificate must have the
// name or address that was dialled among its alternative names. A server on
// this machine that was dialled at no address in particular is localhost.
func (f *Folder) Client() credentials.TransportCredentials { return clientEnd{f} }

// serverEnd and clientEnd use the certificate of the moment for each handshake.
type (
	serverEnd struct{ folder *Folder }
	clientEnd struct{ folder *Folder }
)

func (e serverEnd) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, info, err := e.folder.current.Load().serverCredentials.ServerHandshake(conn)
	if err != nil {
		e.folder.failures.Inc()
		e.folder.config.Log.Debug("a TLS connection was refused", "peer", conn.RemoteAddr().String(), "error", err)
		return nil, nil, err
	}
	tlsInfo, ok := info.(credentials.TLSInfo)
	if !ok {
		return nil, nil, fmt.Errorf("a TLS connection without its state: %T", info)
	}
	who := e.folder.PeerOver(tlsInfo.State)
	who.TLSInfo = tlsInfo
	return secured, who, nil
}

func (e serverEnd) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, fmt.Errorf("these are the credentials of a server")
}

func (e clientEnd) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	host, port, err := net.SplitHostPort(authority)
	if ip, parseErr := netip.ParseAddr(host); err == nil && parseErr == nil && ip.IsUnspecified() {
		authority = net.JoinHostPort("localhost", port)
	}
	return e.folder.current.Load().clientCredentials.ClientHandshake(ctx, authority, conn)
}

func (e clientEnd) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, fmt.Errorf("these are the credentials of a client")
}

func (e serverEnd) Info() credentials.ProtocolInfo {
	return e.folder.current.Load().serverCredentials.Info()
}

func (e clientEnd) Info() credentials.ProtocolInfo {
	return e.folder.current.Load().clientCredentials.Info()
}

// They hold nothing of their own.
func (e serverEnd) Clone() credentials.TransportCredentials { return e }
func (e clientEnd) Clone() credentials.TransportCredentials { return e }

func (e serverEnd) OverrideServerName(string) error { return nil }
func (e clientEnd) OverrideServerName(string) error { return nil }
