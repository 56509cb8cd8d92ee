package integration

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
	"github.com/casit/berth/tree/treetest"
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

	// What a container's root leaves in a volume is harmless to the node, and to the
	// other containers that have the volume. (With :ro, runc gives a container's mount
	// flags of its own; that container sees setuid files again, and makes none.)
	for volume, at := range map[string]string{"site1@nightly:/old": "/old", "site1:/data": "/data"} {
		mounts, err := look(volume, "cat", "/proc/self/mountinfo")
		require.NoError(t, err)
		require.Regexp(t, " "+at+" r[ow],nosuid,nodev,", mounts)
	}
	ours, err := n.Run("grep", "-E", "/propagated-mount/(export|readonly)", "/proc/self/mountinfo")
	require.NoError(t, err)
	for line := range strings.Lines(ours) {
		require.Contains(t, line, ",nosuid,nodev,", "the node's own copy")
		mode, err := n.Run("stat", "-c", "%a", filepath.Dir(strings.Fields(line)[4]))
		require.NoError(t, err)
		require.Equal(t, "700", mode)
	}

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

// dockerd copies what the image has at a volume's place into a volume that is
// empty, and a view cannot take it.
func TestAViewOfAnEmptyVersionSaysHowItIsMounted(t *testing.T) {
	l, n := single(t, lab.Options{})
	const image = "filled:1"
	require.NoError(t, n.Import(filled(t), image))
	n.Docker(t, "volume", "create", "-d", "berth", "blog")
	for _, version := range []string{"empty", "full"} {
		require.NoError(t, os.MkdirAll(filepath.Join(l.Export, ".snapshot", version, "blog"), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(l.Export, ".snapshot/full/blog/page"), []byte("old\n"), 0o644))

	look := func(volume string) (string, error) {
		return n.TryDocker("run", "--rm", "--network", "none", "--volume-driver", "berth", "-v", volume, image, "/bin/busybox", "ls", "/x")
	}
	out, err := look("blog@full:/x:ro")
	require.NoError(t, err)
	require.Equal(t, "page", out)
	for _, mode := range []string{"", ":ro"} {
		_, err = look("blog@empty:/x" + mode)
		t.Log(err)
		require.ErrorContains(t, err, ":nocopy", "mode %q", mode)
		require.ErrorContains(t, err, "empty", "mode %q", mode)
	}
	for _, mode := range []string{":nocopy", ":ro,nocopy"} {
		out, err = look("blog@empty:/x" + mode)
		require.NoError(t, err)
		require.Empty(t, out)
	}
	require.NotContains(t, n.Berth(t, "volume", "ps"), "blog@", "nobody uses it any more")
	n.Docker(t, "plugin", "disable", "-f", "berth")
	n.Docker(t, "plugin", "enable", "berth")
	out, err = look("blog@empty:/x:nocopy")
	require.NoError(t, err)
	require.Empty(t, out)
}

// filled is an image with busybox, and files at /x.
func filled(t *testing.T) io.Reader {
	t.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		treetest.Skip(t, "busybox, for an image that has files, is not installed")
	}
	var image bytes.Buffer
	w := tar.NewWriter(&image)
	for _, f := range []struct {
		name string
		mode int64
		text []byte
	}{{"bin/busybox", 0o755, busybox}, {"x/of-the-image", 0o644, []byte("x")}, {"x/dir/deep", 0o644, []byte("x")}} {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.text))}))
		_, err := w.Write(f.text)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return &image
}
