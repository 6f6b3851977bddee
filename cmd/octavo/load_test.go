package main

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/chassis/certs"
	"github.com/octavo-books/octavo/chassis/chassistest"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
)

// knowing tells of each certificate with which it is called for the first time.
type knowing struct {
	recommendationsv1.UnimplementedRecommendationsServiceServer

	met   sync.Map // serial numbers
	first chan string
}

func (k *knowing) Recommend(ctx context.Context, _ *recommendationsv1.RecommendRequest) (*recommendationsv1.RecommendResponse, error) {
	peer, _ := certs.PeerOf(ctx)
	serial := peer.State.PeerCertificates[0].SerialNumber.String()
	if _, met := k.met.LoadOrStore(serial, true); !met {
		k.first <- serial
	}
	return &recommendationsv1.RecommendResponse{}, nil
}

// TestLoadTakesUpNewCertificates: while it runs, its connections are closed for
// their age and made anew, by then perhaps to servers that the old files do not
// fit any more.
func TestLoadTakesUpNewCertificates(t *testing.T) {
	t.Parallel()
	before, after := chassistest.NewAuthority(t), chassistest.NewAuthority(t)
	issue := func(a *chassistest.Authority, identity string) chassistest.Files {
		return a.Issue(chassistest.Certificate{Identity: identity, Names: []string{"127.0.0.1"}})
	}
	serving, calling := chassistest.NewSecret(t, issue(before, "recommendations")), chassistest.NewSecret(t, issue(before, "octavo"))
	app, err := chassis.New("recommendations", "test", chassis.Flags{TLS: chassis.TLS{Dir: serving.Path}, LogLevel: "error", ConnectionAge: 50 * time.Millisecond}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	server := &knowing{first: make(chan string, 2)}
	addr, err := app.GRPC("recommendations", "127.0.0.1:0", nil, func(r grpc.ServiceRegistrar) {
		recommendationsv1.RegisterRecommendationsServiceServer(r, server)
	})
	if err != nil {
		t.Fatal(errors.Join(err, app.Close()))
	}
	app.Allow(chassis.Access{"/octavo.recommendations.v1.RecommendationsService/Recommend": {"octavo"}})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() {
		if err := app.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	loading, stop := context.WithCancel(ctx)
	defer stop()
	running.Go(func() {
		defer cancel()
		c := loadCommand{
			RecommendationsAddr: []string{addr.String()}, Connections: 1, Mix: map[string]float64{"recommend": 1},
			Rate: []float64{50}, Duration: time.Minute, Timeout: 2 * time.Second, TLS: chassis.TLS{Dir: calling.Path},
		}
		if _, err := c.measure(loading); err != nil {
			t.Error(err)
		}
	})

	next := func(what string) {
		t.Helper()
		select {
		case <-server.first:
		case <-time.After(30 * time.Second):
			t.Fatalf("no call came with %s", what)
		}
	}
	next("the first certificate")
	serving.Put(issue(after, "recommendations"))
	calling.Put(issue(after, "octavo"))
	if err := app.ReloadCertificates(); err != nil {
		t.Fatal(err)
	}
	next("the second")
	stop()
}
