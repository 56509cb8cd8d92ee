package proxy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
	"github.com/casit/berth/integration/netns"
	"github.com/casit/berth/proxy"
)

// generation is what the proxy says that it has loaded.
func generation(t *testing.T, h *netns.Host) string {
	t.Helper()
	return h.Run(t, "curl", "-sf", "http://127.0.0.1:8089/berth-generation")
}

// tree is the state of the proxy's directory, but for what differs by time.
func tree(t *testing.T, h *netns.Host) string {
	t.Helper()
	return h.Run(t, "bash", "-c", `cd /etc/nginx && find . ! -name berth.lock -printf '%P %y %l %m\n' | sort; find -L berth.d -type f -exec sha256sum {} + | sort`)
}

func TestApply(t *testing.T) {
	f := newFarm(t, "proxy1")
	p := f.Host("proxy1")
	one, two := service("one", 8081, "site=one.example.edu"), service("two", 8082, "site=two.example.edu")
	f.render(t, one)
	f.certify(t, p, "one.example.edu")

	// The first time, on a machine with NGINX as the distribution leaves it.
	before := tree(t, p)
	code, out := f.apply(t, p, "--dry-run")
	require.Zero(t, code, out)
	require.Contains(t, out, "added sites/one.example.edu.conf\n")
	require.Equal(t, before, tree(t, p))
	f.mustApply(t, p)
	require.Equal(t, "berth.d/nginx.conf", p.Run(t, "readlink", "/etc/nginx/nginx.conf"))
	require.NotEmpty(t, p.Run(t, "cat", "/etc/nginx/nginx.conf.before-berth"))
	first := generation(t, p)
	require.Regexp(t, "^1-[0-9a-f]{12}$", first)

	// Again: nothing happens, not even a reload.
	workers := func() string { return p.Run(t, "pgrep", "-f", "nginx: worker") }
	was, loaded := tree(t, p), workers()
	code, out = f.apply(t, p)
	require.Zero(t, code, out)
	require.Equal(t, "apply.sh: nothing to do: generation 1 is live\n", out)
	require.Equal(t, was, tree(t, p))
	require.Equal(t, loaded, workers())

	// A new site without a certificate is left out, what else is new is not.
	three := service("three", 8083, "site=three.example.edu")
	f.certify(t, p, "three.example.edu")
	f.render(t, one, two, three)
	for range 2 {
		code, out = f.apply(t, p)
		require.Equal(t, 3, code, out)
		require.Contains(t, out, "sites/two.example.edu.conf is left out: there is no /etc/nginx/certificates/two.example.edu/fullchain.pem")
		require.Equal(t, 200, f.get(t, p, "https://three.example.edu/").Status)
		require.Regexp(t, "^2-", generation(t, p))
	}
	f.certify(t, p, "two.example.edu")
	code, out = f.apply(t, p)
	require.Zero(t, code, out)
	require.Contains(t, out, "added sites/two.example.edu.conf\n")
	require.NotContains(t, out, "three")
	require.Equal(t, 200, f.get(t, p, "https://two.example.edu/").Status)

	// A site that gets a certificate which is not there stays as it is; others do not wait.
	f.render(t, one, service("two", 8084, "site=two.example.edu", "certificate=other"), service("three", 8081, "site=three.example.edu"))
	code, out = f.apply(t, p)
	require.Equal(t, 3, code, out)
	require.Contains(t, out, "sites/two.example.edu.conf stays as it is: there is no /etc/nginx/certificates/other/fullchain.pem")
	require.Equal(t, "8082", f.get(t, p, "https://two.example.edu/").Port)
	require.Equal(t, "8081", f.get(t, p, "https://three.example.edu/").Port)

	// So it is with certificates that are damaged: one of a new site, one that a served
	// site should get, and a key that is another's.
	p.Run(t, "bash", "-c", "cd /etc/nginx/certificates && mkdir other four.example.edu && echo damaged | tee other/fullchain.pem other/privkey.pem &&"+
		" cp one.example.edu/fullchain.pem four.example.edu/ && cp three.example.edu/privkey.pem four.example.edu/")
	f.render(t, one, service("two", 8084, "site=two.example.edu", "certificate=other"), service("three", 8084, "site=three.example.edu"), service("four", 8081, "site=four.example.edu"))
	code, out = f.apply(t, p)
	require.Equal(t, 3, code, out)
	require.Contains(t, out, "sites/two.example.edu.conf stays as it is: NGINX does not load /etc/nginx/certificates/other")
	require.Contains(t, out, "sites/four.example.edu.conf is left out: NGINX does not load /etc/nginx/certificates/four.example.edu")
	require.Equal(t, "8082", f.get(t, p, "https://two.example.edu/").Port)
	require.Equal(t, "8084", f.get(t, p, "https://three.example.edu/").Port)
	require.Empty(t, p.Run(t, "bash", "-c", "ls /etc/nginx | grep -E 'probe|test|next' || true"))

	// A site that is served does not vanish with its certificate.
	p.Run(t, "mv", "/etc/nginx/certificates/one.example.edu", "/etc/nginx/certificates/away")
	f.render(t, one, three)
	was = tree(t, p)
	code, out = f.apply(t, p)
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "there is no /etc/nginx/certificates/one.example.edu/fullchain.pem, and sites/one.example.edu.conf is being served with it")
	require.Equal(t, was, tree(t, p))
	p.Run(t, "mv", "/etc/nginx/certificates/away", "/etc/nginx/certificates/one.example.edu")

	// A site whose service is gone goes; also where the copy to the proxy removes
	// no files. One of the operator's own stays.
	stale, err := os.ReadFile(filepath.Join(f.dir, "sites", "one.example.edu.conf"))
	require.NoError(t, err)
	f.render(t, three)
	require.NoError(t, os.WriteFile(filepath.Join(f.dir, "sites", "one.example.edu.conf"), stale, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(f.dir, "sites", "own.conf"), []byte("server { listen 80; server_name own.example.edu; return 200 \"own\\n\"; }\n"), 0o644))
	code, out = f.apply(t, p)
	require.Zero(t, code, out)
	require.Contains(t, out, "sites/one.example.edu.conf is no longer in the manifest and is not taken\n")
	require.Contains(t, out, "removed sites/two.example.edu.conf\n")
	require.Contains(t, out, "added sites/own.conf\n")
	_, err = f.tryGet(p, "http://one.example.edu/")
	require.Error(t, err)
	require.Equal(t, "own", strings.TrimSpace(f.get(t, p, "http://own.example.edu/").Body))
	require.Equal(t, 200, f.get(t, p, "https://three.example.edu/").Status)

	// The last three generations stay.
	require.Equal(t, "/etc/nginx/berth.4\n/etc/nginx/berth.5\n/etc/nginx/berth.6", p.Run(t, "bash", "-c", "ls -d /etc/nginx/berth.[0-9]*"))
}

