package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// exportDir and configDir are where a node has the export and berth's
// settings: the defaults of the managed plugin.
const (
	exportDir = "/srv/berth"
	configDir = "/etc/berth"
)

// buildView gives the node its own /proc, /sys, /run, /etc and /srv. Mounts
// that go away on the machine go away here too, as they would otherwise be
// held; mounts made here stay here, and are shared among the node's own
// namespaces as on a machine that systemd started.
func buildView(spec initSpec) error {
	groups, err := hierarchies() // of the machine: read before they are covered
	if err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make mounts one-way: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share mounts within the node: %w", err)
	}
	if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
		return err
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	return errors.Join(
		mountCgroups(groups),
		mountEtc(spec),
		mountRun(spec),
		mountSrv(spec),
	)
}

// mountRun shows the node's run directory as /run, empty as after any boot. It
// stays a directory of the machine, where the test reaches the engine's socket.
func mountRun(spec initSpec) error {
	dir := spec.Dir + "/run"
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return bind(dir, "/run")
}

// mountEtc puts a small /etc in memory over the machine's: links to its
// entries, but our own names, no name server, and /etc/berth and /etc/docker
// of the node, whether or not the machine has any.
func mountEtc(spec initSpec) error {
	const machine = "/mnt" // any directory that every machine has and no engine needs
	if err := unix.Mount("tmpfs", machine, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	if err := os.Mkdir(machine+"/etc", 0o755); err != nil {
		return err
	}
	if err := bind("/etc", machine+"/etc"); err != nil {
		return err
	}
	// Else what is mounted on /etc would be mounted on its twin as well.
	if err := unix.Mount("", machine+"/etc", "", unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	entries, err := os.ReadDir("/etc")
	if err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/etc", "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	ours := map[string]string{
		"resolv.conf": "",
		"hostname":    spec.Hostname + "\n",
		"hosts":       "127.0.0.1 localhost " + spec.Hostname + "\n",
	}
	for name, text := range ours {
		if err := os.WriteFile("/etc/"+name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if _, own := ours[e.Name()]; own || e.Name() == "berth" || e.Name() == "docker" {
			continue
		}
		if err := os.Symlink(filepath.Join(machine, "etc", e.Name()), filepath.Join("/etc", e.Name())); err != nil {
			return err
		}
	}
	if err := os.Mkdir("/etc/docker", 0o755); err != nil {
		return err
	}
	settings := fmt.Sprintf(`{"live-restore": %t}`, spec.LiveRestore)
	if err := os.WriteFile("/etc/docker/daemon.json", []byte(settings), 0o644); err != nil {
		return err
	}
	if err := os.MkdirAll(spec.Dir+"/etc-berth", 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(configDir, 0o755); err != nil {
		return err
	}
	return bind(spec.Dir+"/etc-berth", configDir)
}

// mountSrv shows the lab's export, or leaves an empty directory in its place,
// as on a machine that started before its filer was there.
func mountSrv(spec initSpec) error {
	if err := unix.Mount("tmpfs", "/srv", "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	if err := os.Mkdir(exportDir, 0o755); err != nil {
		return err
	}
	if spec.Export == "" {
		return nil
	}
	return bind(spec.Export, exportDir)
}

func bind(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s on %s: %w", source, target, err)
	}
	return nil
}
