package lab

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// victimVar makes the test binary a run that starts a lab and is then killed.
const victimVar = "BERTH_LAB_VICTIM"

func TestMain(m *testing.M) {
	if os.Getenv(victimVar) != "" {
		if _, err := Start(Options{}); err != nil {
			println(err.Error())
			os.Exit(1)
		}
		r, _ := thisRun()
		println(r.dir)
		select {}
	}
	Main(m)
}

func TestKilledRunLeavesNothingAfterTheNext(t *testing.T) {
	Require(t)
	_, err := thisRun() // now: it removes leftovers once
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	victim := exec.Command(self)
	victim.Env = append(os.Environ(), victimVar+"=1")
	output, err := victim.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, victim.Start())
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	dir := strings.TrimSpace(line)
	require.DirExists(t, dir, "the victim said where it is")
	recorded, err := os.ReadFile(filepath.Join(dir, "pids"))
	require.NoError(t, err)

	require.NoError(t, RemoveLeftovers())
	require.DirExists(t, dir, "a run that is alive is left alone")

	require.NoError(t, victim.Process.Kill())
	_ = victim.Wait()
	require.NoError(t, RemoveLeftovers())
	require.NoDirExists(t, dir)
	for line := range strings.Lines(string(recorded)) {
		p, ok := parseProcess(line)
		require.True(t, ok)
		require.False(t, p.alive() && !p.zombie(), "process %s", p)
	}
	groups, err := filepath.Glob(cgroupRoot + "/*/berth-lab." + filepath.Base(dir))
	require.NoError(t, err)
	require.Empty(t, groups)
}

func TestNodesLeaveNoMountOnTheMachine(t *testing.T) {
	before, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	l := New(t, Options{})
	now, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	require.Equal(t, string(before), string(now))

	host, err := l.Nodes[0].Run("hostname")
	require.NoError(t, err)
	require.Equal(t, "n1", host)
	servers, err := l.Nodes[0].Run("cat", "/etc/resolv.conf")
	require.NoError(t, err)
	require.Empty(t, servers)
	routes, err := l.Nodes[0].Run("ip", "route", "show", "default")
	require.NoError(t, err)
	require.Empty(t, routes)
}

func TestEngineRestartsAloneAndWithTheNode(t *testing.T) {
	n := New(t, Options{}).Nodes[0]
	require.NoError(t, n.ImportSite())
	n.Docker(t, "volume", "create", "local1")
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		pid := n.init.pid()
		require.NoError(t, n.RestartEngine(sig))
		require.Equal(t, pid, n.init.pid())
		require.Equal(t, "local1", n.Docker(t, "volume", "ls", "--quiet"))
	}
	require.NoError(t, n.Kill9())
	require.NoError(t, n.Boot())
	require.Equal(t, "local1", n.Docker(t, "volume", "ls", "--quiet"))
	require.Equal(t, "hello", n.Docker(t, "run", "--rm", "--network", "none", "--entrypoint", "/testsite", "-v", "local1:/data",
		SiteImage, "write", "/data/x", "hello")+n.Docker(t, "run", "--rm", "-v", "local1:/data", SiteImage, "cat", "/data/x"))
}

func TestProcessIsToldFromALaterOneWithItsPid(t *testing.T) {
	self, err := identify(os.Getpid())
	require.NoError(t, err)
	require.True(t, self.alive())
	again, ok := parseProcess(self.String())
	require.True(t, ok)
	require.Equal(t, self, again)
	later := process{pid: self.pid, start: self.start + "1"}
	require.False(t, later.alive())
	later.kill() // would end this very test otherwise
	for _, s := range []string{"", "12", "x.1", "1.5", ".", "-4.9"} {
		_, ok := parseProcess(s)
		require.False(t, ok, "%q", s)
	}
}
