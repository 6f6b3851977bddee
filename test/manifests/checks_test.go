package manifests

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// checks are what has to hold of every overlay. Each returns what does not.
var checks = []func(*manifests) []string{
	complete, restricted, images, resources, probes, shutdown, ports, storage,
	services, references, spread, disruption, autoscaling, connections, jobs, network,
}

// findings are what all checks find.
func (m *manifests) findings() []string {
	var found []string
	for _, check := range checks {
		found = append(found, check(m)...)
	}
	return found
}

// each asks about every container, and says of which one the answers are.
func (m *manifests) each(ask func(workload, *corev1.Container) []string) []string {
	var found []string
	for _, w := range m.workloads() {
		for _, c := range w.containers() {
			for _, finding := range ask(w, c) {
				found = append(found, fmt.Sprintf("%s, container %s: %s", w.title, c.Name, finding))
			}
		}
	}
	return found
}

// complete is an overlay with all programs; octavo is all of them in one, and the
// operator's commands.
func complete(m *manifests) (found []string) {
	run := map[string]bool{"octavo": true}
	m.each(func(_ workload, c *corev1.Container) []string {
		run[program(c)] = true
		return nil
	})
	for _, name := range programs {
		if !run[name] {
			found = append(found, name+" is not deployed")
		}
	}
	return found
}

// restricted asks the code that decides in a cluster whether pods may run in a
// namespace where they are restricted, and that the namespace is one.
func restricted(m *manifests) []string {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for _, w := range m.workloads() {
		results := evaluator.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &w.pod.ObjectMeta, &w.pod.Spec)
		if r := policy.AggregateCheckResults(results); !r.Allowed {
			found = append(found, fmt.Sprintf("%s: would be refused where pods are restricted: %s", w.title, r.ForbiddenDetail()))
		}
		if t := w.pod.Spec.AutomountServiceAccountToken; t == nil || *t {
			found = append(found, w.title+": is given a token for the API of Kubernetes, which it does not use")
		}
		if w.pod.Spec.EnableServiceLinks == nil || *w.pod.Spec.EnableServiceLinks {
			found = append(found, w.title+": is given a variable for each service in the namespace (enableServiceLinks)")
		}
	}
	found = append(found, m.each(func(_ workload, c *corev1.Container) []string {
		if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
			return []string{"may write to its image (readOnlyRootFilesystem)"}
		}
		return nil
	})...)
	for _, n := range all[*corev1.Namespace](m) {
		if n.Labels[api.EnforceLevelLabel] != string(api.LevelRestricted) {
			found = append(found, "Namespace/"+n.Name+": does not restrict its pods")
		}
	}
	return found
}

// images are ours, of a version that stays what it is, and their programs
// understand what they are told.
func images(m *manifests) []string {
	return m.each(func(_ workload, c *corev1.Container) []string {
		name := path.Base(c.Image)
		switch {
		case program(c) == "":
			return []string{"has the image " + c.Image + ", in which is no program of Octavo"}
		case name == image(program(c)):
			return []string{"has the image " + c.Image + " without a version: the overlay's images: does not name it"}
		case strings.HasSuffix(name, ":latest"):
			return []string{"has the image " + c.Image + ", which is another one tomorrow"}
		}
		if err := m.settings(c).err; err != nil {
			return []string{"does not start: " + err.Error()}
		}
		return nil
	})
}

// resources are asked for, and the collector knows how much memory there is.
func resources(m *manifests) []string {
	return m.each(func(_ workload, c *corev1.Container) (found []string) {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			if asked := c.Resources.Requests[name]; asked.IsZero() {
				found = append(found, "asks for no "+string(name))
			}
		}
		memory := c.Resources.Limits[corev1.ResourceMemory]
		heap, err := resource.ParseQuantity(strings.TrimSuffix(m.environment(c)["GOMEMLIMIT"], "B"))
		switch {
		case memory.IsZero():
			found = append(found, "has no limit of memory")
		case err != nil:
			found = append(found, "has no GOMEMLIMIT, or a wrong one: it would be killed before it collects")
		case 10*heap.Value() > 9*memory.Value() || 10*heap.Value() < 5*memory.Value():
			found = append(found, fmt.Sprintf("has GOMEMLIMIT %s, want half to nine tenths of its limit %s", heap.String(), memory.String()))
		case memory.Cmp(c.Resources.Requests[corev1.ResourceMemory]) < 0:
			found = append(found, "asks for more memory than its limit")
		}
		if limit := c.Resources.Limits[corev1.ResourceCPU]; !limit.IsZero() {
			found = append(found, "has a limit of CPU, which slows answers down while there is CPU to spare")
		}
		return found
	})
}

