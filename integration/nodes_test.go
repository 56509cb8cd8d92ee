package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/docs"
	"github.com/casit/berth/integration/lab"
)

// A fleet is a swarm that deploy/berth-nodes.sh works on. What stands in for
// ssh enters the node's namespaces, and writes down what it was asked to run.
type fleet struct {
	*lab.Lab
	dir    string
	script string
}

// fleetPassword must be in no output and in no argument.
const fleetPassword = "wachtwoord-8431"

// Below /run a node of the lab is alone; /usr/local and /var/lib are the machine's.
const (
	fleetBin = "/run/berth-bin"
	fleetLib = "/run/berth-lib"
)

func newFleet(t *testing.T) fleet {
	t.Helper()
	l := lab.New(t, lab.Options{Nodes: 3})
	require.NoError(t, os.Chmod(l.Export, 0o755)) // as an earlier release left it
	l.Swarm(t)
	require.NoError(t, l.EachNode((*lab.Node).ImportSite))
	return fleetOf(t, l)
}

// fleetOf lets the script work on a lab's nodes.
func fleetOf(t *testing.T, l *lab.Lab) fleet {
	t.Helper()
	root, err := lab.Root()
	require.NoError(t, err)
	f := fleet{Lab: l, dir: t.TempDir(), script: filepath.Join(root, "deploy", "berth-nodes.sh")}

	ssh := "#!/bin/sh\nhost=$1; shift\necho \"$host $*\" >>" + f.dir + "/asked\ncase $host in\n"
	for _, n := range l.Nodes {
		enter := n.Command("sh", "-c")
		ssh += fmt.Sprintf("%s) exec env -i %s %s \"$*\" ;;\n", n.Name, strings.Join(enter.Env, " "), strings.Join(enter.Args, " "))
	}
	ssh += "esac\necho \"no route to $host\" >&2\nexit 255\n"
	require.NoError(t, os.WriteFile(filepath.Join(f.dir, "ssh"), []byte(ssh), 0o755))
	f.file(t, "password", fleetPassword)
	f.env(t, lab.DirectoryExport)
	t.Cleanup(func() {
		asked, err := os.ReadFile(filepath.Join(f.dir, "asked"))
		require.NoError(t, err)
		require.NotContains(t, string(asked), fleetPassword, "the password was in an argument")
	})
	return f
}

// file makes a file that is given to the script, and returns its path.
func (f fleet) file(t *testing.T, name string, lines ...string) string {
	t.Helper()
	path := filepath.Join(f.dir, name)
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644))
	return path
}

// env makes an env file that names the password's, too.
func (f fleet) env(t *testing.T, lines ...string) string {
	t.Helper()
	return f.file(t, "berth.env", append(lines, "BERTH_ONTAP_PASSWORD_FILE=/etc/berth/password")...)
}

// run runs the script with wait as its patience and returns its exit code and
// all that it printed.
func (f fleet) run(t *testing.T, wait time.Duration, args ...string) (int, string) {
	t.Helper()
	cmd := f.command(wait, "bash", append([]string{f.script}, args...)...)
	text, err := cmd.CombinedOutput()
	out := string(text)
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	require.NotContains(t, out, fleetPassword)
	for line := range strings.Lines(out) {
		require.LessOrEqual(t, len(strings.TrimSuffix(line, "\n")), 100, "a line is too wide: %s", line)
	}
	// Messages are broken at 100 columns; what they say is looked for in one line.
	return cmd.ProcessState.ExitCode(), strings.Join(strings.Fields(out), " ")
}

// command is a program with the script's environment.
func (f fleet) command(wait time.Duration, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "BERTH_SSH="+filepath.Join(f.dir, "ssh"), "BERTH_BIN="+fleetBin, "BERTH_LIB="+fleetLib,
		fmt.Sprintf("BERTH_WAIT=%.0f", wait.Seconds()), "TMPDIR="+f.dir)
	return cmd
}

// done is run where nothing may go wrong.
func (f fleet) done(t *testing.T, args ...string) string {
	t.Helper()
	code, out := f.run(t, lab.Patience, args...)
	require.Zero(t, code, "%v: %s", args, out)
	return out
}

// versions are those of the running plugins, in the order of the nodes.
func (f fleet) versions(t *testing.T) (versions []string) {
	t.Helper()
	for _, n := range f.Nodes {
		out, err := n.Run(fleetBin+"/berth", "version", "--json")
		require.NoError(t, err)
		var about struct {
			Plugin struct{ Version, Health string }
		}
		require.NoError(t, json.Unmarshal([]byte(out), &about))
		require.Equal(t, "ok", about.Plugin.Health, "health of %s", n.Name)
		versions = append(versions, about.Plugin.Version)
	}
	return versions
}

