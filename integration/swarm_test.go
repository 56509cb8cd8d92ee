package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

func TestVolumeMadeOnOneNodeIsListedOnAllAtOnce(t *testing.T) {
	l := swarm(t)
	l.Nodes[0].Docker(t, "volume", "create", "-d", "berth", "seen")
	for _, n := range l.Nodes {
		require.Contains(t, volumes(t, n), "seen", "on %s", n.Name)
	}
	require.Equal(t, "berth:latest", l.Nodes[2].Docker(t, "volume", "inspect", "--format", "{{.Driver}}", "seen"))

	l.Nodes[1].Docker(t, "volume", "rm", "seen")
	for _, n := range l.Nodes {
		require.NotContains(t, volumes(t, n), "seen", "on %s", n.Name)
	}
}

const stackFile = `
version: "3.8"
services:
  site:
    image: ` + lab.SiteImage + `
    command: append /data/log
    volumes: ["data:/data"]
    deploy:
      restart_policy: {delay: 0s}
volumes:
  data:
    driver: berth
    driver_opts: {mode: "0750"}
`

func TestSuccessorOfADrainedTaskReadsWhatItWrote(t *testing.T) {
	l := swarm(t)
	first := l.Nodes[0]
	file := filepath.Join(t.TempDir(), "shop.yaml")
	require.NoError(t, os.WriteFile(file, []byte(stackFile), 0o644))
	first.Docker(t, "stack", "deploy", "--resolve-image", "never", "--compose-file", file, "shop")
	t.Cleanup(func() { first.Docker(t, "stack", "rm", "shop") })

	was := runningOn(t, first, "shop_site", "")
	requireWriting(t, l, "shop_data")
	info, err := os.Stat(filepath.Join(l.Export, "shop_data"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o750), info.Mode().Perm(), "the stack file's driver_opts arrive")

	first.Docker(t, "node", "update", "--availability", "drain", was)
	t.Cleanup(func() { first.Docker(t, "node", "update", "--availability", "active", was) })
	now := runningOn(t, first, "shop_site", was)
	requireWriting(t, l, "shop_data")
	requireUnbroken(t, l, "shop_data")

	// The hosts in the records are the two containers, one after the other.
	hosts := map[string]bool{}
	lines, err := records(l, "shop_data")
	require.NoError(t, err)
	for _, line := range lines {
		host, _, _ := strings.Cut(line, " ")
		hosts[host] = true
	}
	require.Len(t, hosts, 2)
	// The logs of two tasks come in no order: the first found nothing, the
	// other one something.
	found := strings.Fields(first.Docker(t, "service", "logs", "--raw", "shop_site"))
	require.Len(t, found, 4, "%v", found)
	require.NotEqual(t, found[1] == "0", found[3] == "0", "the successor on %s found its predecessor's records: %v", now, found)
}

// runningOn waits until the service's task runs on another node than avoid,
// and on that node only.
func runningOn(t *testing.T, n *lab.Node, service, avoid string) (node string) {
	t.Helper()
	lab.Eventually(t, "a running task of "+service, func() error {
		tasks := n.Docker(t, "service", "ps", "--no-trunc", "--format", "{{.Node}} {{.CurrentState}} {{.Error}}", service)
		var running []string
		for line := range strings.Lines(tasks) {
			if fields := strings.Fields(line); len(fields) > 1 && fields[1] == "Running" {
				running = append(running, fields[0])
			}
		}
		if len(running) != 1 || running[0] == avoid {
			return fmt.Errorf("tasks are:\n%s", tasks)
		}
		node = running[0]
		return nil
	})
	return node
}

func TestCutNodeIsDownForTheSwarmAndComesBack(t *testing.T) {
	l := swarm(t)
	first, third := l.Nodes[0], l.Nodes[2]
	requireState := func(state string) {
		t.Helper()
		lab.Eventually(t, "n3 to be "+state, func() error {
			if now := first.Docker(t, "node", "inspect", "--format", "{{.Status.State}}", third.Name); now != state {
				return fmt.Errorf("it is %s", now)
			}
			return nil
		})
	}
	require.NoError(t, third.Cut())
	t.Cleanup(func() {
		require.NoError(t, third.Heal())
		requireState("ready")
	})
	requireState("down")
	require.NotEmpty(t, third.Docker(t, "version", "--format", "{{.Server.Version}}"), "a cut node's engine goes on")
}
