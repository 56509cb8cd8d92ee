package examine

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/docker/dockertest"
)

// TestAnEngineWithoutManagedPluginsIsAnEngine: podman's service has no /plugins.
func TestAnEngineWithoutManagedPluginsIsAnEngine(t *testing.T) {
	e, err := dockertest.New(filepath.Join(t.TempDir(), "docker.sock"))
	require.NoError(t, err)
	defer e.Close()
	t.Setenv("DOCKER_HOST", e.Host())
	found := lookAtEngine(t.Context())
	require.NoError(t, found.err)
	require.Empty(t, found.plugin.Name)

	e.Answer("/plugins", `[{"Name":"berth:latest","Enabled":true,"Settings":{"Env":["BERTH_EXPORT=file:///export"]}}]`)
	found = lookAtEngine(t.Context())
	require.NoError(t, found.err)
	require.Equal(t, "berth:latest", found.plugin.Name)
	require.Equal(t, "file:///export", found.getenv("BERTH_EXPORT"))

	e.Close()
	require.Error(t, lookAtEngine(t.Context()).err)
}
