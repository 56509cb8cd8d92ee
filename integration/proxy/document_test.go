package proxy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/docs"
	"github.com/casit/berth/integration/lab"
)

// TestAProxyIsMadeAsDocumented types what docs/proxy.md says, where Puppet has
// brought the files.
func TestAProxyIsMadeAsDocumented(t *testing.T) {
	f := newFarm(t, "proxy1")
	p := f.Host("proxy1")
	f.render(t, service("shop", 8081, "site=www.example.edu"))
	f.certify(t, p, "www.example.edu")
	p.Run(t, "bash", "-c", "mount -t tmpfs tmpfs /etc/sysctl.d && mount -t tmpfs tmpfs /usr/local/sbin && mv /var/cache/nginx /var/cache/away")
	p.Run(t, "cp", "-r", f.dir, "/etc/nginx/berth")
	dir := t.TempDir()
	require.NoError(t, os.Symlink(filepath.Join(root(t), "deploy"), filepath.Join(dir, "deploy")))
	var said []string
	for _, c := range docs.Commands(t, "docs/proxy.md", "TestAProxyIsMadeAsDocumented") {
		if strings.HasPrefix(c, "curl") && len(said) > 0 && !strings.HasPrefix(said[len(said)-1], "curl") {
			startNGINX(t, p) // systemd's part
		}
		said = append(said, c+"\n"+p.Run(t, "env", "-C", dir, "PATH=/usr/local/sbin:"+os.Getenv("PATH"), "bash", "-euo", "pipefail", "-c", c))
	}
	all := strings.Join(said, "\n")
	require.Contains(t, all, "added sites/www.example.edu.conf")
	require.Regexp(t, `berth-generation\n1-[0-9a-f]{12}\n`, all)
	require.Contains(t, all, "nginx-health\nok")
	require.Contains(t, all, "Active connections")
	require.Equal(t, 200, f.get(t, p, "https://www.example.edu/").Status)
}

func TestTheLogIsALineOfJSONPerRequest(t *testing.T) {
	f := newFarm(t, "proxy1")
	p := f.Host("proxy1")
	f.render(t, service("shop", 8081, "site=www.example.edu", "cache=static"))
	f.certify(t, p, "www.example.edu")
	f.mustApply(t, p)
	a := f.get(t, p, "https://www.example.edu/a%22b?c=\"d\\", "-A", "evil\",\"status\":999,\t\"x\":\"", "-e", "from\tthere")
	f.get(t, p, "http://www.example.edu/")
	_, err := f.tryGet(p, "http://other.example.edu/")
	require.Error(t, err)

	var lines []map[string]any
	lab.Eventually(t, "three lines", func() error {
		lines = nil
		for line := range strings.Lines(p.Run(t, "cat", "/var/log/nginx/access.log")) {
			one := map[string]any{}
			require.NoError(t, json.Unmarshal([]byte(line), &one), line)
			lines = append(lines, one)
		}
		if len(lines) < 3 {
			return fmt.Errorf("%d", len(lines))
		}
		return nil
	})
	require.Len(t, lines, 3)
	first := lines[0]
	for field, want := range map[string]any{"id": a.Headers.Get("X-Request-ID"), "client": f.Host("client").Address, "peer": f.Host("client").Address,
		"scheme": "https", "host": "www.example.edu", "method": "GET", "uri": "/a%22b?c=\"d\\", "protocol": "HTTP/2.0", "status": 200.0, "bytes": float64(len(a.Body)),
		"referer": "from\tthere", "agent": "evil\",\"status\":999,\t\"x\":\"", "tls": "TLSv1.3", "cache": "MISS", "upstream_status": "200"} {
		require.Equal(t, want, first[field], field)
	}
	require.Contains(t, first["upstream"], ":8081")
	require.Equal(t, "301 http", fmt.Sprint(lines[1]["status"], " ", lines[1]["scheme"]))
	require.Equal(t, "444 other.example.edu", fmt.Sprint(lines[2]["status"], " ", lines[2]["host"]))
}
