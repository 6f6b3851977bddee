package kubernetes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/octavo-books/octavo/test/kubernetes/cluster"
)

// edges is who connects to whom: the arrows of ARCHITECTURE.md, and what lies
// outside. stranger is a pod of no meaning in Octavo's namespace, ingress and
// monitoring are ones in the namespaces of these names, elsewhere is in another:
// whether they reach the database is not for Octavo's policies to say.
var edges = map[string][]string{
	"catalog":         {"postgres"},
	"readers":         {"postgres"},
	"recommendations": {"catalog", "readers"},
	"marketplace":     {"catalog", "readers", "recommendations"},
	"trainer":         {"catalog", "readers"},
	"octavo":          {"catalog", "readers"},
	"stranger":        nil,
	"ingress":         {"marketplace", "postgres"},
	"monitoring":      {"postgres", "catalog metrics", "readers metrics", "recommendations metrics", "marketplace metrics"},
	"elsewhere":       {"postgres"},
}

// closed tries every connection between pods with the policies in force.
func (s *shop) closed(t *testing.T) {
	clients := s.clients(t)
	pods := s.enforce(t)
	targets := map[string]string{"postgres": net.JoinHostPort(cluster.NodeIP(1), "5432")}
	for service, port := range map[string]string{"catalog": "50052", "readers": "50053", "recommendations": "50051", "marketplace": "8080"} {
		for _, p := range pods {
			if p.Metadata.Labels["app.kubernetes.io/name"] == service && p.Status.Phase == "Running" {
				targets[service] = net.JoinHostPort(p.Status.PodIP, port)
				targets[service+" metrics"] = net.JoinHostPort(p.Status.PodIP, "9090")
			}
		}
	}
	allowed, denied := 0, 0
	for client, p := range clients {
		pid := processOf(t, p)
		for target, address := range targets {
			if strings.HasPrefix(target, client) {
				continue // itself
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			conn, err := cluster.DialFrom(ctx, pid, "tcp", address)
			cancel()
			if err == nil {
				err = conn.Close()
			}
			want := slices.Contains(edges[client], target)
			switch {
			case want && err != nil:
				t.Errorf("%s to %s: %v, want a connection", client, target, err)
			case want:
				allowed++
			case err == nil:
				t.Errorf("%s to %s: connected, want nothing", client, target)
			case !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded):
				t.Errorf("%s to %s: %v, want silence", client, target, err)
			default:
				denied++
			}
		}
	}
	o := s.during(t, func() { pass(10 * time.Second) })
	_, sent := o.failed()
	figure(t, "network policies, enforced by the test's own nftables rules", "%d connections along the arrows made, %d others not; %d calls meanwhile, %s", allowed, denied, sent, o.failures())
	if err := o.unexplained(); err != nil {
		t.Error(err)
	}
}

// clients are a pod of each kind that edges names. Those that are not services
// do nothing but be there.
func (s *shop) clients(t *testing.T) map[string]labelledPod {
	t.Helper()
	var manifest strings.Builder
	for client, in := range map[string]string{
		"trainer": namespace, "octavo": namespace, "stranger": namespace,
		"ingress": "ingress", "monitoring": "monitoring", "elsewhere": "elsewhere",
	} {
		if in != namespace {
			fmt.Fprintf(&manifest, "---\n{apiVersion: v1, kind: Namespace, metadata: {name: %s}}\n", in)
		}
		fmt.Fprintf(&manifest, `---
apiVersion: v1
kind: Pod
metadata: {name: client-%s, namespace: %s, labels: {app.kubernetes.io/name: %s}}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: main
      image: localhost/pause:1
      imagePullPolicy: Never
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
`, client, in, client)
	}
	if out, err := s.Kubectl(t.Context(), manifest.String(), "apply", "-f", "-"); err != nil {
		t.Fatal(out, err)
	}
	t.Cleanup(func() {
		if out, err := s.Kubectl(context.Background(), manifest.String(), "delete", "-f", "-"); err != nil {
			t.Error(out, err)
		}
	})
	found := map[string]labelledPod{}
	s.eventually(t, time.Minute, "a pod of each kind", func() error {
		var pods struct{ Items []labelledPod }
		s.get(t, &pods, "pods", "--all-namespaces")
		for _, p := range pods.Items {
			if name := p.Metadata.Labels["app.kubernetes.io/name"]; p.Status.Phase == "Running" && p.Status.PodIP != "" {
				found[name] = p
			}
		}
		for client := range edges {
			if _, ok := found[client]; !ok {
				return fmt.Errorf("there is none of %s", client)
			}
		}
		return nil
	})
	for name := range found {
		if _, ok := edges[name]; !ok {
			delete(found, name)
		}
	}
	return found
}

// processOf finds a process of a pod on this machine.
func processOf(t *testing.T, p labelledPod) int {
	t.Helper()
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range groups {
		if text, err := os.ReadFile(file); err == nil && bytes.Contains(text, []byte("pod"+p.Metadata.UID)) {
			pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
			return pid
		}
	}
	t.Fatalf("no process of %s is found", p.Metadata.Name)
	return 0
}
