package chassis

import (
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
)

// SetArrivalLimit changes how long the first message of a call may take to
// arrive, for servers that are added afterwards.
func (a *App) SetArrivalLimit(limit time.Duration) { a.arrivalLimit = limit }

// ChainNames are the names of the steps of the chain, outermost first.
func ChainNames() []string {
	var all []string
	for _, m := range (&grpcServer{}).chain() {
		name := runtime.FuncForPC(reflect.ValueOf(m).Pointer()).Name()
		all = append(all, strings.TrimSuffix(name[strings.LastIndexByte(name, '.')+1:], "-fm"))
	}
	return all
}

// CutChain is a server of the chassis whose methods go through the first steps
// of the chain only, to measure what each adds. Its services have no streams.
func CutChain(server grpc.ServiceRegistrar, steps int) grpc.ServiceRegistrar {
	return cutChain{server.(*grpcServer), steps}
}

type cutChain struct {
	*grpcServer
	steps int
}

func (c cutChain) RegisterService(desc *grpc.ServiceDesc, impl any) {
	wrapped := *desc
	wrapped.Methods = slices.Clone(desc.Methods)
	for i := range wrapped.Methods {
		m := c.method(desc.ServiceName, desc.Methods[i].MethodName, "unary")
		m.chain = append(slices.Clone(m.chain[:c.steps]), handle)
		wrapped.Methods[i].Handler = unary(m, desc.Methods[i].Handler)
	}
	c.server.RegisterService(&wrapped, impl)
}