// probes ask what they should, where the program answers, and as it speaks.
func probes(m *manifests) (found []string) {
	for _, d := range all[*appsv1.Deployment](m) {
		c := &d.Spec.Template.Spec.Containers[0]
		say := func(format string, args ...any) {
			found = append(found, fmt.Sprintf("Deployment/%s: ", d.Name)+fmt.Sprintf(format, args...))
		}
		tls := m.settings(c).values["admin-tls"] == "true"
		for name, p := range map[string]*corev1.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
			want := "/healthz"
			if name == "readiness" {
				want = "/readyz"
			}
			switch {
			case p == nil:
				say("has no %s probe", name)
			case p.GRPC != nil && name != "readiness":
				say("its %s probe is gRPC's health, which is readiness: a pod that waits for another would be restarted", name)
			case p.GRPC != nil && m.settings(c).values["tls-dir"] != "(none)":
				say("its %s probe is by gRPC, for which the kubelet speaks no TLS", name)
			case p.GRPC != nil && containerPort(c, intstr.FromInt32(p.GRPC.Port)) == 0:
				say("its %s probe asks port %d, which the container does not name", name, p.GRPC.Port)
			case p.GRPC != nil:
			case p.HTTPGet == nil:
				say("its %s probe asks nothing the program answers", name)
			case p.HTTPGet.Path != want:
				say("its %s probe asks for %s, want %s", name, p.HTTPGet.Path, want)
			case containerPort(c, p.HTTPGet.Port) == 0 || containerPort(c, p.HTTPGet.Port) != containerPort(c, intstr.FromString("admin")):
				say("its %s probe asks port %s, and %s is on the admin port", name, p.HTTPGet.Port.String(), want)
			case tls != (p.HTTPGet.Scheme == corev1.URISchemeHTTPS):
				say("its %s probe speaks %q, and whether the admin port has TLS is %v", name, p.HTTPGet.Scheme, tls)
			}
		}
	}
	return found
}

// forcedStop is how long chassis.App.Run may take besides what its settings say.
const forcedStop = 2 * time.Second

// shutdown leaves the program the time that it may take.
func shutdown(m *manifests) (found []string) {
	for _, d := range all[*appsv1.Deployment](m) {
		spec := &d.Spec.Template.Spec
		c := &spec.Containers[0]
		var wait time.Duration
		if c.Lifecycle == nil || c.Lifecycle.PreStop == nil || c.Lifecycle.PreStop.Sleep == nil {
			found = append(found, fmt.Sprintf("Deployment/%s: does not wait before it stops until nobody is sent to it (preStop)", d.Name))
		} else {
			wait = time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
		}
		need := wait + forcedStop
		for _, flag := range []string{"shutdown-delay", "shutdown-timeout"} {
			took, err := time.ParseDuration(m.settings(c).values[flag])
			if err != nil {
				found = append(found, fmt.Sprintf("Deployment/%s: --%s: %v", d.Name, flag, err))
			}
			need += took
		}
		if grace := spec.TerminationGracePeriodSeconds; grace == nil || time.Duration(*grace)*time.Second < need {
			found = append(found, fmt.Sprintf("Deployment/%s: is killed before it may need to have stopped, which is after %v (terminationGracePeriodSeconds)", d.Name, need))
		}
		if s := d.Spec.Strategy; s.Type != appsv1.RecreateDeploymentStrategyType &&
			(s.RollingUpdate == nil || s.RollingUpdate.MaxUnavailable.String() != "0" || d.Spec.MinReadySeconds < 10) {
			found = append(found, fmt.Sprintf("Deployment/%s: takes pods away before new ones are known (maxUnavailable 0, minReadySeconds 10)", d.Name))
		}
	}
	return found
}

// containerPort is a port that a container names, 0 when it does not.
func containerPort(c *corev1.Container, port intstr.IntOrString) int32 {
	for _, p := range c.Ports {
		if port.Type == intstr.String && p.Name == port.StrVal || port.Type == intstr.Int && p.ContainerPort == port.IntVal {
			return p.ContainerPort
		}
	}
	return 0
}

