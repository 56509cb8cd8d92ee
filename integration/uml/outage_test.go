package uml

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

// startWriter runs a container that appends numbered records to VOLUME/log,
// holding the file open, and waits for the first ones.
func startWriter(t *testing.T, l *Lab, h *Host, volume string, options ...string) {
	t.Helper()
	h.Docker(t, "volume", "create", "-d", "berth", volume)
	args := append([]string{"run", "--detach", "--name", volume, "--network", "none"}, options...)
	h.Docker(t, append(args, "-v", volume+":/data", lab.SiteImage, "append", "/data/log")...)
	t.Cleanup(func() { _, _ = h.TryDocker("rm", "--force", volume) })
	requireWriting(t, l, h, volume)
}

// records are the lines of VOLUME/log that the server has.
func records(l *Lab, volume string) []string {
	text, _ := os.ReadFile(l.Server.Path(volume, "log"))
	return strings.Fields(strings.ReplaceAll(string(text), " ", "_"))
}

// requireWriting waits until the server has new records. The host's kernel
// keeps what it has written for half a minute, unless asked.
func requireWriting(t *testing.T, l *Lab, h *Host, volume string) {
	t.Helper()
	before := len(records(l, volume))
	lab.Eventually(t, "more records in "+volume, func() error {
		if _, err := h.TryRun("sync"); err != nil {
			return err
		}
		if now := len(records(l, volume)); now <= before+1 {
			return fmt.Errorf("still %d", now)
		}
		return nil
	})
}

// requireUnbroken checks that nothing is missing between the log's records.
func requireUnbroken(t *testing.T, l *Lab, volume string) {
	t.Helper()
	for i, line := range records(l, volume) {
		_, number, _ := strings.Cut(line, "_")
		require.Equal(t, fmt.Sprint(i+1), number, "record %d of %s is %q", i+1, volume, line)
	}
}

func TestPluginDisabledAndEnabledUnderARunningContainer(t *testing.T) {
	l := pair(t)
	a := l.Hosts[0]
	startWriter(t, l, a, "toggled")
	a.Docker(t, "plugin", "disable", "--force", lab.Plugin)
	requireWriting(t, l, a, "toggled")
	a.Docker(t, "plugin", "enable", lab.Plugin)
	requireWriting(t, l, a, "toggled")
	a.Docker(t, "run", "--rm", "--network", "none", "-v", "toggled:/data", lab.SiteImage, "write", "/data/page", "later")
	text, err := os.ReadFile(l.Server.Path("toggled", "page"))
	require.NoError(t, err)
	require.Equal(t, "later\n", string(text), "new containers are in the same tree")
	a.Docker(t, "stop", "toggled")
	requireUnbroken(t, l, "toggled")
}

// outage is how long the server is silent: with real limits longer than the
// kernel's first major timeout (60 s) and a lease.
func outage() time.Duration {
	if realLimits() {
		return 150 * time.Second
	}
	return 20 * time.Second
}

func TestSilentServerStopsNeitherDockerNorLosesAWrite(t *testing.T) {
	l := pair(t)
	a := l.Hosts[0]
	startWriter(t, l, a, "patient")
	require.NoError(t, l.Server.Stop())
	t.Cleanup(func() { _ = l.Server.Continue() })
	end := time.Now().Add(outage())
	for round := 1; round == 1 || time.Now().Before(end); round++ {
		for _, args := range [][]string{
			{"volume", "ls", "--quiet"},
			{"volume", "inspect", "--format", "{{.Name}}", "patient"},
		} {
			began := time.Now()
			require.Contains(t, a.Docker(t, args...), "patient")
			took := time.Since(began)
			require.Less(t, took, enginePatience, "docker %v, round %d", args, round)
			t.Logf("docker %v while the server is silent: %s", args, took.Round(time.Millisecond))
		}
		time.Sleep(2 * time.Second)
	}
	require.NoError(t, l.Server.Continue())
	requireWriting(t, l, a, "patient")
	a.Docker(t, "stop", "patient")
	requireUnbroken(t, l, "patient")
}

func TestRecreatedExportIsMountedAnewBesideTheStaleOne(t *testing.T) {
	swarms.take(t)
	l := New(t, 1) // without a filer's API, which would have the old directory open
	a := l.Hosts[0]
	require.NoError(t, a.InstallPlugin(settings()...))
	startWriter(t, l, a, "stale")
	// The writer may end when its file is stale; this one does not notice.
	a.Docker(t, "volume", "create", "-d", "berth", "idle")
	a.Docker(t, "run", "--detach", "--name", "idle", "--network", "none", "--volume-driver", "berth", "-v", "idle:/data",
		"--entrypoint", "/bin/busybox", lab.SiteImage, "sleep", "3600")
	a.Run(t, "sync")
	require.NoError(t, l.Server.Recreate())
	before := len(records(l, "stale"))
	require.Positive(t, before)

	// The old container can only be restarted; a new one works at once.
	a.Docker(t, "volume", "create", "-d", "berth", "fresh")
	a.Docker(t, "run", "--rm", "--network", "none", "-v", "fresh:/data", lab.SiteImage, "write", "/data/page", "new")
	require.FileExists(t, l.Server.Path("fresh", "page"))
	lab.Eventually(t, "the old container to be listed as to be restarted", func() error {
		users, _ := a.Verbs(t, "Berth.VolumeUsers", []string{`{"name":"idle"}`})[0]["users"].([]any)
		if len(users) != 1 || users[0].(map[string]any)["stale"] != true {
			return fmt.Errorf("users are %v", users)
		}
		return nil
	})
	a.Docker(t, "rm", "--force", "idle")
	a.Docker(t, "rm", "--force", "stale")
	a.Docker(t, "run", "--rm", "--network", "none", "-v", "stale:/data", lab.SiteImage, "write", "/data/page", "healed")
	require.FileExists(t, l.Server.Path("stale", "page"))
}
