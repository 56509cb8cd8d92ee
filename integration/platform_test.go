package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/docs"
	"github.com/casit/berth/integration/lab"
)

// A platform is what docs/platform.md makes of five machines: three nodes of a
// swarm, and two proxies whose engines nobody uses.
type platform struct {
	fleet
	t    *testing.T
	dir  string // the administrator's: deploy/, berth.env, secret, what is rendered
	root string
	real *strings.Replacer // the document's addresses to the lab's

	token   string   // of the swarm
	exports []string // what was exported at n1's shell
}

const floating = "10.98.0.200"

func newPlatform(t *testing.T) *platform {
	t.Helper()
	l := lab.New(t, lab.Options{Nodes: 5})
	p := &platform{fleet: fleetOf(t, l), t: t, dir: t.TempDir()}
	p.root = filepath.Dir(filepath.Dir(p.script))
	p.real = strings.NewReplacer("192.0.2.21", l.Nodes[0].Address, "192.0.2.22", l.Nodes[1].Address, "192.0.2.23", l.Nodes[2].Address,
		"192.0.2.11", l.Nodes[3].Address, "192.0.2.12", l.Nodes[4].Address, "192.0.2.10", floating)
	require.NoError(t, os.Symlink(filepath.Join(p.root, "deploy"), filepath.Join(p.dir, "deploy")))
	for name, in := range map[string]string{"berth.env": "berth.env", "secret": "password"} {
		require.NoError(t, os.Rename(filepath.Join(p.fleet.dir, in), filepath.Join(p.dir, name)))
	}
	for _, n := range l.Nodes[:3] {
		require.NoError(t, n.Import(sitesArchive(t), sitesImage))
	}
	for _, n := range l.Nodes[3:] {
		_, err := n.Run("bash", "-euc", `for d in nginx keepalived; do rm -f /etc/$d; mkdir /etc/$d; done
			cp -a /mnt/etc/nginx/. /etc/nginx; for d in cache log www; do mkdir -p /var/$d; mount -t tmpfs tmpfs /var/$d; done
			mkdir -p /var/cache/nginx /var/log/nginx`)
		require.NoError(t, err)
	}
	return p
}

// host is a machine by the name that the document has for it.
func (p *platform) host(name string) *lab.Node {
	i := map[string]int{"n1": 0, "n2": 1, "n3": 2, "proxy1": 3, "proxy2": 4}
	at, ok := i[name]
	require.True(p.t, ok, "no machine %q", name)
	return p.Nodes[at]
}

var where = regexp.MustCompile(`\s+# (?:on )?((?:here|n\d|proxy\d)(?:, proxy\d)*)\b.*$`)

// typed types a command where its remark says.
func (p *platform) typed(command string) {
	p.t.Helper()
	at := where.FindStringSubmatch(command)
	require.NotNil(p.t, at, "%q does not say where", command)
	command = p.real.Replace(where.ReplaceAllString(command, ""))
	command = strings.ReplaceAll(command, "TOKEN", p.token)
	for _, name := range strings.Split(at[1], ", ") {
		p.typedOn(name, command)
	}
}

func (p *platform) typedOn(name, command string) {
	p.t.Helper()
	switch {
	case strings.HasPrefix(command, "export "):
		p.exports = append(p.exports, command)
	case strings.HasPrefix(command, "make "):
		cmd := exec.Command("bash", "-c", command+" BUILD="+filepath.Join(p.dir, "build"))
		cmd.Dir = p.root
		out, err := cmd.CombinedOutput()
		require.NoError(p.t, err, "%s", out)
	case name == "here" && strings.HasPrefix(command, "deploy/"):
		cmd := p.command(lab.Patience, "bash", "-c", command)
		cmd.Dir = p.dir
		out, err := cmd.CombinedOutput()
		require.NoError(p.t, err, "%s: %s", command, out)
	case name == "here": // with n1's network, as the lab's addresses are nowhere else
		p.visit(command)
	default:
		out := typeIn(p.t, p.host(name), p.dir, strings.Join(append(p.exports, command), "\n"))
		if strings.Contains(command, "join-token") {
			p.token = out
		}
	}
}