// What NGINX does not take changes nothing, whenever it says so.
func TestApplyGoesBack(t *testing.T) {
	f := newFarm(t, "proxy1")
	p := f.Host("proxy1")
	f.render(t, service("one", 8081, "site=one.example.edu"))
	f.certify(t, p, "one.example.edu")

	refused := func(what string, messages ...string) {
		t.Helper()
		was := tree(t, p)
		code, out := f.apply(t, p)
		require.Equal(t, 1, code, what+": "+out)
		for _, m := range messages {
			require.Contains(t, out, m, what)
		}
		require.Equal(t, was, tree(t, p), what)
	}
	// On a machine whose NGINX serves something else, and cannot serve this.
	nginx := startDistributions(t, p)
	f.local(t, "http.conf", "server { listen 9999; }\n")
	blocker := p.Start(t, "perl", "-MIO::Socket::INET", "-e", `my $s = IO::Socket::INET->new(Listen => 5, LocalAddr => "0.0.0.0:9999", ReuseAddr => 1) or die $!; sleep`)
	lab.Eventually(t, "the port is taken", func() error {
		_, err := p.Try("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9999")
		return err
	})
	code, out := f.apply(t, p)
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "bind() to 0.0.0.0:9999 failed")
	require.Contains(t, out, "was put back to what it had")
	require.Equal(t, "the distribution's", p.Run(t, "curl", "-sf", "http://127.0.0.1/"))
	require.NotContains(t, tree(t, p), "berth.d")
	nginx.Kill()

	require.NoError(t, os.Remove(filepath.Join(f.dir, "local", "http.conf")))
	f.mustApply(t, p)
	require.Equal(t, 200, f.get(t, p, "https://one.example.edu/").Status)

	// Refused by the test.
	f.local(t, "http.conf", "serverr { listen 9999; }\n")
	refused("syntax", `unknown directive "serverr" in /etc/nginx/berth.d/local/http.conf:1`, "NGINX refuses the files; nothing was changed")
	// Refused by the reload alone.
	f.local(t, "http.conf", "server { listen 9999; }\n")
	refused("a port that is taken", "bind() to 0.0.0.0:9999 failed", "was put back to what it had")
	require.Equal(t, 200, f.get(t, p, "https://one.example.edu/").Status)
	blocker.Kill()
	f.mustApply(t, p)
	require.Regexp(t, "^2-", generation(t, p))

	// A copy that is not complete.
	file := filepath.Join(f.dir, "sites", "one.example.edu.conf")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text[:len(text)/2], 0o644))
	refused("half a file", "sites/one.example.edu.conf: FAILED", "are not those of its manifest")
	require.NoError(t, os.Remove(file))
	refused("no file", "are not those of its manifest")
	require.NoError(t, os.Remove(filepath.Join(f.dir, "manifest")))
	refused("no manifest", "has no manifest")
	require.NoError(t, os.Remove(filepath.Join(f.dir, "nginx.conf")))
	refused("nothing", "has no nginx.conf and snippets/")
	for _, args := range [][]string{{"--frobnicate"}, {"--from"}, {"--from", "/nowhere"}} {
		code, _ := f.apply(t, p, args...)
		require.Equal(t, 2, code)
	}
}

