package flexvol

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/tree/treetest"
)

// TestQtreeOnBtrfs holds that a qtree has an edge that the kernel guards, that its
// content is in snapshots, and that all of it can be deleted again.
func TestQtreeOnBtrfs(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for a loop device")
	}
	root := treetest.Btrfs(t)
	in := func(name string) string { return filepath.Join(root, name) }
	d, err := Open(root, false)
	require.NoError(t, err)
	defer d.Close()
	require.Equal(t, "btrfs", d.Engine)

	require.NoError(t, d.MakeQtree("q1", 0o750))
	require.NoError(t, os.WriteFile(in("q1/a"), []byte("in the qtree"), 0o644))
	require.NoError(t, os.WriteFile(in("b"), []byte("outside"), 0o644))
	st, err := os.Stat(in("q1"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o750), st.Mode().Perm())
	require.ErrorIs(t, os.Rename(in("q1/a"), in("a")), unix.EXDEV)
	require.ErrorIs(t, os.Rename(in("b"), in("q1/b")), unix.EXDEV)
	require.ErrorIs(t, os.Link(in("b"), in("q1/b")), unix.EXDEV)
	require.NoError(t, d.Rename("q1", "q2"), "the qtree itself gets another name")

	require.NoError(t, d.Take("s1"))
	require.NoError(t, os.WriteFile(in("q2/a"), []byte("changed"), 0o644))
	got, err := os.ReadFile(in(".snapshot/s1/q2/a"))
	require.NoError(t, err)
	require.Equal(t, "in the qtree", string(got))
	require.ErrorIs(t, os.WriteFile(in(".snapshot/s1/q2/a"), nil, 0o644), unix.EROFS)
	require.ErrorIs(t, os.WriteFile(in(".snapshot/s1/new"), nil, 0o644), unix.EROFS)
	require.NoError(t, d.RenameSnapshot("s1", "s2"))
	require.NoError(t, d.CopyOut(".snapshot/s2/q2/a", "copy"))

	sum, err := d.Sum("q2")
	require.NoError(t, err)
	require.EqualValues(t, 1, sum.Files)
	require.NoError(t, d.Drop("s2"))
	require.NoDirExists(t, in(".snapshot/s2"))
	require.NoError(t, d.Remove("q2", true))
	require.NoDirExists(t, in("q2"))
}
