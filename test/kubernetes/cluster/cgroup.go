package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const cgroupRoot = "/sys/fs/cgroup"

// hierarchies are the roots of the control groups: one of version 2, or one for
// each controller of version 1.
func hierarchies() ([]string, error) {
	if _, err := os.Stat(cgroupRoot + "/cgroup.controllers"); err == nil {
		return []string{cgroupRoot}, nil
	}
	var roots []string
	for _, name := range []string{"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd"} {
		root := filepath.Join(cgroupRoot, name)
		if _, err := os.Stat(root + "/cgroup.procs"); err == nil {
			roots = append(roots, root)
		}
	}
	for _, needed := range []string{"cpu", "memory", "pids"} {
		if !slices.Contains(roots, filepath.Join(cgroupRoot, needed)) {
			return nil, fmt.Errorf("there is no control group of %s below %s", needed, cgroupRoot)
		}
	}
	return roots, nil
}

// makeCgroups makes the group that a node and all its pods are below.
func makeCgroups(name string) error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		group := filepath.Join(root, name)
		if err := os.MkdirAll(group, 0o755); err != nil {
			return fmt.Errorf("make a control group: %w", err)
		}
		switch filepath.Base(root) {
		case "cpuset":
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
				text, err := os.ReadFile(filepath.Join(root, file))
				if err == nil {
					err = os.WriteFile(filepath.Join(group, file), text, 0)
				}
				if err != nil {
					return fmt.Errorf("set up a control group: %w", err)
				}
			}
		case filepath.Base(cgroupRoot):
			for _, parent := range []string{root, group} {
				if err := os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+cpu +cpuset +memory +io +pids"), 0); err != nil {
					return fmt.Errorf("hand on the controllers of a control group: %w", err)
				}
			}
		}
	}
	return nil
}

// removeCgroups removes a group and those below it. Their processes have ended;
// the kernel may need a moment to notice.
func removeCgroups(name string) error {
	return wait(context.Background(), 5*time.Second, "control groups to become empty", func() error { return removeCgroupsOnce(name) })
}

func removeCgroupsOnce(name string) error {
	groups, err := filepath.Glob(cgroupRoot + "/*/" + name)
	if err != nil {
		return err
	}
	groups = append(groups, filepath.Join(cgroupRoot, name))
	var errs []error
	for _, group := range groups {
		var below []string
		err := filepath.WalkDir(group, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				below = append(below, path)
			}
			return nil // what vanishes meanwhile is as it should be
		})
		errs = append(errs, err)
		for _, path := range slices.Backward(below) {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// removeStaleCgroups removes what clusters have left that were killed, and
// could not do it themselves.
func removeStaleCgroups() error {
	groups, err := filepath.Glob(cgroupRoot + "/*/" + cgroupPrefix + "*")
	if err != nil {
		return err
	}
	also, err := filepath.Glob(cgroupRoot + "/" + cgroupPrefix + "*")
	if err != nil {
		return err
	}
	var errs []error
	for _, group := range append(groups, also...) {
		name := filepath.Base(group)
		pid, _, _ := strings.Cut(strings.TrimPrefix(name, cgroupPrefix), "-")
		if _, err := os.Stat("/proc/" + pid); errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, removeCgroups(name))
		}
	}
	return errors.Join(errs...)
}
