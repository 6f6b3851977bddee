package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/chassis"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
	"github.com/octavo-books/octavo/internal/modelstore"
	"github.com/octavo-books/octavo/internal/recommendations"
)

// process is a server process under measurement.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	addr  string
}

// startServer starts this program again as a server and waits until it serves.
func startServer(ctx context.Context, s settings, kind, dir, profile string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "serve", kind,
		"-models", filepath.Join(dir, "models"), "-profile", profile,
		"-books", strconv.Itoa(s.books), "-readers", strconv.Itoa(s.readers), "-history", strconv.Itoa(s.history))
	logged, err := os.Create(filepath.Join(dir, kind+".log"))
	if err != nil {
		return nil, err
	}
	defer logged.Close()
	cmd.Stderr = logged
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, stdin: stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		p.stop()
		text, _ := os.ReadFile(logged.Name())
		return nil, fmt.Errorf("the server did not start: %w\n%s", err, text)
	}
	p.addr = strings.TrimSpace(line)
	return p, nil
}

// stop ends the server, which ends with its input.
func (p *process) stop() {
	_ = p.stdin.Close()
	_ = p.cmd.Wait()
}

// cpu is the user and system time the process has used, to 10 ms.
func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 13 {
		return 0, errors.New("/proc does not say what the process used")
	}
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	if err != nil {
		return 0, err
	}
	return time.Duration(user+system) * 10 * time.Millisecond, nil
}

// serve is the server process: it prints its address once it is ready and ends
// with its input.
func serve(kind string, args []string) error {
	var s settings
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	models := flags.String("models", "", "folder of the model")
	profile := flags.String("profile", "", "file for a CPU profile")
	flags.IntVar(&s.books, "books", 0, "")
	flags.IntVar(&s.readers, "readers", 0, "")
	flags.IntVar(&s.history, "history", 0, "")
	_ = flags.Parse(args)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	ready := func() error { return nil }
	if *profile != "" {
		out, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer out.Close()
		defer pprof.StopCPUProfile()
		ready = func() error { return pprof.StartCPUProfile(out) }
	}
	if kind == "bare" {
		return serveBare(ctx, ready)
	}
	return serveOctavo(ctx, s, *models, ready)
}

type tenBooks struct {
	recommendationspb.UnimplementedRecommendationsServer
}

func (tenBooks) Recommend(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
	list := make([]*recommendationspb.BookRecommendation, 10)
	for i := range list {
		list[i] = &recommendationspb.BookRecommendation{Id: int32(i) + 1, Title: titleOf(int32(i) + 1)}
	}
	return &recommendationspb.RecommendationResponse{Recommendations: list}, nil
}

func serveBare(ctx context.Context, ready func() error) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	recommendationspb.RegisterRecommendationsServer(server, tenBooks{})
	context.AfterFunc(ctx, server.Stop)
	if err := ready(); err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	return server.Serve(listener)
}

// serveOctavo is the recommendations service on the chassis, as its program
// wires it, with the feeds in the same process: they are silent once read.
func serveOctavo(ctx context.Context, s settings, models string, ready func() error) error {
	debug.SetGCPercent(400) // as the programs do
	catalog, readers := feeds(s)
	app, err := chassis.New("bench", "bench", chassis.Flags{LogFormat: "json", AdminAddr: "127.0.0.1:0"}, os.Stderr)
	if err != nil {
		return err
	}
	feedAddr, err := app.GRPC("feeds", "127.0.0.1:0", nil, func(r grpc.ServiceRegistrar) {
		catalog.Register(r)
		readers.Register(r)
	})
	if err != nil {
		return err
	}
	feedConn, err := app.Dial("feeds", feedAddr.String())
	if err != nil {
		return err
	}
	store, err := modelstore.Open(models)
	if err != nil {
		return err
	}
	server := recommendations.New(recommendations.Config{
		Catalog: catalogv1.NewCatalogServiceClient(feedConn),
		Readers: readersv1.NewReadersServiceClient(feedConn),
		Models:  store,
		Log:     app.Log(),
		Metrics: app.Metrics(),
	})
	app.Go("recommendations", server.Run)
	addr, err := app.GRPC("recommendations", "127.0.0.1:0", server.Ready, server.Register)
	if err != nil {
		return err
	}
	app.Go("announce", func(ctx context.Context) error {
		if err := app.WaitReady(ctx); err != nil {
			return err
		}
		if err := ready(); err != nil {
			return err
		}
		fmt.Println(addr)
		return nil
	})
	return app.Run(ctx)
}
