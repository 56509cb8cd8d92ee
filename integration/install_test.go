package integration

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/docs"
	"github.com/casit/berth/integration/lab"
)

// A site is one node of its own, with its own /usr and /var/lib, and a release
// as it was fetched in the folder where commands are typed.
type site struct {
	*lab.Lab
	*lab.Node
	dir     string
	top     string // the archive's name and its folder's
	version string
	export  string // what stands for the filer's URL
}

func newSite(t *testing.T) site {
	t.Helper()
	archive := filepath.Base(released(t, "*-linux-"+runtime.GOARCH+".tar.gz"))
	l := lab.New(t, lab.Options{})
	s := site{Lab: l, Node: l.Nodes[0], dir: t.TempDir(), top: strings.TrimSuffix(archive, ".tar.gz"), export: "file:///export"}
	require.NoError(t, os.Chmod(l.Export, 0o755)) // as an earlier release left it
	s.version = strings.TrimSuffix(strings.TrimPrefix(s.top, "berth-"), "-linux-"+runtime.GOARCH)
	require.NoError(t, s.ImportSite())
	require.NoError(t, os.CopyFS(s.dir, os.DirFS(lab.ReleaseFolder(t))))
	// What is installed here is not installed on the machine.
	s.done(t, `mkdir /run/own && mount -t tmpfs own /run/own
		for dir in usr var/lib var/log; do
			mkdir -p /run/own/$dir/upper /run/own/$dir/work
			mount -t overlay -o lowerdir=/$dir,upperdir=/run/own/$dir/upper,workdir=/run/own/$dir/work own /$dir
		done
		rm -f /etc/systemd /var/lib/man-db/auto-update && mkdir -p /etc/systemd/system`) // an index of all manual pages takes long
	return s
}

// typed runs a line of shell on the node, in the site's folder, and returns its
// exit code and all that it printed.
func (s site) typed(t *testing.T, line string) (int, string) {
	t.Helper()
	cmd := s.Command("bash", "-c", "cd "+s.dir+" && "+line)
	cmd.Env = append(cmd.Env, "TMPDIR="+s.dir)
	text, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return cmd.ProcessState.ExitCode(), strings.TrimSpace(string(text))
}

// done is typed where nothing may go wrong.
func (s site) done(t *testing.T, line string) string {
	t.Helper()
	code, out := s.typed(t, line)
	require.Zero(t, code, "%s: %s", line, out)
	return out
}

// refused is typed where install.sh has to refuse, with that code and words.
func (s site) refused(t *testing.T, want int, says, line string) {
	t.Helper()
	code, out := s.typed(t, line)
	require.Equal(t, want, code, "%s: %s", line, out)
	require.Contains(t, out, says, line)
	require.Contains(t, out, "hint: ", line)
}

// types types what docs/install.md has for a test, in one shell; what the
// document names by example is this site's. It returns all that was printed.
func (s site) types(t *testing.T, test string, only func(command string) bool) string {
	t.Helper()
	return s.typesOf(t, "docs/install.md", test, only)
}

func (s site) typesOf(t *testing.T, document, test string, only func(command string) bool) string {
	t.Helper()
	here := strings.NewReplacer("0.1.0", s.version, "amd64", runtime.GOARCH, "x86_64", s.done(t, "uname -m"),
		"nfs://filer.example.edu/docker_vols", s.export,
		"rpm -", "rpm --force-debian -") // Debian's wants to be asked twice
	script := "set -e"
	for _, c := range docs.Commands(t, document, test) {
		if only != nil && !only(c) {
			continue
		}
		c = here.Replace(remark.ReplaceAllString(c, ""))
		if differing.MatchString(c) {
			c += " || [ $? = 1 ]"
		}
		script += "\n" + c
	}
	return s.done(t, script)
}

// unpacked is the site with the archive unpacked, in that folder.
func (s site) unpacked(t *testing.T) site {
	t.Helper()
	s.done(t, "[ -d "+s.top+" ] || tar -xf "+s.top+".tar.gz")
	s.dir = filepath.Join(s.dir, s.top)
	return s
}

