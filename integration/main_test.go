package integration

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// leaseTTL is short enough to wait for and long enough for a busy machine.
const leaseTTL = 8 * time.Second

// single is one node with the plugin and the site's image.
func single(t *testing.T, o lab.Options) (*lab.Lab, *lab.Node) {
	t.Helper()
	l := lab.New(t, o)
	n := l.Nodes[0]
	require.NoError(t, n.ImportSite())
	require.NoError(t, n.InstallPlugin(lab.DirectoryExport))
	return l, n
}

// startSwarm starts the lab that several tests share: three managers with the
// plugin and the site's image. It lives until the tests end.
var startSwarm = sync.OnceValues(func() (*lab.Lab, error) {
	l, err := lab.Start(lab.Options{Nodes: 3})
	if err != nil {
		return nil, err
	}
	return l, l.EachNode(func(n *lab.Node) error {
		if err := n.ImportSite(); err != nil {
			return err
		}
		return n.InstallPlugin(lab.DirectoryExport, "BERTH_LEASE_TTL="+leaseTTL.String())
	})
})

var joinSwarm sync.Once

// swarm is the shared swarm, whole: a test that breaks something mends it, and
// the next one waits until the swarm has noticed.
func swarm(t *testing.T) *lab.Lab {
	t.Helper()
	lab.Require(t)
	l, err := startSwarm()
	require.NoError(t, err)
	joinSwarm.Do(func() { l.Swarm(t) })
	lab.Eventually(t, "all nodes to be ready", func() error {
		states, err := l.Nodes[0].TryDocker("node", "ls", "--format", "{{.Hostname}} {{.Status}}")
		if err == nil && strings.Count(states, " Ready") < len(l.Nodes) {
			err = errors.New(states)
		}
		return err
	})
	return l
}

// volumes lists berth's volumes as the node's engine knows them, sorted.
func volumes(t *testing.T, n *lab.Node) []string {
	t.Helper()
	return strings.Fields(n.Docker(t, "volume", "ls", "--quiet", "--filter", "driver=berth:latest"))
}

// startWriter runs a container that appends records to VOLUME/log for as long
// as it runs, and waits for the first ones. volume is its path below the export.
func startWriter(t *testing.T, l *lab.Lab, n *lab.Node, volume string, options ...string) {
	t.Helper()
	name := path.Base(volume)
	args := append([]string{"run", "--detach", "--name", "writer-" + name, "--network", "none"}, options...)
	args = append(args, "--volume", name+":/data", "--volume-driver", "berth", lab.SiteImage, "append", "/data/log")
	n.Docker(t, args...)
	requireWriting(t, l, volume)
}

// records are the lines of VOLUME/log on the export.
func records(l *lab.Lab, volume string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(l.Export, volume, "log"))
	return strings.Split(strings.TrimSpace(string(text)), "\n"), err
}

// requireWriting waits until the volume's log has grown.
func requireWriting(t *testing.T, l *lab.Lab, volume string) {
	t.Helper()
	before, _ := records(l, volume)
	lab.Eventually(t, "more records in "+volume, func() error {
		now, err := records(l, volume)
		if err == nil && len(now) <= len(before)+1 {
			err = fmt.Errorf("still %d", len(now))
		}
		return err
	})
}

// requireUnbroken checks that the log's numbers go up by one from 1: nothing
// that a container wrote is missing, nothing stands in another tree.
func requireUnbroken(t *testing.T, l *lab.Lab, volume string) {
	t.Helper()
	lines, err := records(l, volume)
	require.NoError(t, err)
	for i, line := range lines {
		_, number, _ := strings.Cut(line, " ")
		require.Equal(t, fmt.Sprint(i+1), number, "record %d of %s is %q", i+1, volume, line)
	}
}
