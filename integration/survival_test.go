package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/integration/lab"
)

// A survivor is a node with three volumes, one of them written to by a running
// container, and what the engine and the kernel said of them at the start.
type survivor struct {
	*lab.Node
	lab     *lab.Lab
	volumes []string
	mounts  []string
}

// label is kept by dockerd alone: it is gone once dockerd has forgotten the
// volume, even if it is found again.
const label = "kept=by-dockerd"

func newSurvivor(t *testing.T, o lab.Options, run ...string) survivor {
	t.Helper()
	l, n := single(t, o)
	for _, name := range []string{"active", "idle", "other"} {
		n.Docker(t, "volume", "create", "-d", "berth", "--label", label, name)
	}
	startWriter(t, l, n, "active", run...)
	return survivor{Node: n, lab: l, volumes: volumes(t, n), mounts: n.Mounts(t)}
}

// requireNothingLost compares with the start: the volumes, dockerd's own
// memory of them, and the mounts. It waits for the plugin to answer first.
func (s survivor) requireNothingLost(t *testing.T) {
	t.Helper()
	lab.Eventually(t, "the plugin to answer", func() error {
		_, err := s.TryBerth("volume", "ls")
		return err
	})
	require.Equal(t, s.volumes, volumes(t, s.Node))
	for _, name := range s.volumes {
		kept := s.Docker(t, "volume", "inspect", "--format", "{{range $k, $v := .Labels}}{{$k}}={{$v}}{{end}}", name)
		require.Equal(t, label, kept, "dockerd has forgotten %s", name)
	}
}

// requireWorking is requireNothingLost, and new use works and adds no mount.
func (s survivor) requireWorking(t *testing.T) {
	t.Helper()
	s.requireNothingLost(t)
	for range 2 {
		s.Docker(t, "run", "--rm", "--network", "none", "-v", "idle:/data", lab.SiteImage, "write", "/data/page", "hello")
	}
	require.Equal(t, s.mounts, s.Mounts(t), "mounts were stacked, leaked or lost")
	requireUnbroken(t, s.lab, "active")
	// And with the last user gone the volume can go.
	s.Docker(t, "rm", "--force", "writer-active")
	s.Docker(t, "volume", "rm", "active")
	require.NotContains(t, volumes(t, s.Node), "active")
}

func TestKilledPluginLosesNothing(t *testing.T) {
	s := newSurvivor(t, lab.Options{})
	for range 3 {
		// dockerd looks at a plugin's socket half a second after its start. If
		// the plugin dies before that look, dockerd takes it for one that
		// cannot start and disables it: nothing that a plugin can do about.
		time.Sleep(3 * time.Second)
		pid, err := s.PluginPID()
		require.NoError(t, err)
		require.NoError(t, unix.Kill(pid, unix.SIGKILL))
		lab.Eventually(t, "dockerd to start the plugin again", func() error {
			now, err := s.PluginPID()
			if err == nil && now == pid {
				err = fmt.Errorf("process %d is still there", pid)
			}
			return err
		})
		requireWriting(t, s.lab, "active")
		s.requireNothingLost(t)
	}
	s.requireWorking(t)
}

func TestDisabledAndEnabledPluginLosesNothing(t *testing.T) {
	s := newSurvivor(t, lab.Options{})
	for range 2 {
		s.Docker(t, "plugin", "disable", "--force", lab.Plugin)
		requireWriting(t, s.lab, "active")
		s.Docker(t, "plugin", "enable", lab.Plugin)
		requireWriting(t, s.lab, "active")
		s.requireNothingLost(t)
	}
	s.requireWorking(t)
}

func TestReinstalledPluginLosesNothing(t *testing.T) {
	s := newSurvivor(t, lab.Options{})
	s.Docker(t, "plugin", "rm", "--force", lab.Plugin)
	requireWriting(t, s.lab, "active")
	require.NoError(t, s.InstallPlugin(lab.DirectoryExport))
	requireWriting(t, s.lab, "active")
	s.requireWorking(t)
}

func TestRestartedEngineLosesNothingWhileContainersGoOn(t *testing.T) {
	s := newSurvivor(t, lab.Options{LiveRestore: true})
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		require.NoError(t, s.StopEngine(sig))
		requireWriting(t, s.lab, "active")
		require.NoError(t, s.StartEngine())
		requireWriting(t, s.lab, "active")
		s.requireNothingLost(t)
	}
	s.requireWorking(t)
}

func TestRestartedEngineStartsItsContainersOnTheSameData(t *testing.T) {
	s := newSurvivor(t, lab.Options{}, "--restart", "always")
	require.NoError(t, s.RestartEngine(unix.SIGTERM))
	requireWriting(t, s.lab, "active")
	s.requireWorking(t)
}

