package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// needed are the programs that come from Debian, and their packages.
var needed = []struct{ command, from string }{
	{"containerd", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"},
	{"/usr/lib/cni/bridge", "containernetworking-plugins"},
	{"iptables", "iptables"},
	{"nft", "nftables"},
	{"conntrack", "conntrack"},
	{"ip", "iproute2"},
	{"ethtool", "ethtool"},
	{"nsenter", "util-linux"},
}

// Preflight says in plain words what this machine lacks for a cluster, all of
// it at once.
func Preflight() error {
	var missing []error
	lack := func(format string, args ...any) { missing = append(missing, fmt.Errorf(format, args...)) }
	if os.Getuid() != 0 {
		lack("it needs root, for namespaces, mounts and control groups; run it with sudo")
	} else if err := namespaces(); err != nil {
		lack("this machine does not let root make namespaces and mounts, as a container without privileges does not (%w); run it on a machine of its own or in a virtual one", err)
	}
	if roots, err := hierarchies(); err != nil {
		lack("control groups are missing: %w; mount them (Debian does) or run it elsewhere", err)
	} else if os.Getuid() == 0 {
		for _, root := range roots {
			if err := probe(root); err != nil {
				lack("control groups cannot be made below %s (%w); it may be read-only, as in a container without privileges", root, err)
			}
		}
	}
	if filesystems, err := os.ReadFile("/proc/filesystems"); err != nil || !bytes.Contains(filesystems, []byte("\toverlay\n")) {
		lack("the kernel has no overlay file system (modprobe overlay)")
	}
	var packages []string
	for _, need := range needed {
		if _, err := exec.LookPath(need.command); err != nil {
			packages = append(packages, need.from)
		}
	}
	if len(packages) > 0 {
		lack("Debian packages are missing: apt-get install %s (test/kubernetes/setup does)", strings.Join(packages, " "))
	}
	if len(missing) > 0 {
		return fmt.Errorf("a Kubernetes cluster cannot run here:\n%w", errors.Join(missing...))
	}
	return nil
}

// namespaces tries what each node needs.
func namespaces() error {
	command := exec.Command("mount", "-t", "tmpfs", "tmpfs", "/run")
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID,
		Unshareflags: syscall.CLONE_NEWNS,
	}
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

func probe(root string) error {
	group, err := os.MkdirTemp(root, cgroupPrefix+"probe-")
	if err != nil {
		return err
	}
	return os.Remove(group)
}
