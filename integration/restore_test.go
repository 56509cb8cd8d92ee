package integration

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

// page is a file of a volume on the export.
func page(t *testing.T, l *lab.Lab, volume string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(l.Export, volume, "page"))
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}

func setPage(t *testing.T, l *lab.Lab, volume, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(l.Export, volume, "page"), []byte(text+"\n"), 0o644))
}

// startService runs a service on a volume of its own, with a version of the
// volume from before page was changed.
func startService(t *testing.T, l *lab.Lab, name string, options ...string) {
	t.Helper()
	first := l.Nodes[0]
	first.Docker(t, "volume", "create", "-d", "berth", name)
	setPage(t, l, name, "old")
	first.Berth(t, "snapshot", "create", name, "--name", "of-"+name)
	setPage(t, l, name, "newer")
	args := append([]string{"service", "create", "--detach", "--no-resolve-image", "--name", name, "--network", "host",
		"--mount", "type=volume,source=" + name + ",target=/data,volume-driver=berth"}, options...)
	first.Docker(t, append(args, lab.SiteImage, "append", "/data/log")...)
	t.Cleanup(func() {
		_, _ = first.TryDocker("service", "rm", name)
		lab.Eventually(t, "the end of the tasks of "+name, func() error {
			_, err := first.TryDocker("volume", "rm", name)
			return err
		})
		_, _ = first.TryBerth("snapshot", "rm", "of-"+name, "--yes")
	})
	requireWriting(t, l, name)
}

// requireReplicas waits until a service has "RUNNING/WANTED" replicas.
func requireReplicas(t *testing.T, n *lab.Node, service, want string) {
	t.Helper()
	lab.Eventually(t, want+" replicas of "+service, func() error {
		now, err := n.TryDocker("service", "ls", "--filter", "name="+service, "--format", "{{.Replicas}}")
		if err == nil && now != want {
			err = fmt.Errorf("it has %s", now)
		}
		return err
	})
}

func TestRestoreStopsAServiceAndPutsItBack(t *testing.T) {
	l := swarm(t)
	first, second := l.Nodes[0], l.Nodes[1]
	startService(t, l, "web", "--replicas", "2")
	requireReplicas(t, first, "web", "2/2")

	_, err := second.TryBerth("snapshot", "restore", "web@of-web", "--yes")
	require.ErrorContains(t, err, "exit status 4")
	require.ErrorContains(t, err, "service web")
	require.Equal(t, "newer", page(t, l, "web"))

	out := second.Berth(t, "snapshot", "restore", "web@of-web", "--stop", "--yes")
	require.Contains(t, out, "web: restored")
	require.Equal(t, "old", page(t, l, "web"))
	requireReplicas(t, first, "web", "2/2")
	requireWriting(t, l, "web")

	first.Berth(t, "undo", "web", "--stop", "--yes")
	require.Equal(t, "newer", page(t, l, "web"))
	requireReplicas(t, first, "web", "2/2")
	requireWriting(t, l, "web")
}

func TestRestoreOfAStackIsOfOneInstant(t *testing.T) {
	l := swarm(t)
	first := l.Nodes[0]
	startService(t, l, "mall_web")
	startService(t, l, "mall_db")
	first.Berth(t, "snapshot", "create", "--stack", "mall", "--name", "both")
	t.Cleanup(func() { _, _ = first.TryBerth("snapshot", "rm", "both", "--yes") })
	setPage(t, l, "mall_web", "broken")
	setPage(t, l, "mall_db", "broken")
	first.Berth(t, "snapshot", "restore", "--stack", "mall@both", "--stop", "--yes")
	require.Equal(t, []string{"newer", "newer"}, []string{page(t, l, "mall_web"), page(t, l, "mall_db")})
	requireReplicas(t, first, "mall_web", "1/1")
	requireReplicas(t, first, "mall_db", "1/1")
	first.Berth(t, "undo", "--stack", "mall", "--stop", "--yes")
	require.Equal(t, []string{"broken", "broken"}, []string{page(t, l, "mall_web"), page(t, l, "mall_db")})
}

func TestRestoreRefusesAGlobalServiceAndStopsNothing(t *testing.T) {
	l := swarm(t)
	first := l.Nodes[0]
	startService(t, l, "everywhere", "--mode", "global")
	_, err := first.TryBerth("snapshot", "restore", "everywhere@of-everywhere", "--stop", "--yes")
	require.ErrorContains(t, err, "exit status 4")
	require.ErrorContains(t, err, "service everywhere is not replicated")
	require.Equal(t, "newer", page(t, l, "everywhere"))
	requireReplicas(t, first, "everywhere", "3/3")
}

