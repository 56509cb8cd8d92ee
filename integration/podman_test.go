package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
	"github.com/casit/berth/volume"
)

// podman is podman on a node, with the berths that it can ask. Its own storage
// is below dir.
type podman struct {
	n   *lab.Node
	dir string
}

// newPodman starts two berths on a node, as two nodes of one export: podman asks
// "a"; "b" is somebody else.
func newPodman(t *testing.T) (*lab.Lab, *podman) {
	t.Helper()
	if _, err := exec.LookPath("podman"); err != nil {
		lab.Skip(t, "needs podman: apt-get install --no-install-recommends podman runc")
	}
	l := lab.New(t, lab.Options{})
	p := &podman{l.Nodes[0], t.TempDir()}
	for _, name := range []string{"a", "b"} {
		serve := p.n.Command(lab.PluginFolder(t)+"/rootfs/berth", "serve", "--socket", p.socket(name))
		serve.Env = append(serve.Env, "BERTH_EXPORT=file:///srv/berth", "BERTH_NODE="+name, "BERTH_MOUNT_ROOT="+filepath.Join(p.dir, "mnt-"+name))
		require.NoError(t, serve.Start())
		t.Cleanup(func() { _ = serve.Process.Kill(); _ = serve.Wait() })
		lab.Eventually(t, "berth "+name+" to answer", func() error {
			_, err := p.berth(t, name, "volume", "ls")
			return err
		})
	}
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "containers.conf"), []byte(fmt.Sprintf(`[containers]
netns = "none"
pids_limit = 0
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
volume_plugin_timeout = 120
[engine.volume_plugins]
berth = %q
`, p.socket("a"))), 0o644))
	image := filepath.Join(p.dir, "site.tar")
	require.NoError(t, os.WriteFile(image, lab.SiteArchive(t), 0o644))
	p.ok(t, "import", image, lab.SiteImage)
	return l, p
}

func (p *podman) socket(name string) string { return filepath.Join(p.dir, name+".sock") }

