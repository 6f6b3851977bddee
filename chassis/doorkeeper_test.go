package chassis

import (
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"
)

func at(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1} }

// TestWhoFloodsWaits: the longer the more often, and not for ever.
func TestWhoFloodsWaits(t *testing.T) {
	const most = 30 * time.Second
	d := newDoorkeeper(most, 0)
	now := time.Unix(1e9, 0)
	abuser, other := at("192.0.2.1"), at("192.0.2.2")
	for n, seconds := range []int{1, 2, 4, 8, 16, 30, 30} {
		want := time.Duration(seconds) * time.Second
		if reason := d.turnsAway(abuser, now); reason != "" {
			t.Fatalf("before flood %d it is turned away: %s", n+1, reason)
		}
		if got := d.flooded(abuser, now); got != want {
			t.Errorf("after flood %d it waits %v, want %v", n+1, got, want)
		}
		if got := d.flooded(abuser, now.Add(time.Millisecond)); got >= want {
			t.Errorf("a connection from before counts as well: %v", got)
		}
		if reason := d.turnsAway(abuser, now.Add(want-1)); reason != "waiting" {
			t.Errorf("after flood %d it is let in too early: %q", n+1, reason)
		}
		if reason := d.turnsAway(other, now); reason != "" {
			t.Errorf("another address is turned away: %s", reason)
		}
		now = now.Add(want)
	}
	now = now.Add(5*most - 1) // seven floods, of which four are forgiven
	if got := d.flooded(abuser, now); got != 8*time.Second {
		t.Errorf("after a pause it waits %v, want that of a fourth flood", got)
	}
	now = now.Add(time.Hour)
	if got := d.flooded(abuser, now); got != firstWait {
		t.Errorf("after an hour it waits %v, want %v", got, firstWait)
	}
}

func TestHandshakesOfAnAddress(t *testing.T) {
	d := newDoorkeeper(time.Minute, 10)
	now := time.Unix(1e9, 0)
	let := func(from string, n int) (in int) {
		for range n {
			switch reason := d.turnsAway(at(from), now); reason {
			case "":
				in++
			case "handshakes":
			default:
				t.Fatalf("turned away for %s", reason)
			}
		}
		return in
	}
	if got := let("192.0.2.1", 1000); got != 10*handshakesAtOnce {
		t.Errorf("%d at once, want %d", got, 10*handshakesAtOnce)
	}
	if got := let("192.0.2.2", 10); got != 10 {
		t.Errorf("%d of 10 from another address", got)
	}
	now = now.Add(time.Hour)
	if got := let("192.0.2.1", 50); got != 50 {
		t.Errorf("%d of 50 later", got)
	}
}

func TestWhatIsOneAddress(t *testing.T) {
	for name, test := range map[string]struct {
		flooder, next string
		one           bool
	}{
		"the same":                       {"192.0.2.1", "192.0.2.1", true},
		"another":                        {"192.0.2.1", "192.0.2.2", false},
		"one written in IPv6":            {"192.0.2.1", "::ffff:192.0.2.1", true},
		"the same network of IPv6":       {"2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
		"another network of IPv6":        {"2001:db8:0:1::1", "2001:db8:0:2::1", false},
		"what does not come over TCP/IP": {"", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoorkeeper(time.Minute, 0)
			now := time.Unix(1e9, 0)
			flooder, next := at(test.flooder), at(test.next)
			if test.flooder == "" {
				flooder, next = &net.UnixAddr{}, &net.UnixAddr{}
			}
			d.flooded(flooder, now)
			if got := d.turnsAway(next, now); (got == "waiting") != test.one {
				t.Errorf("turned away: %q", got)
			}
		})
	}
}

// TestTheDoorkeeperForgets: it knows a number of addresses, and of those longest
// whose floods still count.
func TestTheDoorkeeperForgets(t *testing.T) {
	d := newDoorkeeper(time.Minute, 10)
	now := time.Unix(1e9, 0)
	address := func(n int) net.Addr { return at(fmt.Sprintf("10.0.%d.%d", n/256, n%256)) }
	d.flooded(at("192.0.2.1"), now)
	for n := range mostAddresses - 1 {
		d.turnsAway(address(n), now)
	}
	now = now.Add(30 * time.Second) // the flood counts yet, the handshakes do not
	d.turnsAway(at("192.0.2.3"), now)
	if len(d.known) != 2 {
		t.Errorf("%d addresses are known, want the one that flooded and the new one", len(d.known))
	}
	if got := d.flooded(at("192.0.2.1"), now); got != 2*firstWait {
		t.Errorf("after its second flood it waits %v", got)
	}
	for n := range 3 * mostAddresses {
		d.flooded(address(n), now)
	}
	if len(d.known) > mostAddresses {
		t.Errorf("%d addresses are known", len(d.known))
	}
}

// TestAFloodKeepsItsAddressOut goes through a real listener.
func TestAFloodKeepsItsAddressOut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	room := newBoundedListener("test", l, 10, 0, newDoorkeeper(time.Minute, 0), newConnectionMetrics(), slog.New(slog.DiscardHandler))
	accepted := make(chan *connection)
	go func() {
		defer close(accepted)
		for {
			c, err := room.Accept()
			if err != nil {
				return
			}
			accepted <- c.(*connection)
		}
	}()
	connect := func(from string) net.Conn {
		t.Helper()
		client, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		return client
	}
	const service, abuser, user = "127.0.0.2", "127.0.0.3", "127.0.0.4"
	for _, from := range []string{service, abuser} {
		connect(from)
		c := <-accepted
		c.trusted.Store(from == service)
		c.disconnect("test frames")
	}
	eventuallyClosed(t, connect(abuser))
	for _, from := range []string{user, service} {
		if client := connect(from); !open(t, client) {
			t.Errorf("%s is turned away", from)
		}
		(<-accepted).Close()
	}
}
