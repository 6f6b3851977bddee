package nettest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// FindAddress is FreeAddress for programs that measure. The port is below those
// that the system gives to whoever connects or listens somewhere: one of these
// could be another's by the time that the program starts, or while it is down.
func FindAddress() (string, error) {
	const low, high = 20_000, 32_768
	var err error
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(low+rand.IntN(high-low)))
		var listener net.Listener
		if listener, err = net.Listen("tcp", address); err == nil {
			return address, listener.Close()
		}
	}
	return "", fmt.Errorf("find a free address: %w", err)
}
