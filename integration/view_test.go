package integration

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

func TestSnapshotIsReadAsAVolumeAndNeverWritten(t *testing.T) {
	l, n := single(t, lab.Options{})
	n.Docker(t, "volume", "create", "-d", "berth", "site1")
	n.Docker(t, "run", "--rm", "--network", "none", "-v", "site1:/data", lab.SiteImage, "write", "/data/page", "today")
	nightly := filepath.Join(l.Export, ".snapshot/nightly/site1")
	require.NoError(t, os.MkdirAll(nightly, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(nightly, "page"), []byte("yesterday\n"), 0o644))

	look := func(volume string, args ...string) (string, error) {
		return n.TryDocker(append([]string{"run", "--rm", "--network", "none", "--volume-driver", "berth",
			"-v", volume, lab.SiteImage}, args...)...)
	}
	out, err := look("site1@nightly:/old:ro", "cat", "/old/page")
	require.NoError(t, err)
	require.Equal(t, "yesterday", out)

	for _, mode := range []string{"", ":rw", ":ro"} {
		_, err = look("site1@nightly:/old"+mode, "write", "/old/page", "forged")
		require.ErrorContains(t, err, "read-only file system", "mode %q", mode)
	}
	// Nor through the copy of the mount that the node itself sees.
	for _, m := range n.Mounts(t) {
		require.NotContains(t, m, ".snapshot/", "no mount per view")
	}
	text, err := os.ReadFile(filepath.Join(nightly, "page"))
	require.NoError(t, err)
	require.Equal(t, "yesterday\n", string(text))

	_, err = look("site1@latest:/old:ro", "cat", "/old/page")
	require.ErrorContains(t, err, "site1@nightly", "what to type instead is named")
	require.NotContains(t, n.Berth(t, "volume", "ls"), "@", "views are not volumes")
	n.Docker(t, "volume", "rm", "site1@nightly")
	require.FileExists(t, filepath.Join(nightly, "page"), "removing a view changes nothing")
}

func TestDockerCopiesIntoAndOutOfAVolume(t *testing.T) {
	l, n := single(t, lab.Options{})
	n.Docker(t, "volume", "create", "-d", "berth", "files")
	n.Docker(t, "create", "--name", "holder", "-v", "files:/data", lab.SiteImage, "ls", "/data")
	n.Docker(t, "start", "--attach", "holder")
	before := n.Mounts(t)

	dir := t.TempDir()
	file := filepath.Join(dir, "in")
	require.NoError(t, os.WriteFile(file, []byte("carried in\n"), 0o640))
	n.Docker(t, "cp", file, "holder:/data/page")
	text, err := os.ReadFile(filepath.Join(l.Export, "files/page"))
	require.NoError(t, err)
	require.Equal(t, "carried in\n", string(text))

	n.Docker(t, "cp", "holder:/data/page", filepath.Join(dir, "out"))
	text, err = os.ReadFile(filepath.Join(dir, "out"))
	require.NoError(t, err)
	require.Equal(t, "carried in\n", string(text))

	// One user fewer after each copy: nothing keeps the volume.
	require.Equal(t, "page", n.Docker(t, "start", "--attach", "holder"))
	require.Equal(t, before, n.Mounts(t))
	n.Docker(t, "rm", "holder")
	require.NotContains(t, n.Berth(t, "volume", "ps"), "files")
	n.Docker(t, "volume", "rm", "files")
}
