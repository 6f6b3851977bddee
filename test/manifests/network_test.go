package manifests

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"net/netip"
)

// place is one end of a connection: pods of ours, pods of another namespace, or
// an address outside the cluster.
type place struct {
	name      string
	namespace string // empty for an address
	labels    labels.Set
	address   netip.Addr
	ports     []int32
}

const own = "octavo" // namespace

// outside are the places that overlays may open, and one that is nobody's.
var outside = []place{
	{name: "browsers", namespace: "ingress"},
	{name: "Prometheus", namespace: "monitoring"},
	{name: "somebody else's pod", namespace: "default", ports: []int32{80, 5432}},
	{name: "DNS", namespace: "kube-system", labels: labels.Set{"k8s-app": "kube-dns"}, ports: []int32{53}},
	{name: "database", address: netip.MustParseAddr("10.1.2.3"), ports: []int32{5432}},
	{name: "bucket", address: netip.MustParseAddr("10.1.2.4"), ports: []int32{443}},
	{name: "Internet", address: netip.MustParseAddr("192.0.2.1"), ports: []int32{25, 80, 5432}},
}

// network compares what the policies let through with what the programs need:
// the services that they dial, as they say themselves, and what is outside. The
// two have to be the same.
func network(m *manifests) []string {
	policies := all[*networkingv1.NetworkPolicy](m)
	if len(policies) == 0 {
		return nil
	}
	var found []string
	places := map[string]place{}
	wanted := map[string]string{} // connections, and why
	want := func(from, to string, port int32, why string) {
		wanted[fmt.Sprintf("%s to %s, port %d", from, to, port)] = why
	}
	need := func(w workload, s settings) {
		for _, peer := range s.peers {
			host, port, _ := strings.Cut(strings.TrimPrefix(peer, "dns:///"), ":")
			number, _ := strconv.Atoi(port)
			want(w.is(), host, int32(number), "it dials "+peer)
		}
		want(w.is(), "DNS", 53, "everybody needs names")
		if slices.Contains(s.tried, "database-url-file") {
			want(w.is(), "database", 5432, "it has --database-url-file")
		}
		if strings.HasPrefix(s.values["models"], "s3://") {
			want(w.is(), "bucket", 443, "it has --models "+s.values["models"])
		}
	}
	for _, w := range m.workloads() {
		p := places[w.is()]
		p.name, p.namespace, p.labels = w.is(), own, w.pod.Labels
		for _, c := range w.containers() {
			need(w, m.settings(c))
			for _, port := range c.Ports {
				p.ports = append(p.ports, port.ContainerPort)
			}
		}
		slices.Sort(p.ports)
		p.ports = slices.Compact(p.ports)
		places[w.is()] = p
		if slices.Contains(p.ports, 9090) {
			want("Prometheus", w.is(), 9090, "it has metrics")
		}
	}
	// The operator's commands run in pods that nobody has left here.
	if _, ok := places["octavo"]; !ok {
		at := []string{"import", "demo", "--catalog-addr=dns:///catalog:50052", "--readers-addr=dns:///readers:50053"}
		octavo := workload{"the operator's commands", &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels.Set{"app.kubernetes.io/name": "octavo", "app.kubernetes.io/part-of": "octavo"}}}}
		need(octavo, ask("octavo", at, nil))
		places["octavo"] = place{name: "octavo", namespace: own, labels: octavo.pod.Labels}
	}
	if marketplace, ok := places["marketplace"]; ok {
		want("browsers", marketplace.name, 8080, "they are who it is for")
	}

	ours := slices.Collect(maps.Values(places))
	open := map[string]bool{}
	for _, from := range slices.Concat(ours, outside) {
		for _, to := range slices.Concat(ours, outside) {
			if from.namespace != own && to.namespace != own {
				continue
			}
			for _, port := range to.ports {
				out, err := lets(policies, networkingv1.PolicyTypeEgress, from, to, port)
				in, err2 := lets(policies, networkingv1.PolicyTypeIngress, to, from, port)
				if err != nil || err2 != nil {
					return append(found, fmt.Sprintf("NetworkPolicies: %v, %v", err, err2))
				}
				if out && in {
					open[fmt.Sprintf("%s to %s, port %d", from.name, to.name, port)] = true
				}
			}
		}
	}
	for _, connection := range slices.Sorted(maps.Keys(wanted)) {
		if !open[connection] {
			found = append(found, fmt.Sprintf("NetworkPolicies: %s is closed, and %s", connection, wanted[connection]))
		}
	}
	for _, connection := range slices.Sorted(maps.Keys(open)) {
		if wanted[connection] == "" {
			found = append(found, fmt.Sprintf("NetworkPolicies: %s is open, and nobody needs it", connection))
		}
	}
	return found
}

// lets says whether policies let a place of ours, self, send to (egress) or
// receive from (ingress) another, as Kubernetes defines it: what no policy is
// about is open, what one is about is open as far as one of them opens it.
func lets(policies []*networkingv1.NetworkPolicy, direction networkingv1.PolicyType, self, other place, port int32) (bool, error) {
	if self.namespace != own {
		return true, nil
	}
	isolated := false
	for _, p := range policies {
		about, err := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector)
		if err != nil {
			return false, err
		}
		if !about.Matches(self.labels) || !slices.Contains(p.Spec.PolicyTypes, direction) {
			continue
		}
		isolated = true
		type rule struct {
			peers []networkingv1.NetworkPolicyPeer
			ports []networkingv1.NetworkPolicyPort
		}
		var rules []rule
		if direction == networkingv1.PolicyTypeEgress {
			for _, r := range p.Spec.Egress {
				rules = append(rules, rule{r.To, r.Ports})
			}
		} else {
			for _, r := range p.Spec.Ingress {
				rules = append(rules, rule{r.From, r.Ports})
			}
		}
		for _, r := range rules {
			peer, err := hasPeer(r.peers, other)
			if err != nil {
				return false, err
			}
			if peer && hasPort(r.ports, port) {
				return true, nil
			}
		}
	}
	return !isolated, nil
}

func hasPeer(peers []networkingv1.NetworkPolicyPeer, other place) (bool, error) {
	for _, peer := range peers {
		if block := peer.IPBlock; block != nil {
			network, err := netip.ParsePrefix(block.CIDR)
			if err != nil {
				return false, err
			}
			if len(block.Except) > 0 {
				return false, fmt.Errorf("except is not known to this test")
			}
			if other.address.IsValid() && network.Contains(other.address) {
				return true, nil
			}
			continue
		}
		inNamespace := other.namespace == own
		if peer.NamespaceSelector != nil {
			selector, err := metav1.LabelSelectorAsSelector(peer.NamespaceSelector)
			if err != nil {
				return false, err
			}
			inNamespace = other.namespace != "" && selector.Matches(labels.Set{corev1.LabelMetadataName: other.namespace})
		}
		pods := labels.Everything()
		if peer.PodSelector != nil {
			var err error
			if pods, err = metav1.LabelSelectorAsSelector(peer.PodSelector); err != nil {
				return false, err
			}
		}
		if inNamespace && pods.Matches(other.labels) {
			return true, nil
		}
	}
	return len(peers) == 0, nil
}

func hasPort(ports []networkingv1.NetworkPolicyPort, port int32) bool {
	for _, p := range ports {
		udp := p.Protocol != nil && *p.Protocol != corev1.ProtocolTCP
		if !udp && (p.Port == nil || p.Port.IntVal == port) {
			return true
		}
	}
	return len(ports) == 0
}
