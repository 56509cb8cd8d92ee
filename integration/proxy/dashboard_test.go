package proxy

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
	"github.com/casit/berth/proxy"
)

// The dashboard has no login: behind the proxy it is for the campus, and for
// others it is not there. Its labels and its command are the stack file's.
func TestTheDashboardIsForTheCampus(t *testing.T) {
	page := dashboardService(t)
	f := newFarm(t, "proxy1")
	p, client, node := f.Host("proxy1"), f.Host("client"), f.Host("node1")
	berth := filepath.Join(t.TempDir(), "berth")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", berth, "./cmd/berth") // as the Makefile does: often it is there
	build.Dir, build.Env = root(t), append(build.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	// The routing mesh brings the published port to the container's.
	published := page.Ports[0].Published
	command := strings.ReplaceAll(strings.Join(page.Command, " "), ":8080", ":"+published)
	node.Start(t, append([]string{berth}, strings.Fields(command)...)...)
	lab.Eventually(t, "the dashboard", func() error {
		_, err := node.Try("curl", "-sf", "-o", "/dev/null", "http://127.0.0.1:"+published+"/")
		return err
	})

	s := proxy.Service{Name: "berth-dashboard_page", Labels: page.Deploy.Labels, Ports: []proxy.Port{{Published: 8090, Target: 8080}}}
	f.render(t, s)
	f.certify(t, p, "berth.example.edu")
	f.mustApply(t, p)
	for _, address := range []string{"/", "/events", "/volumes/blog", "/volumes/blog/snapshots/nightly/download?path=wp-config.php"} {
		a := f.get(t, p, "https://berth.example.edu"+address)
		require.Equal(t, 403, a.Status, address)
		require.NotContains(t, a.Body, "What runs where")
	}

	f.local(t, "campus.conf", "allow "+client.Address+";\n")
	f.mustApply(t, p)
	a := f.get(t, p, "https://berth.example.edu/")
	require.Equal(t, 200, a.Status)
	require.Contains(t, a.Body, "What runs where")
	require.Contains(t, a.Headers.Get("Content-Security-Policy"), "default-src 'none'")
	require.Empty(t, a.Headers.Get("X-Cache"), "and it is not kept")
	require.Equal(t, 405, f.get(t, p, "https://berth.example.edu/", "-X", "POST").Status)

	// The stream comes through at once, and not when its buffer is full.
	stream, _ := client.Try("bash", "-c", `curl -sN --max-time 60 --cacert "$0" --resolve berth.example.edu:443:"$1" https://berth.example.edu/events | head -n 1`, f.ca.file, p.Address)
	require.Equal(t, "event: state", strings.TrimSpace(stream))
}

// dashboardService is the service of deploy/stacks/dashboard.yml.
func dashboardService(t *testing.T) types.ServiceConfig {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root(t), "deploy/stacks/dashboard.yml")}, cli.WithName("berth-dashboard"))
	require.NoError(t, err)
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	return project.Services["page"]
}
