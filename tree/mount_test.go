package tree_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// bind mounts source on target until the test ends.
func bind(t *testing.T, source, target string) {
	t.Helper()
	require.NoError(t, unix.Mount(source, target, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
}

// withMounts makes a tree src with what may be mounted in one, and returns what
// is mounted and the files there.
func withMounts(t *testing.T) (l *tree.Local, base string, names, precious []string) {
	needRoot(t)
	base = t.TempDir()
	l = open(t, base)
	makeDirs(t, l, "src", "src/own", "src/disk", "src/deep", "src/deep/er", "src/deep/er/same", "elsewhere")
	treetest.Write(t, l, "src/own/file", "1234")
	treetest.Write(t, l, "src/one", "under the mount")
	treetest.Write(t, l, "elsewhere/mine", "precious")
	disk := mounted(t, "tmpfs", "tmpfs", 0, "")
	require.NoError(t, os.WriteFile(filepath.Join(disk, "1.jpg"), []byte("precious"), 0o644))
	bind(t, disk, filepath.Join(base, "src/disk"))
	bind(t, filepath.Join(base, "elsewhere"), filepath.Join(base, "src/deep/er/same"))
	bind(t, filepath.Join(base, "elsewhere/mine"), filepath.Join(base, "src/one"))
	return l, base, []string{"src/deep/er/same", "src/disk", "src/one"}, []string{filepath.Join(disk, "1.jpg"), filepath.Join(base, "elsewhere/mine")}
}

func TestWhatIsMountedInATreeIsNotTouched(t *testing.T) {
	l, base, names, precious := withMounts(t)
	got, err := l.Mounts(ctx, "src")
	require.NoError(t, err)
	require.Equal(t, names, got)
	got, err = l.Mounts(ctx, "elsewhere")
	require.NoError(t, err)
	require.Empty(t, got)
	got, err = l.Mounts(ctx, "src/disk")
	require.NoError(t, err)
	require.Empty(t, got, "what is mounted on the directory itself is not in it")
	_, err = l.Mounts(ctx, "none")
	require.ErrorIs(t, err, os.ErrNotExist)

	m, err := tree.Measure(ctx, l, "src")
	require.NoError(t, err)
	require.Equal(t, tree.Progress{Dirs: 4, Files: 1, Bytes: 4}, m.Progress)

	_, err = tree.Copy(ctx, l, "src", "whole", tree.CopyOptions{}, nil)
	require.ErrorIs(t, err, tree.ErrMount)
	require.True(t, slices.ContainsFunc(names, func(n string) bool { return strings.Contains(err.Error(), n) }), err)
	stats, err := tree.Copy(ctx, l, "src", "live", tree.CopyOptions{Live: true}, nil)
	require.NoError(t, err)
	slices.Sort(stats.Missing.Paths)
	require.Equal(t, []string{
		"src/deep/er/same: another filesystem is mounted there",
		"src/disk: another filesystem is mounted there",
		"src/one: another filesystem is mounted there",
	}, stats.Missing.Paths)
	require.Empty(t, treetest.Names(t, l, "live/disk"))
	require.Empty(t, treetest.Names(t, l, "live/deep/er/same"))
	require.Equal(t, []string{"deep", "disk", "own"}, treetest.Names(t, l, "live"))

	for range 2 {
		err = tree.Delete(ctx, l, "src", nil)
		require.ErrorIs(t, err, tree.ErrMount)
		require.ErrorContains(t, err, "3 left in src: ")
		require.Equal(t, []string{"deep", "disk", "one"}, treetest.Names(t, l, "src"), "all the rest is gone")
	}
	require.ErrorIs(t, tree.Delete(ctx, l, "src/disk", nil), tree.ErrMount)
	require.ErrorIs(t, l.Rename(ctx, "src/disk", "moved"), tree.ErrMount)
	for _, name := range precious {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, "precious", string(data))
	}
	for _, name := range names {
		require.NoError(t, unix.Unmount(filepath.Join(base, name), 0))
	}
	require.NoError(t, tree.Delete(ctx, l, "src", nil))
	require.Equal(t, "precious", treetest.Read(t, l, "elsewhere/mine"))
}

// wrapped is a filesystem that is known by its methods alone.
type wrapped struct{ tree.FS }

func TestAMountThatComesLateIsNotEmptied(t *testing.T) {
	needRoot(t)
	base := t.TempDir()
	l := open(t, base)
	disk := mounted(t, "tmpfs", "tmpfs", 0, "")
	require.NoError(t, os.WriteFile(filepath.Join(disk, "1.jpg"), []byte("precious"), 0o644))
	// Directories that were listed before it was mounted, and are entered after.
	makeDirs(t, l, "src")
	for _, d := range []string{"a", "b", "c", "d"} {
		makeDirs(t, l, "src/"+d, "src/"+d+"/e")
		treetest.Write(t, l, "src/"+d+"/e/file", "x")
	}
	removed := false
	err := tree.Delete(ctx, l, "src", func(tree.Progress) {
		if !removed {
			removed = true
			for _, d := range []string{"a", "b", "c", "d"} {
				if unix.Mount(disk, filepath.Join(base, "src", d), "", unix.MS_BIND, "") == nil {
					t.Cleanup(func() { _ = unix.Unmount(filepath.Join(base, "src", d), unix.MNT_DETACH) })
				}
			}
		}
	})
	require.ErrorIs(t, err, tree.ErrMount)
	require.FileExists(t, filepath.Join(disk, "1.jpg"))

	// And through a filesystem that is wrapped.
	makeDirs(t, l, "again", "again/x")
	bind(t, disk, filepath.Join(base, "again/x"))
	require.ErrorIs(t, tree.Delete(ctx, wrapped{l}, "again", nil), tree.ErrMount)
	require.FileExists(t, filepath.Join(disk, "1.jpg"))
}

func TestATreeMayItselfBeReachedThroughMounts(t *testing.T) {
	needRoot(t)
	base := t.TempDir()
	l := open(t, base)
	makeDirs(t, l, ".snapshot", ".snapshot/nightly")
	snap := mounted(t, "tmpfs", "tmpfs", 0, "")
	bind(t, snap, filepath.Join(base, ".snapshot/nightly")) // as the kernel's NFS client does
	makeDirs(t, l, ".snapshot/nightly/blog", ".snapshot/nightly/blog/sub", ".snapshot/nightly/blog/sub/disk")
	treetest.Write(t, l, ".snapshot/nightly/blog/sub/page", "old")
	_, err := tree.Copy(ctx, l, ".snapshot/nightly/blog", "blog", tree.CopyOptions{}, nil)
	require.NoError(t, err)
	require.Equal(t, "old", treetest.Read(t, l, "blog/sub/page"))
	m, err := tree.Measure(ctx, l, ".snapshot/nightly")
	require.NoError(t, err)
	require.Equal(t, int64(1), m.Files)
	found := 0
	require.NoError(t, tree.StatBelow(ctx, l, ".snapshot", "blog/sub/page", func(string, tree.Attr) { found++ }))
	require.Equal(t, 1, found)
	bind(t, base, filepath.Join(snap, "blog/sub/disk"))
	_, err = tree.Copy(ctx, l, ".snapshot/nightly/blog", "more", tree.CopyOptions{}, nil)
	require.NoError(t, err, "it is mounted in another place")
	bind(t, base, filepath.Join(base, ".snapshot/nightly/blog/sub/disk"))
	_, err = tree.Copy(ctx, l, ".snapshot/nightly/blog", "most", tree.CopyOptions{}, nil)
	require.ErrorIs(t, err, tree.ErrMount)
	require.ErrorContains(t, err, ".snapshot/nightly/blog/sub/disk")
}

func TestAnotherFilesystemOnAServerIsNotTouched(t *testing.T) {
	for _, bare := range []bool{false, true} {
		s := nfstest.New(t)
		s.SetBare(bare) // listings tell no attributes, and every name is looked up
		s.WriteFile("/src/own/file", []byte("1234"))
		s.WriteFile("/src/own/disk/1.jpg", []byte("precious"))
		s.WriteFile("/.snapshot/nightly/src/own/file", []byte("old"))
		s.SetFilesystem("/src/own/disk", 7)
		s.SetFilesystem("/.snapshot/nightly", 8)
		w := openWire(t, s)
		m, err := tree.Measure(ctx, w, "src")
		require.NoError(t, err)
		require.Equal(t, tree.Progress{Dirs: 2, Files: 1, Bytes: 4}, m.Progress)
		_, err = tree.Copy(ctx, w, "src", "whole", tree.CopyOptions{}, nil)
		require.ErrorIs(t, err, tree.ErrMount)
		require.ErrorContains(t, err, "src/own/disk")
		stats, err := tree.Copy(ctx, w, "src", "live", tree.CopyOptions{Live: true}, nil)
		require.NoError(t, err)
		require.Equal(t, []string{"src/own/disk: another filesystem is mounted there"}, stats.Missing.Paths)
		require.Empty(t, s.Names("/live/own/disk"))
		err = tree.Delete(ctx, w, "src", nil)
		require.ErrorIs(t, err, tree.ErrMount)
		require.ErrorContains(t, err, "1 left in src: enter src/own/disk")
		require.Equal(t, []string{"1.jpg"}, s.Names("/src/own/disk"))
		_, err = tree.Copy(ctx, w, ".snapshot/nightly/src", "restored", tree.CopyOptions{}, nil)
		require.NoError(t, err, "a snapshot may be a filesystem of its own")
	}
}
