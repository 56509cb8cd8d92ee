package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/docs"
	"github.com/casit/berth/integration/lab"
)

// TestProxyFilesOfASwarm types what docs/proxy.md says, on the manager of a
// swarm: labels, ports and nodes are as an engine tells them.
func TestProxyFilesOfASwarm(t *testing.T) {
	l := lab.New(t, lab.Options{Nodes: 2})
	l.Swarm(t)
	manager, worker := l.Nodes[0], l.Nodes[1]
	require.NoError(t, manager.ImportSite())
	manager.Docker(t, "service", "create", "--detach", "--name", "blog", "--replicas", "0", "--no-resolve-image", "--publish", "8081:80",
		"--label", "berth.site=www.example.edu, example.edu", "--label", "berth.cache=wordpress", lab.SiteImage)
	manager.Docker(t, "service", "create", "--detach", "--name", "db", "--replicas", "0", "--no-resolve-image", lab.SiteImage)

	root, err := lab.Root()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Symlink(filepath.Join(root, "deploy"), filepath.Join(dir, "deploy")))
	for _, c := range docs.Commands(t, "docs/proxy.md", "TestProxyFilesOfASwarm") {
		typeIn(t, manager, dir, c)
	}
	text, err := os.ReadFile(filepath.Join(dir, "puppet/files/proxy/sites/www.example.edu.conf"))
	require.NoError(t, err)
	for _, n := range l.Nodes {
		require.Contains(t, string(text), "server "+n.Address+":8081 ")
	}
	require.Contains(t, string(text), "server_name www.example.edu example.edu;")
	require.FileExists(t, filepath.Join(dir, "puppet/files/proxy/nginx.conf"))

	manager.Docker(t, "node", "demote", worker.Name)
	lab.Eventually(t, "the worker says who the manager is", func() error {
		_, err := worker.TryBerth("proxy", "render", "--out", dir)
		require.Error(t, err)
		if !strings.Contains(err.Error(), "type it on a manager: "+manager.Address+":2377") {
			return err
		}
		return nil
	})
}
