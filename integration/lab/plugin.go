package lab

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Plugin is the managed plugin's name on every node.
const Plugin = "berth"

// DirectoryExport is the setting under which the shared export is berth's.
const DirectoryExport = "BERTH_EXPORT=file:///export"

// InstallPlugin makes the managed plugin of this checkout on the node, with
// settings as for docker plugin set, and enables it.
func (n *Node) InstallPlugin(settings ...string) error {
	if err := n.CreatePlugin(settings...); err != nil {
		return err
	}
	_, err := n.TryDocker("plugin", "enable", Plugin)
	return err
}

// CreatePlugin is InstallPlugin without enabling it.
func (n *Node) CreatePlugin(settings ...string) error {
	folder, err := buildPlugin()
	if err != nil {
		return err
	}
	if _, err := n.TryDocker("plugin", "create", Plugin, folder); err != nil {
		return err
	}
	if len(settings) > 0 {
		_, err = n.TryDocker(append([]string{"plugin", "set", Plugin}, settings...)...)
	}
	return err
}

// Berth runs the berth command line on the node and returns what it printed.
// It fails the test if berth does.
func (n *Node) Berth(t testing.TB, args ...string) string {
	t.Helper()
	out, err := n.TryBerth(args...)
	if err != nil {
		t.Fatalf("%s: %v", n.Name, err)
	}
	return out
}

// TryBerth is Berth where a failure is part of the story. An exit code is in
// the error's chain as *exec.ExitError.
func (n *Node) TryBerth(args ...string) (string, error) {
	folder, err := buildPlugin()
	if err != nil {
		return "", err
	}
	return n.Run(append([]string{folder + "/rootfs/berth"}, args...)...)
}

// PluginPID finds the running `berth serve` of the node, as the machine
// numbers processes.
func (n *Node) PluginPID() (int, error) {
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, file := range procs {
		args, err := os.ReadFile(file)
		if err != nil || !bytes.HasPrefix(args, []byte("/berth\x00serve\x00")) {
			continue // or gone since
		}
		groups, err := os.ReadFile(filepath.Join(filepath.Dir(file), "cgroup"))
		if err != nil || !strings.Contains(string(groups), "/"+n.cgroup+"/") {
			continue
		}
		return strconv.Atoi(filepath.Base(filepath.Dir(file)))
	}
	return 0, fmt.Errorf("%s: no berth serve runs", n.Name)
}

// id is the engine's name for a plugin, drawn anew at every installation.
var id = regexp.MustCompile("[0-9a-f]{64}")

// Mounts are the mounts below the plugins of the node's engine, as "TARGET
// ROOT" lines, sorted, with ids left out. Stacked mounts are listed once each,
// so what is leaked, stacked or missing shows when two calls are compared.
func (n *Node) Mounts(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", n.init.pid()))
	if err != nil {
		t.Fatal(err)
	}
	var mounts []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		target, ok := strings.CutPrefix(fields[4], n.dir+"/data/")
		if ok && strings.HasPrefix(target, "plugins/") {
			line := target + " " + strings.TrimPrefix(fields[3], n.lab.dir)
			mounts = append(mounts, id.ReplaceAllString(line, "ID"))
		}
	}
	slices.Sort(mounts)
	return mounts
}

// SetConfig writes the node's berth.env, which the plugin reads again by itself.
func (n *Node) SetConfig(t testing.TB, lines ...string) {
	t.Helper()
	err := os.WriteFile(n.dir+"/etc-berth/berth.env", []byte(strings.Join(lines, "\n")+"\n"), 0o644)
	if err != nil {
		t.Fatal(err)
	}
}

// TakeExportAway leaves an empty directory at /srv/berth on the node, now and
// after the next boot, as on a machine whose filer is not mounted.
func (n *Node) TakeExportAway() error {
	n.noExport = true
	if n.init == nil {
		return nil
	}
	_, err := n.Run("umount", "--lazy", exportDir)
	return err
}

// BringExportBack mounts it there again, under the running plugin's eyes.
func (n *Node) BringExportBack() error {
	n.noExport = false
	if n.init == nil {
		return nil
	}
	_, err := n.Run("mount", "--bind", n.lab.Export, exportDir)
	return err
}
