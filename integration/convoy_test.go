package integration

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/integration/docs"
	"github.com/casit/berth/integration/lab"
)

// A cutOver is a swarm that has its volumes from Convoy, and the commands of
// docs/from-convoy.md that are still to be typed.
type cutOver struct {
	fleet
	convoy string // the program that stands in for Convoy
	left   []string
}

// convoyShare is where every node has the share mounted for Convoy.
const convoyShare = "/srv/convoy"

func newCutOver(t *testing.T, test string) *cutOver {
	t.Helper()
	c := &cutOver{fleet: newFleet(t), left: docs.Commands(t, "docs/from-convoy.md", test)}
	c.convoy = buildConvoy(t)
	c.file(t, "secret", fleetPassword)
	for _, n := range c.Nodes {
		installConvoy(t, n)
		startConvoy(t, n, c.convoy)
	}
	return c
}

// buildConvoy builds what stands in for Convoy.
func buildConvoy(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "convoy")
	root, err := lab.Root()
	require.NoError(t, err)
	build := exec.Command("go", "build", "-o", program, "./integration/convoy")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// mountConvoy mounts the share as Convoy has it.
func mountConvoy(t *testing.T, n *lab.Node) {
	t.Helper()
	asRoot(t, n, "mkdir -p "+convoyShare+" && mount --bind /srv/berth "+convoyShare)
}

// installConvoy is mountConvoy, and Docker is told where Convoy will be.
func installConvoy(t *testing.T, n *lab.Node) {
	t.Helper()
	mountConvoy(t, n)
	asRoot(t, n, "mkdir -p /etc/docker/plugins && echo unix:///run/convoy/convoy.sock >/etc/docker/plugins/convoy.spec")
}

// startConvoy and stopConvoy are what systemd does for convoy.service.
func startConvoy(t *testing.T, n *lab.Node, program string) {
	t.Helper()
	require.NoError(t, n.Command(program, convoyShare, "/run/convoy/convoy.sock").Start())
	lab.Eventually(t, "Convoy to listen", func() error {
		_, err := n.Run("test", "-s", "/run/convoy/convoy.sock.pid")
		return err
	})
}

func stopConvoy(t *testing.T, n *lab.Node) {
	t.Helper()
	asRoot(t, n, "kill $(cat /run/convoy/convoy.sock.pid) && rm /run/convoy/convoy.sock.pid")
}

// asRoot runs a command line on the node.
func asRoot(t *testing.T, n *lab.Node, line string) {
	t.Helper()
	_, err := n.Run("sh", "-c", line)
	require.NoError(t, err, "%s: %s", n.Name, line)
}

// sh runs a command line as root on the node, in the administrator's directory.
func (c *cutOver) sh(t *testing.T, n *lab.Node, line string) string {
	t.Helper()
	out, err := c.trySh(n, line)
	require.NoError(t, err, "%s: %s\n%s", n.Name, line, out)
	return out
}

func (c *cutOver) trySh(n *lab.Node, line string) (string, error) {
	return n.Run("sh", "-c", "cd "+c.dir+" && PATH="+fleetBin+":$PATH && "+line)
}

// typed runs one command of the document on the node. What is not the node's
// own is done by who has it: services by the lab, ssh by the fleet, the swarm
// by its first manager that answers.
func (c *cutOver) typed(t *testing.T, n *lab.Node, line string) string {
	t.Helper()
	began := time.Now()
	defer func() { t.Logf("%s: %s (%.1f s)", n.Name, line, time.Since(began).Seconds()) }()
	words := strings.Fields(line)
	switch {
	case words[0] == "deploy/berth-nodes.sh":
		for i, w := range words {
			if w == "berth.env" || w == "secret" {
				words[i] = filepath.Join(c.dir, w)
			}
		}
		return c.done(t, append(words[1:], "--plugin", lab.PluginFolder(t))...)
	case words[0] == "systemctl":
		switch line {
		case "systemctl restart docker":
			require.NoError(t, n.RestartEngine(unix.SIGTERM))
		case "systemctl disable --now convoy":
			stopConvoy(t, n)
		case "systemctl enable --now convoy":
			startConvoy(t, n, c.convoy)
		default:
			require.Fail(t, "no such service", line)
		}
		return ""
	case strings.HasPrefix(line, "docker node"), strings.HasPrefix(line, "docker stack"):
		line = strings.Replace(line, "docker stack deploy", "docker stack deploy --resolve-image never", 1)
		var out string
		lab.Eventually(t, line, func() (err error) {
			out, err = c.trySh(c.Nodes[0], line)
			return err
		})
		return out
	}
	return c.sh(t, n, line)
}