// killWhileStopping runs a restore and kills the command line when it has
// scaled the service down: its containers take long to end.
func killWhileStopping(t *testing.T, n *lab.Node, service string) {
	t.Helper()
	berth, err := n.Run("sh", "-c", "true") // the node is there
	require.NoError(t, err, berth)
	cli := n.Command("sh", "-c", `echo $$; exec "$@"`, "sh", lab.PluginFolder(t)+"/rootfs/berth", "snapshot", "restore", service+"@of-"+service, "--stop", "--yes")
	out, err := cli.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cli.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	pid := strings.TrimSpace(lines.Text())
	lab.Eventually(t, "the service to be scaled down", func() error {
		now, err := n.TryDocker("service", "inspect", "--format", "{{.Spec.Mode.Replicated.Replicas}}", service)
		if err == nil && now != "0" {
			err = fmt.Errorf("it has %s replicas", now)
		}
		return err
	})
	_, err = n.Run("kill", "-9", pid)
	require.NoError(t, err)
	_ = cli.Wait()
}

// slow makes a service's containers take seconds to end: the signal means
// nothing to them.
var slow = []string{"--stop-signal", "SIGWINCH", "--stop-grace-period", "4s"}

func TestResumeBringsTheSiteBackAfterTheCommandLineDied(t *testing.T) {
	l := swarm(t)
	first, third := l.Nodes[0], l.Nodes[2]
	startService(t, l, "resumed", slow...)
	killWhileStopping(t, first, "resumed")
	require.Contains(t, third.Berth(t, "volume", "ps", "resumed"), "--resume resumed")
	_, err := third.TryBerth("snapshot", "restore", "resumed@of-resumed", "--stop", "--yes")
	require.ErrorContains(t, err, "--resume resumed")
	require.Equal(t, "newer", page(t, l, "resumed"))

	// From another manager: what was stopped is in the journal.
	third.Berth(t, "snapshot", "restore", "--resume", "resumed")
	require.Equal(t, "old", page(t, l, "resumed"))
	requireReplicas(t, first, "resumed", "1/1")
	requireWriting(t, l, "resumed")
	require.NotContains(t, first.Berth(t, "volume", "ps", "resumed"), "--resume")
}

func TestAbortBringsTheSiteBackAsItWas(t *testing.T) {
	l := swarm(t)
	first, second := l.Nodes[0], l.Nodes[1]
	startService(t, l, "aborted", slow...)
	killWhileStopping(t, first, "aborted")
	second.Berth(t, "snapshot", "restore", "--abort", "aborted")
	require.Equal(t, "newer", page(t, l, "aborted"))
	requireReplicas(t, first, "aborted", "1/1")
	_, err := second.TryBerth("snapshot", "restore", "--resume", "aborted")
	require.ErrorContains(t, err, "exit status 6")
}

func TestRestoreStopsAContainerThatAlwaysRestarts(t *testing.T) {
	l, n := single(t, lab.Options{})
	n.Docker(t, "volume", "create", "-d", "berth", "blog")
	setPage(t, l, "blog", "old")
	n.Berth(t, "snapshot", "create", "blog", "--name", "good")
	startWriter(t, l, n, "blog", "--restart", "always")
	setPage(t, l, "blog", "newer")
	n.Berth(t, "snapshot", "restore", "blog@good", "--stop", "--yes")
	require.Equal(t, "old", page(t, l, "blog"))
	requireWriting(t, l, "blog")

	// The plugin is killed in the middle of a copy.
	for i := range 40 {
		dir := filepath.Join(l.Export, "blog", fmt.Sprint("dir", i))
		require.NoError(t, os.Mkdir(dir, 0o755))
		for j := range 150 {
			require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(j)), []byte(strings.Repeat("x", 3000)), 0o644))
		}
	}
	n.Docker(t, "rm", "--force", "writer-blog")
	n.Berth(t, "snapshot", "create", "blog", "--name", "large")
	setPage(t, l, "blog", "after large")
	cli := n.Command(lab.PluginFolder(t)+"/rootfs/berth", "snapshot", "restore", "blog@large", "--checksum", "--yes")
	require.NoError(t, cli.Start())
	lab.Eventually(t, "the copy to have begun", func() error {
		found, _ := filepath.Glob(filepath.Join(l.Export, ".berth/staging/job-*/blog/dir*/*"))
		if done := page(t, l, "blog") != "after large"; len(found) == 0 && !done {
			return fmt.Errorf("nothing is copied")
		}
		return nil
	})
	pid, err := n.PluginPID()
	require.NoError(t, err)
	process, err := os.FindProcess(pid)
	require.NoError(t, err)
	require.NoError(t, process.Kill())
	_ = cli.Wait()
	lab.Eventually(t, "the plugin to be back", func() error {
		_, err := n.TryBerth("volume", "ls")
		return err
	})
	if page(t, l, "blog") == "after large" {
		require.Contains(t, n.Berth(t, "volume", "ps", "blog"), "--resume blog")
		n.Berth(t, "snapshot", "restore", "--resume", "blog")
	}
	require.Equal(t, "newer", strings.ReplaceAll(page(t, l, "blog"), "old", "newer"))
	for i := range 40 {
		found, err := filepath.Glob(filepath.Join(l.Export, "blog", fmt.Sprint("dir", i), "*"))
		require.NoError(t, err)
		require.Len(t, found, 150)
	}
}
