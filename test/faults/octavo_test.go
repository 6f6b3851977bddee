package faults

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/octavo-books/octavo/chassis/chassistest"
)

// octavo is a running program with the demo library.
type octavo struct {
	addresses struct{ HTTP, Recommendations, Catalog, Readers, Admin string }
	output    *output
	command   *exec.Cmd
	ended     chan error
	client    *tls.Config // how its clients connect; nil without TLS
}

// program is the one octavo of all tests, which is started by the first that
// needs it and ends with the last.
var program struct {
	once    sync.Once
	folder  string
	binary  string
	running *octavo
	err     error
}

// long has the measurements take as long as their figures need to mean much.
var long = flag.Bool("long", false, "measure for minutes instead of seconds")

func TestMain(m *testing.M) {
	if order := os.Getenv(abuserVariable); order != "" {
		if err := beAbuser(order); err != nil {
			fmt.Fprintln(os.Stderr, "abuse:", err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if program.running != nil {
		if err := program.running.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop octavo:", err)
			code = 1
		}
		if code != 0 {
			text := program.running.output.String()
			fmt.Fprintf(os.Stderr, "octavo printed last:\n%s", text[max(0, len(text)-8000):])
		}
	}
	_ = os.RemoveAll(program.folder)
	os.Exit(code)
}

func startOctavo(t *testing.T) *octavo {
	t.Helper()
	program.once.Do(func() {
		if program.folder, program.err = os.MkdirTemp("", "octavo-faults-"); program.err == nil {
			program.binary, program.err = build(program.folder)
		}
		if program.err == nil {
			program.running, program.err = start(program.binary, program.folder)
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return program.running
}

// startSecureOctavo is another one, which ends with the test, with TLS on all
// ports for users.
func startSecureOctavo(t *testing.T) *octavo {
	t.Helper()
	startOctavo(t) // builds it
	authority := chassistest.NewAuthority(t)
	o, err := start(program.binary, t.TempDir(),
		"--tls-dir", authority.Issue(chassistest.Certificate{Identity: "octavo"}).Dir(t),
		"--http-tls-dir", authority.Issue(chassistest.Certificate{}).Dir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.stop(); err != nil {
			t.Errorf("stop octavo: %v\n%s", err, o.output)
		}
	})
	files := authority.Issue(chassistest.Certificate{Identity: "client"})
	pair, err := tls.X509KeyPair(files.Certificate, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	o.client = &tls.Config{RootCAs: x509.NewCertPool(), Certificates: []tls.Certificate{pair}}
	o.client.RootCAs.AppendCertsFromPEM(authority.Bundle())
	return o
}

// credentials are those of its clients over gRPC.
func (o *octavo) credentials() credentials.TransportCredentials {
	if o.client == nil {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(o.client)
}

// build makes the program in a folder.
func build(folder string, flags ...string) (string, error) {
	binary := filepath.Join(folder, "octavo")
	command := exec.Command("go", append(append([]string{"build"}, flags...), "-o", binary, "./cmd/octavo")...)
	command.Dir = "../.."
	if said, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build octavo: %w\n%s", err, said)
	}
	return binary, nil
}

// start runs octavo with its data in a folder until it is ready.
func start(binary, folder string, more ...string) (*octavo, error) {
	addresses := filepath.Join(folder, "addresses.json")
	o := &octavo{output: &output{}, ended: make(chan error, 1)}
	o.command = exec.Command(binary, append([]string{"serve", "--data-dir", filepath.Join(folder, "data"), "--addresses-file", addresses,
		"--http-addr", "127.0.0.1:0", "--recommendations-addr", "127.0.0.1:0", "--catalog-addr", "127.0.0.1:0",
		"--readers-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--log-level", "warn"}, more...)...)
	o.command.Stdout, o.command.Stderr = o.output, o.output
	if err := o.command.Start(); err != nil {
		return nil, err
	}
	go func() { o.ended <- o.command.Wait() }()
	deadline := time.After(2 * time.Minute)
	for {
		text, err := os.ReadFile(addresses)
		if err == nil && json.Unmarshal(text, &o.addresses) == nil {
			return o, nil
		}
		select {
		case err := <-o.ended:
			return nil, fmt.Errorf("octavo ended while it started: %w\n%s", err, o.output)
		case <-deadline:
			return nil, errors.Join(errors.New("octavo is not ready"), o.stop())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (o *octavo) stop() error {
	_ = o.command.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-o.ended:
		return err
	case <-time.After(30 * time.Second):
		_ = o.command.Process.Kill()
		return errors.New("it does not stop")
	}
}

// output keeps what a program prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// metrics are what the program says of itself, by series.
func (o *octavo) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	response, err := http.Get("http://" + o.addresses.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		end := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || end < 0 {
			continue
		}
		if all[line[:end]], err = strconv.ParseFloat(line[end+1:], 64); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	return all
}
