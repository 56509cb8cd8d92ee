package proxy

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

// What the application is told about a request is what the proxy saw, and
// nothing that the client made up.
func TestWhatReachesTheApplication(t *testing.T) {
	f := newFarm(t, "proxy1")
	p, client := f.Host("proxy1"), f.Host("client").Address
	f.render(t, service("shop", 8081, "site=www.example.edu shop.example.edu"))
	f.certify(t, p, "www.example.edu", "shop.example.edu")
	f.mustApply(t, p)

	a := f.get(t, p, "https://shop.example.edu/a%20b?c=d", "-H", "X-Forwarded-For: 1.2.3.4", "-H", "X-Real-IP: 1.2.3.4", "-H", "Forwarded: for=1.2.3.4",
		"-H", "X-Forwarded-Proto: ftp", "-H", "X-Forwarded-Host: evil.example.com", "-H", "X-Request-ID: 00000000000000000000000000000000",
		"-H", "Client-IP: 1.2.3.4", "-H", "X-Original-URL: /admin", "-H", "Proxy: evil.example.com")
	require.Equal(t, 200, a.Status, a.Body)
	require.Equal(t, "2", a.Version, "HTTP/2")
	require.Equal(t, "/a%20b?c=d", a.URI, "as the client sent it")
	require.Equal(t, "shop.example.edu", a.Host)
	for name, want := range map[string]string{"X-Forwarded-For": client, "X-Real-IP": client, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example.edu", "X-Forwarded-Port": "443"} {
		require.Equal(t, want, strings.Join(a.echo.Headers.Values(name), "|"), name)
	}
	require.NotContains(t, a.Body, "1.2.3.4")
	require.NotContains(t, a.Body, "evil")
	require.NotContains(t, a.Body, "/admin")
	id := a.echo.Headers.Get("X-Request-Id")
	require.Regexp(t, "^[0-9a-f]{32}$", id)
	require.NotEqual(t, strings.Repeat("0", 32), id)
	require.Equal(t, id, a.Headers.Get("X-Request-ID"), "the client is told the id too")
	require.Empty(t, a.Headers.Get("X-Cache"), "nothing is cached unless a label says so")
	require.Equal(t, "nginx", a.Headers.Get("Server"), "without a version")
	require.Equal(t, "1.1", f.get(t, p, "https://www.example.edu/", "--http1.1").Version)

	// http goes to https.
	a = f.get(t, p, "http://shop.example.edu/a%20b?c=d")
	require.Equal(t, 301, a.Status)
	require.Equal(t, "https://shop.example.edu/a%20b?c=d", a.Headers.Get("Location"))

	// A name that no site has gets no answer, and no certificate of another's.
	_, err := f.tryGet(p, "http://other.example.edu/")
	require.ErrorContains(t, err, "exit status 52", "an empty reply")
	_, err = f.tryGet(p, "https://other.example.edu/", "-k")
	require.ErrorContains(t, err, "exit status 35", "no handshake")
	require.Equal(t, 421, f.get(t, p, "https://www.example.edu/", "-H", "Host: other.example.edu").Status)
	require.Equal(t, 421, f.get(t, p, "https://www.example.edu/", "-H", "Host: other.example.edu", "--http1.1").Status)

	// What an authority asks for is not redirected, with a certificate or before.
	p.Run(t, "bash", "-c", "echo token >/var/www/acme/.well-known/acme-challenge/abc")
	for _, name := range []string{"www.example.edu", "new.example.edu"} {
		a = f.get(t, p, "http://"+name+"/.well-known/acme-challenge/abc")
		require.Equal(t, "200 token", fmt.Sprint(a.Status, " ", strings.TrimSpace(a.Body)))
	}

	// An upload.
	big := filepath.Join(t.TempDir(), "big")
	require.NoError(t, os.WriteFile(big, make([]byte, 40<<20), 0o600))
	a = f.get(t, p, "https://www.example.edu/upload", "-F", "file=@"+big)
	require.Equal(t, "200 POST", fmt.Sprint(a.Status, " ", a.Method))

	// A websocket, and no other protocol.
	ws := func(protocol string) string {
		out, _ := f.Host("client").Try("bash", "-c", `{ printf 'GET /ws HTTP/1.1\r\nHost: www.example.edu\r\nConnection: Upgrade\r\nUpgrade: `+protocol+`\r\n\r\n'; sleep 1; echo hello; sleep 2; } |
			timeout 20 openssl s_client -quiet -connect `+p.Address+`:443 -servername www.example.edu 2>/dev/null`)
		return out
	}
	require.Contains(t, ws("websocket"), "101 Switching Protocols")
	require.Contains(t, ws("websocket"), "echo hello")
	require.Contains(t, ws("h2c"), "200 OK")
}

