package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
	"github.com/casit/berth/plugin"
)

// pluginConfig is what of config.json gives the plugin power, or is promised
// by docs/settings.md.
type pluginConfig struct {
	Network         struct{ Type string }
	PidHost         bool
	IpcHost         bool
	PropagatedMount string
	Linux           struct {
		Capabilities    []string
		AllowAllDevices bool
		Devices         []any
	}
	Mounts []struct {
		Name, Source, Destination string
		Options, Settable         []string
	}
	Env []struct {
		Name, Value string
		Settable    []string
	}
}

func readConfig(t *testing.T) (c pluginConfig) {
	t.Helper()
	root, err := lab.Root()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "config.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &c))
	return c
}

func TestPluginAsksForNoMorePrivilegeThanItNeeds(t *testing.T) {
	c := readConfig(t)
	require.Equal(t, []string{"CAP_SYS_ADMIN"}, c.Linux.Capabilities, "mount(2); the rest is in dockerd's default set")
	require.False(t, c.Linux.AllowAllDevices)
	require.Empty(t, c.Linux.Devices)
	require.False(t, c.PidHost)
	require.False(t, c.IpcHost)
	require.Equal(t, "host", c.Network.Type)
	require.Equal(t, "/mnt/berth", c.PropagatedMount)

	require.Len(t, c.Mounts, 2)
	for i, want := range []struct{ name, source, destination, options string }{
		{"config", "/etc/berth", "/etc/berth", "[rbind ro rslave]"},
		{"export", "/srv/berth", "/export", "[rbind rw rslave]"},
	} {
		m := c.Mounts[i]
		require.Equal(t, want.name, m.Name)
		require.Equal(t, want.source, m.Source)
		require.Equal(t, want.destination, m.Destination)
		require.Equal(t, want.options, fmt.Sprint(m.Options))
		require.Equal(t, []string{"source"}, m.Settable)
	}
}

func TestEverySettingCanBeSetOnThePlugin(t *testing.T) {
	settable := map[string]bool{}
	for _, e := range readConfig(t).Env {
		if len(e.Settable) == 0 {
			require.Equal(t, "BERTH_MOUNT_ROOT", e.Name)
			require.Equal(t, "/mnt/berth", e.Value)
			continue
		}
		require.Empty(t, e.Value, "%s: berth.env decides where nothing is set", e.Name)
		settable[e.Name] = true
	}
	for _, s := range plugin.SettingTable {
		switch s.Name {
		case "BERTH_SOCKET", "BERTH_MOUNT_ROOT": // dockerd's to say, for a managed plugin
		default:
			require.True(t, settable[s.Name], "config.json lacks %s", s.Name)
			delete(settable, s.Name)
		}
	}
	require.Empty(t, settable, "config.json has settings that berth does not know")
}

func TestRunningPluginHasTheCapabilitiesOfItsConfigOnly(t *testing.T) {
	_, n := single(t, lab.Options{})
	pid, err := n.PluginPID()
	require.NoError(t, err)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	// dockerd's default for a container, and CAP_SYS_ADMIN (bit 21).
	const want = "00000000a82425fb"
	for _, set := range []string{"CapPrm", "CapEff", "CapBnd"} {
		require.Regexp(t, regexp.MustCompile(set+`:\s+`+want), string(status))
	}
}

func TestPluginWithoutAnExportIsUpAndSaysWhatToDo(t *testing.T) {
	l := lab.New(t, lab.Options{})
	n := l.Nodes[0]
	require.NoError(t, n.InstallPlugin())
	_, err := n.TryDocker("volume", "create", "-d", "berth", "early")
	require.ErrorContains(t, err, "BERTH_EXPORT is not set; put it in /etc/berth/berth.env")
	n.Docker(t, "volume", "ls")

	n.SetConfig(t, lab.DirectoryExport)
	lab.Eventually(t, "the plugin to read berth.env again", func() error {
		_, err := n.TryDocker("volume", "create", "-d", "berth", "early")
		return err
	})
	require.DirExists(t, filepath.Join(l.Export, "early"))
}

func TestPluginComesUpWithTheExportAway(t *testing.T) {
	t.Parallel()
	l := lab.New(t, lab.Options{})
	n := l.Nodes[0]
	// dockerd gives a plugin 9.5 s to listen and disables it otherwise.
	require.NoError(t, n.InstallPlugin("BERTH_EXPORT=file:///export/not-mounted-yet"))
	require.Equal(t, "true", n.Docker(t, "plugin", "inspect", "--format", "{{.Enabled}}", lab.Plugin))
	_, err := n.TryDocker("volume", "create", "-d", "berth", "early")
	require.ErrorContains(t, err, "/export/not-mounted-yet")
	entries, err := os.ReadDir(l.Export)
	require.NoError(t, err)
	require.Empty(t, entries, "berth never makes the export's directory")

	require.NoError(t, os.Mkdir(filepath.Join(l.Export, "not-mounted-yet"), 0o755))
	lab.Eventually(t, "berth to find the export", func() error {
		_, err := n.TryDocker("volume", "create", "-d", "berth", "early")
		return err
	})
}

func TestPluginSeesAMountThatTheHostMakesLater(t *testing.T) {
	l := lab.New(t, lab.Options{})
	n := l.Nodes[0]
	require.NoError(t, os.Mkdir(filepath.Join(l.Export, "filer"), 0o755))
	require.NoError(t, n.InstallPlugin("BERTH_EXPORT=file:///export/filer"))
	n.Docker(t, "volume", "create", "-d", "berth", "below")
	n.Docker(t, "volume", "rm", "below")

	_, err := n.Run("mount", "-t", "tmpfs", "tmpfs", "/srv/berth/filer")
	require.NoError(t, err)
	pid, err := n.PluginPID()
	require.NoError(t, err)
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	require.NoError(t, err)
	require.Contains(t, string(mounts), " /export/filer ")
	_, err = n.TryDocker("volume", "create", "-d", "berth", "above")
	require.ErrorContains(t, err, "is away", "another filesystem than before is not this export")
}
