package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// nodeArg is the name under which this program starts itself as a node.
const nodeArg = "octavo-test-node"

// node is a machine of the cluster: a process in namespaces of its own, which is
// the first of all the node's processes and with which they end.
type node struct {
	number  int
	dir     string
	cgroup  string // below the root of each hierarchy
	process *os.Process
}

func nodeName(number int) string { return "node" + strconv.Itoa(number) }
func nodeIP(number int) string   { return "10.77.0." + strconv.Itoa(number) }
func podRange(number int) string { return fmt.Sprintf("10.244.%d.0/24", number) }

// machine is what the process of a node is told.
type machine struct {
	Number, Nodes int
	Dir, Cgroup   string
}

// Main makes this process a node, and does not return, when that is what it was
// started for. A program that starts clusters calls it first.
func Main() {
	if os.Args[0] != nodeArg {
		return
	}
	var m machine
	err := json.Unmarshal([]byte(os.Args[1]), &m)
	if err == nil {
		err = m.boot()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", nodeArg, err)
		os.Exit(1)
	}
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	if err := os.WriteFile(filepath.Join(m.Dir, "up"), nil, 0o600); err != nil {
		os.Exit(1)
	}
	for range children {
		for {
			if pid, _ := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 {
				break
			}
		}
	}
}

func (c *Cluster) node(number int) *node {
	return &node{number: number, dir: filepath.Join(c.dir, nodeName(number)), cgroup: c.cgroup + "-" + nodeName(number)}
}

// startMachine starts the process of a node and waits until its machine is set up.
func (c *Cluster) startMachine(ctx context.Context, number int) (*node, error) {
	n := c.node(number)
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		return nil, err
	}
	told, err := json.Marshal(machine{Number: number, Nodes: c.config.Nodes, Dir: n.dir, Cgroup: n.cgroup})
	if err != nil {
		return nil, err
	}
	log, err := c.openLog(number, "machine")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{nodeArg, string(told)},
		Stdout: log, Stderr: log, Dir: "/",
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID,
			Setsid:     true,
			Pdeathsig:  syscall.SIGKILL, // nothing outlives the test, even one that is killed
		},
	}
	started := make(chan error)
	go func() {
		// The signal comes when the thread ends that started the process.
		runtime.LockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s in namespaces of its own: %w", nodeName(number), err)
	}
	n.process = command.Process
	c.nodes[number] = n
	if number > 1 {
		err := c.inNetworkOf(ctx, 1, "ip", "link", "add", "to"+strconv.Itoa(number), "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(n.process.Pid))
		if err == nil {
			err = c.inNetworkOf(ctx, 1, "ip", "link", "set", "to"+strconv.Itoa(number), "master", "nodes", "up")
		}
		if err != nil {
			return nil, err
		}
	}
	return n, wait(ctx, 20*time.Second, "the machine of "+nodeName(number), func() error {
		if !n.runs() {
			return final(fmt.Errorf("it has ended: see %s", log.Name()))
		}
		_, err := os.Stat(filepath.Join(n.dir, "up"))
		return err
	})
}