// visit asks for the site's front page until WordPress answers.
func (p *platform) visit(command string) {
	p.t.Helper()
	lab.Eventually(p.t, "the site", func() error {
		out, err := p.Nodes[0].Run("env", "CURL_CA_BUNDLE="+filepath.Join(p.dir, "ca.pem"), "bash", "-c",
			command+" --resolve www.example.edu:443:"+floating)
		if err == nil && !regexp.MustCompile(`(?s)^HTTP/2 (200|302).*x-request-id: [0-9a-f]{32}`).MatchString(out) {
			err = fmt.Errorf("it is: %s", out)
		}
		return err
	})
}

// standIns puts this machine's programs in the place of the official images,
// and ports of the nodes in that of the mesh, for which the kernel lacks IPVS.
func (p *platform) standIns() {
	p.t.Helper()
	s := stackFiles{p.t, p.Lab, p.Nodes[0], p.root}
	s.standIns("blog", "wordpress.yml", 8081, "SITE=www.example.edu PORT=8081", map[string]standIn{"web": wordpress, "db": mariadb})
}

// proxies brings the files to the proxies that Puppet, or a person, would.
func (p *platform) proxies() {
	p.t.Helper()
	certify := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "1",
		"-subj", "/CN=www.example.edu", "-addext", "subjectAltName=DNS:www.example.edu", "-keyout", "key.pem", "-out", "ca.pem")
	certify.Dir = p.dir
	out, err := certify.CombinedOutput()
	require.NoError(p.t, err, "%s", out)
	for i, n := range p.Nodes[3:] {
		conf, err := os.ReadFile(filepath.Join(p.root, fmt.Sprintf("deploy/proxy/keepalived/proxy%d.conf", i+1)))
		require.NoError(p.t, err)
		file := filepath.Join(p.dir, fmt.Sprintf("keepalived%d.conf", i+1))
		require.NoError(p.t, os.WriteFile(file, []byte(p.real.Replace(string(conf))), 0o644))
		_, err = n.Run("env", "-C", p.dir, "bash", "-euc", `mkdir -p /etc/nginx/berth /etc/nginx/certificates/www.example.edu
			cp -r deploy/proxy/nginx.conf deploy/proxy/snippets deploy/proxy/local puppet/modules/profile/files/proxy/. /etc/nginx/berth
			cp ca.pem /etc/nginx/certificates/www.example.edu/fullchain.pem; cp key.pem /etc/nginx/certificates/www.example.edu/privkey.pem
			cp "$0" /etc/keepalived/keepalived.conf; cp deploy/proxy/keepalived/check-nginx /etc/keepalived`, file)
		require.NoError(p.t, err)
	}
}

// begin starts NGINX and keepalived on both proxies, as systemd would.
func (p *platform) begin() {
	p.t.Helper()
	for _, n := range p.Nodes[3:] {
		_, err := n.Run("nginx")
		require.NoError(p.t, err)
		// It puts itself into the background, and would hold the test's pipes.
		_, err = n.Run("bash", "-c", "keepalived </dev/null >/run/keepalived.log 2>&1")
		require.NoError(p.t, err)
	}
}

// TestThePlatform types docs/platform.md, from five bare machines to a
// WordPress behind two proxies, and a node that is rebooted.
func TestThePlatform(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"nginx", "keepalived", "curl", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			lab.Skip(t, "%s is not installed", program)
		}
	}
	lab.Require(t)
	p := newPlatform(t)
	for _, c := range docs.Commands(t, "docs/platform.md", "TestThePlatform") {
		if strings.HasPrefix(c, "bash deploy/proxy/apply.sh") {
			p.proxies()
		}
		if strings.HasPrefix(c, "curl ") {
			p.begin()
		}
		p.typed(c)
		if strings.HasPrefix(c, "docker stack deploy") {
			p.standIns()
		}
	}
	for _, n := range p.Nodes[:3] {
		require.NotContains(t, p.Nodes[0].Docker(t, "node", "inspect", "--format", "{{.Spec.Availability}}", n.Name), "drain")
	}
	rendered, err := os.ReadFile(filepath.Join(p.dir, "puppet/modules/profile/files/proxy/sites/www.example.edu.conf"))
	require.NoError(t, err)
	for _, n := range p.Nodes[:3] {
		require.True(t, bytes.Contains(rendered, []byte(n.Address+":8081")), "%s", rendered)
	}

	// The proxy that has the address loses its power.
	for _, n := range p.Nodes[3:] {
		if out, err := n.Run("ip", "-brief", "address", "show", "eth0"); err == nil && strings.Contains(out, floating+"/") {
			require.NoError(t, n.Kill9())
			break
		}
	}
	p.visit("curl --silent --show-error --head https://www.example.edu/")
}