// until takes the document's commands up to the first that begins with last.
func (c *cutOver) until(t *testing.T, last string) []string {
	t.Helper()
	at := slices.IndexFunc(c.left, func(line string) bool { return strings.HasPrefix(line, last) })
	require.GreaterOrEqual(t, at, 0, "%q is not in the document, or not here: %q", last, c.left)
	lines := c.left[:at+1]
	c.left = c.left[at+1:]
	return lines
}

// all types the commands and returns what the last one printed.
func (c *cutOver) all(t *testing.T, n *lab.Node, lines []string) (out string) {
	t.Helper()
	for _, line := range lines {
		out = c.typed(t, n, line)
	}
	return out
}

// onEach types commands for n1 on the nodes, one after the other, each under
// its own name.
func (c *cutOver) onEach(t *testing.T, lines []string, nodes ...*lab.Node) {
	t.Helper()
	for _, n := range nodes {
		for _, line := range lines {
			c.typed(t, n, strings.ReplaceAll(line, "n1", n.Name))
		}
	}
}

// hash is everything in these directories of the share.
func (c *cutOver) hash(t *testing.T, dirs ...string) string {
	t.Helper()
	sum := sha256.New()
	for _, dir := range dirs {
		require.NoError(t, filepath.WalkDir(filepath.Join(c.Export, dir), func(p string, d fs.DirEntry, err error) error {
			require.NoError(t, err)
			info, err := d.Info()
			require.NoError(t, err)
			fmt.Fprintln(sum, p, info.Mode(), info.ModTime())
			if info.Mode().IsRegular() {
				data, err := os.ReadFile(p)
				require.NoError(t, err)
				sum.Write(data)
			}
			return nil
		}))
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// onDriver waits until the stack's tasks run on volumes of the driver, and
// requires that they have written on.
func (c *cutOver) onDriver(t *testing.T, driver string) {
	t.Helper()
	for service, volume := range map[string]string{"shop_site": "shop_data", "shop_db": "shop_db"} {
		lab.Eventually(t, service+" to run on "+driver, func() error {
			node := runningOn(t, c.Nodes[0], service, "")
			has, err := c.Node(node).TryDocker("volume", "inspect", "--format", "{{.Driver}}", volume)
			if err == nil && has != driver {
				err = fmt.Errorf("%s has it from %s", node, has)
			}
			return err
		})
	}
	for _, volume := range []string{"shop_data", "shop_db"} {
		requireWriting(t, c.Lab, volume)
		requireUnbroken(t, c.Lab, volume)
	}
}

// convoyStack is a site with a database, as it was under Convoy.
const convoyStack = `
version: "3.8"
services:
  site:
    image: ` + lab.SiteImage + `
    command: append /data/log
    volumes: ["data:/data"]
    deploy: {restart_policy: {delay: 0s}}
  db:
    image: ` + lab.SiteImage + `
    command: append /data/log
    volumes: ["db:/data"]
    deploy: {restart_policy: {delay: 0s}}
volumes:
  data:
    driver: convoy
  db:
    driver: convoy
`

// The steps are one story on one swarm, since a swarm takes its time to start.
func TestFromConvoy(t *testing.T) {
	t.Parallel()
	c := newCutOver(t, "TestFromConvoy")
	n1, n2, n3 := c.Nodes[0], c.Nodes[1], c.Nodes[2]
	c.file(t, "shop.yml", convoyStack)
	for _, n := range c.Nodes {
		n.Docker(t, "volume", "create", "-d", "convoy", "quiet")
		n.Docker(t, "volume", "create", "-d", "convoy", "dropped")
	}
	n3.Docker(t, "run", "--rm", "--network", "none", "-v", "quiet:/data", lab.SiteImage, "write", "/data/page", "hello")
	n3.Docker(t, "volume", "rm", "dropped")
	n3.Docker(t, "volume", "create", "-d", "convoy", "shop_db")
	require.NoError(t, os.WriteFile(filepath.Join(c.Export, "shop_db", "ibdata1"), nil, 0o600))
	require.NoFileExists(t, filepath.Join(c.Export, "config", "vfs_volume_dropped.json"), "as the document says, for all nodes")
	c.typed(t, n1, "docker stack deploy --compose-file shop.yml shop")
	c.onDriver(t, "convoy")
	quiet := c.hash(t, "quiet", "dropped")
	config := c.hash(t, "config")

	t.Run("import beside Convoy", func(t *testing.T) {
		dry := c.all(t, n1, c.until(t, "berth import convoy --dry-run"))
		require.Contains(t, dry, "to import")
		require.True(t, strings.HasSuffix(dry, "\n3 volumes, 1 database, 1 orphan; Convoy's files untouched"), dry)
		out := c.all(t, n1, c.until(t, "berth import convoy"))
		require.Contains(t, out, "berth volume set shop_db access=single")
		require.Equal(t, config, c.hash(t, "config"))
		c.all(t, n1, c.until(t, "berth volume set shop_db access=single"))
		c.onDriver(t, "convoy")

		_, err := n1.TryDocker("volume", "create", "-d", "berth", "quiet")
		require.ErrorContains(t, err, "driver 'convoy' already has volume 'quiet'", "what the document says of it")
	})
	if t.Failed() {
		return
	}
	node := c.until(t, "docker node update --availability active n1")
	stack := c.until(t, "docker stack deploy")
	t.Run("the first node", func(t *testing.T) {
		c.onEach(t, node, n1)
		require.Equal(t, "berth:latest", n1.Docker(t, "volume", "inspect", "--format", "{{.Driver}}", "quiet"))
		require.NotContains(t, n1.Docker(t, "info", "--format", "{{json .Plugins.Volume}}"), "convoy")
		c.onDriver(t, "convoy")
	})
	if t.Failed() {
		return
	}
	t.Run("the stack", func(t *testing.T) {
		c.all(t, n1, stack)
		c.onDriver(t, "berth:latest")
	})
	t.Run("the other nodes", func(t *testing.T) {
		c.onEach(t, node, n2, n3)
		c.onDriver(t, "berth:latest")
		c.all(t, n1, c.until(t, "berth volume ps"))
	})
	if t.Failed() {
		return
	}
	t.Run("nothing of Convoy's was touched", func(t *testing.T) {
		config := c.hash(t, "config")
		require.Contains(t, n2.Berth(t, "import", "convoy", "--undo"), "2 volumes undone, 1 kept")
		require.Contains(t, n3.Berth(t, "import", "convoy", "--adopt-orphans"), "3 volumes, 1 database, 1 orphan")
		require.Equal(t, config, c.hash(t, "config"))
		require.Equal(t, quiet, c.hash(t, "quiet", "dropped"))
		c.onDriver(t, "berth:latest")
	})
	t.Run("and back", func(t *testing.T) {
		back := c.until(t, "docker node update --availability active n1")
		stack := c.until(t, "docker stack deploy")
		c.onEach(t, back, n1)
		require.Equal(t, "convoy", n1.Docker(t, "volume", "inspect", "--format", "{{.Driver}}", "quiet"))
		c.all(t, n1, stack)
		c.onDriver(t, "convoy")
		c.onEach(t, back, n2, n3)
		c.onDriver(t, "convoy")
		out := c.all(t, n1, c.until(t, "berth import convoy --undo"))
		require.Contains(t, out, "4 volumes undone, 0 kept; Convoy's files untouched")
		require.Equal(t, quiet, c.hash(t, "quiet", "dropped"))
		c.all(t, n1, c.left)
		c.onDriver(t, "convoy")
	})
}

// What is done when Convoy has gone: its archives, its records.
func TestAfterConvoy(t *testing.T) {
	l, n := single(t, lab.Options{})
	n.Docker(t, "tag", lab.SiteImage, "busybox")
	mountConvoy(t, n)
	require.NoError(t, os.MkdirAll(filepath.Join(l.Export, "config"), 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(l.Export, "shop_wp"), 0o700))
	record := `{"Name":"shop_wp","Size":0,"Path":"/srv/convoy/shop_wp","MountPoint":"","PrepareForVM":false,"CreatedTime":"Sun Nov 22 17:46:33 +0000 2026","Snapshots":{}}` + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(l.Export, "config", "vfs_volume_shop_wp.json"), []byte(record), 0o644))
	n.Berth(t, "import", "convoy")

	// An archive as Convoy makes it: members "./…", owners as they were.
	site := filepath.Join(t.TempDir(), "site")
	require.NoError(t, os.MkdirAll(filepath.Join(site, "wp-content"), 0o750))
	page := filepath.Join(site, "wp-content", "page")
	require.NoError(t, os.WriteFile(page, []byte("hello"), 0o640))
	require.NoError(t, os.Symlink("wp-content/page", filepath.Join(site, "link")))
	require.NoError(t, os.Chown(page, 33, 34))
	old := time.Date(2020, 3, 2, 8, 0, 0, 0, time.UTC)
	require.NoError(t, os.Chtimes(page, old, old))
	archives := "/run/convoy-snapshots"
	asRoot(t, n, "mkdir "+archives+" && tar -C "+site+" -czf "+archives+"/shop_wp_snap1.tar.gz .")

	for _, line := range docs.Commands(t, "docs/from-convoy.md", "TestAfterConvoy") {
		// /var/lib is the machine's in a lab.
		asRoot(t, n, strings.ReplaceAll(line, "/var/lib/rancher/convoy/vfs/snapshots", archives))
	}
	made := filepath.Join(l.Export, "shop_wp_snap1", "wp-content", "page")
	text, err := os.ReadFile(made)
	require.NoError(t, err)
	require.Equal(t, "hello", string(text))
	var stat unix.Stat_t
	require.NoError(t, unix.Lstat(made, &stat))
	require.Equal(t, []uint32{33, 34, unix.S_IFREG | 0o640}, []uint32{stat.Uid, stat.Gid, stat.Mode})
	require.Equal(t, old.Unix(), stat.Mtim.Sec)
	target, err := os.Readlink(filepath.Join(l.Export, "shop_wp_snap1", "link"))
	require.NoError(t, err)
	require.Equal(t, "wp-content/page", target)

	require.Equal(t, []string{"shop_wp", "shop_wp_snap1"}, volumes(t, n))
	require.Contains(t, n.Berth(t, "volume", "inspect", "shop_wp"), `"created": "2026-11-22T17:46:33Z"`, "what was imported outlives Convoy's records")
	require.Contains(t, n.Berth(t, "import", "convoy"), "1 volume, 0 databases, 0 orphans")
}

