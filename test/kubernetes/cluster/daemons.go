package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const containerd = "/run/containerd/containerd.sock"

// daemon starts a program inside a node, which runs until the node ends.
func (c *Cluster) daemon(n *node, name string, args ...string) error {
	log, err := c.openLog(n.number, name)
	if err != nil {
		return err
	}
	defer log.Close()
	command := c.In(context.Background(), n.number, append([]string{name}, args...)...)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	c.daemons.Go(func() { _ = command.Wait() }) // why it ended is in its log
	return nil
}

// startControlPlane starts etcd and what decides about the cluster.
func (c *Cluster) startControlPlane(ctx context.Context, n *node) error {
	pki := func(name string) string { return filepath.Join(c.pki, name) }
	// Without fsync: this etcd lives as long as the test.
	err := c.daemon(n, "etcd", "--data-dir="+filepath.Join(n.dir, "etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379", "--listen-peer-urls=http://127.0.0.1:2380")
	if err != nil {
		return err
	}
	err = c.daemon(n, "kube-apiserver",
		"--etcd-servers=http://127.0.0.1:2379", "--advertise-address="+nodeIP(1), "--bind-address=0.0.0.0", "--secure-port=6443",
		"--tls-cert-file="+pki("apiserver.crt"), "--tls-private-key-file="+pki("apiserver.key"), "--client-ca-file="+pki("ca.crt"),
		"--service-cluster-ip-range="+serviceRange, "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file="+pki("tokens.pub"), "--service-account-signing-key-file="+pki("tokens.key"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--kubelet-client-certificate="+pki("apiserver-kubelet-client.crt"), "--kubelet-client-key="+pki("apiserver-kubelet-client.key"),
		"--kubelet-certificate-authority="+pki("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		"--requestheader-client-ca-file="+pki("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file="+pki("front-proxy-client.crt"), "--proxy-client-key-file="+pki("front-proxy-client.key"), "--enable-aggregator-routing=true")
	if err != nil {
		return err
	}
	err = wait(ctx, 2*time.Minute, "the API server", func() error {
		_, err := c.Kubectl(ctx, "", "get", "--raw=/readyz")
		return err
	})
	if err != nil {
		return err
	}
	err = c.daemon(n, "kube-controller-manager", append(c.clientFlags("kube-controller-manager"),
		"--service-account-private-key-file="+pki("tokens.key"), "--root-ca-file="+pki("ca.crt"), "--use-service-account-credentials=true",
		"--cluster-cidr="+podRanges, "--allocate-node-cidrs=false", "--flex-volume-plugin-dir="+filepath.Join(n.dir, "volumeplugins"),
		"--horizontal-pod-autoscaler-sync-period=5s", "--node-monitor-grace-period="+evictAfter.String())...)
	if err != nil {
		return err
	}
	return c.daemon(n, "kube-scheduler", c.clientFlags("kube-scheduler")...)
}

func (c *Cluster) clientFlags(name string) []string {
	config := c.kubeconfig(name)
	return []string{"--kubeconfig=" + config, "--authentication-kubeconfig=" + config, "--authorization-kubeconfig=" + config, "--leader-elect=false", "--bind-address=127.0.0.1"}
}

// startNode starts what runs pods.
func (c *Cluster) startNode(ctx context.Context, n *node) error {
	in := func(name string) string { return filepath.Join(n.dir, name) }
	for name, text := range map[string]string{
		"containerd.toml":      strings.NewReplacer("DIR", n.dir).Replace(containerdConfig),
		"cni/10-pods.conflist": strings.NewReplacer("RANGE", podRange(n.number)).Replace(cniConfig),
	} {
		if err := os.MkdirAll(filepath.Dir(in(name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(in(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := c.daemon(n, "containerd", "--config="+in("containerd.toml")); err != nil {
		return err
	}
	err := wait(ctx, time.Minute, "containerd", func() error {
		return c.In(ctx, n.number, "ctr", "--address", containerd, "version").Run()
	})
	if err != nil {
		return err
	}
	for _, image := range c.config.Images {
		if err := c.importImage(ctx, n.number, image); err != nil {
			return err
		}
	}
	type object = map[string]any
	pki := func(name string) string { return filepath.Join(c.pki, name) }
	// The JSON of a configuration is YAML too.
	for name, config := range map[string]object{
		"kubelet.yaml": {
			"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
			"authentication": object{"anonymous": object{"enabled": false}, "webhook": object{"enabled": true}, "x509": object{"clientCAFile": pki("ca.crt")}},
			"authorization":  object{"mode": "Webhook"},
			"tlsCertFile":    pki(nodeName(n.number) + "-serving.crt"), "tlsPrivateKeyFile": pki(nodeName(n.number) + "-serving.key"),
			"cgroupDriver": "cgroupfs", "cgroupRoot": "/" + n.cgroup, "failCgroupV1": false, "failSwapOn": false,
			"clusterDNS": []string{dnsIP}, "clusterDomain": "cluster.local", "resolvConf": "/dev/null",
			"containerRuntimeEndpoint": "unix://" + containerd, "podLogsDir": "/var/log/pods", "volumePluginDir": in("volumeplugins"),
			"evictionHard":                object{"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
			"imageGCHighThresholdPercent": 100, "maxPods": 60, "serializeImagePulls": false,
			"nodeStatusUpdateFrequency": "5s", "syncFrequency": "10s", // of secrets that change too
		},
		"kube-proxy.yaml": {
			"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
			"clientConnection": object{"kubeconfig": c.kubeconfig("kube-proxy")},
			"mode":             "nftables", "clusterCIDR": podRanges,
			// Limits of connection tracking belong to the machine.
			"conntrack": object{"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
		},
	} {
		text, err := json.Marshal(config)
		if err != nil {
			return err
		}
		if err := os.WriteFile(in(name), text, 0o644); err != nil {
			return err
		}
	}
	err = c.daemon(n, "kubelet", "--config="+in("kubelet.yaml"), "--kubeconfig="+c.kubeconfig(nodeName(n.number)), "--root-dir=/var/lib/kubelet",
		"--node-ip="+nodeIP(n.number), "--hostname-override="+nodeName(n.number))
	if err != nil {
		return err
	}
	return c.daemon(n, "kube-proxy", "--config="+in("kube-proxy.yaml"), "--hostname-override="+nodeName(n.number))
}

// containerdConfig works without the right to lower a process's score for the
// killer of last resort, which some machines do not grant to root.
const containerdConfig = `
version = 2
root = "DIR/containerd"
state = "/run/containerd"
[grpc]
  address = "` + containerd + `"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "DIR/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
`

const cniConfig = `{
  "cniVersion": "0.4.0", "name": "pods", "plugins": [
    {"type": "bridge", "bridge": "pods", "isDefaultGateway": true, "hairpinMode": true,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "RANGE"}]]}},
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}`
