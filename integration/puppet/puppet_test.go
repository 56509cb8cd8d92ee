// Package puppet tests the module deploy/puppet with Puppet itself, on hosts
// whose /etc, /srv, /usr/local and /var are their own.
package puppet

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
	"github.com/casit/berth/integration/netns"
	"github.com/casit/berth/proxy"
)

func root(t *testing.T) string {
	t.Helper()
	dir, err := lab.Root()
	require.NoError(t, err)
	return dir
}

func TestTheModuleIsWellFormed(t *testing.T) {
	netns.Need(t, "puppet")
	module := filepath.Join(root(t), "deploy/puppet")
	for _, c := range []struct{ face, action, files string }{
		{"parser", "validate", "manifests/*.pp"},
		{"parser", "validate", "types/*.pp"},
		{"epp", "validate", "templates/*.epp"},
	} {
		files, err := filepath.Glob(filepath.Join(module, c.files))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		out, err := exec.Command("puppet", append([]string{c.face, c.action}, files...)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

// A machine is a host that Puppet may change.
type machine struct {
	*netns.Host
	modules string
}

// newMachine boots a host for the module and a profile with rendered sites.
func newMachine(t *testing.T) machine {
	t.Helper()
	netns.Need(t, "puppet", "nginx", "keepalived", "nft", "curl")
	dir := t.TempDir()
	m := machine{netns.New(t, "10.97.7.0/24", "machine").Host("machine"), filepath.Join(dir, "modules")}
	sites := filepath.Join(m.modules, "profile/files/proxy")
	require.NoError(t, os.MkdirAll(sites, 0o755))
	require.NoError(t, os.Symlink(filepath.Join(root(t), "deploy/puppet"), filepath.Join(m.modules, "berth")))
	render(t, sites)
	for _, d := range []string{"/etc", "/srv", "/usr/local", "/var"} {
		own := "/run/own" + d
		m.Run(t, "mkdir", "-p", own+"/upper", own+"/work")
		m.Run(t, "mount", "-t", "overlay", "overlay", "-o", "lowerdir="+d+",upperdir="+own+"/upper,workdir="+own+"/work", d)
	}
	return m
}

// render writes the files of a site, as `berth proxy render --out DIR` does.
func render(t *testing.T, dir string) {
	t.Helper()
	sites, err := proxy.Sites([]proxy.Service{{Name: "blog_web", Labels: map[string]string{"berth.site": "www.example.edu", "berth.cache": "wordpress"},
		Ports: []proxy.Port{{Published: 8081, Target: 80}}}})
	require.NoError(t, err)
	changes, err := proxy.Compare(dir, proxy.Render(sites, []netip.Addr{netip.MustParseAddr("192.0.2.21")}))
	require.NoError(t, err)
	require.NoError(t, changes.Write())
}

// example is what the comment of a class shows.
func example(t *testing.T, class string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "deploy/puppet/manifests", class+".pp"))
	require.NoError(t, err)
	shown := regexp.MustCompile(`(?ms)^#   class \{.*?^#   \}$`).FindString(string(text))
	require.NotEmpty(t, shown)
	return regexp.MustCompile(`(?m)^# {0,3}`).ReplaceAllString(shown, "")
}

// apply runs Puppet, without the services: there is no systemd here. It
// returns whether anything was changed, or in a noop would be.
func (m machine) apply(t *testing.T, manifest string, more ...string) (changed bool, out string) {
	t.Helper()
	args := append([]string{"puppet", "apply", "--detailed-exitcodes", "--confdir", "/run/puppet/conf", "--vardir", "/run/puppet/var",
		"--modulepath", m.modules, "--skip_tags", "service,package", "--color", "false"}, more...)
	cmd := m.Command(t.Context(), append(args, "--execute", manifest)...)
	text, err := cmd.CombinedOutput()
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		require.NoError(t, err)
	}
	require.Contains(t, []int{0, 2}, code, "%s", text)
	require.NotContains(t, string(text), "Warning", "%s", text)
	return code == 2, string(text)
}

const secret = "wachtwoord-9120"

