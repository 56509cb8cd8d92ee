package tree_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// dig makes a chain of directories below dir, one in the other, with a file in
// the last.
func dig(t *testing.T, dir string, levels int, base string) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	require.NoError(t, err)
	for range levels {
		require.NoError(t, unix.Mkdirat(fd, base, 0o750))
		next, err := unix.Openat(fd, base, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		require.NoError(t, err)
		require.NoError(t, unix.Close(fd))
		fd = next
	}
	f, err := unix.Openat(fd, "bottom", unix.O_CREAT|unix.O_WRONLY, 0o640)
	require.NoError(t, err)
	_, err = unix.Write(f, []byte("content"))
	require.NoError(t, err)
	require.NoError(t, unix.Close(f))
	require.NoError(t, unix.Close(fd))
}

func TestPathsMayBeLongerThanTheKernelTakes(t *testing.T) {
	for name, chain := range map[string]struct {
		levels int
		base   string
	}{
		"just too long":    {21, strings.Repeat("d", 200)},
		"25 by 200":        {25, strings.Repeat("d", 200)},
		"45 by 250":        {45, strings.Repeat("é", 125)},
		"at the very edge": {40, strings.Repeat("x", 99)},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			l := open(t, base)
			makeDirs(t, l, "src", "staging", "trash")
			dig(t, filepath.Join(base, "src"), chain.levels, chain.base)
			bottom := path.Join("src", strings.Repeat(chain.base+"/", chain.levels)+"bottom")
			a, err := l.Stat(ctx, bottom)
			require.NoError(t, err)
			require.Equal(t, int64(7), a.Size)
			require.Equal(t, "content", treetest.Read(t, l, bottom))

			m, err := tree.Measure(ctx, l, "src")
			require.NoError(t, err)
			want := tree.Progress{Dirs: int64(chain.levels) + 1, Files: 1, Bytes: 7}
			require.Equal(t, want, m.Progress)
			for _, checksum := range []bool{false, true} {
				dst := map[bool]string{false: "dst", true: "checked"}[checksum]
				stats, err := tree.Copy(ctx, l, "src", dst, tree.CopyOptions{Checksum: checksum}, nil)
				require.NoError(t, err)
				require.Equal(t, want, stats.Progress)
				_, err = tree.Compare(ctx, l, "src", dst, tree.Equality{Checksum: true}, func(d tree.Difference) error {
					t.Errorf("differs: %+v", d)
					return nil
				})
				require.NoError(t, err)
			}
			// Everything that is done to a name.
			far := path.Join("dst", path.Dir(strings.TrimPrefix(bottom, "src/")))
			require.NoError(t, l.Mkdir(ctx, far+"/new", tree.SetAttr{Mode: ptr[uint32](0o700)}))
			treetest.Write(t, l, far+"/new/file", "x")
			require.NoError(t, l.Link(ctx, far+"/bottom", far+"/new/link"))
			require.NoError(t, l.Rename(ctx, far+"/new/file", far+"/moved"))
			require.NoError(t, l.Symlink(ctx, "to", far+"/sym", tree.SetAttr{}))
			target, err := l.Readlink(ctx, far+"/sym")
			require.NoError(t, err)
			require.Equal(t, "to", target)
			require.NoError(t, l.SetAttr(ctx, far+"/moved", tree.SetAttr{Mode: ptr[uint32](0o600)}))
			require.Equal(t, []string{"bottom", "moved", "new", "sym"}, treetest.Names(t, l, far))
			_, err = l.Stat(ctx, far+"/sym/x")
			require.ErrorIs(t, err, unix.ELOOP)
			_, err = l.Stat(ctx, far+"/none")
			require.ErrorIs(t, err, fs.ErrNotExist)

			_, err = tree.Sync(ctx, l, "src", "dst", tree.SyncOptions{Staging: "staging", Trash: "trash"}, nil)
			require.NoError(t, err)
			require.Equal(t, []string{"bottom"}, treetest.Names(t, l, far))
			require.Equal(t, []string{"moved", "new", "sym"}, treetest.Names(t, l, strings.Replace(far, "dst", "trash", 1)))
			for _, name := range treetest.Names(t, l, ".") {
				require.NoError(t, tree.Delete(ctx, l, name, nil))
			}
			left, err := os.ReadDir(base)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

func TestADirectoryMayBeThousandsOfLevelsDeep(t *testing.T) {
	const levels = 2100
	base := t.TempDir()
	l := open(t, base)
	makeDirs(t, l, "src")
	dig(t, filepath.Join(base, "src"), levels, "d")
	m, err := tree.Measure(ctx, l, "src")
	require.NoError(t, err)
	stats, err := tree.Copy(ctx, l, "src", "dst", tree.CopyOptions{}, nil)
	require.NoError(t, err)
	require.Equal(t, tree.Progress{Dirs: levels + 1, Files: 1, Bytes: 7}, stats.Progress)
	require.Equal(t, stats.Progress, m.Progress)
	for _, name := range []string{"src", "dst"} {
		require.NoError(t, tree.Delete(ctx, l, name, nil))
	}
	require.Empty(t, treetest.Names(t, l, "."))
}

func TestASymlinkInTheWayIsNotFollowedHoweverDeep(t *testing.T) {
	base, outside := t.TempDir(), t.TempDir()
	l := open(t, base)
	makeDirs(t, l, "src")
	part := strings.Repeat("d", 200)
	dig(t, filepath.Join(base, "src"), 30, part)
	dir := "src" + strings.Repeat("/"+part, 30)
	require.NoError(t, l.Symlink(ctx, outside, dir+"/out", tree.SetAttr{}))
	_, err := l.Create(ctx, dir+"/out/evil", tree.SetAttr{})
	require.Error(t, err)
	// One that another component was replaced by, in the middle of a step.
	middle := "src" + strings.Repeat("/"+part, 15)
	require.NoError(t, l.Rename(ctx, middle, "aside"))
	require.NoError(t, l.Symlink(ctx, outside, middle, tree.SetAttr{}))
	_, err = l.Stat(ctx, dir)
	require.ErrorIs(t, err, unix.ELOOP)
	require.NoError(t, tree.Delete(ctx, l, "src", nil))
	require.NoError(t, tree.Delete(ctx, l, "aside", nil))
	left, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Empty(t, left)
}