// startDistributions starts NGINX with a configuration that is none of ours.
func startDistributions(t *testing.T, h *netns.Host) *netns.Process {
	t.Helper()
	h.Run(t, "bash", "-c", `echo 'pid /run/nginx.pid; events {} http { server { listen 80; location / { return 200 "the distribution'\''s"; } } }' >/etc/nginx/nginx.conf`)
	p := h.Start(t, "nginx", "-g", "daemon off;")
	lab.Eventually(t, "nginx", func() error {
		_, err := h.Try("curl", "-sf", "http://127.0.0.1/")
		return err
	})
	return p
}

// Killed at any time, it leaves a proxy that serves the one or the other, and
// the next run completes it.
func TestApplyIsKilled(t *testing.T) {
	t.Parallel()
	f := newFarm(t, "proxy1")
	p := f.Host("proxy1")
	one, two := service("one", 8081, "site=one.example.edu"), service("one", 8082, "site=one.example.edu")
	f.certify(t, p, "one.example.edu")
	f.render(t, one)
	f.mustApply(t, p)

	script := filepath.Join(root(t), "deploy/proxy/apply.sh")
	want, done := two, false
	for delay := 10 * time.Millisecond; !done; delay += delay / 5 {
		f.render(t, want)
		ctx, cancel := context.WithTimeout(t.Context(), delay)
		err := p.Command(ctx, script, "--from", f.dir).Run()
		cancel()
		done = err == nil
		// NGINX could start anew with what is there, and serves all the time.
		p.Run(t, "nginx", "-t", "-q")
		require.Equal(t, 200, f.get(t, p, "https://one.example.edu/").Status)
		f.mustApply(t, p)
		// What was killed may have made NGINX load it just now: the workers of before
		// have not all heard of it yet.
		port := fmt.Sprint(want.Ports[0].Published)
		lab.Eventually(t, "the new page", func() error {
			if got := f.get(t, p, "https://one.example.edu/").Port; got != port {
				return fmt.Errorf("it is of port %s", got)
			}
			return nil
		})
		require.NotRegexp(t, regexp.MustCompile(`berth\.(next|test)|\.new`), tree(t, p))
		if want = one; port == "8081" {
			want = two
		}
	}
}

func TestFiveHundredSites(t *testing.T) {
	f := newFarm(t, "proxy1")
	p := f.Host("proxy1")
	var services []proxy.Service
	name := func(i int) string {
		return fmt.Sprintf("a-site-with-a-rather-long-name-%03d.department.example.edu", i)
	}
	for i := range 500 {
		services = append(services, service(fmt.Sprintf("stack%d_web", i), uint16(8081+i%4), "site="+name(i)+", www."+name(i), "cache=wordpress", "certificate=wild"))
	}
	f.certify(t, p, "wild", "*.department.example.edu")
	f.render(t, services[0])
	f.mustApply(t, p)
	f.render(t, services...)
	code, out := f.apply(t, p)
	require.Zero(t, code, out)
	require.Equal(t, 499, strings.Count(out, "added sites/"), out)
	require.NotContains(t, out, "warn", "NGINX has nothing to remark on")
	for i := 0; i < 500; i += 7 {
		a := f.get(t, p, "https://"+name(i)+"/")
		require.Equal(t, fmt.Sprint(200, " ", 8081+i%4), fmt.Sprint(a.Status, " ", a.Port))
	}
}
