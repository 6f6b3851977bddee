package chassis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/octavo-books/octavo/chassis/certs"
	"github.com/octavo-books/octavo/fault"
)

// Access says who may call which methods: full names of methods, such as
// /octavo.catalog.v1.CatalogService/GetBook, and the identities that may.
type Access map[string][]string

// Allow adds to who may call what. Over mutual TLS, a method that nobody may
// call is denied to everybody. An entry for a method that no server of the App
// has is an error of Run. Without TLS nobody is asked who they are.
func (a *App) Allow(access Access) {
	for method, identities := range access {
		a.access[method] = append(a.access[method], identities...)
	}
}

// grantAccess puts what Allow was told into the servers' methods.
func (a *App) grantAccess() error {
	unknown := maps.Clone(a.access)
	for _, s := range a.grpc {
		for _, m := range s.methods {
			m.callers = a.access[m.fullName]
			delete(unknown, m.fullName)
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("it is said who may call what no server has: %s", strings.Join(slices.Sorted(maps.Keys(unknown)), ", "))
	}
	return nil
}

// authorize refuses whoever may not call the method.
func (s *grpcServer) authorize(ctx context.Context, c *call) error {
	if !s.enforced {
		return c.next(ctx)
	}
	caller, _ := certs.PeerOf(ctx)
	switch {
	case caller.Identity == "":
		c.cause = caller.Problem
		return fault.Status(fault.New(fault.Unauthenticated, "a client certificate with an identity is needed"), c.id).Err()
	case !slices.Contains(c.method.callers, caller.Identity):
		return fault.Status(fault.New(fault.Denied, "%s may not call %s", caller.Identity, c.method.fullName), c.id).Err()
	default:
		return c.next(ctx)
	}
}