func TestASwarmNode(t *testing.T) {
	m := newMachine(t)
	manifest := strings.Replace(example(t, "node"), "lookup('berth_ontap_password')", "'"+secret+"'", 1)

	_, out := m.apply(t, manifest, "--noop")
	require.Contains(t, out, "File[/etc/berth/berth.env]/ensure: current_value 'absent', should be 'file'")
	_, err := m.Try("stat", "/etc/berth/berth.env")
	require.Error(t, err, "a noop changes nothing")

	changed, out := m.apply(t, manifest)
	require.True(t, changed)
	require.NotContains(t, out, secret)
	require.Equal(t, `# Made by Puppet (berth::node). berth reads it again within 10 s; docs/settings.md.
BERTH_EXPORT=nfs://filer.example.edu/docker_vols
BERTH_ONTAP=filer-mgmt.example.edu
BERTH_ONTAP_PASSWORD_FILE=/etc/berth/password
BERTH_ONTAP_USER=berth`, m.Run(t, "cat", "/etc/berth/berth.env"))
	require.Equal(t, secret, m.Run(t, "cat", "/etc/berth/password"))
	require.Equal(t, "700 0\n600 0\n600 0", m.Run(t, "stat", "-c", "%a %u", "/etc/berth", "/etc/berth/berth.env", "/etc/berth/password"))
	require.Equal(t, "700", m.Run(t, "stat", "-c", "%a", "/srv/berth"))
	require.Contains(t, m.Run(t, "cat", "/etc/modprobe.d/berth-lockd.conf"), "nlm_tcpport=4045")
	m.Run(t, "nft", "--file", "/etc/berth/firewall.nft")
	rules := m.Run(t, "nft", "list", "table", "inet", "berth")
	require.Contains(t, rules, "192.0.2.5")
	require.Contains(t, rules, "192.0.2.21")
	require.Contains(t, rules, "127.0.0.1", "nobody may ask for metrics")

	changed, out = m.apply(t, manifest)
	require.False(t, changed, "%s", out)

	// A new password is all that changes.
	changed, out = m.apply(t, strings.Replace(manifest, secret, secret+"-2", 1))
	require.True(t, changed)
	require.NotContains(t, out, secret)
	require.Equal(t, secret+"-2", m.Run(t, "cat", "/etc/berth/password"))
}

func TestANodeRefusesWhatTwoNodesMustNotShare(t *testing.T) {
	m := newMachine(t)
	_, err := m.Try("puppet", "apply", "--noop", "--confdir", "/run/puppet/conf", "--vardir", "/run/puppet/var", "--modulepath", m.modules, "--execute",
		"class { 'berth::node': export => 'nfs://filer/x', settings => { 'BERTH_NODE' => 'n1' } }")
	require.ErrorContains(t, err, "two nodes must not share a name")
}

func TestAProxyNode(t *testing.T) {
	m := newMachine(t)
	manifest := strings.Replace(example(t, "proxy"), "priority    => 150,", "priority => 150, interface => 'eth0',", 1)

	changed, out := m.apply(t, manifest)
	require.True(t, changed)
	require.Contains(t, out, "sites/www.example.edu.conf is left out")
	require.Equal(t, "berth.d/nginx.conf", m.Run(t, "readlink", "/etc/nginx/nginx.conf"))
	require.Contains(t, m.Run(t, "cat", "/etc/nginx/berth.d/local/proxies.conf"), "set_real_ip_from 192.0.2.12;")
	require.Contains(t, m.Run(t, "cat", "/etc/nginx/berth.d/local/campus.conf"), "allow 198.51.100.0/24;")
	conf := m.Run(t, "cat", "/etc/keepalived/keepalived.conf")
	for _, line := range []string{"$OWN=192.0.2.11", "$OTHER=192.0.2.12", "$FLOATING=192.0.2.10/32", "$PRIORITY=150", "$INTERFACE=eth0"} {
		require.Contains(t, conf, "\n"+line+"\n")
	}
	m.Run(t, "keepalived", "--config-test", "--use-file", "/etc/keepalived/keepalived.conf")
	m.Run(t, "nft", "--file", "/etc/berth/firewall.nft")
	require.Contains(t, m.Run(t, "nft", "list", "table", "inet", "berth"), "192.0.2.12")

	changed, out = m.apply(t, manifest)
	require.False(t, changed, "%s", out)

	// What NGINX refuses changes nothing, and Puppet says why.
	was := m.Run(t, "readlink", "/etc/nginx/berth.d")
	cmd := m.Command(t.Context(), "puppet", "apply", "--confdir", "/run/puppet/conf", "--vardir", "/run/puppet/var", "--modulepath", m.modules,
		"--skip_tags", "service,package", "--detailed-exitcodes", "--execute", strings.Replace(manifest, "campus ", "status => ['192.0.2.0/99'], campus ", 1))
	text, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(text), "192.0.2.0/99")
	require.Equal(t, was, m.Run(t, "readlink", "/etc/nginx/berth.d"))
}
