package manifests

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func (m *manifests) deployment(name string) *appsv1.Deployment {
	return named[*appsv1.Deployment](m, name)
}

func (m *manifests) container(name string) *corev1.Container {
	return &m.deployment(name).Spec.Template.Spec.Containers[0]
}

func (m *manifests) config() map[string]string {
	for _, c := range all[*corev1.ConfigMap](m) {
		if _, ok := c.Data["OCTAVO_ADMIN_ADDR"]; ok {
			return c.Data
		}
	}
	return nil
}

func (m *manifests) policy(name string) *networkingv1.NetworkPolicySpec {
	return &named[*networkingv1.NetworkPolicy](m, name).Spec
}

func (m *manifests) remove(o object) {
	m.objects = slices.DeleteFunc(m.objects, func(other object) bool { return other == o })
}

// Each check finds what it is for: here production is broken in one way after
// the other.
func TestWhatIsBrokenIsFound(t *testing.T) {
	held := files(t)
	text, err := build(held, deployed+"/overlays/production")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		spoil func(*manifests)
		want  string
	}{
		{"a service is missing", func(m *manifests) { m.remove(m.deployment("catalog")) }, "catalog is not deployed"},
		{"runs as root", func(m *manifests) { m.deployment("catalog").Spec.Template.Spec.SecurityContext.RunAsNonRoot = nil }, "runAsNonRoot"},
		{"keeps capabilities", func(m *manifests) { m.container("catalog").SecurityContext.Capabilities = nil }, "unrestricted capabilities"},
		{"no seccomp profile", func(m *manifests) { m.deployment("readers").Spec.Template.Spec.SecurityContext.SeccompProfile = nil }, "seccomp"},
		{"a folder of the node", func(m *manifests) {
			v := &m.deployment("readers").Spec.Template.Spec.Volumes
			*v = append(*v, corev1.Volume{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
		}, "restricted volume types"},
		{"writes to its image", func(m *manifests) { m.container("catalog").SecurityContext.ReadOnlyRootFilesystem = nil }, "may write to its image"},
		{"has a token", func(m *manifests) { m.deployment("catalog").Spec.Template.Spec.AutomountServiceAccountToken = nil }, "is given a token"},
		{"its account has a token", func(m *manifests) { named[*corev1.ServiceAccount](m, "catalog").AutomountServiceAccountToken = nil }, "hands out its token"},
		{"variables of services", func(m *manifests) { m.deployment("catalog").Spec.Template.Spec.EnableServiceLinks = nil }, "enableServiceLinks"},
		{"a namespace for anything", func(m *manifests) {
			delete(named[*corev1.Namespace](m, "octavo").Labels, "pod-security.kubernetes.io/enforce")
		}, "does not restrict"},

		{"the latest image", func(m *manifests) { m.container("catalog").Image = "registry.example.com/octavo-catalog:latest" }, "another one tomorrow"},
		{"an image without a version", func(m *manifests) { m.container("catalog").Image = "octavo-catalog" }, "without a version"},
		{"an image of nobody", func(m *manifests) { m.container("catalog").Image = "example.com/catalogue:v1" }, "no program of Octavo"},
		{"a variable that is misspelt", func(m *manifests) { m.config()["OCTAVO_LOG_FROMAT"] = "json" }, "OCTAVO_LOG_FORMAT"},
		{"a value that is none", func(m *manifests) { m.config()["OCTAVO_LOG_FORMAT"] = "yaml" }, "must be one of"},
		{"a flag of another program", func(m *manifests) { m.container("catalog").Args = append(m.container("catalog").Args, "--refresh") }, "unknown flag --refresh"},

		{"asks for no memory", func(m *manifests) { delete(m.container("catalog").Resources.Requests, corev1.ResourceMemory) }, "asks for no memory"},
		{"asks for no CPU", func(m *manifests) { delete(m.container("catalog").Resources.Requests, corev1.ResourceCPU) }, "asks for no cpu"},
		{"no limit of memory", func(m *manifests) { m.container("catalog").Resources.Limits = nil }, "no limit of memory"},
		{"a limit of CPU", func(m *manifests) {
			m.container("catalog").Resources.Limits[corev1.ResourceCPU] = resource.MustParse("1")
		}, "limit of CPU"},
		{"a heap that is too large", func(m *manifests) {
			m.container("catalog").Resources.Limits[corev1.ResourceMemory] = resource.MustParse("450Mi")
		}, "nine tenths"},
		{"no GOMEMLIMIT", func(m *manifests) { m.container("catalog").Env = nil }, "GOMEMLIMIT"},

		{"no readiness probe", func(m *manifests) { m.container("readers").ReadinessProbe = nil }, "no readiness probe"},
		{"no startup probe", func(m *manifests) { m.container("readers").StartupProbe = nil }, "no startup probe"},
		{"liveness is readiness", func(m *manifests) { m.container("readers").LivenessProbe.HTTPGet.Path = "/readyz" }, "asks for /readyz, want /healthz"},
		{"liveness by gRPC", func(m *manifests) {
			m.container("readers").LivenessProbe.ProbeHandler = corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 50053}}
		}, "would be restarted"},
		{"a probe by gRPC of a server with TLS", func(m *manifests) {
			m.container("readers").ReadinessProbe.ProbeHandler = corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 50053}}
		}, "speaks no TLS"},
		{"a probe without TLS", func(m *manifests) { m.container("readers").ReadinessProbe.HTTPGet.Scheme = "" }, "whether the admin port has TLS is true"},
		{"a probe of another port", func(m *manifests) { m.container("readers").ReadinessProbe.HTTPGet.Port = intstr.FromString("grpc") }, "is on the admin port"},

		{"no time before it stops", func(m *manifests) { m.container("readers").Lifecycle = nil }, "preStop"},
		{"killed too soon", func(m *manifests) { *m.deployment("readers").Spec.Template.Spec.TerminationGracePeriodSeconds = 16 }, "which is after 17s"},
		{"takes longer to stop than it may", func(m *manifests) { m.config()["OCTAVO_SHUTDOWN_TIMEOUT"] = "1m" }, "which is after 1m7s"},
		{"old pods go first", func(m *manifests) {
			*m.deployment("readers").Spec.Strategy.RollingUpdate.MaxUnavailable = intstr.FromInt32(1)
		}, "maxUnavailable 0"},
		{"new pods are not known yet", func(m *manifests) { m.deployment("readers").Spec.MinReadySeconds = 0 }, "minReadySeconds"},

		{"listens elsewhere", func(m *manifests) { m.container("readers").Args = []string{"--addr=:50059"} }, "listens on 50059"},
		{"listens to itself", func(m *manifests) { m.container("readers").Args = []string{"--addr=127.0.0.1:50053"} }, "nobody else reaches it"},
		{"names no port", func(m *manifests) { m.container("readers").Ports = m.container("readers").Ports[:1] }, "names no port grpc"},
		{"metrics elsewhere", func(m *manifests) { m.config()["OCTAVO_ADMIN_ADDR"] = ":9099" }, "listens on 9099"},

		{"a file without a volume", func(m *manifests) { m.container("readers").VolumeMounts = nil }, "--database-url-file is /etc/octavo/database/url, where no volume is"},
		{"no place for a database", func(m *manifests) { delete(m.config(), "OCTAVO_CATALOG_DATABASE_URL_FILE") }, "--db is"},
		{"a volume that is not there", func(m *manifests) { m.deployment("readers").Spec.Template.Spec.Volumes = nil }, "which the pod does not have"},

		{"a service for nobody", func(m *manifests) {
			named[*corev1.Service](m, "readers").Spec.Selector = map[string]string{"app": "readers"}
		}, "pods of 0 workloads"},
		{"a service for all", func(m *manifests) {
			named[*corev1.Service](m, "readers").Spec.Selector = map[string]string{"app.kubernetes.io/part-of": "octavo"}
		}, "Service/readers: its selector means the pods of 6 workloads"},
		{"a service that pins connections", func(m *manifests) { named[*corev1.Service](m, "readers").Spec.ClusterIP = "" }, "ties a gRPC connection"},
		{"a port that pods do not have", func(m *manifests) {
			named[*corev1.Service](m, "readers").Spec.Ports[0].TargetPort = intstr.FromString("rpc")
		}, "which they do not have"},
		{"a port that nobody translates", func(m *manifests) { named[*corev1.Service](m, "readers").Spec.Ports[0].Port = 80 }, "nobody translates it"},
		{"calls nobody", func(m *manifests) { m.config()["OCTAVO_READERS_ADDR"] = "dns:///reader:50053" }, "which is no port of a service"},
		{"calls one pod", func(m *manifests) { m.config()["OCTAVO_READERS_ADDR"] = "readers:50053" }, "only with dns:///"},

		{"no account", func(m *manifests) { m.remove(named[*corev1.ServiceAccount](m, "trainer")) }, "there is no ServiceAccount trainer"},
		{"no settings", func(m *manifests) { m.container("readers").EnvFrom[0].ConfigMapRef.Name = "octavo-2222222222" }, "there is no ConfigMap octavo-2222222222"},
		{"settings that change unseen", func(m *manifests) {
			for _, c := range all[*corev1.ConfigMap](m) {
				c.Name = "octavo"
			}
			for _, w := range m.workloads() {
				w.pod.Spec.Containers[0].EnvFrom[0].ConfigMapRef.Name = "octavo"
			}
		}, "has no hash"},
		{"a secret among the variables", func(m *manifests) {
			m.container("readers").EnvFrom[0] = corev1.EnvFromSource{SecretRef: &corev1.SecretEnvSource{}}
		}, "secrets are files"},

		{"all on one node", func(m *manifests) { m.deployment("readers").Spec.Template.Spec.Affinity = nil }, "not spread over kubernetes.io/hostname"},
		{"all in one zone", func(m *manifests) { m.deployment("readers").Spec.Template.Spec.TopologySpreadConstraints = nil }, "not spread over topology.kubernetes.io/zone"},
		{"nodes without zones", func(m *manifests) {
			pod := &m.deployment("readers").Spec.Template.Spec
			hosts := pod.TopologySpreadConstraints[0]
			hosts.TopologyKey = corev1.LabelHostname
			pod.TopologySpreadConstraints = append(pod.TopologySpreadConstraints, hosts)
		}, "does nothing where nodes have no zones"},
		{"spread with others", func(m *manifests) {
			m.deployment("readers").Spec.Template.Spec.TopologySpreadConstraints[0].MatchLabelKeys = nil
		}, "spreads other pods than its own"},
		{"no budget", func(m *manifests) { m.remove(named[*policyv1.PodDisruptionBudget](m, "readers")) }, "has no PodDisruptionBudget"},
		{"a budget that holds up drains", func(m *manifests) {
			*named[*policyv1.PodDisruptionBudget](m, "readers").Spec.MaxUnavailable = intstr.FromInt32(0)
		}, "hold up a drain for ever"},
		{"a budget for pods that are broken", func(m *manifests) {
			named[*policyv1.PodDisruptionBudget](m, "readers").Spec.UnhealthyPodEvictionPolicy = nil
		}, "does not come up holds up a drain"},
		{"scales nobody", func(m *manifests) {
			named[*autoscalingv2.HorizontalPodAutoscaler](m, "readers").Spec.ScaleTargetRef.Name = "reader"
		}, "there is no Deployment reader"},
		{"more pods than PostgreSQL has connections for", func(m *manifests) {
			named[*autoscalingv2.HorizontalPodAutoscaler](m, "readers").Spec.MaxReplicas = 12
		}, "22 pods may have 110 connections"},
		{"two decide how many", func(m *manifests) { m.deployment("readers").Spec.Replicas = new(int32) }, "each apply would undo"},
		{"scales one that is alone", func(m *manifests) { m.deployment("readers").Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType }, "may have one pod only"},
		{"two trainings at once", func(m *manifests) {
			named[*batchv1.CronJob](m, "trainer").Spec.ConcurrencyPolicy = batchv1.AllowConcurrent
		}, "beside itself"},
		{"a training without end", func(m *manifests) {
			named[*batchv1.CronJob](m, "trainer").Spec.JobTemplate.Spec.ActiveDeadlineSeconds = nil
		}, "may run for ever"},

		{"anybody may come in", func(m *manifests) { m.policy("deny-all").Ingress = []networkingv1.NetworkPolicyIngressRule{{}} }, "somebody else's pod to marketplace, port 8080 is open"},
		{"out to anywhere", func(m *manifests) { m.policy("deny-all").Egress = []networkingv1.NetworkPolicyEgressRule{{}} }, "marketplace to Internet, port 25 is open"},
		{"one arrow too many", func(m *manifests) {
			m.policy("from-marketplace").Egress = append(m.policy("from-marketplace").Egress, m.policy("database").Egress...)
		}, "marketplace to database, port 5432 is open"},
		{"one arrow is missing", func(m *manifests) { m.policy("from-trainer").Egress = m.policy("from-trainer").Egress[:1] }, "trainer to readers, port 50053 is closed, and it dials dns:///readers:50053"},
		{"nobody is let in", func(m *manifests) { m.policy("to-readers").Ingress = nil }, "marketplace to readers, port 50053 is closed"},
		{"no names", func(m *manifests) { m.remove(named[*networkingv1.NetworkPolicy](m, "dns")) }, "catalog to DNS, port 53 is closed"},
		{"no metrics", func(m *manifests) { m.policy("metrics").Ingress[0].Ports[0].Port.IntVal = 9091 }, "Prometheus to catalog, port 9090 is closed"},
		{"pods of nobody", func(m *manifests) {
			delete(m.deployment("catalog").Spec.Template.Labels, "app.kubernetes.io/name")
		}, "do not say what they are"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := decode(text)
			if err != nil {
				t.Fatal(err)
			}
			test.spoil(m)
			found := m.findings()
			if !slices.ContainsFunc(found, func(finding string) bool { return strings.Contains(finding, test.want) }) {
				t.Errorf("no finding has %q in it:\n%s", test.want, strings.Join(found, "\n"))
			}
		})
	}
}

// Kubernetes ignores fields that it does not know, and refuses types.
func TestOnlyKnownFieldsAreDecoded(t *testing.T) {
	text, err := build(files(t), deployed+"/overlays/production")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ old, spoilt, want string }{
		{"readinessProbe:", "readynessProbe:", `unknown field "spec.template.spec.containers[0].readynessProbe"`},
		{"minReadySeconds: 10", "minReadySeconds: ten", "cannot unmarshal string"},
		{"kind: Deployment", "kind: Deploiment", `no kind "Deploiment"`},
		{"minReadySeconds: 10", "minReadySeconds: 10\n  minReadySeconds: 10", "already set"},
	} {
		if _, err := decode(bytes.Replace(text, []byte(test.old), []byte(test.spoilt), 1)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %.300v, want %q", test.spoilt, err, test.want)
		}
	}
}
