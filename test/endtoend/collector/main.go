// Command collector receives traces as a collector of OpenTelemetry does, with
// the receiver of the OpenTelemetry Collector itself, and prints what arrived:
// a line of OTLP's JSON for each upload. The end-to-end tests export to it.
//
//	collector
//
// It first prints the addresses of its two protocols, gRPC and HTTP, and ends
// with its input. It is a module of its own, so that Octavo does not depend on
// the Collector.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "collector:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	grpcAddr, err := freeAddr(ctx)
	if err != nil {
		return err
	}
	httpAddr, err := freeAddr(ctx)
	if err != nil {
		return err
	}
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(map[string]any{"protocols": map[string]any{
		"grpc": map[string]any{"endpoint": grpcAddr},
		"http": map[string]any{"endpoint": httpAddr},
	}}).Unmarshal(config); err != nil {
		return fmt.Errorf("configure the receiver: %w", err)
	}
	var printing sync.Mutex
	print, err := consumer.NewTraces(func(_ context.Context, traces ptrace.Traces) error {
		text, err := (&ptrace.JSONMarshaler{}).MarshalTraces(traces)
		if err != nil {
			return err
		}
		printing.Lock()
		defer printing.Unlock()
		_, err = fmt.Printf("%s\n", text)
		return err
	})
	if err != nil {
		return err
	}
	settings := receiver.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	otlp, err := factory.CreateTraces(ctx, settings, config, print)
	if err != nil {
		return fmt.Errorf("make the receiver: %w", err)
	}
	if err := otlp.Start(ctx, componenttest.NewNopHost()); err != nil {
		return fmt.Errorf("start the receiver: %w", err)
	}
	fmt.Printf("%s %s\n", grpcAddr, httpAddr)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return otlp.Shutdown(ctx)
}

// freeAddr is an address nobody listens on just now: the receiver does not say
// where it listens.
func freeAddr(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