// ports are those that the program listens on, on all of the pod's addresses.
func ports(m *manifests) []string {
	return m.each(func(_ workload, c *corev1.Container) (found []string) {
		named := map[string]int32{}
		for _, p := range c.Ports {
			named[p.Name] = p.ContainerPort
		}
		values := m.settings(c).values
		for flag, names := range map[string][]string{"addr": {"grpc", "http"}, "admin-addr": {"admin"}} {
			address := values[flag]
			if _, ok := values[flag]; !ok {
				continue
			}
			host, port, err := net.SplitHostPort(address)
			number, _ := strconv.Atoi(port)
			switch i := slices.IndexFunc(names, func(name string) bool { return named[name] != 0 }); {
			case err != nil:
				found = append(found, fmt.Sprintf("--%s is %q: %v", flag, address, err))
			case host != "":
				found = append(found, fmt.Sprintf("--%s is %s: nobody else reaches it there", flag, address))
			case i < 0:
				found = append(found, fmt.Sprintf("names no port %s", strings.Join(names, " or ")))
			case int(named[names[i]]) != number:
				found = append(found, fmt.Sprintf("listens on %d, and its port %s is %d", number, names[i], named[names[i]]))
			}
		}
		return found
	})
}

// storage is there for all that the program keeps or reads in files.
func storage(m *manifests) []string {
	return m.each(func(w workload, c *corev1.Container) (found []string) {
		s := m.settings(c)
		needs := slices.Clone(s.tried)
		for _, flag := range s.given {
			if strings.HasPrefix(s.values[flag], "/") {
				needs = append(needs, flag)
			}
		}
		slices.Sort(needs)
		for _, flag := range slices.Compact(needs) {
			value := s.values[flag]
			if strings.HasSuffix(flag, "addr") || strings.Contains(value, "://") || value == "(none)" || value == "true" || value == "false" {
				continue
			}
			if !slices.ContainsFunc(c.VolumeMounts, func(v corev1.VolumeMount) bool {
				return value == v.MountPath || strings.HasPrefix(value, strings.TrimSuffix(v.MountPath, "/")+"/")
			}) {
				found = append(found, fmt.Sprintf("--%s is %s, where no volume is", flag, value))
			}
		}
		for _, v := range c.VolumeMounts {
			if !slices.ContainsFunc(w.pod.Spec.Volumes, func(volume corev1.Volume) bool { return volume.Name == v.Name }) {
				found = append(found, "mounts the volume "+v.Name+", which the pod does not have")
			}
		}
		return found
	})
}

// behind are the workloads whose pods a selector means.
func (m *manifests) behind(selector labels.Selector) []workload {
	var found []workload
	for _, w := range m.workloads() {
		if !selector.Empty() && selector.Matches(labels.Set(w.pod.Labels)) {
			found = append(found, w)
		}
	}
	return found
}

// services lead to the pods of one deployment, and every address that a program
// dials is one.
func services(m *manifests) []string {
	var found []string
	for _, s := range all[*corev1.Service](m) {
		say := func(format string, args ...any) {
			found = append(found, fmt.Sprintf("Service/%s: ", s.Name)+fmt.Sprintf(format, args...))
		}
		pods := m.behind(labels.SelectorFromSet(s.Spec.Selector))
		if len(pods) != 1 {
			say("its selector means the pods of %d workloads, want 1", len(pods))
			continue
		}
		for _, p := range s.Spec.Ports {
			port := containerPort(&pods[0].pod.Spec.Containers[0], p.TargetPort)
			switch {
			case port == 0:
				say("its port %s is %s of the pods, which they do not have", p.Name, p.TargetPort.String())
			case s.Spec.ClusterIP == corev1.ClusterIPNone && port != p.Port:
				say("its port %d is %d of the pods, and without an address of its own nobody translates it", p.Port, port)
			case p.Name == "grpc" && s.Spec.ClusterIP != corev1.ClusterIPNone:
				say("has an address of its own, which ties a gRPC connection to one pod (clusterIP: None)")
			}
		}
	}
	return append(found, m.each(func(_ workload, c *corev1.Container) (found []string) {
		for _, address := range m.settings(c).peers {
			at, err := url.Parse(address)
			if err != nil || at.Scheme != "dns" {
				found = append(found, "calls "+address+", and goes round the pods of a service only with dns:///")
				continue
			}
			host, port, _ := strings.Cut(strings.TrimPrefix(at.Path, "/"), ":")
			service := named[*corev1.Service](m, host)
			if service == nil || !slices.ContainsFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return strconv.Itoa(int(p.Port)) == port }) {
				found = append(found, "calls "+address+", which is no port of a service")
			}
		}
		return found
	})...)
}

