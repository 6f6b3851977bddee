package chassis_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/chassis/tracing/tracingtest"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

// benchServer is the environment variable that turns the test binary into one
// of the servers that BenchmarkChain measures.
const benchServer = "CHASSIS_BENCH_SERVER"

// benchTraces is the one with the collector to export to.
const benchTraces = "CHASSIS_BENCH_TRACES"

// BenchmarkChain is what the chassis costs: the CPU time of a server process
// per request, of grpc-go as it comes and of a server of the chassis, both with
// a handler that only returns ten books. Each runs as a process of its own, so
// that the load generator's time is not counted. The figure to read is
// server-µs/op.
//
// Tuned is with the garbage collector as Octavo's programs set it. The servers
// "to NAME" have the steps of the chain up to that one: the difference of two
// rows is what a step costs. The last one exports one trace in a hundred.
func BenchmarkChain(b *testing.B) {
	kinds := []string{"bare", "bare-tuned", "chassis", "chassis-tuned", "no-step-tuned"}
	for _, step := range chassis.ChainNames() {
		if step != "handle" {
			kinds = append(kinds, "to-"+step+"-tuned")
		}
	}
	for _, kind := range kinds {
		b.Run(kind, func(b *testing.B) { benchmarkServer(b, serverCommand(kind)) })
	}
	b.Run("chassis-traced-tuned", func(b *testing.B) {
		_, url := tracingtest.NewGRPC(b)
		cmd := serverCommand("chassis-tuned")
		cmd.Env = append(cmd.Env, benchTraces+"="+url)
		benchmarkServer(b, cmd)
	})
}

// BenchmarkLibraries is the same with the usual libraries in place of the
// chassis, one by one and together. It builds the module test/bench/libraries.
func BenchmarkLibraries(b *testing.B) {
	server := filepath.Join(b.TempDir(), "libraries")
	build := exec.Command("go", "build", "-C", filepath.Join("..", "test", "bench", "libraries"), "-mod=mod", "-o", server, ".")
	if output, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build the server: %v\n%s", err, output)
	}
	for _, libraries := range [][]string{{}, {"otelgrpc"}, {"prometheus"}, {"logging"}, {"recovery"}, {"otelgrpc", "prometheus", "logging", "recovery"}} {
		b.Run("tuned+"+strings.Join(libraries, "+"), func(b *testing.B) { benchmarkServer(b, exec.Command(server, libraries...)) })
	}
	b.Run("tuned+otelgrpc+collector", func(b *testing.B) {
		_, url := tracingtest.NewGRPC(b)
		cmd := exec.Command(server, "otelgrpc")
		cmd.Env = append(os.Environ(), "TRACES="+url)
		benchmarkServer(b, cmd)
	})
}

// serverCommand is this test as one of its servers.
func serverCommand(kind string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), benchServer+"="+kind)
	return cmd
}

func benchmarkServer(b *testing.B, cmd *exec.Cmd) {
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe() // the server ends when it is closed
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	addr = strings.TrimSpace(addr)

	const connections, inFlight = 4, 64
	var clients []recommendationspb.RecommendationsClient
	for range connections {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		clients = append(clients, recommendationspb.NewRecommendationsClient(conn))
	}
	request := &recommendationspb.RecommendationRequest{UserId: 1, MaxResults: 10}
	load := func(calls int64) {
		var left atomic.Int64
		left.Store(calls)
		var wg sync.WaitGroup
		for i := range inFlight {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					if _, err := clients[i%connections].Recommend(b.Context(), request); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	load(2000)
	before := cpuTime(b, cmd.Process.Pid)
	b.ResetTimer()
	load(int64(b.N))
	b.StopTimer()
	used := cpuTime(b, cmd.Process.Pid) - before
	b.ReportMetric(float64(used.Nanoseconds())/1000/float64(b.N), "server-µs/op")
}

// cpuTime is the user and system time of a process, to 10 ms.
func cpuTime(b *testing.B, pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

type tenBooks struct {
	recommendationspb.UnimplementedRecommendationsServer
	answer *recommendationspb.RecommendationResponse
}

func (s tenBooks) Recommend(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
	return s.answer, nil
}

// serveBenchmark is the server process: it prints its address and serves until
// its input ends.
func serveBenchmark(kind string) error {
	service := tenBooks{answer: &recommendationspb.RecommendationResponse{}}
	for i := range int32(10) {
		service.answer.Recommendations = append(service.answer.Recommendations,
			&recommendationspb.BookRecommendation{Id: i, Title: "The Left Hand of Darkness"})
	}
	register := func(s grpc.ServiceRegistrar) { recommendationspb.RegisterRecommendationsServer(s, service) }
	kind, tuned := strings.CutSuffix(kind, "-tuned")
	if tuned {
		debug.SetGCPercent(400)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if kind != "bare" {
		flags := chassis.Flags{LogLevel: "warn", OTLPEndpoint: os.Getenv(benchTraces), TraceSample: 0.01}
		app, err := chassis.New("bench", "bench", flags, os.Stderr)
		if err != nil {
			return err
		}
		addr, err := app.GRPC("bench", "127.0.0.1:0", nil, func(r grpc.ServiceRegistrar) {
			if kind != "chassis" {
				// -1 for no-step becomes 0.
				r = chassis.CutChain(r, slices.Index(chassis.ChainNames(), strings.TrimPrefix(kind, "to-"))+1)
			}
			register(r)
		})
		if err != nil {
			return err
		}
		fmt.Println(addr)
		return app.Run(ctx)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var options []grpc.ServerOption
	if tuned {
		options = append(options, grpc.NumStreamWorkers(64))
	}
	server := grpc.NewServer(options...)
	register(server)
	context.AfterFunc(ctx, server.Stop)
	fmt.Println(listener.Addr())
	return server.Serve(listener)
}
