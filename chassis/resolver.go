package chassis

import (
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/resolver"
)

// resolveEvery is how often the names of peers are resolved. grpc-go does it
// only when a connection ends, and so would not notice replicas that are added.
const resolveEvery = 5 * time.Second

// following resolves names again and again, and those that have no address yet
// every second: left alone grpc-go waits for longer each time, two minutes in the
// end, while the peer starts for the first time.
type following struct {
	resolver.Builder
	every time.Duration
}

// Build makes the resolver of one connection.
func (f following) Build(target resolver.Target, cc resolver.ClientConn, opts resolver.BuildOptions) (resolver.Resolver, error) {
	if !named(target.Endpoint()) {
		return f.Builder.Build(target, cc, opts) // an address stays what it is
	}
	refused := make(chan struct{}, 1)
	r, err := f.Builder.Build(target, told{cc, refused}, opts)
	if err != nil {
		return nil, err
	}
	again := &followed{Resolver: r, end: make(chan struct{})}
	again.ended.Go(func() {
		ticker := time.NewTicker(f.every)
		defer ticker.Stop()
		for {
			select {
			case <-again.end:
				return
			case <-ticker.C:
			case <-refused:
			}
			r.ResolveNow(resolver.ResolveNowOptions{})
		}
	})
	return again, nil
}

// told is a connection that a resolver tells what it has found. What it refuses,
// because there is no address in it, is no reason to wait for long.
type told struct {
	resolver.ClientConn
	refused chan<- struct{}
}

// UpdateState hands on what has been found.
func (t told) UpdateState(s resolver.State) error {
	if err := t.ClientConn.UpdateState(s); err != nil {
		select {
		case t.refused <- struct{}{}:
		default:
		}
	}
	return nil
}

// named tells host:port with the name of a host.
func named(endpoint string) bool {
	host, _, err := net.SplitHostPort(endpoint)
	return err == nil && net.ParseIP(host) == nil
}

type followed struct {
	resolver.Resolver
	end   chan struct{}
	ended sync.WaitGroup
}

// Close ends the resolving.
func (f *followed) Close() {
	close(f.end)
	f.ended.Wait()
	f.Resolver.Close()
}
