package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

// After a rolling reboot the node that came last is empty.
func TestRebalanceFillsAnEmptyNode(t *testing.T) {
	l := swarm(t)
	first, last := l.Nodes[0], l.Nodes[2]
	root, err := lab.Root()
	require.NoError(t, err)
	rebalance := func(args ...string) string {
		t.Helper()
		cmd := first.Command(append([]string{"bash", filepath.Join(root, "deploy/rebalance.sh")}, args...)...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	lab.Insist(t, first, "node", "update", "--availability", "drain", last.Name)
	t.Cleanup(func() { lab.Insist(t, first, "node", "update", "--availability", "active", last.Name) })
	start := func(name string, options ...string) {
		t.Helper()
		args := append([]string{"service", "create", "--detach", "--no-resolve-image", "--name", name, "--network", "host", "--stop-grace-period", "1s", "--update-monitor", "500ms"}, options...)
		first.Docker(t, append(args, lab.SiteImage, "append", "/log")...)
		t.Cleanup(func() { lab.Insist(t, first, "service", "rm", name) })
	}
	for i := range 5 {
		start(fmt.Sprintf("even%d", i))
	}
	start("fixed", "--constraint", "node.hostname=="+first.Name)
	start("everywhere", "--mode", "global")
	for _, name := range []string{"even0", "even1", "even2", "even3", "even4", "fixed"} {
		requireReplicas(t, first, name, "1/1")
	}
	lab.Insist(t, first, "node", "update", "--availability", "active", last.Name)

	require.Contains(t, rebalance("--dry-run"), last.Name+": 0 tasks")
	require.Contains(t, rebalance("--dry-run"), last.Name+": 0 tasks", "a dry run moves nothing")
	out := rebalance()
	require.Equal(t, 3, strings.Count(out, ": 2 tasks"), "%s", out)
	require.NotContains(t, rebalance(), "restarts", "it is even")

	_, err = first.Run("bash", filepath.Join(root, "deploy/rebalance.sh"), "--most", "few")
	require.ErrorContains(t, err, "--most needs a number")
}