// requireNothing checks that the node is as if install.sh had never been there.
func (s site) requireNothing(t *testing.T) {
	t.Helper()
	require.Empty(t, s.done(t, "docker plugin ls --quiet"))
	require.Empty(t, s.done(t, "ls -A /etc/berth"))
	require.Empty(t, s.done(t, "find /usr/local /etc/systemd/system -name '*berth*'"))
}

func uninstall(command string) bool { return strings.Contains(command, "--uninstall") }

// The steps are one story on one node.
func TestInstallFromAnArchive(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	archive := s.top + ".tar.gz"
	other := strings.Replace(archive, runtime.GOARCH, map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH], 1)
	from := "./install.sh --archive " + archive

	t.Run("what cannot be right is refused, and nothing is changed", func(t *testing.T) {
		s.refused(t, 2, "which export?", from)
		s.refused(t, 2, "is no nfs://SERVER/PATH", from+" --export filer:/vol")
		s.refused(t, 2, "the plugin sees one directory of this node", from+" --export file:///mnt/filer")
		s.refused(t, 2, "not both", from+" --export file:///export --env x")
		s.refused(t, 2, "there is no file x", from+" --env x")
		s.refused(t, 2, "what is '--exprot'?", from+" --exprot x")
		s.refused(t, 2, "it has no plugin/config.json", "./install.sh --export file:///export")
		s.refused(t, 1, "this release is for", "./install.sh --export file:///export --archive "+other)
		s.refused(t, 1, "systemd does not run here", from+" --export file:///srv/berth --systemd")
		s.done(t, "mkdir fetched && cp SHA256SUMS "+archive+" fetched && printf x >>fetched/"+archive)
		s.refused(t, 1, "is not what fetched/SHA256SUMS says", "./install.sh --export file:///export --archive fetched/"+archive)
		s.done(t, "echo >fetched/SHA256SUMS")
		s.refused(t, 1, "SHA256SUMS does not know "+archive, "./install.sh --export file:///export --archive fetched/"+archive)
		require.Contains(t, s.done(t, from+" --export file:///export --dry-run"), "would write berth.env, install the plugin")
		s.requireNothing(t)
	})

	t.Run("a first installation that does not become healthy is taken out again", func(t *testing.T) {
		s.done(t, "echo s3same >secret; printf 'BERTH_EXPORT=nfs://127.0.0.1/vol\nBERTH_ONTAP_PASSWORD_FILE=/etc/berth/password\n' >bad.env")
		code, out := s.typed(t, "BERTH_WAIT=3 "+from+" --env bad.env --password-file secret")
		require.Equal(t, 1, code)
		require.Contains(t, out, "rpc.statd")
		require.NotContains(t, out, "s3same")
		require.Contains(t, out, "not healthy: ")
		require.Contains(t, out, "was taken out again")
		require.NotContains(t, out, "so it stays")
		s.requireNothing(t)
	})

	require.Contains(t, s.types(t, "TestInstallFromAnArchive", func(c string) bool { return !uninstall(c) }), " 0 warn, 0 fail\nnext: ")
	require.Equal(t, "/etc/berth 700 0\n/etc/berth/.installed 600 0\n/etc/berth/berth.env 600 0\n/srv/berth 700 0",
		s.done(t, "stat -c '%n %a %u' /etc/berth /etc/berth/.installed /etc/berth/berth.env /srv/berth"))
	require.Contains(t, s.done(t, "man -w berth"), "/usr/local/")
	require.Contains(t, s.done(t, ". /usr/local/share/bash-completion/completions/berth && complete -p berth"), "__start_berth")
	s = s.unpacked(t)
	s.done(t, "cmp bin/berth /usr/local/bin/berth")
	id := s.done(t, "docker plugin inspect --format '{{.Id}}' berth")

	t.Run("again: nothing differs", func(t *testing.T) {
		for _, line := range []string{"./install.sh --export file:///export", "./install.sh --upgrade",
			"deploy/berth-nodes.sh install --nodes localhost --plugin plugin"} {
			require.Contains(t, s.done(t, line), "nothing differs", line)
		}
		require.Equal(t, id, s.done(t, "docker plugin inspect --format '{{.Id}}' berth"))
	})

	t.Run("settings that are there are not overwritten", func(t *testing.T) {
		s.refused(t, 1, "says BERTH_EXPORT=file:///export, not nfs://filer/vol", "./install.sh --export nfs://filer/vol")
		s.done(t, `printf 'BERTH_EXPORT=file:///export\nBERTH_LEASE_TTL=1h\n' >new.env`)
		s.refused(t, 1, "+BERTH_LEASE_TTL=1h", "./install.sh --env new.env")
		s.done(t, "echo s3other >/etc/berth/password")
		code, out := s.typed(t, "./install.sh --password-file ../secret")
		require.Equal(t, 1, code)
		require.Contains(t, out, "/etc/berth/password is there and differs")
		require.NotContains(t, out, "s3")
		s.done(t, "rm /etc/berth/password")
		require.Equal(t, "BERTH_EXPORT=file:///export", s.done(t, "cat /etc/berth/berth.env"))
	})

	t.Run("another release replaces it only when asked to, while containers write", func(t *testing.T) {
		s.Docker(t, "volume", "create", "-d", "berth", "log")
		startWriter(t, s.Lab, s.Node, "log")
		s.done(t, `sed -i 's/"description": "berth: /&another: /' plugin/config.json`)
		s.refused(t, 1, "another berth is installed", "./install.sh")
		require.Contains(t, s.done(t, "./install.sh --upgrade"), "berth "+s.version+" is there")
		require.NotEqual(t, id, s.done(t, "docker plugin inspect --format '{{.Id}}' berth"))
		requireWriting(t, s.Lab, "log")
		requireUnbroken(t, s.Lab, "log")
	})

	t.Run("a plugin in use is not uninstalled, and its removal keeps settings and data", func(t *testing.T) {
		s.refused(t, 4, "writer-log uses the volume log", "./install.sh --uninstall")
		s.Docker(t, "rm", "--force", "writer-log")
		require.Contains(t, s.done(t, "./install.sh --uninstall --dry-run"), "would remove")
		for range 2 {
			s.types(t, "TestInstallFromAnArchive", uninstall)
		}
		require.Empty(t, s.done(t, "docker plugin ls --quiet; find /usr/local /var/lib/berth -name '*berth*' -type f"))
		require.Equal(t, "BERTH_EXPORT=file:///export", s.done(t, "cat /etc/berth/berth.env"))
		requireUnbroken(t, s.Lab, "log")
	})
}

