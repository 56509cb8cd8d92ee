package flexvol

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHide(t *testing.T) {
	root := filepath.Join(t.TempDir(), "vol")
	require.NoError(t, os.Mkdir(root, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "a"), []byte("one"), 0o644))
	d, err := Open(root, false)
	require.NoError(t, err)
	require.NoError(t, d.Take("first"))
	names := func() (out []string) {
		list, err := os.ReadDir(root)
		require.NoError(t, err)
		for _, e := range list {
			out = append(out, e.Name())
		}
		return out
	}
	require.NoError(t, d.Hide(true))
	require.NoError(t, d.Hide(true), "twice is once")
	require.Equal(t, []string{"a"}, names())
	_, err = d.Lstat(SnapDir)
	require.ErrorIs(t, err, os.ErrNotExist)

	// The filer goes on with its snapshots meanwhile.
	require.NoError(t, d.Take("second"))
	require.NoError(t, d.RenameSnapshot("second", "third"))
	require.NoError(t, d.Take("gone"))
	require.NoError(t, d.Drop("gone"))
	require.NoError(t, d.CopyOut(".snapshot/third/a", "b"))
	there, err := d.Snapshots()
	require.NoError(t, err)
	require.Len(t, there, 2)
	require.Equal(t, []string{"a", "b"}, names())
	d.Close()

	// Another run finds them hidden, and shows them.
	d, err = Open(root, false)
	require.NoError(t, err)
	defer d.Close()
	require.True(t, d.Hidden())
	require.Equal(t, []string{"a", "b"}, names())
	require.NoError(t, d.Hide(false))
	require.NoError(t, d.Hide(false))
	require.Equal(t, []string{".snapshot", "a", "b"}, names())
	got, err := os.ReadFile(filepath.Join(root, ".snapshot/third/a"))
	require.NoError(t, err)
	require.Equal(t, "one", string(got))
	info, err := os.Stat(filepath.Join(root, SnapDir))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o555), info.Mode().Perm())
}
