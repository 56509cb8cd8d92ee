package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// hierarchies lists the control group trees of this machine: one for version
// 2, one per controller for version 1. Names are as mounted ("memory",
// "cpu,cpuacct"); version 2 is the empty name.
func hierarchies() ([]string, error) {
	if unified() {
		return []string{""}, nil
	}
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		// A controller mounted with another one has a symlink of its own name.
		if e.IsDir() && e.Name() != "unified" {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// unified says whether the machine has version 2 only.
func unified() bool {
	var s unix.Statfs_t
	return unix.Statfs(cgroupRoot, &s) == nil && s.Type == unix.CGROUP2_SUPER_MAGIC
}

// enterCgroup moves the calling process into the group of that name, made if
// need be, in every hierarchy.
func enterCgroup(name string) error {
	names, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range names {
		dir := filepath.Join(cgroupRoot, h, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if h == "cpuset" {
			if err := inheritCPUs(dir); err != nil {
				return err
			}
		}
		// 0 is the writer itself.
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("enter control group: %w", err)
		}
	}
	return nil
}

// inheritCPUs copies the processors and memory nodes of the parents downwards:
// a new cpuset of version 1 has none and takes no process.
func inheritCPUs(dir string) error {
	if dir == filepath.Join(cgroupRoot, "cpuset") {
		return nil
	}
	if err := inheritCPUs(filepath.Dir(dir)); err != nil {
		return err
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), value, 0); err != nil {
			return err
		}
	}
	return nil
}

// mountCgroups mounts this process's own view of the hierarchies, in which its
// group is the root, over the machine's.
func mountCgroups(names []string) error {
	if len(names) == 1 && names[0] == "" {
		if err := unix.Mount("cgroup2", cgroupRoot, "cgroup2", 0, ""); err != nil {
			return fmt.Errorf("mount cgroup2: %w", err)
		}
		// A group with processes in it cannot hand controllers to its children.
		return enterCgroup("init")
	}
	if err := unix.Mount("tmpfs", cgroupRoot, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", cgroupRoot, err)
	}
	for _, h := range names {
		dir, options := filepath.Join(cgroupRoot, h), h
		if h == "systemd" {
			options = "none,name=systemd"
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("cgroup", dir, "cgroup", 0, options); err != nil {
			return fmt.Errorf("mount control groups %s: %w", h, err)
		}
		for _, single := range strings.Split(h, ",") {
			if single != h {
				_ = os.Symlink(h, filepath.Join(cgroupRoot, single))
			}
		}
	}
	return nil
}

// removeCgroup removes the group of that name and those below it, which must
// have no process any more.
func removeCgroup(name string) error {
	names, err := hierarchies()
	if err != nil {
		return err
	}
	var failed []error
	for _, h := range names {
		var dirs []string
		_ = filepath.WalkDir(filepath.Join(cgroupRoot, h, name), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0; i-- {
			// Removing a group whose processes died this instant is refused for a moment.
			failed = append(failed, waitFor("the end of control group "+dirs[i], func() error {
				if err := unix.Rmdir(dirs[i]); err != nil && !errors.Is(err, unix.ENOENT) {
					return err
				}
				return nil
			}))
		}
	}
	return errors.Join(failed...)
}
