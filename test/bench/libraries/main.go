// Command libraries is a gRPC server with the usual libraries around a handler
// that only returns ten books: what the chassis is compared with by
// BenchmarkMiddleware of package chassis. It is a module of its own, so that
// they are no dependencies of Octavo.
//
//	libraries [otelgrpc] [prometheus] [logging] [recovery]
//
// It prints its address, exports to the collector at TRACES when that is set,
// and serves until its input ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"slices"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"

	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

type tenBooks struct {
	recommendationspb.UnimplementedRecommendationsServer
	answer *recommendationspb.RecommendationResponse
}

func (s tenBooks) Recommend(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
	return s.answer, nil
}

func main() {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "libraries:", err)
		os.Exit(1)
	}
}

// ratio is the share of traces that is sampled: what the chassis does by
// default.
const ratio = 0.01

func serve(libraries []string) (err error) {
	debug.SetGCPercent(400) // as Octavo's programs
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	options := []grpc.ServerOption{grpc.NumStreamWorkers(64)}
	if slices.Contains(libraries, "otelgrpc") {
		provider, err := newProvider(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, provider.Shutdown(context.Background())) }()
		options = append(options, grpc.StatsHandler(otelgrpc.NewServerHandler(
			otelgrpc.WithTracerProvider(provider),
			otelgrpc.WithMeterProvider(noop.NewMeterProvider()),
			otelgrpc.WithPropagators(propagation.TraceContext{}),
		)))
	}
	var chain []grpc.UnaryServerInterceptor
	if slices.Contains(libraries, "prometheus") {
		metrics := grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram())
		prometheus.NewRegistry().MustRegister(metrics)
		chain = append(chain, metrics.UnaryServerInterceptor())
	}
	if slices.Contains(libraries, "logging") {
		// As in the chassis, a call that succeeds is not written at this level.
		log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
		chain = append(chain, logging.UnaryServerInterceptor(logging.LoggerFunc(func(ctx context.Context, level logging.Level, message string, fields ...any) {
			log.Log(ctx, slog.Level(level), message, fields...)
		}), logging.WithLogOnEvents(logging.FinishCall)))
	}
	if slices.Contains(libraries, "recovery") {
		chain = append(chain, recovery.UnaryServerInterceptor())
	}
	options = append(options, grpc.ChainUnaryInterceptor(chain...))

	service := tenBooks{answer: &recommendationspb.RecommendationResponse{}}
	for i := range int32(10) {
		service.answer.Recommendations = append(service.answer.Recommendations,
			&recommendationspb.BookRecommendation{Id: i, Title: "The Left Hand of Darkness"})
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer(options...)
	recommendationspb.RegisterRecommendationsServer(server, service)
	context.AfterFunc(ctx, server.Stop)
	fmt.Println(listener.Addr())
	return server.Serve(listener)
}

func newProvider(ctx context.Context) (*sdktrace.TracerProvider, error) {
	options := []sdktrace.TracerProviderOption{sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio)))}
	if url := os.Getenv("TRACES"); url != "" {
		exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(url))
		if err != nil {
			return nil, err
		}
		options = append(options, sdktrace.WithBatcher(exporter))
	}
	return sdktrace.NewTracerProvider(options...), nil
}