func TestInstallByHand(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.unpacked(t)
	s.types(t, "TestInstallByHand", nil)
	require.Contains(t, s.done(t, "berth version"), "health   ok")
}

// requirePackageGone checks that removing the package has left the plugin and
// the settings, and none of its own files.
func (s site) requirePackageGone(t *testing.T) {
	t.Helper()
	require.Empty(t, s.done(t, "find /usr/lib /usr/bin /usr/share -name '*berth*'"))
	require.Contains(t, s.done(t, "berth version"), "health   ok")
	s.done(t, "test -f /etc/berth/berth.env")
}

func TestInstallFromADeb(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.types(t, "TestInstallFromADeb", nil)
	s.requirePackageGone(t)
}

func TestInstallFromAnRPM(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.types(t, "TestInstallFromAnRPM", nil)
	s.requirePackageGone(t)
}

// systemctl stands in for systemd, which can be the first process of a machine
// only: it runs what berth.service says, with the rights that it says.
const systemctl = `#!/bin/bash
set -euo pipefail
unit=/etc/systemd/system/berth.service
says() { sed -n "s/^$1=//p" $unit; }
stop() {
	[ -e /run/own/pid ] || return 0
	pid=$(cat /run/own/pid); rm /run/own/pid
	kill -TERM $pid; while kill -0 $pid 2>/dev/null; do sleep 0.05; done
}
start() {
	caps=$(says CapabilityBoundingSet | sed 's/CAP_/+/g; s/ /,/g' | tr A-Z a-z)
	cd /; setsid env -i PATH="$PATH" setpriv --bounding-set=-all,$caps --inh-caps=-all --no-new-privs $(says ExecStart) </dev/null >>/run/own/journal 2>&1 &
	echo $! >/run/own/pid
}
case $1 in
daemon-reload) ;;
is-enabled) [ -e /run/own/enabled ] ;;
enable) touch /run/own/enabled ;;
restart) stop; start ;;
disable) rm /run/own/enabled; stop ;;
*) echo "systemctl: what is $1?" >&2; exit 1 ;;
esac
`

