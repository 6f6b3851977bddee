package kubernetes

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// autoscales gives recommendations the autoscaler of production, for one pod to
// three, and waits until load has brought more pods.
func (s *shop) autoscales(t *testing.T) {
	// What the pods ask for is what the autoscaler measures them by.
	s.kubectl(t, "set", "resources", "deployment/recommendations", "--requests=cpu=100m")
	s.kubectl(t, "scale", "deployment/recommendations", "--replicas=1")
	s.ready(t, "recommendations")
	s.gone(t)
	s.eventually(t, 2*time.Minute, "the pod to have nothing to do", func() error {
		// NAME, millicores, memory
		used, err := s.Kubectl(t.Context(), "", "-n", namespace, "top", "pods", "--no-headers", s.pods(t, "recommendations")[0].Metadata.Name)
		if err != nil {
			return err // not measured yet
		}
		fields := strings.Fields(used)
		if len(fields) < 2 {
			return fmt.Errorf("its use is told as %q", used)
		}
		if cores, err := strconv.Atoi(strings.TrimSuffix(fields[1], "m")); err != nil || cores > 40 {
			return fmt.Errorf("it uses %s", fields[1])
		}
		return nil
	})
	manifests := s.kubectl(t, "kustomize", filepath.Join(repository, "deploy", "kubernetes", "overlays", "production"))
	for manifest := range strings.SplitSeq(manifests, "\n---\n") {
		if strings.Contains(manifest, "kind: HorizontalPodAutoscaler") && strings.Contains(manifest, "\n  name: recommendations\n") {
			s.kubectlWith(t, manifest, "apply", "--validate=strict", "-f", "-")
		}
	}
	s.kubectl(t, "patch", "horizontalpodautoscaler/recommendations", "-p", `{"spec": {"minReplicas": 1, "maxReplicas": 3}}`)
	defer func() {
		s.kubectl(t, "delete", "horizontalpodautoscaler/recommendations")
		s.kubectl(t, "scale", "deployment/recommendations", "--replicas=2")
		s.ready(t, "recommendations")
	}()
	utilization := func() string {
		return s.kubectl(t, "get", "horizontalpodautoscaler/recommendations", "-o", "jsonpath={.status.currentMetrics[0].resource.current.averageUtilization}")
	}
	s.eventually(t, 2*time.Minute, "the autoscaler to find one pod enough", func() error {
		percent, err := strconv.Atoi(utilization())
		if err != nil {
			return err
		}
		if percent >= 60 {
			return fmt.Errorf("its utilization is %d %%", percent)
		}
		return nil
	})
	if n := len(s.pods(t, "recommendations")); n != 1 {
		t.Fatalf("there are %d pods before load comes, want 1", n)
	}
	tr := s.traffic(t, 200, "recommend=1")
	began := time.Now()
	s.eventually(t, 3*time.Minute, "more pods", func() error {
		if len(s.pods(t, "recommendations")) < 2 {
			return fmt.Errorf("there is still one, with a utilization of %s %%", utilization())
		}
		return nil
	})
	took := time.Since(began)
	s.ready(t, "recommendations")
	o := tr.end()
	_, sent := o.failed()
	figure(t, "the autoscaler of recommendations, with load for one pod and more", "%d pods wanted %.0f s after load came; %d calls, %s", len(s.pods(t, "recommendations")), took.Seconds(), sent, o.failures())
	if err := o.unexplained(); err != nil {
		t.Error(err)
	}
}
