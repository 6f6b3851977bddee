// Package buckettest gives tests an S3-compatible bucket of a real server:
// versitygw on a folder, on a free port of the loopback address, gone with the
// test or with its process however that ends.
//
// The folder has to be on a disk with extended attributes, in which the server
// keeps what it knows of an object beside its content.
//
// The server is built from its Go modules (tools/s3.mod) the first time it is
// asked for, which takes minutes; 'make setup' has it built before.
package buckettest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/octavo-books/octavo/internal/modelstore"
	"github.com/octavo-books/octavo/internal/nettest"
)

// What the server wants to see.
const (
	AccessKeyID     = "octavo"
	SecretAccessKey = "a secret for tests"
	Name            = "models" // of the bucket
)

// startTimeout is how long the server may take to answer on a busy machine.
const startTimeout = time.Minute

// guarded runs a program until its input ends, which it does with the process at
// the other end, however that ends.
const guarded = `"$@" & server=$!; read -r _; kill -9 $server; wait $server`

// Server is an S3 server with one bucket.
type Server struct {
	Endpoint string // http://127.0.0.1:port

	t       testing.TB
	program string
	address string
	folder  string
	log     string
	cmd     *exec.Cmd
	hold    io.WriteCloser
}

var program = sync.OnceValues(func() (string, error) {
	root, err := exec.CommandContext(context.Background(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/octavo-books/octavo").Output()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	cmd := exec.CommandContext(context.Background(), "go", "tool", "-modfile=tools/s3.mod", "-n", "versitygw")
	cmd.Dir = strings.TrimSpace(string(root))
	cmd.Stderr = os.Stderr
	path, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("build the S3 server: %w", err)
	}
	return strings.TrimSpace(string(path)), nil
})

// Start starts a server with an empty bucket.
func Start(t testing.TB) *Server {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	address := nettest.FreeAddress(t)
	dir := t.TempDir()
	s := &Server{Endpoint: "http://" + address, t: t, program: path, address: address, folder: dir, log: filepath.Join(dir, "log")}
	if err := os.Mkdir(filepath.Join(dir, "objects"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	s.Up()
	client, err := minio.New(address, &minio.Options{Creds: credentials.NewStaticV4(AccessKeyID, SecretAccessKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.MakeBucket(t.Context(), Name, minio.MakeBucketOptions{}); err != nil {
		t.Fatalf("make the bucket: %v", err)
	}
	return s
}

// Up starts the server, on what it has stored, and returns when it answers.
func (s *Server) Up() {
	s.t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.CommandContext(context.Background(), "/bin/sh", "-c", guarded, "s3", s.program,
		"--access", AccessKeyID, "--secret", SecretAccessKey, "--port", s.address, "--health", "/health", "--keep-alive", "--quiet",
		"posix", filepath.Join(s.folder, "objects"))
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the tests
	if s.hold, err = s.cmd.StdinPipe(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(startTimeout); ; <-time.After(20 * time.Millisecond) {
		if s.answers() {
			break
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(s.log)
			s.t.Fatalf("the S3 server does not answer at %s:\n%s", s.Endpoint, text)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func (s *Server) answers() bool {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.Endpoint+"/health", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// Kill ends the server at once, whatever it is doing.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.hold.Close()
	_ = s.cmd.Wait() // the shell says how the server ended, which is known
	s.cmd = nil
}

// URL is a place in the bucket.
func URL(prefix string) string { return "s3://" + Name + "/" + prefix }

// Config is a place in the bucket with a cache of its own.
func (s *Server) Config(t testing.TB, prefix string) modelstore.BucketConfig {
	return modelstore.BucketConfig{
		URL: URL(prefix), Endpoint: s.Endpoint, Region: "us-east-1", Cache: filepath.Join(t.TempDir(), "cache"),
		Credentials: func() (modelstore.Credentials, error) {
			return modelstore.Credentials{AccessKeyID: AccessKeyID, SecretAccessKey: SecretAccessKey}, nil
		},
	}
}

// Open is a store at a place in the bucket.
func (s *Server) Open(t testing.TB, prefix string) *modelstore.Bucket {
	t.Helper()
	b, err := modelstore.OpenBucket(s.Config(t, prefix))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