func TestInstallAsAService(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.export = "file:///srv/berth"
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		lab.Skip(t, "needs the program systemd-analyze")
	}
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "systemctl"), []byte(systemctl), 0o755))
	s.done(t, "install systemctl /usr/local/bin/ && mkdir -p /run/systemd/system")
	in := s.unpacked(t)

	t.Run("one that does not become healthy is taken out again", func(t *testing.T) {
		code, out := in.typed(t, "BERTH_WAIT=3 ./install.sh --systemd --export file:///nowhere")
		require.Equal(t, 1, code)
		require.Contains(t, out, "berth.service: not healthy: ")
		require.Contains(t, out, "was taken out again")
		s.requireNothing(t)
	})

	require.Contains(t, s.types(t, "TestInstallAsAService", nil), " 0 warn, 0 fail\nnext: ")
	require.Empty(t, s.done(t, "systemd-analyze verify /etc/systemd/system/berth.service"))
	require.Equal(t, "/etc/berth 700 0\n/etc/berth/berth.env 600 0\n/srv/berth 700 0", s.done(t, "stat -c '%n %a %u' /etc/berth /etc/berth/* /srv/berth"))
	require.Equal(t, "berth", s.Docker(t, "volume", "inspect", "--format", "{{.Driver}}", "hello"))

	startWriter(t, s.Lab, s.Node, "hello")
	pid := s.done(t, "cat /run/own/pid")
	t.Run("a restart and an upgrade leave containers writing", func(t *testing.T) {
		s.done(t, "systemctl restart berth.service")
		requireWriting(t, s.Lab, "hello")
		in.done(t, "mv /usr/local/bin/berth /usr/local/bin/old && (cat /usr/local/bin/old; echo) >/usr/local/bin/berth && chmod 0755 /usr/local/bin/berth")
		in.refused(t, 1, "another berth is installed", "./install.sh --systemd")
		require.Contains(t, in.done(t, "./install.sh --systemd --upgrade"), "berth.service: ok")
		require.NotEqual(t, pid, s.done(t, "cat /run/own/pid"))
		requireWriting(t, s.Lab, "hello")
		s.Docker(t, "restart", "--time", "5", "writer-hello")
		requireWriting(t, s.Lab, "hello")
		requireUnbroken(t, s.Lab, "hello")
	})

	t.Run("settings are read again without a restart", func(t *testing.T) {
		s.done(t, "echo BERTH_TRASH_TTL=soon >>/etc/berth/berth.env")
		lab.Eventually(t, "the wrong setting to be seen", func() error {
			_, out := s.typed(t, "berth version")
			if !strings.Contains(out, "BERTH_TRASH_TTL") {
				return errors.New(out)
			}
			return nil
		})
		s.done(t, "sed -i '/TRASH/d' /etc/berth/berth.env")
	})

	t.Run("a node has one berth", func(t *testing.T) {
		in.refused(t, 1, "berth is a service of systemd here", "./install.sh --export file:///export")
	})

	t.Run("uninstall", func(t *testing.T) {
		in.refused(t, 4, "writer-hello uses the volume hello", "./install.sh --uninstall")
		s.Docker(t, "rm", "--force", "writer-hello")
		in.done(t, "./install.sh --uninstall")
		require.Empty(t, s.done(t, "grep /var/lib/berth /proc/self/mountinfo || true"))
		s.done(t, "test ! -e /usr/local/bin/berth && test ! -e /etc/systemd/system/berth.service && test -f /etc/berth/berth.env")
		requireUnbroken(t, s.Lab, "hello")
	})
}

// TestTheFirstScreen types what README.md begins with.
func TestTheFirstScreen(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.done(t, "mkdir -p build/release && ln "+s.top+".tar.gz build/release")
	out := s.typesOf(t, "README.md", "TestTheFirstScreen", func(c string) bool { return !strings.HasPrefix(c, "make ") })
	require.Contains(t, out, "M  index.html")
	require.Contains(t, out, "blog: restored, blog@good")
	require.Equal(t, "Our blog", s.done(t, "cat /srv/berth/blog/index.html"))
}
