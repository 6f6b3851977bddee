// Package chassistest runs a service in a test the way production runs it: a
// real server on loopback with the whole chain, reached through a connection
// of the production dialler. It is for tests only.
package chassistest

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/chassis"
)

// Serve starts a server for what register adds and returns a connection to it.
// Both end with the test; a server that does not end cleanly fails it. What the
// server logs, from warnings up, is part of the test's output.
func Serve(t testing.TB, register func(grpc.ServiceRegistrar)) *grpc.ClientConn {
	t.Helper()
	return ServeTasks(t, register)
}

// ServeTasks is Serve for a service that has tasks to run beside its server,
// such as one that ends its streams when the process stops.
func ServeTasks(t testing.TB, register func(grpc.ServiceRegistrar), tasks ...func(context.Context) error) *grpc.ClientConn {
	t.Helper()
	app, err := chassis.New("test", "test", chassis.Flags{LogLevel: "warn", LogFormat: "text", ShutdownTimeout: 5 * time.Second}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	addr, err := app.GRPC("test", "127.0.0.1:0", nil, register)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := app.Dial("test", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		app.Go("task", task)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	t.Cleanup(func() {
		// The calls a test leaves open are its own affair.
		_ = conn.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run the server: %v", err)
		}
	})
	if err := app.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	return conn
}