// runs tells whether any process of the node is there: its first one goes last.
func (n *node) runs() bool {
	return !errors.Is(n.process.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// kill ends a node as a power cut does, and waits until all of it is gone.
func (n *node) kill() error {
	if err := n.process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	err := wait(context.Background(), 20*time.Second, nodeName(n.number)+" to end", func() error {
		if n.runs() {
			return errors.New("it still runs")
		}
		return nil
	})
	return errors.Join(err, removeCgroups(n.cgroup))
}

// boot makes the inside of the namespaces a machine: mounts, name, network.
// Nothing of it is seen outside, and all of it goes with the namespaces.
func (m machine) boot() error {
	if err := syscall.Sethostname([]byte(nodeName(m.Number))); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	if err := m.mount(); err != nil {
		return err
	}
	if err := makeCgroups(m.Cgroup); err != nil {
		return err
	}
	return m.connect()
}

func (m machine) mount() error {
	in := func(name string) string { return filepath.Join(m.Dir, name) }
	for _, dir := range []string{"cgroup", "log", "kubelet", "libcni", "containerd", "etcd", "settings", "etc", "etc.work"} {
		if err := os.MkdirAll(in(dir), 0o755); err != nil {
			return err
		}
	}
	const bind, recursive = syscall.MS_BIND, syscall.MS_BIND | syscall.MS_REC
	mounts := []struct {
		what, where, kind string
		flags             uintptr
		options           string
	}{
		{"none", "/", "", syscall.MS_REC | syscall.MS_PRIVATE, ""},
		{"proc", "/proc", "proc", 0, ""},
		// sysfs shows this network, with the machine's control groups kept in it.
		{"/sys/fs/cgroup", in("cgroup"), "", recursive, ""},
		{"sysfs", "/sys", "sysfs", 0, ""},
		{in("cgroup"), "/sys/fs/cgroup", "", recursive, ""},
		{"tmpfs", "/run", "tmpfs", 0, ""},
		{"tmpfs", "/opt", "tmpfs", 0, ""},
		{"tmpfs", "/var/lib", "tmpfs", 0, ""},
		{"overlay", "/etc", "overlay", 0, "lowerdir=/etc,upperdir=" + in("etc") + ",workdir=" + in("etc.work")},
		{in("log"), "/var/log", "", bind, ""},
		{in("kubelet"), "/var/lib/kubelet", "", bind, ""},
		{in("libcni"), "/var/lib/cni", "", bind, ""},
	}
	for _, mount := range mounts {
		if mount.where != "/" {
			if err := os.MkdirAll(mount.where, 0o755); err != nil {
				return err
			}
		}
		if err := syscall.Mount(mount.what, mount.where, mount.kind, mount.flags, mount.options); err != nil {
			return fmt.Errorf("mount %s on %s: %w", mount.what, mount.where, err)
		}
	}
	// The kubelet would set these for the whole machine: it finds files that hold
	// what it wants.
	for over, text := range map[string]string{"kernel/panic": "10", "kernel/panic_on_oops": "1", "vm/overcommit_memory": "1", "vm/panic_on_oom": "0"} {
		file := in("settings/" + filepath.Base(over))
		if err := os.WriteFile(file, []byte(text+"\n"), 0o644); err != nil {
			return err
		}
		if err := syscall.Mount(file, "/proc/sys/"+over, "", bind, ""); err != nil {
			return fmt.Errorf("mount %s over %s: %w", file, over, err)
		}
	}
	// No name is asked for outside.
	var hosts strings.Builder
	hosts.WriteString("127.0.0.1 localhost\n")
	for number := 1; number <= m.Nodes; number++ {
		fmt.Fprintln(&hosts, nodeIP(number), nodeName(number))
	}
	for file, text := range map[string]string{
		"/etc/resolv.conf": "nameserver " + dnsIP + "\n",
		"/etc/hosts":       hosts.String(),
	} {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) { // it may be a link
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := os.MkdirAll("/run/lock", 0o755); err != nil {
		return err
	}
	return syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_SHARED, "")
}

// connect sets up the network: the nodes are on one bridge, which is in the
// first node and leads nowhere else.
func (m machine) connect() error {
	var commands []string
	add := func(format string, args ...any) { commands = append(commands, fmt.Sprintf(format, args...)) }
	link := "eth0"
	add("ip link set lo up")
	if m.Number == 1 {
		link = "nodes"
		add("ip link add nodes type bridge")
	}
	add("ip addr add %s/24 dev %s", nodeIP(m.Number), link)
	add("ip link set %s up", link)
	if m.Number == 1 {
		// Nobody is there; addresses of services need a route before they are
		// translated.
		add("ip route add default via 10.77.0.254 dev nodes")
	} else {
		add("ip route add default via %s", nodeIP(1))
	}
	for number := 1; number <= m.Nodes; number++ {
		if number != m.Number {
			add("ip route add %s via %s", podRange(number), nodeIP(number))
		}
	}
	if err := waitForLink(link, m.Number); err != nil {
		return err
	}
	for _, command := range commands {
		if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, out)
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return err
	}
	err := os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte("1"), 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func waitForLink(link string, number int) error {
	if number == 1 {
		return nil // makes it itself
	}
	return wait(context.Background(), 10*time.Second, "the link "+link, func() error {
		_, err := os.Stat("/sys/class/net/" + link)
		return err
	})
}