// hashed is the name of a ConfigMap that ends in a hash of what is in it.
var hashed = regexp.MustCompile(`-[a-z0-9]{10}$`)

// references are to what is there; secrets and certificates come from elsewhere.
func references(m *manifests) []string {
	var found []string
	for _, w := range m.workloads() {
		if is := w.is(); is == "" {
			found = append(found, w.title+": its pods do not say what they are (app.kubernetes.io/name)")
		}
		if name := w.pod.Spec.ServiceAccountName; name != "" {
			account := named[*corev1.ServiceAccount](m, name)
			if account == nil {
				found = append(found, w.title+": there is no ServiceAccount "+name)
			} else if t := account.AutomountServiceAccountToken; t == nil || *t {
				found = append(found, "ServiceAccount/"+name+": hands out its token")
			}
		}
		for _, v := range w.pod.Spec.Volumes {
			if claim := v.PersistentVolumeClaim; claim != nil && named[*corev1.PersistentVolumeClaim](m, claim.ClaimName) == nil {
				found = append(found, w.title+": there is no PersistentVolumeClaim "+claim.ClaimName)
			}
		}
	}
	return append(found, m.each(func(_ workload, c *corev1.Container) (found []string) {
		for _, from := range c.EnvFrom {
			switch {
			case from.ConfigMapRef == nil:
				found = append(found, "has variables from a secret: secrets are files")
			case named[*corev1.ConfigMap](m, from.ConfigMapRef.Name) == nil:
				found = append(found, "there is no ConfigMap "+from.ConfigMapRef.Name)
			case !hashed.MatchString(from.ConfigMapRef.Name):
				found = append(found, "the name of ConfigMap "+from.ConfigMapRef.Name+" has no hash: pods would not be replaced when it changes")
			}
		}
		return found
	})...)
}

// spread puts the pods of a service on different nodes and zones: nodes by what
// works too where they have no zones.
func spread(m *manifests) (found []string) {
	for _, d := range all[*appsv1.Deployment](m) {
		pod := &d.Spec.Template
		own := func(l *metav1.LabelSelector, matched []string) bool {
			selector, err := metav1.LabelSelectorAsSelector(l)
			return err == nil && !selector.Empty() && selector.Matches(labels.Set(pod.Labels)) && slices.Contains(matched, "app.kubernetes.io/name")
		}
		over := map[string]bool{}
		if a := pod.Spec.Affinity; a != nil && a.PodAntiAffinity != nil {
			for _, term := range a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
				over[term.PodAffinityTerm.TopologyKey] = own(term.PodAffinityTerm.LabelSelector, term.PodAffinityTerm.MatchLabelKeys)
			}
		}
		for _, c := range pod.Spec.TopologySpreadConstraints {
			over[c.TopologyKey] = own(c.LabelSelector, c.MatchLabelKeys)
			if c.TopologyKey != corev1.LabelTopologyZone {
				found = append(found, fmt.Sprintf("Deployment/%s: a second constraint, over %s, does nothing where nodes have no zones", d.Name, c.TopologyKey))
			}
		}
		for _, key := range []string{corev1.LabelHostname, corev1.LabelTopologyZone} {
			switch alone, ok := over[key]; {
			case !ok:
				found = append(found, fmt.Sprintf("Deployment/%s: is not spread over %s", d.Name, key))
			case !alone:
				found = append(found, fmt.Sprintf("Deployment/%s: spreads other pods than its own over %s", d.Name, key))
			}
		}
	}
	return found
}

// disruption is bounded for every deployment, and drains can always go on.
func disruption(m *manifests) (found []string) {
	guarded := map[string]bool{}
	for _, b := range all[*policyv1.PodDisruptionBudget](m) {
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil {
			return append(found, fmt.Sprintf("PodDisruptionBudget/%s: %v", b.Name, err))
		}
		pods := m.behind(selector)
		if len(pods) != 1 {
			found = append(found, fmt.Sprintf("PodDisruptionBudget/%s: its selector means the pods of %d workloads, want 1", b.Name, len(pods)))
		}
		for _, w := range pods {
			guarded[w.title] = true
		}
		if p := b.Spec.UnhealthyPodEvictionPolicy; p == nil || *p != policyv1.AlwaysAllow {
			found = append(found, fmt.Sprintf("PodDisruptionBudget/%s: a pod that does not come up holds up a drain (unhealthyPodEvictionPolicy)", b.Name))
		}
		if u := b.Spec.MaxUnavailable; u == nil || u.String() == "0" {
			found = append(found, fmt.Sprintf("PodDisruptionBudget/%s: may hold up a drain for ever (maxUnavailable)", b.Name))
		}
	}
	for _, d := range all[*appsv1.Deployment](m) {
		if !guarded["Deployment/"+d.Name] {
			found = append(found, fmt.Sprintf("Deployment/%s: has no PodDisruptionBudget", d.Name))
		}
	}
	return found
}

