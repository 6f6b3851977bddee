package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build builds the programs of a cluster from the Go module in the folder
// source, and the images of those that run in pods, into the folder programs.
// The first time takes minutes and 6 GB; later it is a matter of seconds.
// Returned are the images.
func Build(ctx context.Context, source, programs string) ([]string, error) {
	if err := os.MkdirAll(programs, 0o755); err != nil {
		return nil, err
	}
	version, err := kubernetesVersion(ctx, source)
	if err != nil {
		return nil, err
	}
	major, minor, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	const at = "-X k8s.io/component-base/version."
	stamp := fmt.Sprintf("-s -w %sgitVersion=%s %sgitMajor=%s %sgitMinor=%s %sgitTreeState=clean", at, version, at, major, at, minor, at)
	for _, build := range []struct {
		flags, out string
		packages   []string
	}{
		{stamp, programs + "/", []string{
			"k8s.io/kubernetes/cmd/kube-apiserver", "k8s.io/kubernetes/cmd/kube-controller-manager", "k8s.io/kubernetes/cmd/kube-scheduler",
			"k8s.io/kubernetes/cmd/kubelet", "k8s.io/kubernetes/cmd/kube-proxy", "k8s.io/kubernetes/cmd/kubectl",
			"sigs.k8s.io/metrics-server/cmd/metrics-server", "./coredns", "./pause",
		}},
		{"-s -w", filepath.Join(programs, "etcd"), []string{"go.etcd.io/etcd/server/v3"}},
	} {
		command := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-ldflags", build.flags, "-o", build.out}, build.packages...)...)
		command.Dir = source
		command.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := command.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build Kubernetes %s: %w: %s", version, err, out)
		}
	}
	var images []string
	for _, name := range []string{"pause", "coredns", "metrics-server"} {
		file := filepath.Join(programs, name+".tar")
		if err := writeImage(file, "localhost/"+name+":1", filepath.Join(programs, name), name); err != nil {
			return nil, err
		}
		images = append(images, file)
	}
	return images, nil
}

func kubernetesVersion(ctx context.Context, source string) (string, error) {
	command := exec.CommandContext(ctx, "go", "list", "-m", "-json", "k8s.io/kubernetes")
	command.Dir = source
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("find the version of Kubernetes in %s: %w", source, err)
	}
	var module struct{ Version string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", err
	}
	return module.Version, nil
}
