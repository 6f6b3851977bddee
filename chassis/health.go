package chassis

import (
	"context"

	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// healthServer is grpc.health.v1 for a server and each service on it, whose
// watchers do not hold up a graceful stop.
type healthServer struct {
	*health.Server
	services []string
	ended    context.Context
	end      context.CancelFunc
}

func newHealthServer() *healthServer {
	h := &healthServer{Server: health.NewServer()}
	h.ended, h.end = context.WithCancel(context.Background())
	h.add("")
	return h
}

func (h *healthServer) add(service string) {
	h.services = append(h.services, service)
	h.SetServingStatus(service, healthpb.HealthCheckResponse_NOT_SERVING)
}

func (h *healthServer) publish(ready bool) {
	status := healthpb.HealthCheckResponse_NOT_SERVING
	if ready {
		status = healthpb.HealthCheckResponse_SERVING
	}
	for _, service := range h.services {
		h.SetServingStatus(service, status)
	}
}

// Watch sends the status of a service whenever it changes, until the server
// stops.
func (h *healthServer) Watch(in *healthpb.HealthCheckRequest, stream healthpb.Health_WatchServer) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer context.AfterFunc(h.ended, cancel)()
	return h.Server.Watch(in, watchStream{stream, ctx})
}

type watchStream struct {
	healthpb.Health_WatchServer
	ctx context.Context
}

func (s watchStream) Context() context.Context { return s.ctx }
