// Package cluster runs a real Kubernetes on one Debian machine, for tests: API
// server, controller manager and scheduler with etcd, and nodes with kubelet,
// containerd, runc and kube-proxy, cluster DNS and metrics-server. Each node is
// a process in namespaces of its own, so that ending it is a power cut, and
// nothing is left of any once the cluster has stopped.
//
// It needs root. It has no way to the machine's network: images are imported,
// not pulled. It never changes a setting of the machine.
package cluster

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	firstServiceIP = "10.96.0.1"
	dnsIP          = "10.96.0.10"
	serviceRange   = "10.96.0.0/16"
	podRanges      = "10.244.0.0/16"

	cgroupPrefix = "octavo-test-"

	// evictAfter is for how long a node may be silent until it counts as gone.
	evictAfter = 20 * time.Second
)

//go:embed manifests
var manifests embed.FS

// Config says what a cluster is made of.
type Config struct {
	// Programs is the folder that Build has filled.
	Programs string
	// Scratch is a folder for what the cluster writes, which is made and is
	// removed at the end; the containers' layers need about 2 GB there.
	Scratch string
	// Nodes is how many there are, 1 to 9. The first runs the control plane too.
	Nodes int
	// Images are files, as `docker save` writes them, to import into each node.
	Images []string
	// Logs is a folder for the logs of Kubernetes' own programs.
	Logs string
}

// Cluster is a running one. Its methods are for one goroutine at a time, but for
// In and Kubectl.
type Cluster struct {
	config  Config
	dir     string // Scratch
	pki     string
	cgroup  string
	nodes   map[int]*node
	daemons sync.WaitGroup
}

// Start brings a cluster up: when it returns, all nodes are ready and names of
// services resolve. What fails leaves nothing behind.
func Start(ctx context.Context, config Config) (c *Cluster, err error) {
	if err := Preflight(); err != nil {
		return nil, err
	}
	if err := removeStaleCgroups(); err != nil {
		return nil, err
	}
	for _, dir := range []string{config.Scratch, config.Logs} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	c = newCluster(config)
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop())
		}
	}()
	if err := writePKI(c.pki, config.Nodes); err != nil {
		return nil, err
	}
	for number := 1; number <= config.Nodes; number++ {
		if err := c.StartNode(ctx, number); err != nil {
			return nil, err
		}
	}
	if err := c.addOns(ctx); err != nil {
		return nil, err
	}
	return c, c.save()
}

// state is what is known of a cluster that another process has started.
type state struct {
	Config Config
	Cgroup string
	Nodes  map[int]int // their processes
}

func (c *Cluster) save() error {
	s := state{Config: c.config, Cgroup: c.cgroup, Nodes: map[int]int{}}
	for number, n := range c.nodes {
		s.Nodes[number] = n.process.Pid
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.dir, "cluster.json"), text, 0o600)
}

