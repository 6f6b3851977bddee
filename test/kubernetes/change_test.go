package kubernetes

import (
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"strings"

	"fmt"
	"github.com/octavo-books/octavo/chassis/chassistest"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"testing"
	"time"
)

// rollsOut replaces all pods, of one service after the other and then of all at
// once. That takes Kubernetes a lot of the two cores, which are the services' too:
// how much is seen by pods that do nothing. A rolling update may make pages twice
// as slow as their replacement does, or as they usually are.
func (s *shop) rollsOut(t *testing.T) {
	steady := s.during(t, func() { pass(20 * time.Second) })
	if failed, _ := steady.failed(); failed > 0 {
		t.Errorf("calls fail when nothing happens: %s", steady.failures())
	}
	_, sent := steady.failed()
	figure(t, fmt.Sprintf("load of %d calls a second, nothing happens", perSecond), "%d calls, %s; p99 of pages %.0f ms", sent, steady.failures(), steady.p99())
	s.kubectlWith(t, idlePods, "apply", "--validate=strict", "-f", "-")
	s.ready(t, "idle")
	idle := s.rolls(t, "pods that do nothing, as many as of all services", steady, "idle")
	s.kubectl(t, "delete", "deployment/idle")
	s.gone(t)
	for _, rolled := range append([][]string{}, []string{"catalog"}, []string{"readers"}, []string{"recommendations"}, []string{"marketplace"}, services) {
		name := rolled[0]
		if len(rolled) > 1 {
			name = "all services at once"
		}
		t.Run(name, func(t *testing.T) {
			o := s.rolls(t, name, steady, rolled...)
			if err := o.unexplained(); err != nil {
				t.Error(err)
			}
			if most := 2 * max(steady.p99(), idle.p99()); o.p99() > most {
				t.Errorf("p99 of pages %.0f ms, want at most %.0f ms, twice what it is when nothing happens or pods are replaced that do nothing", o.p99(), most)
			}
		})
	}
}

// rolls replaces all pods of deployments under load.
func (s *shop) rolls(t *testing.T, name string, steady outcome, deployments ...string) outcome {
	t.Helper()
	began := time.Now()
	o := s.during(t, func() {
		for _, deployment := range deployments {
			s.kubectl(t, "rollout", "restart", "deployment/"+deployment)
		}
		s.ready(t, deployments...)
		s.gone(t)
	})
	_, sent := o.failed()
	figure(t, "rolling update of "+name, "%d calls in %.0f s, %s; p99 of pages %.0f ms, %.1f × the usual", sent, time.Since(began).Seconds(), o.failures(), o.p99(), o.p99()/steady.p99())
	return o
}

// idlePods are replaced four at a time, as those of four services are that have
// two each.
const idlePods = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: idle}
spec:
  replicas: 8
  minReadySeconds: 10
  strategy:
    rollingUpdate: {maxUnavailable: 0, maxSurge: 4}
  selector:
    matchLabels: {app: idle}
  template:
    metadata:
      labels: {app: idle}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: main
          image: localhost/pause:1
          imagePullPolicy: Never
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          resources:
            requests: {cpu: 20m, memory: 32Mi}