// A killed dockerd without live-restore ends, at its next start, the plugin
// that went on without it, and starts another. Engine 20.10 then sometimes
// unmounts the plugin's propagated mount *after* that start, as if for the old
// one: what the new plugin mounts never shows on the host, and no container
// gets it until the plugin is enabled anew. Nothing in a plugin can see or mend
// that; what it can do is lose nothing.
func TestKilledEngineLosesNothing(t *testing.T) {
	s := newSurvivor(t, lab.Options{}, "--restart", "always")
	require.NoError(t, s.RestartEngine(unix.SIGKILL))
	s.requireNothingLost(t)
	if s.Docker(t, "inspect", "--format", "{{.State.Running}}", "writer-active") != "true" {
		s.Docker(t, "plugin", "disable", "--force", lab.Plugin)
		s.Docker(t, "plugin", "enable", lab.Plugin)
		s.Docker(t, "start", "writer-active")
	}
	requireWriting(t, s.lab, "active")
	s.requireWorking(t)
}

func TestPowerFailureLosesNothing(t *testing.T) {
	t.Parallel() // the node's name is settled after half a lease: a lab's boots have one id
	s := newSurvivor(t, lab.Options{}, "--restart", "always")
	require.NoError(t, s.Kill9())
	require.NoError(t, s.Boot())
	requireWriting(t, s.lab, "active")
	s.requireWorking(t)
}

func TestBootWithTheExportAwayLosesAndInventsNothing(t *testing.T) {
	t.Parallel()
	s := newSurvivor(t, lab.Options{})
	require.NoError(t, s.Kill9())
	require.NoError(t, s.TakeExportAway())
	require.NoError(t, s.Boot())

	require.Equal(t, "true", s.Docker(t, "plugin", "inspect", "--format", "{{.Enabled}}", lab.Plugin))
	require.Equal(t, s.volumes, volumes(t, s.Node))
	for _, name := range s.volumes {
		seen := s.Docker(t, "volume", "inspect", name)
		require.Contains(t, seen, "by-dockerd", "dockerd has forgotten %s", name)
		require.Contains(t, seen, "unverified")
	}
	_, err := s.TryDocker("volume", "create", "-d", "berth", "new")
	require.ErrorContains(t, err, "is away")
	_, err = s.TryDocker("start", "writer-active")
	require.ErrorContains(t, err, "is away")
	empty, err := s.Run("ls", "-A", "/srv/berth")
	require.NoError(t, err)
	require.Empty(t, empty, "nothing may be put where the export is missing")

	require.NoError(t, s.BringExportBack())
	lab.Eventually(t, "the container to start now that the export is back", func() error {
		_, err := s.TryDocker("start", "writer-active")
		return err
	})
	requireWriting(t, s.lab, "active")
	s.requireWorking(t)
}

func TestExportMovedAwayUnderRunningContainersComesBack(t *testing.T) {
	t.Parallel()
	l := lab.New(t, lab.Options{})
	n := l.Nodes[0]
	export, away := filepath.Join(l.Export, "vols"), filepath.Join(l.Export, "vols.away")
	require.NoError(t, os.Mkdir(export, 0o755))
	require.NoError(t, n.ImportSite())
	require.NoError(t, n.InstallPlugin("BERTH_EXPORT=file:///export/vols"))
	n.Docker(t, "volume", "create", "-d", "berth", "--label", label, "active")
	startWriter(t, l, n, "vols/active")

	require.NoError(t, os.Rename(export, away))
	require.NoError(t, os.Mkdir(export, 0o755))
	lab.Eventually(t, "berth to notice", func() error {
		if seen := n.Docker(t, "volume", "inspect", "active"); !strings.Contains(seen, "unverified") {
			return fmt.Errorf("inspect says %s", seen)
		}
		return nil
	})
	_, err := n.TryDocker("volume", "create", "-d", "berth", "new")
	require.ErrorContains(t, err, "is away")
	_, err = n.TryDocker("run", "--rm", "-v", "active:/data", lab.SiteImage, "ls", "/data")
	require.ErrorContains(t, err, "is away")
	requireWriting(t, l, "vols.away/active") // through what the container has
	require.Equal(t, []string{"active"}, volumes(t, n))
	entries, err := os.ReadDir(export)
	require.NoError(t, err)
	require.Empty(t, entries, "nothing may be put where the export is missing")

	require.NoError(t, os.Remove(export))
	require.NoError(t, os.Rename(away, export))
	lab.Eventually(t, "berth to find the export again", func() error {
		_, err := n.TryDocker("volume", "create", "-d", "berth", "new")
		return err
	})
	requireWriting(t, l, "vols/active")
	requireUnbroken(t, l, "vols/active")
}