// autoscaling is of deployments that may have several pods, and alone decides
// how many.
func autoscaling(m *manifests) (found []string) {
	for _, h := range all[*autoscalingv2.HorizontalPodAutoscaler](m) {
		say := func(format string, args ...any) {
			found = append(found, fmt.Sprintf("HorizontalPodAutoscaler/%s: ", h.Name)+fmt.Sprintf(format, args...))
		}
		d := named[*appsv1.Deployment](m, h.Spec.ScaleTargetRef.Name)
		switch {
		case d == nil || h.Spec.ScaleTargetRef.Kind != "Deployment":
			say("there is no %s %s", h.Spec.ScaleTargetRef.Kind, h.Spec.ScaleTargetRef.Name)
			continue
		case d.Spec.Replicas != nil:
			say("Deployment %s says how many replicas it wants, and each apply would undo what the autoscaler did", d.Name)
		case h.Spec.MinReplicas == nil || *h.Spec.MinReplicas < 2:
			say("one pod is none while it is replaced (minReplicas)")
		case len(h.Spec.Metrics) == 0:
			say("follows no metric")
		}
		if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
			say("Deployment %s may have one pod only", d.Name)
		}
	}
	return found
}

const (
	// connectionsOfPod are those that a pod has to PostgreSQL unless its URL says
	// otherwise: internal/postgresdb's TestConnections.
	connectionsOfPod = 5
	// connectionsTaken are those that PostgreSQL takes unless it is set otherwise,
	// but for three that are for superusers.
	connectionsTaken = 100 - 3
)

// connections to PostgreSQL suffice for all pods that there may be, those that a
// rolling update adds included.
func connections(m *manifests) []string {
	var pods int
	for _, d := range all[*appsv1.Deployment](m) {
		if !slices.Contains(m.settings(&d.Spec.Template.Spec.Containers[0]).given, "database-url-file") {
			continue
		}
		most := 1
		if d.Spec.Replicas != nil {
			most = int(*d.Spec.Replicas)
		}
		for _, h := range all[*autoscalingv2.HorizontalPodAutoscaler](m) {
			if h.Spec.ScaleTargetRef.Name == d.Name {
				most = int(h.Spec.MaxReplicas)
			}
		}
		if r := d.Spec.Strategy.RollingUpdate; r != nil {
			surge, err := intstr.GetScaledValueFromIntOrPercent(r.MaxSurge, most, true)
			if err != nil {
				return []string{"Deployment/" + d.Name + ": " + err.Error()}
			}
			most += surge
		}
		pods += most
	}
	if needed := pods * connectionsOfPod; needed > connectionsTaken {
		return []string{fmt.Sprintf("%d pods may have %d connections to PostgreSQL, which takes %d (maxReplicas)", pods, needed, connectionsTaken)}
	}
	return nil
}

// jobs end, and do not meet.
func jobs(m *manifests) (found []string) {
	check := func(title string, spec *batchv1.JobSpec) {
		if spec.ActiveDeadlineSeconds == nil {
			found = append(found, title+": may run for ever (activeDeadlineSeconds)")
		}
		if spec.BackoffLimit == nil {
			found = append(found, title+": does not say how often it is tried (backoffLimit)")
		}
	}
	for _, j := range all[*batchv1.Job](m) {
		check("Job/"+j.Name, &j.Spec)
		if j.Spec.TTLSecondsAfterFinished == nil {
			found = append(found, fmt.Sprintf("Job/%s: stays, and cannot be applied again with another image (ttlSecondsAfterFinished)", j.Name))
		}
	}
	for _, j := range all[*batchv1.CronJob](m) {
		check("CronJob/"+j.Name, &j.Spec.JobTemplate.Spec)
		if j.Spec.ConcurrencyPolicy != batchv1.ForbidConcurrent {
			found = append(found, fmt.Sprintf("CronJob/%s: may run beside itself (concurrencyPolicy)", j.Name))
		}
		if j.Spec.StartingDeadlineSeconds == nil {
			found = append(found, fmt.Sprintf("CronJob/%s: does not say how late it may start (startingDeadlineSeconds)", j.Name))
		}
	}
	return found
}
