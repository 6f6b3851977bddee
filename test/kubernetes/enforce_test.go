package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// The cluster's network stores NetworkPolicies and does not enforce them. What
// follows makes nftables rules of them on each node, for the pods there are at
// the moment: enough to see which connections they allow, no more. Connections
// from and to the nodes themselves are let through, as those of probes are by
// the networks that enforce policies.

type labels = map[string]string

type selector struct {
	MatchLabels      labels
	MatchExpressions []struct {
		Key, Operator string
		Values        []string
	}
}

// matches knows what Octavo's policies use.
func (s selector) matches(t *testing.T, l labels) bool {
	for key, value := range s.MatchLabels {
		if l[key] != value {
			return false
		}
	}
	for _, e := range s.MatchExpressions {
		if e.Operator != "In" {
			t.Fatalf("a policy has the operator %s, which this test does not know", e.Operator)
		}
		if !slices.Contains(e.Values, l[e.Key]) {
			return false
		}
	}
	return true
}

type peer struct {
	PodSelector, NamespaceSelector *selector
	IPBlock                        *struct {
		CIDR   string
		Except []string
	}
}

type policyRule struct {
	From, To []peer
	Ports    []struct {
		Port     json.Number
		EndPort  int
		Protocol string
	}
}

type networkPolicy struct {
	Metadata struct{ Name, Namespace string }
	Spec     struct {
		PodSelector     selector
		PolicyTypes     []string
		Ingress, Egress []policyRule
	}
}

type labelledPod struct {
	Metadata struct {
		Name, Namespace, UID string
		Labels               labels
	}
	Spec   struct{ NodeName string }
	Status struct{ PodIP, Phase string }
}

// ruleset writes all policies as one table. Each is a chain of the connections
// that it allows; a pod that a policy selects may do nothing else.
func ruleset(t *testing.T, policies []networkPolicy, pods []labelledPod, namespaces map[string]labels) string {
	t.Helper()
	var chains strings.Builder
	selected := map[string][]string{}
	for _, direction := range []struct {
		kind, own, other string
		rules            func(networkPolicy) ([]policyRule, func(policyRule) []peer)
	}{
		{"Egress", "saddr", "daddr", func(p networkPolicy) ([]policyRule, func(policyRule) []peer) {
			return p.Spec.Egress, func(r policyRule) []peer { return r.To }
		}},
		{"Ingress", "daddr", "saddr", func(p networkPolicy) ([]policyRule, func(policyRule) []peer) {
			return p.Spec.Ingress, func(r policyRule) []peer { return r.From }
		}},
	} {
		fmt.Fprintf(&chains, "  chain %s {\n", direction.kind)
		for _, policy := range policies {
			if !slices.Contains(policy.Spec.PolicyTypes, direction.kind) {
				continue
			}
			own := addresses(pods, func(p labelledPod) bool {
				return p.Metadata.Namespace == policy.Metadata.Namespace && policy.Spec.PodSelector.matches(t, p.Metadata.Labels)
			})
			if len(own) == 0 {
				continue
			}
			selected[direction.kind] = append(selected[direction.kind], own...)
			rules, peers := direction.rules(policy)
			for _, rule := range rules {
				match := fmt.Sprintf("ip %s { %s }", direction.own, strings.Join(own, ", "))
				if len(peers(rule)) > 0 {
					others := peerAddresses(t, peers(rule), policy.Metadata.Namespace, pods, namespaces)
					if len(others) == 0 {
						continue
					}
					match += fmt.Sprintf(" ip %s { %s }", direction.other, strings.Join(others, ", "))
				}
				if len(rule.Ports) == 0 {
					fmt.Fprintf(&chains, "    %s return comment %q\n", match, policy.Metadata.Name)
				}
				for _, port := range rule.Ports {
					protocol := strings.ToLower(port.Protocol)
					if protocol == "" {
						protocol = "tcp"
					}
					fmt.Fprintf(&chains, "    %s %s dport %s return comment %q\n", match, protocol, port.Port, policy.Metadata.Name)
				}
			}
		}
		chains.WriteString("    counter drop\n  }\n")
	}
	unique := func(all []string) string {
		all = slices.Clone(all)
		slices.Sort(all)
		return strings.Join(slices.Compact(all), ", ")
	}
	var hooks strings.Builder
	for _, hook := range []string{"forward", "input"} {
		fmt.Fprintf(&hooks, `  chain %s {
    type filter hook %s priority 0
    ct state established,related accept
    ip saddr 10.77.0.0/24 accept
    ip saddr { %s } jump Egress
    ip daddr { %s } jump Ingress
  }
`, hook, hook, unique(selected["Egress"]), unique(selected["Ingress"]))
	}
	return "table inet policies\ndelete table inet policies\ntable inet policies {\n" + chains.String() + hooks.String() + "}\n"
}

func addresses(pods []labelledPod, chosen func(labelledPod) bool) []string {
	var found []string
	for _, p := range pods {
		if p.Status.PodIP != "" && p.Status.Phase == "Running" && chosen(p) {
			found = append(found, p.Status.PodIP)
		}
	}
	return found
}

// peerAddresses are those of a rule's peers, which are sets of their own each.
func peerAddresses(t *testing.T, peers []peer, own string, pods []labelledPod, namespaces map[string]labels) []string {
	t.Helper()
	var found []string
	for _, peer := range peers {
		if block := peer.IPBlock; block != nil {
			if _, err := netip.ParsePrefix(block.CIDR); err != nil || len(block.Except) > 0 {
				t.Fatalf("a policy has a network that this test does not know: %v", block)
			}
			found = append(found, block.CIDR)
			continue
		}
		found = append(found, addresses(pods, func(p labelledPod) bool {
			if peer.NamespaceSelector == nil && p.Metadata.Namespace != own {
				return false
			}
			if peer.NamespaceSelector != nil && !peer.NamespaceSelector.matches(t, namespaces[p.Metadata.Namespace]) {
				return false
			}
			return peer.PodSelector == nil || peer.PodSelector.matches(t, p.Metadata.Labels)
		})...)
	}
	return found
}

// enforce puts the policies into force on all nodes, until the test ends.
func (s *shop) enforce(t *testing.T) []labelledPod {
	t.Helper()
	var pods struct{ Items []labelledPod }
	s.get(t, &pods, "pods", "--all-namespaces")
	var policies struct{ Items []networkPolicy }
	s.get(t, &policies, "networkpolicies", "--all-namespaces")
	var list struct {
		Items []struct {
			Metadata struct {
				Name   string
				Labels labels
			}
		}
	}
	s.get(t, &list, "namespaces")
	namespaces := map[string]labels{}
	for _, n := range list.Items {
		namespaces[n.Metadata.Name] = n.Metadata.Labels
	}
	rules := ruleset(t, policies.Items, pods.Items, namespaces)
	for node := 1; node <= 2; node++ {
		load := s.In(t.Context(), node, "nft", "-f", "-")
		load.Stdin = strings.NewReader(rules)
		if out, err := load.CombinedOutput(); err != nil {
			t.Fatalf("nft: %v: %s\n%s", err, out, rules)
		}
		remove := s.In(context.Background(), node, "nft", "delete", "table", "inet", "policies")
		t.Cleanup(func() {
			if out, err := remove.CombinedOutput(); err != nil {
				t.Errorf("nft: %v: %s", err, out)
			}
		})
	}
	return pods.Items
}