// run runs podman and returns what it printed, errors too.
func (p *podman) run(args ...string) (string, error) {
	cmd := p.n.Command(append([]string{"nsenter", "-t", "1", "-C", "podman", "--root", p.dir + "/root", "--runroot", "/run/podman", // no path of more than 50 characters
		"--tmpdir", p.dir + "/tmp", "--storage-driver", "vfs"}, args...)...)
	cmd.Env = append(cmd.Env, "CONTAINERS_CONF="+p.dir+"/containers.conf", "DOCKER_CONFIG=")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (p *podman) ok(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.run(args...)
	require.NoError(t, err, "podman %v: %s", args, out)
	return out
}

// refused runs podman, which has to fail with words.
func (p *podman) refused(t *testing.T, words string, args ...string) {
	t.Helper()
	out, err := p.run(args...)
	require.Error(t, err, "podman %v: %s", args, out)
	require.Contains(t, out, words, "podman %v", args)
}

// inside runs the site's program in a container with volume at /data.
func inside(volume string, args ...string) []string {
	return append([]string{"run", "--rm", "-v", volume + ":/data", "--entrypoint", "/testsite", lab.SiteImage}, args...)
}

// verb sends one of dockerd's requests to the berth of a name.
func (p *podman) verb(t *testing.T, name, verb, body string) {
	t.Helper()
	out, err := p.n.Run("curl", "--silent", "--fail-with-body", "--unix-socket", p.socket(name), "--data", body, "http://x/VolumeDriver."+verb)
	require.NoError(t, err, "%s %s: %s", verb, body, out)
}

func (p *podman) berth(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	cmd := p.n.Command(append([]string{lab.PluginFolder(t) + "/rootfs/berth"}, args...)...)
	cmd.Env = append(cmd.Env, "BERTH_SOCKET="+p.socket(name))
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// TestPodman: one machine for all.
func TestPodman(t *testing.T) {
	l, p := newPodman(t)
	t.Run("is told what is refused", func(t *testing.T) { podmanIsToldWhatIsRefused(t, l, p) })
	t.Run("gives a quadlet's options", func(t *testing.T) { aQuadletsOptionsMakeAVolume(t, p) })
	t.Run("uses a volume once", func(t *testing.T) { podmanUsesAVolumeOnce(t, p) })
}

// podmanIsToldWhatIsRefused: podman looks at the status of an answer alone. What
// it takes for a success, it starts on a directory of its own, and what the
// container writes is deleted with it.
func podmanIsToldWhatIsRefused(t *testing.T, l *lab.Lab, p *podman) {
	p.ok(t, "volume", "create", "--driver", "berth", "-o", "access=single", "db")
	p.ok(t, inside("db", "write", "/data/x", "first")...)
	text, err := os.ReadFile(filepath.Join(l.Export, "db/x"))
	require.NoError(t, err)
	require.Equal(t, "first", strings.TrimSpace(string(text)))

	p.refused(t, "unknown option", "volume", "create", "--driver", "berth", "-o", "bogus=1", "bad")
	require.NotContains(t, p.ok(t, "volume", "ls", "-q"), "bad")
	require.NoDirExists(t, filepath.Join(l.Export, "bad"))

	p.verb(t, "b", "Mount", `{"Name":"db","ID":"1"}`)
	p.refused(t, "access=single and held by b", inside("db", "write", "/data/y", "lost")...)
	require.NoFileExists(t, filepath.Join(l.Export, "db/y"))
	p.refused(t, "is in use on b", "volume", "rm", "db")
	require.DirExists(t, filepath.Join(l.Export, "db"))
	p.verb(t, "b", "Unmount", `{"Name":"db","ID":"1"}`)

	require.NoError(t, p.n.TakeExportAway())
	p.refused(t, "", inside("db", "write", "/data/y", "lost")...)
	p.refused(t, "", "volume", "create", "--driver", "berth", "away")
	require.NoError(t, p.n.BringExportBack())
	lab.Eventually(t, "the volume to be usable again", func() error {
		out, err := p.run(inside("db", "cat", "/data/x")...)
		if err == nil && out != "first" {
			err = fmt.Errorf("it says %q", out)
		}
		return err
	})

	p.ok(t, "volume", "rm", "db")
	require.NoDirExists(t, filepath.Join(l.Export, "db"))
	restored, err := p.berth(t, "a", "trash", "restore", "db")
	require.NoError(t, err, restored)
	p.ok(t, "volume", "create", "--driver", "berth", "-o", "access=single", "db")
	require.Equal(t, "first", p.ok(t, inside("db", "cat", "/data/x")...))
}

// aQuadletsOptionsMakeAVolume: a quadlet has User=, Group= and one Options=,
// which podman gives as one list.
func aQuadletsOptionsMakeAVolume(t *testing.T, p *podman) {
	p.ok(t, "volume", "create", "--driver", "berth", "-o", "o=uid=33,gid=34,mode=2775", "web")
	out, err := p.berth(t, "a", "volume", "inspect", "web")
	require.NoError(t, err)
	var got []struct{ Options volume.Options }
	require.NoError(t, json.Unmarshal([]byte(out), &got), out)
	require.Len(t, got, 1)
	require.Equal(t, "33", got[0].Options["uid"])
	require.Equal(t, "34", got[0].Options["gid"])
	require.Equal(t, "2775", got[0].Options["mode"])
}

// podmanUsesAVolumeOnce: podman gives one id for all its mounts, and counts by
// itself; what it forgot when it was killed is not counted here either.
func podmanUsesAVolumeOnce(t *testing.T, p *podman) {
	p.ok(t, "volume", "create", "--driver", "berth", "shared")
	for _, name := range []string{"c1", "c2"} {
		p.ok(t, "run", "-d", "--name", name, "-v", "shared:/data", "--entrypoint", "/testsite", lab.SiteImage, "append", "/data/"+name)
	}
	p.ok(t, "rm", "--force", "--time", "0", "c1")
	used := func() string {
		out, err := p.berth(t, "a", "volume", "ps", "shared", "--quiet")
		require.NoError(t, err)
		return out
	}
	require.NotEmpty(t, used(), "the other container has it")
	p.ok(t, "rm", "--force", "--time", "0", "c2")
	require.Empty(t, used())

	// podman that lost its count mounts again what it has.
	const id = "2f73349cfc4630255319c6c8dfc1b46a8996ace9d14d8e07563b165915918ec2"
	p.verb(t, "a", "Mount", `{"Name":"shared","ID":"`+id+`"}`)
	p.ok(t, inside("shared", "ls", "/data")...)
	require.Empty(t, used())
	p.ok(t, "volume", "rm", "shared")
}
