package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

// startTimeout bounds how long a server may take until it serves.
const startTimeout = time.Minute

// process is a server process under measurement.
type process struct {
	cmd      *exec.Cmd
	addr     string
	admin    string     // where profiles can be had, of Octavo
	end      func()     // asks it to end
	profiled chan error // has a value when a profile has been written or failed
}

// buildOctavo builds the program of the recommendations service: what runs is
// what runs in production.
func buildOctavo(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "recommendations")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/octavo-books/octavo/cmd/recommendations").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the recommendations service: %w\n%s", err, out)
	}
	return program, nil
}

// startOctavo starts the recommendations service and waits until it answers
// from the model. It follows the feeds at feedsAddr, which are silent once read.
func startOctavo(ctx context.Context, program, dir, feedsAddr string, settings ...string) (*process, error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	admin, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, append([]string{"--addr", addr, "--admin-addr", admin,
		"--catalog-addr", feedsAddr, "--readers-addr", feedsAddr, "--models-dir", filepath.Join(dir, "models")}, settings...)...)
	logged, err := os.Create(filepath.Join(dir, "octavo.log"))
	if err != nil {
		return nil, err
	}
	defer logged.Close()
	cmd.Stderr = logged
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, addr: addr, admin: admin, end: func() { _ = cmd.Process.Signal(os.Interrupt) }}
	if err := p.awaitModel(ctx); err != nil {
		p.stop()
		text, _ := os.ReadFile(logged.Name())
		return nil, fmt.Errorf("the server did not start: %w\n%s", err, text)
	}
	return p, nil
}

// freeAddr is an address nobody listens on just now.
func freeAddr(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func (p *process) awaitModel(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	conn, err := grpc.NewClient(p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	client := recommendationsv1.NewRecommendationsServiceClient(conn)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		model, err := client.GetModel(ctx, &recommendationsv1.GetModelRequest{}, grpc.WaitForReady(true))
		if err != nil {
			return err
		}
		if model.GetModelVersion() != "" && p.ready(ctx) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

func (p *process) get(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		_ = response.Body.Close()
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	return response, nil
}

// kept are the rankings that the server had kept, and that it had not; none of
// the server to compare with.
func (p *process) kept(ctx context.Context) (hits, misses float64, err error) {
	if p.admin == "" {
		return 0, 0, nil
	}
	response, err := p.get(ctx, "/metrics")
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		switch name {
		case `octavo_kept_rankings_total{result="hit"}`:
			hits, err = strconv.ParseFloat(value, 64)
		case `octavo_kept_rankings_total{result="miss"}`:
			misses, err = strconv.ParseFloat(value, 64)
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return hits, misses, lines.Err()
}

func (p *process) ready(ctx context.Context) bool {
	response, err := p.get(ctx, "/readyz")
	if err != nil {
		return false
	}
	return response.Body.Close() == nil
}

// profile writes a CPU profile of the coming time to a file.
func (p *process) profile(ctx context.Context, path string, length time.Duration) {
	p.profiled = make(chan error, 1)
	go func() { p.profiled <- p.fetchProfile(ctx, path, length) }()
}

func (p *process) fetchProfile(ctx context.Context, path string, length time.Duration) error {
	response, err := p.get(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%.0f", length.Seconds()))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, response.Body)
	return errors.Join(err, out.Close())
}

// stop ends the server.
func (p *process) stop() {
	p.end()
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

// startBare starts this program again as the server to compare with.
func startBare(ctx context.Context) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "serve")
	cmd.Stderr = os.Stderr
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
	p := &process{cmd: cmd, end: func() { _ = stdin.Close() }}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("the bare server did not start: %w", err)
	}
	p.addr = strings.TrimSpace(line)
	return p, nil
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

// serveBare is the process to compare with: grpc-go as it comes. It prints its
// address and ends with its input.
func serveBare() error {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	recommendationspb.RegisterRecommendationsServer(server, tenBooks{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		server.Stop()
	}()
	fmt.Println(listener.Addr())
	return server.Serve(listener)
}