// Attach finds the cluster that another process has started with this scratch
// folder. It is that process's to stop.
func Attach(scratch string) (*Cluster, error) {
	text, err := os.ReadFile(filepath.Join(scratch, "cluster.json"))
	if err != nil {
		return nil, fmt.Errorf("there is no cluster in %s: %w", scratch, err)
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	c := newCluster(s.Config)
	c.cgroup = s.Cgroup
	for number, pid := range s.Nodes {
		process, err := os.FindProcess(pid)
		if err != nil {
			return nil, err
		}
		c.nodes[number] = c.node(number)
		c.nodes[number].process = process
	}
	return c, nil
}

func newCluster(config Config) *Cluster {
	return &Cluster{
		config: config,
		dir:    config.Scratch,
		pki:    filepath.Join(config.Scratch, "pki"),
		cgroup: fmt.Sprintf("%s%d", cgroupPrefix, os.Getpid()),
		nodes:  map[int]*node{},
	}
}

// addOns starts what runs in pods: DNS and metrics.
func (c *Cluster) addOns(ctx context.Context) error {
	for _, name := range []string{"coredns", "metrics-server"} {
		manifest, err := manifests.ReadFile("manifests/" + name + ".yaml")
		if err != nil {
			return err
		}
		if _, err := c.Kubectl(ctx, string(manifest), "apply", "-f", "-"); err != nil {
			return err
		}
	}
	return wait(ctx, 2*time.Minute, "names to resolve", func() error {
		return c.In(ctx, 1, "getent", "hosts", "kubernetes.default.svc.cluster.local").Run()
	})
}

// Stop ends all nodes at once and removes what the cluster has written, but the
// logs. Its error says what is left.
func (c *Cluster) Stop() error {
	var errs []error
	for _, number := range slices.Sorted(maps.Keys(c.nodes)) {
		errs = append(errs, c.KillNode(number))
	}
	c.daemons.Wait()
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}

// KillNode ends a node and all that runs on it at once, as a power cut does.
func (c *Cluster) KillNode(number int) error {
	n := c.nodes[number]
	if n == nil {
		return nil
	}
	delete(c.nodes, number)
	return n.kill()
}

// StartNode starts a node, anew and empty if it ran before, and returns when it
// is ready.
func (c *Cluster) StartNode(ctx context.Context, number int) error {
	if err := os.RemoveAll(filepath.Join(c.dir, nodeName(number))); err != nil {
		return err
	}
	n, err := c.startMachine(ctx, number)
	if err != nil {
		return err
	}
	if number == 1 {
		if err := c.startControlPlane(ctx, n); err != nil {
			return err
		}
	}
	if err := c.startNode(ctx, n); err != nil {
		return err
	}
	return wait(ctx, 2*time.Minute, nodeName(number)+" to be ready", func() error {
		status, err := c.Kubectl(ctx, "", "get", "node", nodeName(number), "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		if err == nil && status != "True" {
			err = errors.New("not ready yet")
		}
		return err
	})
}

// Import imports an image, a file as `docker save` writes it, into all nodes,
// and into those that start later.
func (c *Cluster) Import(ctx context.Context, file string) error {
	c.config.Images = append(c.config.Images, file)
	for _, number := range slices.Sorted(maps.Keys(c.nodes)) {
		if err := c.importImage(ctx, number, file); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) importImage(ctx context.Context, number int, file string) error {
	if out, err := c.In(ctx, number, "ctr", "--address", containerd, "--namespace", "k8s.io", "images", "import", file).CombinedOutput(); err != nil {
		return fmt.Errorf("import %s into %s: %w: %s", file, nodeName(number), err, out)
	}
	return nil
}

// In is a command to run inside a node: with its files, network and processes.
// It ends with the node at the latest.
func (c *Cluster) In(ctx context.Context, number int, command ...string) *exec.Cmd {
	n := c.nodes[number]
	if n == nil {
		return &exec.Cmd{Err: fmt.Errorf("%s is not running", nodeName(number))}
	}
	args := []string{
		fmt.Sprintf("--target=%d", n.process.Pid), "--mount", "--net", "--pid", "--uts", "--ipc", "--wd=" + c.dir, "--",
		"env", "PATH=" + c.config.Programs + ":" + os.Getenv("PATH"), "KUBECONFIG=" + c.kubeconfig("admin"), "HOME=" + c.dir,
	}
	return exec.CommandContext(ctx, "nsenter", append(args, command...)...)
}

// inNetworkOf runs a command of the machine in a node's network.
func (c *Cluster) inNetworkOf(ctx context.Context, number int, command ...string) error {
	out, err := exec.CommandContext(ctx, "nsenter", append([]string{fmt.Sprintf("--target=%d", c.nodes[number].process.Pid), "--net", "--"}, command...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, out)
	}
	return nil
}

// Kubectl runs kubectl as administrator and returns what it printed.
func (c *Cluster) Kubectl(ctx context.Context, input string, args ...string) (string, error) {
	command := c.In(ctx, 1, append([]string{"kubectl"}, args...)...)
	command.Stdin = strings.NewReader(input)
	var failure strings.Builder
	command.Stderr = &failure
	out, err := command.Output()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(failure.String()))
	}
	return string(out), nil
}

func (c *Cluster) kubeconfig(user string) string {
	return filepath.Join(c.pki, user+".kubeconfig")
}

// Dial connects from the first node's network. The address is an IP and a port,
// or a name of the cluster and a port.
func (c *Cluster) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if net.ParseIP(host) == nil {
		dns := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return c.dialIP(ctx, network, net.JoinHostPort(dnsIP, "53"))
		}}
		addresses, err := dns.LookupHost(ctx, host+".")
		if err != nil {
			return nil, err
		}
		address = net.JoinHostPort(addresses[rand.IntN(len(addresses))], port)
	}
	return c.dialIP(ctx, network, address)
}

func (c *Cluster) dialIP(ctx context.Context, network, address string) (net.Conn, error) {
	return DialFrom(ctx, c.nodes[1].process.Pid, network, address)
}

// DialFrom connects to an IP and a port from the network that a process is in,
// such as one of a pod.
func DialFrom(ctx context.Context, pid int, network, address string) (conn net.Conn, err error) {
	there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, err
	}
	defer there.Close()
	dialled := make(chan struct{})
	go func() {
		defer close(dialled)
		// A socket stays in the network of the thread that made it.
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		if err = unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err == nil {
			conn, err = new(net.Dialer).DialContext(ctx, network, address)
		}
	}()
	<-dialled
	return conn, err
}

// NodeIP is the address of a node.
func NodeIP(number int) string { return nodeIP(number) }

func (c *Cluster) openLog(number int, name string) (*os.File, error) {
	return os.OpenFile(filepath.Join(c.config.Logs, nodeName(number)+"-"+name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
}

// finalError is one that waiting longer does not mend.
type finalError struct{ error }

func final(err error) error { return finalError{err} }

// wait tries until it succeeds, at most for as long as limit.
func wait(ctx context.Context, limit time.Duration, what string, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		if f, ok := errors.AsType[finalError](err); ok {
			return fmt.Errorf("wait for %s: %w", what, f.error)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w; last: %w", what, ctx.Err(), err)
		case <-ticker.C:
		}
	}
}
