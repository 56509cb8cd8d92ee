package tree_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// eachFS runs a test on a local directory and on the wire.
func eachFS(t *testing.T, test func(t *testing.T, f tree.FS)) {
	t.Run("local", func(t *testing.T) { test(t, open(t, t.TempDir())) })
	t.Run("wire", func(t *testing.T) { test(t, openWire(t, nfstest.New(t))) })
}

// makeDirs makes directories, parents first.
func makeDirs(t *testing.T, f tree.FS, names ...string) {
	t.Helper()
	for _, name := range names {
		require.NoError(t, f.Mkdir(ctx, name, tree.SetAttr{Mode: ptr[uint32](0o755)}))
	}
}

// paths compares a tree with an empty directory: the names of all that is in it.
func paths(t *testing.T, f tree.FS, name string) []string {
	t.Helper()
	makeDirs(t, f, "nothing")
	found := []string{}
	_, err := tree.Compare(ctx, f, "nothing", name, tree.Equality{}, func(d tree.Difference) error {
		if d.Path != "." {
			found = append(found, d.Path)
		}
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, f.Rmdir(ctx, "nothing"))
	return found
}

func TestOnlyWhatAnNFSClientKeepsOpenIsBusy(t *testing.T) {
	const busy = ".nfs00000000004c11e20000002a"
	own := []string{".nfs", ".nfs0001", ".nfs00000000004C11E20000002A", busy + "0", ".nfs00000000004c11e2000000zz", ".nfsrc"}
	eachFS(t, func(t *testing.T, f tree.FS) {
		const dir = ".nfs00000000004c11e20000002b" // clients make no such directories
		makeDirs(t, f, "src", "src/"+dir)
		treetest.Write(t, f, "src/"+busy, "removed while open")
		for _, name := range own {
			treetest.Write(t, f, path.Join("src", name), "content of "+name)
		}
		data := append([]string{dir}, own...)
		_, local := f.(*tree.Local)
		if local {
			data = append(data, busy) // its owner has called it so
		}
		stats, err := tree.Copy(ctx, f, "src", "dst", tree.CopyOptions{}, nil)
		require.NoError(t, err)
		require.Equal(t, int64(2+len(own)-len(data)), stats.Busy)
		require.ElementsMatch(t, data, treetest.Names(t, f, "dst"))
		require.ElementsMatch(t, data, paths(t, f, "src"))
		if local {
			require.NoError(t, tree.Delete(ctx, f, "src", nil))
		} else {
			require.ErrorIs(t, tree.Delete(ctx, f, "src", nil), syscall.EBUSY)
			require.Equal(t, []string{busy}, treetest.Names(t, f, "src"))
		}
		require.NoError(t, tree.Delete(ctx, f, "dst", nil))
	})
}

// A directory of the user's own is data, whatever its name.
func TestADirectoryCalledSnapshotIsData(t *testing.T) {
	eachFS(t, func(t *testing.T, f tree.FS) {
		makeDirs(t, f, ".snapshot", ".snapshot/nightly", ".snapshot/nightly/src",
			"src", "src/.snapshot", "src/.snapshot/nightly", "src/sub", "src/sub/.snapshot", "staging", "trash")
		treetest.Write(t, f, ".snapshot/nightly/src/page", "the export's")
		treetest.Write(t, f, "src/.snapshot/nightly/page", "a forged one")
		treetest.Write(t, f, "src/sub/.snapshot/mine", "content")
		want := []string{".snapshot", ".snapshot/nightly", ".snapshot/nightly/page", "sub", "sub/.snapshot", "sub/.snapshot/mine"}
		require.Equal(t, want, paths(t, f, "src"))
		_, err := tree.Copy(ctx, f, "src", "dst", tree.CopyOptions{}, nil)
		require.NoError(t, err)
		require.Equal(t, want, paths(t, f, "dst"))
		m, err := tree.Measure(ctx, f, "src")
		require.NoError(t, err)
		require.Equal(t, tree.Progress{Dirs: 5, Files: 2, Bytes: 7 + 12}, m.Progress)
		treetest.Write(t, f, "dst/.snapshot/more", "not in the source")
		stats, err := tree.Sync(ctx, f, "src", "dst", workplace, nil)
		require.NoError(t, err)
		require.Equal(t, int64(1), stats.Trashed)
		require.Equal(t, want, paths(t, f, "dst"))
		require.NoError(t, tree.Delete(ctx, f, "dst", nil))
		require.Contains(t, treetest.Names(t, f, "."), ".snapshot")
		require.NotContains(t, treetest.Names(t, f, "."), "dst")
	})
}

// What a server shows of its snapshots is no part of a tree, wherever it does.
func TestSnapshotsThatAServerShowsAreLeftOut(t *testing.T) {
	for _, shown := range []string{"those of the directory", "all"} {
		t.Run(shown, func(t *testing.T) {
			s := nfstest.New(t)
			f := openWire(t, s)
			s.WriteFile("/.snapshot/older/other/page", []byte("before src was made"))
			s.WriteFile("/.snapshot/nightly/src/page", []byte("old"))
			s.WriteFile("/src/page", []byte("new"))
			if shown == "all" {
				s.Show("/.snapshot", "/src/.snapshot")
			} else {
				s.Show("/.snapshot/nightly/src", "/src/.snapshot/nightly")
			}
			require.Equal(t, []string{"page"}, paths(t, f, "src"))
			_, err := tree.Copy(ctx, f, "src", "dst", tree.CopyOptions{}, nil)
			require.NoError(t, err)
			require.Equal(t, []string{"page"}, treetest.Names(t, f, "dst"))
			m, err := tree.Measure(ctx, f, "src")
			require.NoError(t, err)
			require.Equal(t, tree.Progress{Dirs: 1, Files: 1, Bytes: 3}, m.Progress)
			require.ErrorIs(t, tree.Delete(ctx, f, "src", nil), syscall.ENOTEMPTY)
			require.Equal(t, "old", treetest.Read(t, f, ".snapshot/nightly/src/page"), "never gone into")
		})
	}
}

func TestListsOfStatsEndAndTotalsDoNot(t *testing.T) {
	base := t.TempDir()
	l := open(t, base)
	makeDirs(t, l, "src")
	for i := range 1100 {
		require.NoError(t, os.WriteFile(filepath.Join(base, fmt.Sprintf("src/log%04d", i)), []byte("x"), 0o644))
	}
	stats, err := tree.Copy(ctx, growing{l, base}, "src", "dst", tree.CopyOptions{Live: true}, nil)
	require.NoError(t, err)
	require.Equal(t, int64(1100), stats.Changed.Total)
	require.Len(t, stats.Changed.Paths, 1000)
}
