package manifests

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// production is what these files are for.
func production(t *testing.T) *manifests {
	t.Helper()
	text, err := build(files(t), deployed+"/overlays/production")
	if err != nil {
		t.Fatal(err)
	}
	m, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// beside is a file for what a cluster may have besides Kubernetes.
func beside(t *testing.T, name string) *manifests {
	t.Helper()
	text, err := files(t).ReadFile(filepath.Join(deployed, "components", name))
	if err != nil {
		t.Fatal(err)
	}
	m, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A server must have the name that it is dialled by in its certificate, and
// everybody the identity that the tables of who may call what know.
func TestCertificatesAreThoseThatPodsMount(t *testing.T) {
	m, certificates := production(t), map[string]*certmanagerv1.Certificate{}
	for _, c := range all[*certmanagerv1.Certificate](beside(t, "mutual-tls/certificates.yaml")) {
		certificates[c.Spec.SecretName] = c
	}
	mounted := 0
	for _, w := range m.workloads() {
		i := slices.IndexFunc(w.pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == "tls" })
		if i < 0 {
			t.Errorf("%s has no certificate", w.title)
			continue
		}
		mounted++
		c := certificates[w.pod.Spec.Volumes[i].Secret.SecretName]
		if c == nil {
			t.Errorf("%s: nobody makes the secret %s", w.title, w.pod.Spec.Volumes[i].Secret.SecretName)
			continue
		}
		prefix := m.settings(w.containers()[0]).values["tls-identity-prefix"]
		if want := prefix + w.is(); !slices.Equal(c.Spec.URIs, []string{want}) {
			t.Errorf("%s: its certificate is that of %v, want %s", w.title, c.Spec.URIs, want)
		}
		for _, peer := range m.settings(w.containers()[0]).peers {
			host, _, _ := strings.Cut(strings.TrimPrefix(peer, "dns:///"), ":")
			if server := certificates[host+"-tls"]; server == nil || !slices.Contains(server.Spec.DNSNames, host) {
				t.Errorf("%s dials %s, and no certificate has that name", w.title, peer)
			}
		}
	}
	if mounted == 0 {
		t.Error("no pod has a certificate")
	}
}

func TestThePodMonitorFindsAllServices(t *testing.T) {
	m := production(t)
	monitors := all[*monitoringv1.PodMonitor](beside(t, "monitoring/podmonitor.yaml"))
	if len(monitors) != 1 {
		t.Fatalf("there are %d", len(monitors))
	}
	spec := monitors[0].Spec
	selector, err := metav1.LabelSelectorAsSelector(&spec.Selector)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range m.workloads() {
		if !selector.Matches(labels.Set(w.pod.Labels)) || w.pod.Labels[spec.JobLabel] != "octavo" {
			t.Errorf("%s is not found, or not as the job octavo that alerts ask for: %v", w.title, w.pod.Labels)
		}
		if containerPort(w.containers()[0], intstr.FromString(*spec.PodMetricsEndpoints[0].Port)) == 0 {
			t.Errorf("%s has no port %s", w.title, *spec.PodMetricsEndpoints[0].Port)
		}
	}
}

// All dashboards and all rules are in ConfigMaps.
func TestDashboardsAndRulesAreDeployed(t *testing.T) {
	m, held := production(t), files(t)
	for _, folder := range []string{"deploy/grafana", "deploy/prometheus/rules"} {
		found, err := held.ReadDir(folder)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", folder, found, err)
		}
		for _, name := range found {
			if name == "kustomization.yaml" {
				continue
			}
			content, err := held.ReadFile(filepath.Join(folder, name))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(all[*corev1.ConfigMap](m), func(c *corev1.ConfigMap) bool {
				for _, data := range c.Data {
					if data == string(content) {
						return true
					}
				}
				return false
			}) {
				t.Errorf("%s is in no ConfigMap", name)
			}
		}
	}
}

// docs/operations/install.md makes objects for the Prometheus Operator of the
// rules, by putting a head on each file.
func TestRulesAreThoseOfTheOperatorToo(t *testing.T) {
	held := files(t)
	for _, name := range []string{"causes.yml", "objectives.yml"} {
		content, err := held.ReadFile(filepath.Join("deploy/prometheus/rules", name))
		if err != nil {
			t.Fatal(err)
		}
		head := "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {name: octavo}\nspec:\n  "
		m, err := decode([]byte(head + strings.ReplaceAll(string(content), "\n", "\n  ")))
		if err != nil {
			t.Fatal(err)
		}
		if rule := named[*monitoringv1.PrometheusRule](m, "octavo"); rule == nil || len(rule.Spec.Groups) == 0 {
			t.Errorf("%s has no rules for the operator", name)
		}
	}
}
