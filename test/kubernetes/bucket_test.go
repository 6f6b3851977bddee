package kubernetes

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/octavo-books/octavo/chassis/chassistest"
	"github.com/octavo-books/octavo/test/kubernetes/cluster"
)

// bucket is an S3 server beside the cluster, on the address of the first node,
// with one bucket, named octavo, whose objects are files.
type bucket struct {
	folder      string // of the objects
	credentials map[string][]byte
}

// startBucket starts a server, whose files are in dir, that is gone with the
// cluster.
func startBucket(t *testing.T, c *cluster.Cluster, dir string, authority *chassistest.Authority) *bucket {
	t.Helper()
	find := exec.CommandContext(t.Context(), "go", "tool", "-modfile=tools/s3.mod", "-n", "versitygw")
	find.Dir, find.Stderr = repository, os.Stderr
	program, err := find.Output()
	if err != nil {
		t.Fatalf("build the S3 server: %v", err)
	}
	b := &bucket{folder: filepath.Join(dir, "objects", "octavo")}
	if err := os.MkdirAll(b.folder, 0o755); err != nil {
		t.Fatal(err)
	}
	files := authority.Issue(chassistest.Certificate{Names: []string{cluster.NodeIP(1)}, NotAfter: time.Now().Add(12 * time.Hour)})
	files.Write(t, dir)
	b.credentials = map[string][]byte{"access-key-id": []byte("octavo"), "secret-access-key": []byte("a secret for tests"), "ca.crt": files.Authority}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	server := c.In(t.Context(), 1, strings.TrimSpace(string(program)),
		"--access", "octavo", "--secret", "a secret for tests", "--port", cluster.NodeIP(1)+":443", "--health", "/health", "--quiet",
		"--cert", filepath.Join(dir, "tls.crt"), "--key", filepath.Join(dir, "tls.key"), "posix", filepath.Dir(b.folder))
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait() // that it was killed
	})
	return b
}

// models are the files of the published models, by their names.
func (b *bucket) models(t *testing.T) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	paths, err := filepath.Glob(filepath.Join(b.folder, "models", "*.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if found[filepath.Base(path)], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	return found
}