`

// scales takes recommendations from one pod to three and back, and looks
// whether the storefront's calls go to all of them.
func (s *shop) scales(t *testing.T) {
	scale := func(replicas int) {
		s.kubectl(t, "scale", "deployment/recommendations", "--replicas="+strconv.Itoa(replicas))
		s.ready(t, "recommendations")
		s.gone(t)
	}
	scale(1)
	tr := s.traffic(t, perSecond, "page=1", "/", "/api/v1/recommendations")
	answered := func(p pod) float64 {
		return s.metric(t, "recommendations", p, "grpc_server_handled_total", `grpc_method="Recommend"`, `grpc_code="OK"`)
	}
	began := time.Now()
	scale(3)
	pods := s.pods(t, "recommendations")
	if len(pods) != 3 {
		t.Fatalf("there are %d pods, want 3", len(pods))
	}
	s.eventually(t, 30*time.Second, "calls to reach all three pods", func() error {
		for _, p := range pods {
			if answered(p) == 0 {
				return fmt.Errorf("%s has had none", p.Metadata.Name)
			}
		}
		return nil
	})
	spread := time.Since(began)
	before := make([]float64, len(pods))
	for i, p := range pods {
		before[i] = answered(p)
	}
	pass(10 * time.Second)
	var share []string
	total := 0.0
	counts := make([]float64, len(pods))
	for i, p := range pods {
		counts[i] = answered(p) - before[i]
		total += counts[i]
	}
	for i, n := range counts {
		share = append(share, fmt.Sprintf("%.0f", n))
		if n < total/4 {
			t.Errorf("%s has had %.0f of %.0f calls, want about a third", pods[i].Metadata.Name, n, total)
		}
	}
	began = time.Now()
	scale(1)
	down := time.Since(began)
	o := tr.end()
	_, sent := o.failed()
	figure(t, "recommendations scaled from 1 pod to 3", "all three answered after %.1f s; calls in 10 s then: %s", spread.Seconds(), strings.Join(share, ", "))
	figure(t, "scaled back to 1", "%.0f s; in both %d calls, %s", down.Seconds(), sent, o.failures())
	if err := o.unexplained(); err != nil {
		t.Error(err)
	}
	scale(2)
}

// learns publishes a model by the CronJob's job, and waits until every pod uses
// it.
func (s *shop) learns(t *testing.T) {
	pods := s.pods(t, "recommendations")
	version := func(p pod) string {
		model, err := s.recommendations(t, p).GetModel(t.Context(), &recommendationsv1.GetModelRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return model.GetModelVersion()
	}
	old := version(pods[0])
	var trained, swapped time.Duration
	var now string
	o := s.during(t, func() {
		began := time.Now()
		s.train(t, "second", "trainer")
		trained = time.Since(began)
		began = time.Now()
		s.eventually(t, time.Minute, "all pods to use the new model", func() error {
			now = version(pods[0])
			for _, p := range pods {
				if v := version(p); v == old || v != now {
					return fmt.Errorf("%s uses %s; the model before is %s", p.Metadata.Name, v, old)
				}
			}
			return nil
		})
		swapped = time.Since(began)
	})
	_, sent := o.failed()
	figure(t, "a new model by the CronJob's job", "trained in %.1f s, in use on all %d pods %.1f s after; %d calls, %s", trained.Seconds(), len(pods), swapped.Seconds(), sent, o.failures())
	if err := o.unexplained(); err != nil {
		t.Error(err)
	}
}

// rotates replaces all certificates, then the authority that has issued them, in
// the steps that docs/operations/rotate.md gives.
func (s *shop) rotates(t *testing.T) {
	var took []string
	old := s.authority
	next := chassistest.NewAuthority(t)
	o := s.during(t, func() {
		for _, step := range []struct {
			what    string
			issuer  *chassistest.Authority
			trusted []byte
		}{
			{"new certificates", old, old.Bundle()},
			{"trust in a second authority", old, old.Bundle(next)},
			{"certificates of the second", next, old.Bundle(next)},
			{"trust in the second alone", next, next.Bundle()},
		} {
			before := s.serials(t)
			began := time.Now()
			s.authority = step.issuer
			s.certify(t, step.trusted)
			s.eventually(t, 2*time.Minute, step.what+" on all pods", func() error {
				for pod, serial := range s.serials(t) {
					if serial == before[pod] {
						return fmt.Errorf("%s shows the certificate it had before", pod)
					}
				}
				return nil
			})
			took = append(took, fmt.Sprintf("%s %.0f s", step.what, time.Since(began).Seconds()))
			pass(time.Until(began.Add(6 * time.Second))) // the load reads its files every five
		}
	})
	_, sent := o.failed()
	figure(t, "certificates, then their authority, replaced on all pods", "%s; %d calls, %s", strings.Join(took, ", "), sent, o.failures())
	if err := o.unexplained(); err != nil {
		t.Error(err)
	}
}

// serials are the certificates that pods show at the moment.
func (s *shop) serials(t *testing.T) map[string]string {
	t.Helper()
	serials := map[string]string{}
	for _, service := range services {
		for _, p := range s.pods(t, service) {
			raw, err := s.Dial(t.Context(), "tcp", net.JoinHostPort(p.Status.PodIP, "9090"))
			if err != nil {
				t.Fatal(err)
			}
			// Who it is does not matter here, and the authority may just change.
			conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
			err = conn.HandshakeContext(t.Context())
			if err == nil {
				serials[p.Metadata.Name] = conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
			}
			if err := errors.Join(err, conn.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return serials
}

// rollsBack rolls out what cannot run, which users must not notice, and takes it
// back.
func (s *shop) rollsBack(t *testing.T) {
	for _, bad := range []struct {
		name, deployment string
		change           []string
	}{
		{"an image that is not there", "marketplace", []string{"set", "image", "deployment/marketplace", "main=localhost/octavo-marketplace:none"}},
		{"the image of another program", "recommendations", []string{"set", "image", "deployment/recommendations", "main=localhost/octavo-trainer:dev"}},
		{"a setting that names no file", "catalog", []string{"set", "env", "deployment/catalog", "OCTAVO_CATALOG_DATABASE_URL_FILE=/etc/octavo/nowhere"}},
	} {
		t.Run(bad.name, func(t *testing.T) {
			var back time.Duration
			o := s.during(t, func() {
				s.kubectl(t, bad.change...)
				s.eventually(t, time.Minute, "the new pod to fail", func() error { return s.stuck(t, bad.deployment) })
				if _, err := s.Kubectl(t.Context(), "", "-n", namespace, "rollout", "status", "deployment/"+bad.deployment, "--timeout=15s"); err == nil {
					t.Error("it counts as rolled out")
				}
				began := time.Now()
				s.kubectl(t, "rollout", "undo", "deployment/"+bad.deployment)
				s.ready(t, bad.deployment)
				back = time.Since(began)
				s.gone(t)
			})
			_, sent := o.failed()
			figure(t, "rolled out: "+bad.name+" ("+bad.deployment+")", "held back by readiness, undone in %.1f s; %d calls, %s", back.Seconds(), sent, o.failures())
			if err := o.unexplained(); err != nil {
				t.Error(err)
			}
		})
	}
}

// stuck is nil when a pod of a service waits for something that will not come:
// its image, or that its program stays up.
func (s *shop) stuck(t *testing.T, service string) error {
	t.Helper()
	waiting := s.kubectl(t, "get", "pods", "-l", "app.kubernetes.io/name="+service, "-o", "jsonpath={.items[*].status.containerStatuses[*].state.waiting.reason}")
	if !strings.Contains(waiting, "ErrImageNeverPull") && !strings.Contains(waiting, "CrashLoopBackOff") {
		return fmt.Errorf("no pod of %s is stuck: %q", service, waiting)
	}
	return nil
}
