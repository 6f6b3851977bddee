package kubernetes

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLaptop brings up the laptop overlay as docs/operations/install.md says, on a
// cluster of one node, and takes it away again. The node's default storage class
// has volumes that belong to root, as those of kind and k3s do.
func TestLaptop(t *testing.T) {
	s := &shop{}
	s.Cluster, s.dir = startCluster(t, 1)
	s.volumes(t, "catalog", "readers", "models", "session")
	overlay := filepath.Join(repository, "deploy", "kubernetes", "overlays", "laptop")

	began := time.Now()
	s.kubectl(t, "apply", "--validate=strict", "-k", overlay)
	s.kubectl(t, "wait", "--for=condition=available", "--timeout=5m", "deployment", "--all")
	s.kubectl(t, "wait", "--for=condition=complete", "--timeout=10m", "job/demo")
	figure(t, "laptop overlay applied, demo library in, first model trained", "%.1f s", time.Since(began).Seconds())
	s.sells(t)

	// Each database is closed by one pod and opened by the next.
	s.kubectl(t, "rollout", "restart", "deployment")
	s.ready(t, services...)
	s.gone(t)
	s.sells(t)

	s.kubectl(t, "delete", "-k", overlay, "--timeout=180s")
}

// volumes makes a default storage class with one volume for each claim, in a
// folder of the first node.
func (s *shop) volumes(t *testing.T, claims ...string) {
	t.Helper()
	s.kubectl(t, "delete", "persistentvolumes", "--all") // of an earlier run in the same cluster
	manifest := `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: folders
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
`
	for _, claim := range claims {
		folder := filepath.Join(s.dir, "volumes", claim)
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		manifest += fmt.Sprintf(`---
apiVersion: v1
kind: PersistentVolume
metadata: {name: %s}
spec:
  storageClassName: folders
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  local: {path: %q}
  nodeAffinity:
    required:
      nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node1]}]}]
`, claim, folder)
	}
	s.kubectlWith(t, manifest, "apply", "-f", "-")
}

// sells sees that pages show the demo library and recommendations come, from the
// model.
func (s *shop) sells(t *testing.T) {
	t.Helper()
	s.eventually(t, time.Minute, "the first page with books", func() error {
		home, err := s.page("/")
		if err == nil && !strings.Contains(home, `<a class="book" href="/book/`) {
			err = fmt.Errorf("no book is on it: %.300s", home)
		}
		return err
	})
	s.eventually(t, time.Minute, "recommendations of the model", func() error {
		out, err := s.In(t.Context(), 1, s.octavo("recommend", "--user=7", "--max-results=3", "--format=json",
			"--addr=dns:///recommendations.octavo.svc.cluster.local:50051")...).Output()
		if err != nil {
			return err
		}
		var answer struct {
			Model           string
			Recommendations []any
		}
		if err := json.Unmarshal(out, &answer); err != nil {
			return err
		}
		if answer.Model == "" || len(answer.Recommendations) != 3 {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}