// requireModes checks the files of /etc/berth on every node.
func (f fleet) requireModes(t *testing.T) {
	t.Helper()
	for _, n := range f.Nodes {
		out, err := n.Run("stat", "-c", "%n %a %u", "/etc/berth", "/etc/berth/berth.env", "/etc/berth/password", "/etc/berth/.installed", "/srv/berth")
		require.NoError(t, err)
		require.Equal(t, "/etc/berth 700 0\n/etc/berth/berth.env 600 0\n/etc/berth/password 600 0\n/etc/berth/.installed 600 0\n/srv/berth 700 0", out, "on %s", n.Name)
	}
}

// release builds the plugin's folder of this checkout with another version.
func release(t *testing.T, version string) (folder string) {
	t.Helper()
	root, err := lab.Root()
	require.NoError(t, err)
	folder = filepath.Join(t.TempDir(), "plugin")
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "rootfs"), 0o755))

	main := filepath.Join(root, "cmd", "berth", "main.go")
	source, err := os.ReadFile(main)
	require.NoError(t, err)
	constant := regexp.MustCompile(`(?m)^const version = ".*"$`)
	require.Regexp(t, constant, string(source))
	other := filepath.Join(folder, "main.go.txt")
	require.NoError(t, os.WriteFile(other, constant.ReplaceAll(source, []byte(fmt.Sprintf("const version = %q", version))), 0o644))
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{main: other}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "overlay.json"), overlay, 0o644))

	cmd := exec.Command("go", "build", "-overlay", filepath.Join(folder, "overlay.json"), "-trimpath", "-buildvcs=false",
		"-ldflags=-s -w -buildid=", "-o", filepath.Join(folder, "rootfs", "berth"), "./cmd/berth")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	config, err := os.ReadFile(filepath.Join(root, "config.json"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "config.json"), config, 0o644))
	return folder
}

// set changes a setting of the node's plugin by hand.
func set(t *testing.T, n *lab.Node, setting string) {
	t.Helper()
	n.Docker(t, "plugin", "disable", "--force", lab.Plugin)
	n.Docker(t, "plugin", "set", lab.Plugin, setting)
	n.Docker(t, "plugin", "enable", lab.Plugin)
}

