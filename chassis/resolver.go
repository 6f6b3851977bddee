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

// following resolves names again and again.
type following struct {
	resolver.Builder
	every time.Duration
}

// Build makes the resolver of one connection.
func (f following) Build(target resolver.Target, cc resolver.ClientConn, opts resolver.BuildOptions) (resolver.Resolver, error) {
	r, err := f.Builder.Build(target, cc, opts)
	if err != nil {
		return nil, err
	}
	if !named(target.Endpoint()) {
		return r, nil // an address stays what it is
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
				r.ResolveNow(resolver.ResolveNowOptions{})
			}
		}
	})
	return again, nil
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
