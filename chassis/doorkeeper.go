package chassis

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// firstWait is how long an address waits after the first flood. Each further
	// one doubles it.
	firstWait = time.Second
	// mostAddresses is how many a doorkeeper knows at once, 100 bytes each.
	mostAddresses = 4096
	// handshakesAtOnce is how many seconds' worth of handshakes an address may
	// ask for at once.
	handshakesAtOnce = 10
)

// doorkeeper decides by its address whether a client may connect: a flood ends
// with its connection, but the next connection would bring a new allowance, and
// a handshake of its own. Addresses that have done nothing wrong are only kept
// from asking for handshakes faster than many clients behind one proxy would.
// A nil one lets everybody in.
type doorkeeper struct {
	most       time.Duration // that an address waits; 0 for no waiting
	handshakes float64       // that an address may ask for in a second; 0 for any number

	mu    sync.Mutex
	known map[netip.Prefix]*newcomer
	swept time.Time // when all of them were last looked through
}

// newcomer is what is known of an address.
type newcomer struct {
	handshakes bucket
	floods     int // not yet forgiven
	until      time.Time
}

func newDoorkeeper(most time.Duration, handshakes float64) *doorkeeper {
	return &doorkeeper{most: most, handshakes: handshakes, known: map[netip.Prefix]*newcomer{}}
}

// turnsAway says why a connection from an address is refused now, empty if it is
// not.
func (d *doorkeeper) turnsAway(from net.Addr, now time.Time) (reason string) {
	place, ok := placeOf(from)
	if d == nil || !ok {
		return ""
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.known[place]
	if n != nil && now.Before(n.until) {
		return "waiting"
	}
	if d.handshakes == 0 {
		return ""
	}
	if n == nil {
		n = d.meet(place, now)
	}
	if !n.handshakes.take(now, d.handshakes, handshakesAtOnce*d.handshakes) {
		return "handshakes"
	}
	return ""
}

// flooded has an address wait. It returns for how long.
func (d *doorkeeper) flooded(from net.Addr, now time.Time) time.Duration {
	place, ok := placeOf(from)
	if d == nil || d.most == 0 || !ok {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.known[place]
	if n == nil {
		n = d.meet(place, now)
	}
	if now.Before(n.until) {
		return n.until.Sub(now) // by a connection that was open already
	}
	n.floods = d.unforgiven(n, now) + 1
	wait := d.most
	if doublings := n.floods - 1; doublings < 16 {
		wait = min(d.most, firstWait<<doublings)
	}
	n.until = now.Add(wait)
	return wait
}

// unforgiven is how many floods still count: one less for each longest wait that
// has passed since the address might connect again.
func (d *doorkeeper) unforgiven(n *newcomer, now time.Time) int {
	return max(0, n.floods-int(now.Sub(n.until)/d.most))
}

// meet is called with d.mu held. When too many addresses are known, those are
// forgotten of which nothing counts any more, or else any one. Looking through
// them takes long beside a connection, and is done once a second at most.
func (d *doorkeeper) meet(place netip.Prefix, now time.Time) *newcomer {
	if len(d.known) >= mostAddresses && now.Sub(d.swept) >= time.Second {
		d.swept = now
		for other, n := range d.known {
			flooder := n.floods > 0 && (now.Before(n.until) || d.unforgiven(n, now) > 0)
			if !flooder && now.Sub(n.handshakes.last) > handshakesAtOnce*time.Second {
				delete(d.known, other)
			}
		}
	}
	if len(d.known) >= mostAddresses {
		for other := range d.known {
			delete(d.known, other)
			break
		}
	}
	n := &newcomer{}
	d.known[place] = n
	return n
}

// placeOf is what a client can hardly change: its IPv4 address, or the network
// of its IPv6 address.
func placeOf(addr net.Addr) (netip.Prefix, bool) {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}, false
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	place, err := ip.Prefix(bits)
	return place, err == nil
}