// The steps are one story on one swarm, since a swarm takes its time to start.
func TestNodesScript(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	n1, n2, n3 := f.Nodes[0], f.Nodes[1], f.Nodes[2]
	const next = "0.2.0-next"
	nodes := []string{"--nodes", "n1,n2,n3"}
	old, newer := lab.PluginFolder(t), release(t, next)
	env, password := filepath.Join(f.dir, "berth.env"), filepath.Join(f.dir, "password")
	with := func(verb, plugin string, more ...string) []string {
		return append(append([]string{verb}, nodes...), append(more, "--plugin", plugin)...)
	}
	var first string // the release that is installed first

	t.Run("nothing is touched unless all nodes can be worked on", func(t *testing.T) {
		code, out := f.run(t, lab.Patience, "install", "--nodes", "n1,n9", "--plugin", old, "--env", env)
		require.Equal(t, 1, code)
		require.Contains(t, out, "n9: no route to n9")
		require.Contains(t, out, "nothing was changed")
		require.Empty(t, n1.Docker(t, "plugin", "ls", "--quiet"))

		code, out = f.run(t, lab.Patience, with("upgrade", old)...)
		require.Equal(t, 1, code)
		require.Contains(t, out, "n1: berth is not installed there: type install")
		code, out = f.run(t, lab.Patience, with("install", old)...)
		require.Equal(t, 1, code)
		require.Contains(t, out, "it has no /etc/berth/berth.env: give one with --env")
		code, out = f.run(t, lab.Patience, with("install", old, "--password-file", password, "--env", f.file(t, "short.env", lab.DirectoryExport))...)
		require.Equal(t, 2, code)
		require.Contains(t, out, "has to say BERTH_ONTAP_PASSWORD_FILE=/etc/berth/password")
	})

	t.Run("install", func(t *testing.T) {
		install := with("install", old, "--env", env, "--password-file", password)
		require.Contains(t, f.done(t, append(install, "--dry-run")...), "n3: would write berth.env, write password, install the plugin")
		require.Empty(t, n3.Docker(t, "plugin", "ls", "--quiet"), "a dry run changes nothing")
		require.Contains(t, f.done(t, install...), "done: n1,n2,n3")
		versions := f.versions(t)
		first = versions[0]
		require.Equal(t, []string{first, first, first}, versions)
		f.requireModes(t)

		was := n1.Docker(t, "plugin", "inspect", "--format", "{{.Id}}", lab.Plugin)
		out := f.done(t, install...)
		require.Equal(t, 3, strings.Count(out, ": nothing differs"), "%s", out)
		require.Equal(t, was, n1.Docker(t, "plugin", "inspect", "--format", "{{.Id}}", lab.Plugin))

		_, err := n3.Run("chmod", "0644", "/etc/berth/password")
		require.NoError(t, err)
		code, out := f.run(t, lab.Patience, append([]string{"doctor"}, nodes...)...)
		require.Equal(t, 1, code)
		require.Contains(t, out, "n3 WRONG files type 'chown root /etc/berth/password; chmod 0600 /etc/berth/password'")
		require.Equal(t, 1, strings.Count(out, "WRONG"), "%s", out)
		f.done(t, "install", "--nodes", "n3", "--plugin", old)
		f.requireModes(t)
	})
	if t.Failed() {
		return
	}

	set(t, n1, "BERTH_LEASE_TTL="+leaseTTL.String())
	for _, n := range f.Nodes {
		n.Docker(t, "volume", "create", "-d", "berth", "--label", label, "log-"+n.Name)
		startWriter(t, f.Lab, n, "log-"+n.Name)
	}
	requireUnbrokenAll := func(t *testing.T) {
		t.Helper()
		for _, n := range f.Nodes {
			requireWriting(t, f.Lab, "log-"+n.Name)
			requireUnbroken(t, f.Lab, "log-"+n.Name)
		}
	}

	t.Run("an upgrade stops at the first node that does not become healthy", func(t *testing.T) {
		// n1 has a setting of its own, which wins over the file.
		f.env(t, lab.DirectoryExport, "BERTH_LEASE_TTL=soon")
		code, out := f.run(t, 6*time.Second, with("upgrade", newer, "--env", env)...)
		require.Equal(t, 1, code)
		require.Contains(t, out, "n2: not healthy: BERTH_LEASE_TTL=soon: write a duration")
		require.Contains(t, out, "n2 has its old plugin and files again, and is healthy")
		require.Contains(t, out, "done: n1; not done: n2,n3")
		require.Contains(t, out, "upgrade --nodes n1 --plugin previous")
		require.Equal(t, []string{next, first, first}, f.versions(t))
		for _, n := range []*lab.Node{n2, n3} {
			file, err := n.Run("cat", "/etc/berth/berth.env")
			require.NoError(t, err)
			require.NotContains(t, file, "soon", "on %s", n.Name)
		}
		f.requireModes(t)
		requireUnbrokenAll(t)
		f.env(t, lab.DirectoryExport)
	})

	t.Run("an upgrade replaces the plugin while containers write", func(t *testing.T) {
		before := map[string]int{}
		for _, n := range f.Nodes {
			lines, err := records(f.Lab, "log-"+n.Name)
			require.NoError(t, err)
			before[n.Name] = len(lines)
		}
		began := time.Now()
		f.done(t, with("upgrade", newer, "--env", env)...)
		took := time.Since(began)
		require.Equal(t, []string{next, next, next}, f.versions(t))
		require.Contains(t, n1.Docker(t, "plugin", "inspect", "--format", "{{.Settings.Env}}", lab.Plugin), "BERTH_LEASE_TTL="+leaseTTL.String(), "settings are kept")
		for _, n := range f.Nodes {
			lines, err := records(f.Lab, "log-"+n.Name)
			require.NoError(t, err)
			// Fifty a second on a machine with nothing else to do.
			require.Greater(t, len(lines)-before[n.Name], int(took/(200*time.Millisecond)), "%s did not go on writing", n.Name)
			require.Subset(t, volumes(t, n), []string{"log-n1", "log-n2", "log-n3"})
			kept := n.Docker(t, "volume", "inspect", "--format", "{{range $k, $v := .Labels}}{{$k}}={{$v}}{{end}}", "log-"+n.Name)
			require.Equal(t, label, kept, "dockerd of %s has forgotten its volume", n.Name)
		}
		requireUnbrokenAll(t)
		n3.Docker(t, "restart", "--time", "5", "writer-log-n3")
		requireUnbrokenAll(t)
		_, err := n1.TryDocker("volume", "rm", "log-n3")
		require.ErrorContains(t, err, "is in use on n3", "leases outlive the replacement")
	})

	t.Run("an export that is away is not filled by the new plugin", func(t *testing.T) {
		require.NoError(t, n2.TakeExportAway())
		code, out := f.run(t, 3*time.Second, "upgrade", "--nodes", "n2,n3", "--plugin", "previous")
		require.Equal(t, 1, code)
		require.Contains(t, out, "n2: not healthy: the export file:///export is away")
		require.Contains(t, out, "done: none; not done: n2,n3")
		empty, err := n2.Run("ls", "-A", "/srv/berth")
		require.NoError(t, err)
		require.Empty(t, empty)
		require.Contains(t, n2.Docker(t, "volume", "inspect", "log-n2"), "unverified", "the volume is known all the same")
		require.NoError(t, n2.BringExportBack())
		lab.Eventually(t, "n2 to find the export", func() error {
			out, err := n2.Run(fleetBin+"/berth", "version")
			if err == nil && !regexp.MustCompile(`(?m)^health +ok$`).MatchString(out) {
				err = errors.New(out)
			}
			return err
		})
		require.Equal(t, []string{next, next, next}, f.versions(t))
		requireUnbrokenAll(t)
	})

	t.Run("a volume on the node's own disk that hides one of berth's is found", func(t *testing.T) {
		n2.Docker(t, "volume", "create", "hidden")
		n1.Docker(t, "volume", "create", "-d", "berth", "hidden")
		out := f.done(t, "upgrade", "--nodes", "n1,n2", "--plugin", newer)
		require.Contains(t, out, "n2: the local volume hidden hides berth's volume of that name")
		require.Contains(t, out, "docker volume rm hidden")
		code, out := f.run(t, lab.Patience, append([]string{"doctor"}, nodes...)...)
		require.Equal(t, 1, code)
		require.Contains(t, out, "n2 WRONG shadows local volumes hide berth's: hidden")
		require.Equal(t, 1, strings.Count(out, "WRONG"), "%s", out)
		n2.Docker(t, "volume", "rm", "hidden")
		f.done(t, append([]string{"doctor"}, nodes...)...)
	})

	t.Run("a drained node is upgraded without tasks and takes them again", func(t *testing.T) {
		file := f.file(t, "shop.yaml", stackFile)
		n1.Docker(t, "stack", "deploy", "--resolve-image", "never", "--compose-file", file, "shop")
		was := runningOn(t, n1, "shop_site", "")
		requireWriting(t, f.Lab, "shop_data")

		out := f.done(t, "upgrade", "--nodes", was, "--plugin", "previous", "--drain")
		require.Contains(t, out, was+": its tasks move away")
		require.Contains(t, out, was+": takes tasks again (availability active)")
		require.Equal(t, "active", n1.Docker(t, "node", "inspect", "--format", "{{.Spec.Availability}}", was))
		now := runningOn(t, n1, "shop_site", was)
		requireWriting(t, f.Lab, "shop_data")

		lab.Insist(t, n1, "service", "update", "--detach", "--constraint-add", "node.hostname=="+was, "shop_site")
		require.Equal(t, was, runningOn(t, n1, "shop_site", now))
		requireWriting(t, f.Lab, "shop_data")
		requireUnbroken(t, f.Lab, "shop_data")
		for i, n := range f.Nodes {
			if n.Name == was {
				require.Equal(t, first, f.versions(t)[i], "the replaced release is back")
			}
		}
		lab.Insist(t, n1, "stack", "rm", "shop")
		requireUnbrokenAll(t)
		n2.Docker(t, "rm", "--force", "writer-log-n2")
		n2.Docker(t, "volume", "rm", "log-n2")
		require.NotContains(t, volumes(t, n1), "log-n2")
	})

	t.Run("docs/upgrade.md as it is typed", func(t *testing.T) {
		dir := t.TempDir()
		root := filepath.Dir(filepath.Dir(f.script))
		require.NoError(t, os.Symlink(filepath.Join(root, "deploy"), filepath.Join(dir, "deploy")))
		require.NoError(t, os.Rename(env, filepath.Join(dir, "berth.env")))
		require.NoError(t, os.Rename(password, filepath.Join(dir, "secret")))
		here := strings.NewReplacer("/usr/local/bin", fleetBin, "/var/lib/berth", fleetLib)
		for _, c := range docs.Commands(t, "docs/upgrade.md", "TestNodesScript") {
			c = remark.ReplaceAllString(c, "")
			switch {
			case strings.HasPrefix(c, "make "):
				cmd := exec.Command("bash", "-c", c+" BUILD="+filepath.Join(dir, "build"))
				cmd.Dir = root
				out, err := cmd.CombinedOutput()
				require.NoError(t, err, "%s", out)
			case strings.HasPrefix(c, "deploy/"):
				cmd := f.command(lab.Patience, "bash", "-c", c)
				cmd.Dir = dir
				out, err := cmd.CombinedOutput()
				// The doctor says that one node went back alone.
				require.True(t, err == nil || strings.Contains(c, " doctor "), "%s: %s", c, out)
			default:
				typeIn(t, n3, dir, here.Replace(c))
			}
		}
	})
}