// The address of the client, the scheme and the request's id come through a
// second proxy that trusts the first, and only through one that does.
func TestTheClientsAddressThroughTwoHops(t *testing.T) {
	f := newFarm(t, "proxy1", "proxy2")
	one, two := f.Host("proxy1"), f.Host("proxy2")
	f.render(t, service("shop", 8081, "site=www.example.edu"))
	f.certify(t, two, "www.example.edu")
	f.local(t, "proxies.conf", "set_real_ip_from "+one.Address+";\n")
	f.mustApply(t, two)

	// The first hop is a site of the operator's own, whose service is the other.
	first := filepath.Join(t.TempDir(), "first")
	general(t, first)
	require.NoError(t, os.WriteFile(filepath.Join(first, "manifest"), nil, 0o644))
	require.NoError(t, os.Mkdir(filepath.Join(first, "sites"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(first, "sites", "own.conf"), []byte(`server {
    listen 443 ssl http2;
    server_name www.example.edu;
    ssl_certificate certificates/own/fullchain.pem;
    ssl_certificate_key certificates/own/privkey.pem;
    location / {
        include berth.d/snippets/proxy.conf;
        proxy_ssl_server_name on;
        proxy_ssl_name $host;
        proxy_pass https://`+two.Address+`;
    }
}
`), 0o644))
	f.certify(t, one, "own", "www.example.edu")
	second := f.dir
	f.dir = first
	f.mustApply(t, one)
	f.dir = second

	a := f.get(t, one, "https://www.example.edu/", "-H", "X-Forwarded-For: 1.2.3.4", "-H", "X-Request-ID: 00000000000000000000000000000000")
	client := f.Host("client").Address
	require.Equal(t, []string{client}, a.echo.Headers["X-Forwarded-For"])
	require.Equal(t, []string{client}, a.echo.Headers["X-Real-Ip"])
	require.Equal(t, []string{"https"}, a.echo.Headers["X-Forwarded-Proto"])
	id := a.echo.Headers.Get("X-Request-Id")
	for _, h := range []string{"proxy1", "proxy2"} {
		lab.Eventually(t, "a line of "+h, func() error {
			log, err := f.Host(h).Try("cat", "/var/log/nginx/access.log")
			if err == nil && !strings.Contains(log, `"id":"`+id+`","client":"`+client+`"`) {
				err = fmt.Errorf("%s", log)
			}
			return err
		})
	}

	// The same from the client, whom nobody trusts.
	a = f.get(t, two, "https://www.example.edu/", "-H", "X-Forwarded-For: 1.2.3.4", "-H", "X-Request-ID: 00000000000000000000000000000000")
	require.Equal(t, []string{client}, a.echo.Headers["X-Forwarded-For"])
	require.NotEqual(t, strings.Repeat("0", 32), a.echo.Headers.Get("X-Request-Id"))
}

func TestDeniedPaths(t *testing.T) {
	f := newFarm(t, "proxy1")
	p := f.Host("proxy1")
	f.render(t, service("shop", 8081, "site=www.example.edu", "cache=wordpress"))
	f.certify(t, p, "www.example.edu")
	f.mustApply(t, p)
	for path, want := range map[string]int{
		"/.snapshot": 403, "/.snapshot/": 403, "/.snapshot/daily.2026/wp-config.php": 403, "/wp-content/uploads/.snapshot/hourly": 403,
		"/%2esnapshot/x": 403, "/%2Esnapshot": 403, "/a/%2e%73napshot/x": 403, "/a%2f.snapshot/x": 403, "/a/../.snapshot/x": 403, "//.snapshot/x": 403, "/a/./.snapshot": 403,
		"/.SNAPSHOT/x": 403, "/.snapshot%00": 400,
		"/.git/config": 403, "/.htaccess": 403, "/a/.env": 403, "/.well-known/.git/x": 403, "/a/.well-known/x": 403, "/.well-knownx": 403, "/.well-known/../.git": 403,
		"/.well-known/security.txt": 200, "/.well-known/": 200, "/.well-known": 200, "/a.snapshot/x": 200, "/a?b=/.snapshot/": 200, "/...": 403, "/a..b": 200,
	} {
		require.Equal(t, want, f.get(t, p, "https://www.example.edu"+path).Status, path)
	}
	for _, n := range []string{"node1", "node2", "node3"} {
		require.Equal(t, "0", control(t, f.Host(n), "count="+url.QueryEscape("/.snapshot")))
	}
}

func TestSitesForTheCampusAndTheStatusPage(t *testing.T) {
	f := newFarm(t, "proxy1")
	p, client := f.Host("proxy1"), f.Host("client")
	f.render(t, service("in", 8081, "site=in.example.edu", "access=campus", "cache=static"), service("out", 8082, "site=out.example.edu"))
	f.certify(t, p, "in.example.edu")
	f.certify(t, p, "out.example.edu")
	f.mustApply(t, p)
	require.Equal(t, 200, f.get(t, p, "https://out.example.edu/").Status)
	require.Equal(t, 403, f.get(t, p, "https://in.example.edu/").Status, "nobody, before the campus is named")
	require.Equal(t, 403, f.get(t, p, "http://no.example.edu/nginx-status").Status)
	require.Equal(t, "403", client.Run(t, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "X-Forwarded-For: 127.0.0.1", "http://"+p.Address+"/nginx-status"))
	require.Contains(t, p.Run(t, "curl", "-sf", "http://127.0.0.1/nginx-status"), "Active connections")
	_, err := client.Try("curl", "-s", "http://"+p.Address+":8089/berth-generation")
	require.Error(t, err, "that is for the node alone")

	f.local(t, "campus.conf", "allow "+client.Address+";\n")
	f.local(t, "status.conf", "allow "+client.Address+";\n")
	f.mustApply(t, p)
	require.Equal(t, 200, f.get(t, p, "https://in.example.edu/page").Status)
	require.Equal(t, "HIT", f.get(t, p, "https://in.example.edu/page").Headers.Get("X-Cache"))
	require.Contains(t, client.Run(t, "curl", "-sf", "http://"+p.Address+"/nginx-status"), "Active connections")

	// What is in the cache is for the campus too.
	f.local(t, "campus.conf", "allow 192.0.2.0/24;\n")
	f.mustApply(t, p)
	require.Equal(t, 403, f.get(t, p, "https://in.example.edu/page").Status)
}
