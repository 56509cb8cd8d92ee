package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
	"github.com/casit/berth/integration/netns"
	"github.com/casit/berth/proxy"
)

// A farm is proxies in front of three nodes, and a client.
type farm struct {
	*netns.Net
	dir   string // what is rendered and applied, as Puppet would bring it
	ca    authority
	nodes []netip.Addr

	tasks map[string]*netns.Process // the service, by node
}

// proxyFiles are the host's own, on filesystems that end with it. NGINX's limit
// for the cache wants a disk with 5 GB free.
const proxyFiles = `set -e
cp -a /etc/nginx /run/dist
for d in /etc/nginx /var/log/nginx /var/lib/nginx /var/www; do [ ! -d $d ] || mount -t tmpfs tmpfs $d; done
mount -t tmpfs -o size=20g tmpfs /var/cache
mkdir -p /var/cache/nginx /etc/nginx/certificates /var/www/acme/.well-known/acme-challenge
cp -a /run/dist/. /etc/nginx/
sysctl -q -p "$0"`

// newFarm starts the hosts and the services; no site is there yet.
func newFarm(t *testing.T, proxies ...string) *farm {
	t.Helper()
	netns.Need(t, "nginx", "curl", "flock", "sha256sum", "diff", "openssl", "perl", "pgrep")
	names := append([]string{"client", "node1", "node2", "node3"}, proxies...)
	f := &farm{Net: netns.New(t, "10.97.3.0/24", names...), dir: filepath.Join(t.TempDir(), "files"), ca: newAuthority(t), tasks: map[string]*netns.Process{}}
	for _, n := range names[1:4] {
		f.nodes = append(f.nodes, netip.MustParseAddr(f.Host(n).Address))
		f.tasks[n] = startBackend(t, f.Host(n), "8081", "8082", "8083", "8084")
	}
	general(t, f.dir)
	for _, p := range proxies {
		f.Host(p).Run(t, "bash", "-c", proxyFiles, filepath.Join(root(t), "deploy", "proxy", "sysctl.conf"))
	}
	return f
}

// general copies the files of deploy/proxy that are for every site.
func general(t *testing.T, dir string) {
	t.Helper()
	from := filepath.Join(root(t), "deploy", "proxy")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	out, err := exec.Command("cp", "-r", filepath.Join(from, "nginx.conf"), filepath.Join(from, "snippets"), filepath.Join(from, "local"), dir).CombinedOutput()
	require.NoError(t, err, string(out))
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := lab.Root()
	require.NoError(t, err)
	return dir
}

// service is one with a published port and labels, as NAME, PORT, LABEL=VALUE…
func service(name string, port uint16, labels ...string) proxy.Service {
	s := proxy.Service{Name: name, Labels: map[string]string{}, Ports: []proxy.Port{{Published: port, Target: 80}}}
	for _, l := range labels {
		k, v, _ := strings.Cut(l, "=")
		s.Labels["berth."+k] = v
	}
	return s
}

// render renders services into the directory.
func (f *farm) render(t *testing.T, services ...proxy.Service) {
	t.Helper()
	sites, err := proxy.Sites(services)
	require.NoError(t, err)
	changes, err := proxy.Compare(f.dir, proxy.Render(sites, f.nodes))
	require.NoError(t, err)
	require.NoError(t, changes.Write())
}

// local writes a file of the operator's own.
func (f *farm) local(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(f.dir, "local", name), []byte(text), 0o644))
}

// certify gives a proxy the certificate of a site.
func (f *farm) certify(t *testing.T, h *netns.Host, name string, names ...string) {
	t.Helper()
	dir := t.TempDir()
	f.ca.issue(t, dir, append([]string{name}, names...)...)
	h.Run(t, "cp", "-rT", dir, "/etc/nginx/certificates/"+name)
}

// apply runs apply.sh and returns its exit code and what it printed.
func (f *farm) apply(t *testing.T, h *netns.Host, args ...string) (int, string) {
	t.Helper()
	script := []string{"bash", "-c", `"$@" 2>&1; echo "exit $?"`, "-", "env", "BERTH_WAIT=60", filepath.Join(root(t), "deploy/proxy/apply.sh"), "--from", f.dir}
	out := h.Run(t, append(script, args...)...)
	i := strings.LastIndex(out, "exit ")
	code, err := strconv.Atoi(out[i+len("exit "):])
	require.NoError(t, err)
	return code, out[:i]
}

// mustApply applies, and starts NGINX if it does not run.
func (f *farm) mustApply(t *testing.T, h *netns.Host) {
	t.Helper()
	code, out := f.apply(t, h)
	require.Zero(t, code, out)
	if strings.Contains(out, "nginx does not run") {
		startNGINX(t, h)
	}
}

func startNGINX(t *testing.T, h *netns.Host) *netns.Process {
	t.Helper()
	p := h.Start(t, "nginx", "-g", "daemon off;")
	lab.Eventually(t, "nginx on "+h.Name, func() error {
		_, err := h.Try("curl", "-sf", "http://127.0.0.1:8089/nginx-health")
		return err
	})
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := h.Try("cat", "/var/log/nginx/error.log")
			t.Logf("%s: error.log:\n%s", h.Name, log)
		}
	})
	return p
}

// An answer is what the client got.
type answer struct {
	Status  int
	Version string // of HTTP
	Headers http.Header
	Body    string
	echo
}

// get asks a proxy for a URL as curl does it with more arguments.
func (f *farm) get(t *testing.T, h *netns.Host, url string, args ...string) answer {
	t.Helper()
	a, err := f.tryGet(h, url, args...)
	require.NoError(t, err)
	return a
}

func (f *farm) tryGet(h *netns.Host, url string, args ...string) (answer, error) {
	var a answer
	_, rest, _ := strings.Cut(url, "://")
	host, _, _ := strings.Cut(rest, "/")
	curl := []string{"curl", "-s", "--path-as-is", "--globoff", "--max-time", "60", "--cacert", f.ca.file, "-D", "-", "-w", "\n%{http_version}",
		"--resolve", host + ":443:" + h.Address, "--resolve", host + ":80:" + h.Address}
	out, err := f.Host("client").Try(append(append(curl, args...), url)...)
	if err != nil {
		return a, err
	}
	head, body, _ := strings.Cut(out, "\r\n\r\n")
	i := strings.LastIndex(body, "\n")
	a.Body, a.Version, a.Headers = body[:i], body[i+1:], http.Header{}
	lines := strings.Split(head, "\r\n")
	if _, err := fmt.Sscanf(lines[0], "HTTP/"+"%s %d", new(string), &a.Status); err != nil {
		return a, fmt.Errorf("%q: %w", lines[0], err)
	}
	for _, l := range lines[1:] {
		k, v, _ := strings.Cut(l, ": ")
		a.Headers.Add(k, v)
	}
	_ = json.Unmarshal([]byte(a.Body), &a.echo)
	return a, nil
}

// authority makes certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its certificate
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	a := authority{file: filepath.Join(t.TempDir(), "ca.pem")}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

func (a authority) issue(t *testing.T, dir string, names ...string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: serial, DNSNames: names, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour)}, a.cert, key.Public(), a.key)
	require.NoError(t, err)
	private, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	writePEM(t, filepath.Join(dir, "fullchain.pem"), "CERTIFICATE", der)
	writePEM(t, filepath.Join(dir, "privkey.pem"), "EC PRIVATE KEY", private)
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}
