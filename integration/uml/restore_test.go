package uml

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

// story prints commands and their output as they would be seen on a terminal,
// for `make demo-filer`; as a test it prints nothing.
type story struct {
	t *testing.T
	h *Host
}

func (s *story) print(format string, args ...any) {
	if os.Getenv("BERTH_STORY") != "" {
		fmt.Printf("story: "+format+"\n", args...)
	}
}

func (s *story) say(text string) { s.print("# %s", text) }

func (s *story) show(program string, args []string, out string) {
	line := program
	for _, a := range args {
		if strings.ContainsAny(a, " '\"") {
			a = "'" + a + "'"
		}
		line += " " + a
	}
	s.print("%s$ %s", s.h.Name, line)
	for l := range strings.Lines(out) {
		s.print("%s", strings.TrimSuffix(l, "\n"))
	}
}

func (s *story) docker(args ...string) string {
	s.t.Helper()
	out := s.h.Docker(s.t, args...)
	s.show("docker", args, out)
	return out
}

func (s *story) berth(args ...string) string {
	s.t.Helper()
	out := s.h.Berth(s.t, args...)
	s.show("berth", args, out)
	return out
}

// refused is berth for a command that has to end with an exit code.
func (s *story) refused(code int, args ...string) string {
	s.t.Helper()
	_, err := s.h.TryBerth(args...)
	e := (*ExitError)(nil)
	require.ErrorAs(s.t, err, &e)
	require.Equal(s.t, code, e.Code, err)
	s.show("berth", args, fmt.Sprintf("%s(exit %d)", e.Stderr, e.Code))
	return e.Stderr
}

// same requires that two directories of the export are the same to an
// independent tool, run on the server.
func same(t *testing.T, l *Lab, a, b string) {
	t.Helper()
	args := []string{"rsync", "-niaH", "--delete", "--checksum", exportPath + "/" + a + "/", exportPath + "/" + b + "/"}
	var r Result
	require.NoError(t, l.agent.Call("Agent.Run", Command{Args: args}, &r))
	require.NoError(t, r.error(args))
	require.Empty(t, r.Stdout, "%s against %s", a, b)
}

// TestASiteIsBroughtBack is the story of `make demo` on an NFS export with a
// filer's API behind it.
func TestASiteIsBroughtBack(t *testing.T) {
	l := pair(t)
	s := &story{t, l.Hosts[0]}
	other := &story{t, l.Hosts[1]}
	s.say("Two hosts with a kernel NFS client each, an NFS server, and a simulated ONTAP API. A site:")
	s.docker("volume", "create", "-d", "berth", "blog")
	s.docker("run", "-d", "--name", "blog", "--network", "none", "-v", "blog:/data", lab.SiteImage, "append", "/data/visits")
	t.Cleanup(func() { _, _ = s.h.TryDocker("rm", "--force", "blog") })
	once := []string{"run", "--rm", "--network", "none", "-v", "blog:/data", "--volume-driver", "berth", lab.SiteImage}
	s.docker(append(once, "write", "/data/page", "Our blog")...)

	s.say("Before an update: a snapshot. The filer makes it, of all volumes at one instant.")
	s.h.Run(t, "sync")
	s.berth("snapshot", "create", "--name", "before-update")
	t.Cleanup(func() { _, _ = s.h.TryBerth("snapshot", "rm", "before-update", "--yes") })
	s.docker(append(once, "write", "/data/page", "HACKED")...)
	s.docker(append(once, "write", "/data/evil", "eval")...)
	s.berth("snapshot", "ls", "blog")
	require.Contains(t, s.berth("snapshot", "diff", "blog@before-update"), "evil")

	s.say("It is in use here; another node says so too.")
	require.Contains(t, other.refused(4, "snapshot", "restore", "blog@before-update"), "n1")
	require.Contains(t, s.refused(4, "snapshot", "restore", "blog@before-update"), "container blog")
	out := s.berth("snapshot", "restore", "blog@before-update", "--stop", "--yes")
	require.Contains(t, out, "engine filer")
	require.Equal(t, "Our blog", s.docker(append(once, "cat", "/data/page")...))
	require.Equal(t, "true", s.h.Docker(t, "inspect", "--format", "{{.State.Running}}", "blog"), "it runs again")
	require.NoFileExists(t, l.Server.Path("blog", "evil"))

	s.say("The old version can be mounted too, on any node; and a restore can be taken back.")
	require.Equal(t, "Our blog", other.docker("run", "--rm", "--network", "none", "-v", "blog@before-update:/old:ro", "--volume-driver", "berth",
		lab.SiteImage, "cat", "/old/page"))
	s.berth("undo", "blog", "--stop", "--yes")
	require.Equal(t, "HACKED", s.docker(append(once, "cat", "/data/page")...))
	s.say("One file, while the site runs.")
	s.berth("snapshot", "restore", "blog@before-update:page", "--yes")
	require.Equal(t, "Our blog", s.docker(append(once, "cat", "/data/page")...))
}

// TestARunningSiteIsSyncedUnderItsKernelClient restores live: containers have
// the directory open through the kernel's client.
func TestARunningSiteIsSyncedUnderItsKernelClient(t *testing.T) {
	l := pair(t)
	a := l.Hosts[0]
	a.Docker(t, "volume", "create", "-d", "berth", "live")
	mount := []string{"--network", "none", "-v", "live:/data", "--volume-driver", "berth", "--entrypoint", "/bin/busybox", lab.SiteImage, "sh", "-c"}
	a.Docker(t, append(append([]string{"run", "--rm"}, mount...), "mkdir -p /data/a/b; for i in $(seq 50); do echo old $i >/data/a/b/f$i; done; ln /data/a/b/f1 /data/hard; chmod 2755 /data/a; ln -s f1 /data/a/b/link")...)
	a.Berth(t, "snapshot", "create", "--name", "calm")
	t.Cleanup(func() { _, _ = a.TryBerth("snapshot", "rm", "calm", "--yes") })
	a.Docker(t, append(append([]string{"run", "-d", "--name", "live"}, mount...), "cd /data; while :; do /bin/busybox cat a/b/f2 >/dev/null; done")...)
	t.Cleanup(func() { _, _ = a.TryDocker("rm", "--force", "live") })
	a.Docker(t, append(append([]string{"run", "--rm"}, mount...), "cd /data; echo new >a/b/f2; rm a/b/f3; chmod 700 a; rm hard; echo more >hard; mkdir added; sync")...)

	a.Berth(t, "snapshot", "restore", "live@calm", "--live", "--yes")
	same(t, l, ".snapshot/calm/live", "live")
	lab.Eventually(t, "the container to read the old file", func() error {
		out, err := a.TryDocker("exec", "live", "/bin/busybox", "cat", "/data/a/b/f2")
		if err == nil && out != "old 2" {
			err = fmt.Errorf("it reads %q", out)
		}
		return err
	})
}
