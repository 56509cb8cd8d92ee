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
	t.Cleanup(func() { lab.Insist(t, first, "stack", "rm", "shop") })

	was := runningOn(t, first, "shop_site", "")
	requireWriting(t, l, "shop_data")
	info, err := os.Stat(filepath.Join(l.Export, "shop_data"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o750), info.Mode().Perm(), "the stack file's driver_opts arrive")

	lab.Insist(t, first, "node", "update", "--availability", "drain", was)
	t.Cleanup(func() { lab.Insist(t, first, "node", "update", "--availability", "active", was) })
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
	require.Equal(t, "0", foundBy(t, l, was, "shop_site"))
	require.NotEqual(t, "0", foundBy(t, l, now, "shop_site"), "the successor finds its predecessor's records")
}

// foundBy is how many records the service's task on the node found at its
// start. Its own engine is asked: swarm's readers of logs lose sight of nodes
// that had been cut off.
func foundBy(t *testing.T, l *lab.Lab, node, service string) string {
	t.Helper()
	n := l.Node(node)
	logs := n.Docker(t, "logs", n.Docker(t, "ps", "--all", "--quiet", "--filter", "label=com.docker.swarm.service.name="+service))
	require.Regexp(t, `^found \d+$`, logs)
	return strings.Fields(logs)[1]
}

// runningOn waits until the service's task runs on another node than avoid,
// and on that node only.
func runningOn(t *testing.T, n *lab.Node, service, avoid string) (node string) {
	t.Helper()
	lab.Eventually(t, "a running task of "+service, func() error {
		tasks, err := n.TryDocker("service", "ps", "--no-trunc", "--format", "{{.Node}} {{.CurrentState}} {{.Error}}", service)
		if err != nil {
			return err
		}
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
