package endtoend

import (
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// names is a name server that knows the replicas of each service, as that of a
// cluster does.
type names struct {
	conn net.PacketConn
	mu   sync.Mutex
	of   map[string][]netip.Addr
}

// serveNames answers until the test ends.
func serveNames(t *testing.T) *names {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{conn: conn, of: map[string][]netip.Addr{}}
	var ended sync.WaitGroup
	ended.Go(n.answer)
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		ended.Wait()
	})
	return n
}

// target is where gRPC finds the replicas of a service.
func (n *names) target(service, port string) string {
	return "dns://" + n.conn.LocalAddr().String() + "/" + hostOf(service) + ":" + port
}

func hostOf(service string) string { return service + ".test" }

// set says which replicas a service has from now on.
func (n *names) set(service string, addrs []netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.of[hostOf(service)+"."] = addrs
}

func (n *names) answer() {
	packet := make([]byte, 512)
	for {
		size, from, err := n.conn.ReadFrom(packet)
		if err != nil {
			return // closed
		}
		var m dnsmessage.Message
		if m.Unpack(packet[:size]) != nil || len(m.Questions) != 1 {
			continue
		}
		asked := m.Questions[0]
		n.mu.Lock()
		addrs := n.of[asked.Name.String()]
		n.mu.Unlock()
		m.Response, m.Additionals = true, nil
		if asked.Type == dnsmessage.TypeA {
			for _, addr := range addrs {
				m.Answers = append(m.Answers, dnsmessage.Resource{
					Header: dnsmessage.ResourceHeader{Name: asked.Name, Class: dnsmessage.ClassINET},
					Body:   &dnsmessage.AResource{A: addr.As4()},
				})
			}
		}
		if reply, err := m.Pack(); err == nil {
			_, _ = n.conn.WriteTo(reply, from) // who got none asks again
		}
	}
}
