package chassis_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/octavo-books/octavo/chassis"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

// benchServer is the environment variable that turns the test binary into one
// of the servers that BenchmarkChain measures.
const benchServer = "CHASSIS_BENCH_SERVER"

// BenchmarkChain is what the chassis costs: the CPU time of a server process
// per request, of grpc-go as it comes and of a server of the chassis, both with
// a handler that only returns ten books. Each runs as a process of its own, so
// that the load generator's time is not counted. The figure to read is
// server-µs/op.
func BenchmarkChain(b *testing.B) {
	for _, kind := range []string{"bare", "bare-tuned", "chassis", "chassis-tuned"} {
		b.Run(kind, func(b *testing.B) { benchmarkServer(b, kind) })
	}
}

func benchmarkServer(b *testing.B, kind string) {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), benchServer+"="+kind)
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
	if kind == "chassis" {
		app, err := chassis.New("bench", "bench", chassis.Flags{LogLevel: "warn"}, os.Stderr)
		if err != nil {
			return err
		}
		addr, err := app.GRPC("bench", "127.0.0.1:0", nil, register)
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