// The shortcut that the document warns of: Convoy is gone, Docker's records are
// not. Docker asks for each in vain, 15 s long, before it starts.
func TestConvoyStoppedTooEarly(t *testing.T) {
	t.Parallel()
	l, n := single(t, lab.Options{})
	installConvoy(t, n)
	startConvoy(t, n, buildConvoy(t))
	n.Docker(t, "volume", "create", "-d", "convoy", "blog")
	n.Docker(t, "run", "--rm", "--network", "none", "-v", "blog:/data", lab.SiteImage, "write", "/data/page", "hello")
	stopConvoy(t, n)
	_, err := n.TryDocker("volume", "create", "-d", "berth", "blog")
	require.ErrorContains(t, err, "found reference to volume 'blog' in driver 'convoy', but got an error while checking the driver")

	asRoot(t, n, "rm /etc/docker/plugins/convoy.spec")
	require.NoError(t, n.RestartEngine(unix.SIGTERM))
	read := func() (string, error) {
		return n.TryDocker("run", "--rm", "--network", "none", "-v", "blog:/data", lab.SiteImage, "cat", "/data/page")
	}
	_, err = read()
	require.ErrorContains(t, err, "no such file", "without a driver it is a new volume on the node's disk")
	require.Equal(t, "local", n.Docker(t, "volume", "inspect", "--format", "{{.Driver}}", "blog"))
	n.Docker(t, "volume", "rm", "blog")
	n.Docker(t, "volume", "create", "-d", "berth", "blog")
	page, err := read()
	require.NoError(t, err)
	require.Equal(t, "hello", page)
	require.FileExists(t, filepath.Join(l.Export, "config", "vfs_volume_blog.json"))
}
