package vrrp

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
	"github.com/casit/berth/integration/netns"
)

const (
	network  = "10.97.7.0/24"
	floating = "10.97.7.100"
)

// A pair of proxies with a client before it and a backend behind it.
type pair struct {
	proxies []*proxy
	client  *client
}

type proxy struct {
	*netns.Host
	t                 *testing.T // that its processes end with
	keepalived, nginx *netns.Process
}

func newPair(t *testing.T) *pair {
	t.Helper()
	netns.Need(t, "nginx", "keepalived", "curl", "nft")
	n := netns.New(t, network, "proxy1", "proxy2", "backend", "client")
	installNginx(t, n.Host("backend"), `server { listen 80; server_name `+n.Host("backend").Address+`; location / { return 200 "a site\n"; } }`)
	n.Host("backend").Start(t, "nginx", "-g", "daemon off;")
	p := &pair{}
	for i, other := range []string{"proxy2", "proxy1"} {
		x := &proxy{t: t, Host: n.Host(fmt.Sprintf("proxy%d", i+1))}
		x.configure(t, n.Host(other).Address)
		installNginx(t, x.Host, `server {
			listen 80;
			server_name `+floating+`;
			location / { proxy_pass http://`+n.Host("backend").Address+`; add_header Proxy $hostname; }
		}`)
		x.startNginx(t)
		x.startKeepalived(t)
		p.proxies = append(p.proxies, x)
	}
	p.client = newClient(n.Host("client"), "http://"+floating+"/")
	return p
}

// configure installs the project's files, with the addresses of the test in
// the places of this site's.
func (x *proxy) configure(t *testing.T, other string) {
	t.Helper()
	write(t, x.Host, "0644", "keepalived/keepalived.conf", read(t, "proxy/keepalived/"+x.Name+".conf",
		"$OWN=", x.Address, "$OTHER=", other, "$FLOATING=", floating+"/32"))
	write(t, x.Host, "0755", "keepalived/check-nginx", read(t, "proxy/keepalived/check-nginx"))
	write(t, x.Host, "0755", "firewall.nft", read(t, "firewall/proxy-node.nft",
		"define proxies = ", "{ "+x.Address+", "+other+" }"))
	x.Run(t, "nft", "--file", "/run/firewall.nft")
}

// deploy is the path of a file of the project's folder deploy.
func deploy(t *testing.T, file string) string {
	t.Helper()
	root, err := lab.Root()
	require.NoError(t, err)
	return filepath.Join(root, "deploy", file)
}

// read reads a file of deploy. What a line that begins with the first of a
// pair goes on with is replaced by the second.
func read(t *testing.T, file string, pairs ...string) string {
	t.Helper()
	data, err := os.ReadFile(deploy(t, file))
	require.NoError(t, err)
	text := string(data)
	for pair := range slices.Chunk(pairs, 2) {
		line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(pair[0]) + `.*$`)
		require.Len(t, line.FindAllString(text, -1), 1, "lines of %s that begin with %s", file, pair[0])
		text = line.ReplaceAllLiteralString(text, pair[0]+pair[1])
	}
	return text
}

// write makes a file in the host's own /run.
func write(t *testing.T, h *netns.Host, mode, file, text string) {
	t.Helper()
	const script = `mkdir -p "$(dirname "$2")" && printf %s "$3" >"$2" && chmod "$1" "$2"`
	h.Run(t, "sh", "-c", script, "sh", mode, "/run/"+file, text)
}

// startKeepalived starts keepalived where none is, or one that is about to end.
func (x *proxy) startKeepalived(t *testing.T) {
	t.Helper()
	if x.keepalived != nil {
		<-x.keepalived.Done()
	}
	x.keepalived = x.Start(x.t, "keepalived", "--dont-fork", "--log-console", "--no-syslog", "--log-detail",
		"--use-file", "/run/keepalived/keepalived.conf")
}

// installNginx gives a host the project's nginx.conf and one site, on
// filesystems that end with the host. The cache wants a disk with 5 GB free.
func installNginx(t *testing.T, h *netns.Host, site string) {
	t.Helper()
	h.Run(t, "sh", "-c", `set -e
		cp -a /etc/nginx /run/dist
		for d in /etc/nginx /var/log/nginx /var/lib/nginx; do mount -t tmpfs tmpfs $d; done
		mount -t tmpfs -o size=20g tmpfs /var/cache
		cp -a /run/dist/. /etc/nginx
		mkdir -p /var/cache/nginx /etc/nginx/berth.d/sites
		cp "$0/nginx.conf" /etc/nginx
		cp -r "$0/snippets" /etc/nginx/berth.d
		printf %s "$1" >/etc/nginx/berth.d/sites/own.conf`, deploy(t, "proxy"), site)
}

// startNginx starts nginx, and waits until it answers.
func (x *proxy) startNginx(t *testing.T) {
	t.Helper()
	x.nginx = x.Start(x.t, "nginx", "-g", "daemon off;")
	lab.Eventually(t, "nginx on "+x.Name, func() error {
		_, err := x.Try("/run/keepalived/check-nginx")
		return err
	})
}

// has says whether the proxy has the floating address.
func (x *proxy) has(t *testing.T) bool {
	t.Helper()
	return strings.Contains(x.Run(t, "ip", "-brief", "address", "show", "dev", "eth0"), " "+floating+"/")
}

// holders are the proxies that have the floating address.
func (p *pair) holders(t *testing.T) (names []string) {
	t.Helper()
	for _, x := range p.proxies {
		if x.has(t) {
			names = append(names, x.Name)
		}
	}
	return names
}

// waitFor waits until just these proxies have the address.
func (p *pair) waitFor(t *testing.T, names ...string) {
	t.Helper()
	lab.Eventually(t, fmt.Sprintf("the floating address on %v", names), func() error {
		if now := p.holders(t); fmt.Sprint(now) != fmt.Sprint(names) {
			return fmt.Errorf("it is on %v", now)
		}
		return nil
	})
}

// waitForAnswer waits until the floating address answers, through that proxy.
func (p *pair) waitForAnswer(t *testing.T, name string) {
	t.Helper()
	lab.Eventually(t, "an answer of "+name, func() error {
		got, err := p.client.ask()
		if err == nil && got != name {
			err = fmt.Errorf("%s answers", got)
		}
		return err
	})
}
