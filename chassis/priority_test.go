package chassis

import (
	"net"
	"testing"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/octavo-books/octavo/chassis/certs"
	"github.com/octavo-books/octavo/chassis/overload"
)

// TestWhoseWordCounts is the matrix of callers and what they say of the priority
// of their calls: what is in force is that, or the method's own.
func TestWhoseWordCounts(t *testing.T) {
	near, far := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}
	callers := map[string]struct {
		peer     peer.Peer
		mayRaise bool
	}{
		"a service over TLS":              {peer.Peer{Addr: far, AuthInfo: certs.Peer{Identity: "marketplace"}}, true},
		"without an identity over TLS":    {peer.Peer{Addr: far, AuthInfo: certs.Peer{}}, false},
		"the same, on this machine":       {peer.Peer{Addr: near, AuthInfo: certs.Peer{}}, false},
		"without TLS, on this machine":    {peer.Peer{Addr: remoteAddr{near, nil}}, true},
		"without TLS, on another machine": {peer.Peer{Addr: remoteAddr{far, nil}}, false},
		"not over TCP":                    {peer.Peer{Addr: &net.UnixAddr{}}, false},
	}
	for name, caller := range callers {
		for _, said := range [][]string{nil, {"interactive"}, {"background"}, {"urgent"}, {"interactive", "interactive"}} {
			ctx := peer.NewContext(t.Context(), &caller.peer)
			md := metadata.MD{}
			if said != nil {
				md[overload.MetadataKey] = said
			}
			ctx = metadata.NewIncomingContext(ctx, md)
			for _, usual := range []overload.Priority{overload.Interactive, overload.Background} {
				want := usual
				switch {
				case len(said) != 1:
				case said[0] == "background":
					want = overload.Background
				case said[0] == "interactive" && caller.mayRaise:
					want = overload.Interactive
				}
				got := usual
				if p, ok := saidPriority(ctx); ok {
					got = p
				}
				if got != want {
					t.Errorf("%s says %q of a method that is %v: it is %v, want %v", name, said, usual, got, want)
				}
				if p, passed := rootPriority(ctx); passed && p != want {
					t.Errorf("%s says %q of a method that is %v: the next hop is told %v", name, said, usual, p)
				}
			}
		}
	}
}
