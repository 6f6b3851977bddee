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
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/chassis/tracing/tracingtest"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

// benchServer is the environment variable that turns the test binary into one
// of the servers that BenchmarkMiddleware measures.
const benchServer = "CHASSIS_BENCH_SERVER"

// benchTraces is the one with the collector to export to.
const benchTraces = "CHASSIS_BENCH_TRACES"

const (
	connections = 4
	inFlight    = 64
	warmUp      = 2000 // calls
	turn        = 2500 // calls of a round to one server
)

// BenchmarkMiddleware is what the chassis costs, step by step, and the usual
// libraries beside it: the CPU time of a server process for each call, with a
// handler that only returns ten books.
//
// Each server is a process of its own, so that the load generator's time is not
// counted. All of them run at the same time and are called in turns, an
// iteration being a round of all, so that whatever else the machine does meets
// all alike. It prints a table in Markdown: medians over the rounds, with the
// range in which the middle half of them lies; what a server costs more than
// another is taken within each round.
func BenchmarkMiddleware(b *testing.B) {
	servers := middleware(b)
	for i := range servers {
		servers[i].start(b)
		servers[i].load(b, warmUp)
	}
	costs := make([][]float64, len(servers)) // µs for each call, by server and round
	round := 0
	for b.Loop() {
		for i := range servers {
			at := (i + round) % len(servers) // nobody always comes first
			before := cpuTime(b, servers[at].pid)
			servers[at].load(b, turn)
			used := cpuTime(b, servers[at].pid) - before
			costs[at] = append(costs[at], float64(used.Nanoseconds())/1000/turn)
		}
		round++
	}
	fmt.Printf("\n%d rounds of %d calls to each server\n\n| server | µs | middle half | more than | µs | middle half |\n|---|--:|---|---|--:|---|\n", round, turn)
	for i, s := range servers {
		low, median, high := quartiles(costs[i])
		fmt.Printf("| %s | %.1f | %.1f–%.1f |", s.name, median, low, high)
		base := slices.IndexFunc(servers, func(other server) bool { return other.name == s.moreThan })
		if base < 0 {
			fmt.Println(" | | |")
			continue
		}
		more := slices.Clone(costs[i])
		for round := range more {
			more[round] -= costs[base][round]
		}
		low, median, high = quartiles(more)
		fmt.Printf(" %s | %+.1f | %+.1f to %+.1f |\n", s.moreThan, median, low, high)
	}
}

func quartiles(of []float64) (low, median, high float64) {
	sorted := slices.Sorted(slices.Values(of))
	n := len(sorted)
	return sorted[n/4], sorted[n/2], sorted[n*3/4]
}

// middleware are the servers to compare. Tuned is with workers for streams and
// the garbage collector as Octavo's programs set it. Servers "to" a step have
// the chain up to that one.
func middleware(b *testing.B) []server {
	const bare, libraries = "grpc-go, tuned", "grpc-go, tuned, in the libraries' program"
	_, collector := tracingtest.NewGRPC(b)
	all := []server{
		{name: "grpc-go as it comes", command: serverCommand("bare")},
		{name: bare, command: serverCommand("bare-tuned"), moreThan: "grpc-go as it comes"},
		{name: "chassis, no step", command: serverCommand("no-step-tuned"), moreThan: bare},
	}
	for _, step := range chassis.ChainNames() {
		if step != "handle" {
			all = append(all, server{name: "chassis, to " + step, command: serverCommand("to-" + step + "-tuned"), moreThan: all[len(all)-1].name})
		}
	}
	exporting := serverCommand("chassis-tuned")
	exporting.Env = append(exporting.Env, benchTraces+"="+collector)
	all = append(all,
		server{name: "chassis", command: serverCommand("chassis-tuned"), moreThan: bare},
		server{name: "chassis, 1 % exported to a collector", command: exporting, moreThan: "chassis"})

	program := buildLibraries(b)
	all = append(all, server{name: libraries, command: exec.Command(program), moreThan: bare})
	for _, with := range [][]string{{"otelgrpc"}, {"prometheus"}, {"logging"}, {"recovery"}, {"otelgrpc", "prometheus", "logging", "recovery"}} {
		all = append(all, server{name: strings.Join(with, ", "), command: exec.Command(program, with...), moreThan: libraries})
	}
	exporting = exec.Command(program, "otelgrpc")
	exporting.Env = append(os.Environ(), "TRACES="+collector)
	return append(all, server{name: "otelgrpc, 1 % exported to a collector", command: exporting, moreThan: "otelgrpc"})
}

// buildLibraries builds the server with the usual libraries, a module of its
// own. It builds with a copy of go.mod, which may need what Octavo needs since.
func buildLibraries(b *testing.B) string {
	module, folder := filepath.Join("..", "test", "bench", "libraries"), b.TempDir()
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	program := filepath.Join(folder, "libraries")
	build := exec.Command("go", "build", "-C", module, "-modfile", filepath.Join(folder, "go.mod"), "-mod=mod", "-o", program, ".")
	if output, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build the server: %v\n%s", err, output)
	}
	return program
}

// serverCommand is this test as one of its servers.
func serverCommand(kind string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), benchServer+"="+kind)
	return cmd
}

// server is a process under measurement.
type server struct {
	name     string
	command  *exec.Cmd
	moreThan string // name of the server to compare with
	pid      int
	clients  []recommendationspb.RecommendationsClient
}

func (s *server) start(b *testing.B) {
	s.command.Stderr = os.Stderr
	stdin, err := s.command.StdinPipe() // the server ends when it is closed
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := s.command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		if err := s.command.Wait(); err != nil {
			b.Error(err)
		}
	})
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	s.pid = s.command.Process.Pid
	for range connections {
		conn, err := grpc.NewClient(strings.TrimSpace(addr), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		s.clients = append(s.clients, recommendationspb.NewRecommendationsClient(conn))
	}
}

func (s *server) load(b *testing.B, calls int64) {
	request := &recommendationspb.RecommendationRequest{UserId: 1, MaxResults: 10}
	var left atomic.Int64
	left.Store(calls)
	var wg sync.WaitGroup
	for i := range inFlight {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := s.clients[i%connections].Recommend(b.Context(), request); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// cpuTime is the user and system time of a process by its CPU clock, whose id
// is made from the process's as clock_getcpuclockid(3) does.
func cpuTime(b *testing.B, pid int) time.Duration {
	const scheduler = 2
	var now unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduler), &now); err != nil {
		b.Fatal(err)
	}
	return time.Duration(now.Nano())
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
