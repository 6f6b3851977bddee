package kubernetes

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/octavo-books/octavo/test/kubernetes/cluster"
)

// TestAClusterComesAndGoes starts a cluster of one node, uses it, and finds the
// machine afterwards as it was.
func TestAClusterComesAndGoes(t *testing.T) {
	before := traces(t)
	scratch := filepath.Join(t.TempDir(), "cluster")
	began := time.Now()
	c, err := cluster.Start(t.Context(), cluster.Config{Programs: programs, Scratch: scratch, Nodes: 1, Images: images, Logs: logs})
	if err != nil {
		t.Fatal(err)
	}
	up := time.Since(began)
	t.Cleanup(func() { // when what follows fails
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})

	t.Run("names of services resolve", func(t *testing.T) {
		out, err := c.In(t.Context(), 1, "getent", "hosts", "kubernetes.default.svc.cluster.local").CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "10.96.0.1 ") {
			t.Errorf("got %v, %s; want the API server's address", err, out)
		}
	})
	t.Run("a pod runs", func(t *testing.T) {
		out, err := c.Kubectl(t.Context(), `
apiVersion: v1
kind: Pod
metadata: {name: hello}
spec:
  restartPolicy: Never
  containers:
    - {name: main, image: "localhost/coredns:1", imagePullPolicy: Never, args: [-version]}
`, "apply", "-f", "-")
		if err == nil {
			out, err = c.Kubectl(t.Context(), "", "wait", "pod/hello", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
		}
		if err == nil {
			out, err = c.Kubectl(t.Context(), "", "logs", "hello")
		}
		if err != nil || !strings.HasPrefix(out, "CoreDNS-") {
			t.Errorf("got %v, %s; want what the program prints", err, out)
		}
	})
	if during := traces(t); slices.Equal(before, during) {
		t.Error("a running cluster leaves no trace: the comparison below says nothing")
	}

	began = time.Now()
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	figure(t, "a cluster of one node comes up", "%.1f s, and is gone in %.1f s", up.Seconds(), time.Since(began).Seconds())
	if after := traces(t); !slices.Equal(before, after) {
		t.Errorf("the machine is not as it was:\nbefore %q\nafter  %q", before, after)
	}
	if _, err := os.Stat(scratch); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the scratch folder is still there: %v", err)
	}
}

// traces are what a cluster could leave on the machine: processes, mounts,
// control groups, links of the network, and the folders that its programs use by
// themselves.
func traces(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{
		"/proc/[0-9]*", "/sys/fs/cgroup/octavo-test-*", "/sys/fs/cgroup/*/octavo-test-*", "/sys/class/net/*", "/run/netns/*",
		"/opt/*", "/var/lib/kubelet/*", "/var/lib/cni/*", "/var/lib/containerd/*", "/var/log/pods/*", "/usr/libexec/kubernetes/*", "/etc/cni/*",
	} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if !strings.HasPrefix(path, "/proc/") || ofACluster(path) {
				found = append(found, path)
			}
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return append(found, strings.Split(string(mounts), "\n")...)
}

// ofACluster tells whether a process is one of a cluster's: its programs have
// their folder in PATH, and pods are in its control groups.
func ofACluster(process string) bool {
	if process == "/proc/"+strconv.Itoa(os.Getpid()) {
		return false
	}
	for file, sign := range map[string]string{"environ": "PATH=" + programs + ":", "cgroup": "/octavo-test-", "cmdline": "octavo-test-node"} {
		if text, err := os.ReadFile(filepath.Join(process, file)); err == nil && bytes.Contains(text, []byte(sign)) {
			return true
		}
	}
	return false
}
