package tree_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// meddle calls do once, when a copy is half-way.
func meddle(t *testing.T, do func()) func(tree.Progress) {
	done := false
	return func(p tree.Progress) {
		if p.Files >= 3 && !done {
			done = true
			do()
		}
	}
}

// plantEach makes src with files in it and in a directory of its own each.
func plantEach(t *testing.T, f tree.FS) {
	makeDirs(t, f, "src")
	for i := range 20 {
		treetest.Write(t, f, fmt.Sprintf("src/f%02d", i), "content")
		makeDirs(t, f, fmt.Sprintf("src/d%02d", i), fmt.Sprintf("src/d%02d/e", i))
		for j := range 3 {
			treetest.Write(t, f, fmt.Sprintf("src/d%02d/e/%d", i, j), "below")
		}
	}
}

// each calls do for the names in src of one kind.
func each(t *testing.T, f tree.FS, kind tree.Kind, do func(name string)) {
	var names []string
	require.NoError(t, f.ReadDir(ctx, "src", func(e tree.Entry) error {
		if e.Kind == kind {
			names = append(names, "src/"+e.Name)
		}
		return nil
	}))
	for _, name := range names {
		do(name)
	}
}

func TestACopyIsWholeOrAnError(t *testing.T) {
	for name, test := range map[string]struct {
		meddle          func(t *testing.T, f tree.FS)
		vanished, moved bool
	}{
		"files are removed": {func(t *testing.T, f tree.FS) {
			each(t, f, tree.Regular, func(name string) { require.NoError(t, f.Remove(ctx, name)) })
		}, true, false},
		"directories are removed": {func(t *testing.T, f tree.FS) {
			each(t, f, tree.Directory, func(name string) { require.NoError(t, tree.Delete(ctx, f, name, nil)) })
		}, true, false},
		"directories are emptied, and stay": {func(t *testing.T, f tree.FS) {
			each(t, f, tree.Directory, func(name string) {
				for j := range 3 {
					require.NoError(t, f.Remove(ctx, fmt.Sprint(name, "/e/", j)))
				}
			})
		}, false, false},
		"names are added below": {func(t *testing.T, f tree.FS) {
			each(t, f, tree.Directory, func(name string) { makeDirs(t, f, name+"/new") })
		}, false, false},
		"files are replaced by others that look the same": {func(t *testing.T, f tree.FS) {
			each(t, f, tree.Regular, func(name string) {
				a, err := f.Stat(ctx, name)
				require.NoError(t, err)
				treetest.Write(t, f, "new", "CONTENT")
				require.NoError(t, f.SetAttr(ctx, "new", tree.SetAttr{Mtime: &a.Mtime}))
				require.NoError(t, f.Rename(ctx, "new", name))
			})
		}, false, false},
		"files are written and their times put back": {func(t *testing.T, f tree.FS) {
			each(t, f, tree.Regular, func(name string) {
				a, err := f.Stat(ctx, name)
				require.NoError(t, err)
				file, err := f.OpenWrite(ctx, name)
				require.NoError(t, err)
				_, err = file.WriteAt(ctx, []byte("evil"), 0)
				require.NoError(t, err)
				require.NoError(t, file.Close())
				require.NoError(t, f.SetAttr(ctx, name, tree.SetAttr{Mtime: &a.Mtime}))
			})
		}, false, false},
		"the tree is removed": {func(t *testing.T, f tree.FS) {
			require.NoError(t, tree.Delete(ctx, f, "src", nil))
		}, true, true},
		"the tree is moved away": {func(t *testing.T, f tree.FS) {
			require.NoError(t, f.Rename(ctx, "src", "gone"))
		}, true, true},
		"another one is moved into its place": {func(t *testing.T, f tree.FS) {
			require.NoError(t, f.Rename(ctx, "src", "gone"))
			makeDirs(t, f, "src")
		}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			eachFS(t, func(t *testing.T, f tree.FS) {
				for _, live := range []bool{false, true} {
					plantEach(t, f)
					time.Sleep(20 * time.Millisecond) // more than a tick of the clock of inodes
					stats, err := tree.Copy(ctx, f, "src", "dst", tree.CopyOptions{Parallel: 1, Live: live}, meddle(t, func() { test.meddle(t, f) }))
					switch incomplete := (*tree.Incomplete)(nil); {
					case test.moved && live:
						require.ErrorIs(t, err, fs.ErrNotExist)
					case live:
						require.NoError(t, err)
						require.Equal(t, test.vanished, stats.Vanished.Total > 0)
					case test.moved:
						require.ErrorIs(t, err, fs.ErrNotExist)
						require.ErrorAs(t, err, &incomplete)
						require.True(t, incomplete.Gone)
					default:
						require.ErrorAs(t, err, &incomplete)
						require.Equal(t, test.vanished, incomplete.Vanished.Total > 0)
						require.Equal(t, !test.vanished, incomplete.Changed.Total > 0)
						_, names := incomplete.Why()
						require.ErrorContains(t, err, fmt.Sprintf("the copy of src is not whole: %d names ", names.Total))
						require.ErrorContains(t, err, "the first: src/")
					}
					for _, d := range treetest.Names(t, f, ".") {
						require.NoError(t, tree.Delete(ctx, f, d, nil))
					}
				}
			})
		})
	}
}

func TestACopyOfWhatDoesNotChangeIsWhole(t *testing.T) {
	for name, newFS := range map[string]func(t *testing.T) tree.FS{
		"local": func(t *testing.T) tree.FS { return open(t, t.TempDir()) },
		"btrfs": func(t *testing.T) tree.FS { needRoot(t); return open(t, treetest.Btrfs(t)) },
		"ext4":  func(t *testing.T) tree.FS { needRoot(t); return open(t, treetest.Ext4(t)) },
		"wire":  func(t *testing.T) tree.FS { return openWire(t, nfstest.New(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFS(t)
			plantEach(t, f)
			require.NoError(t, f.Link(ctx, "src/f01", "src/again"))
			for i := range 2 { // the first has read every file
				_, err := tree.Copy(ctx, f, "src", fmt.Sprint("dst", i), tree.CopyOptions{}, nil)
				require.NoError(t, err)
			}
		})
	}
}

// poor is a filesystem that makes no special files.
type poor struct{ tree.FS }

func (poor) Mknod(_ context.Context, name string, _ tree.Kind, _, _ uint32, _ tree.SetAttr) error {
	return &fs.PathError{Op: "mknod", Path: name, Err: syscall.EPERM}
}

func TestWhatCannotBeMadeIsMissingFromACopy(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "src"), 0o755))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "src/pipe"), 0o644))
	f := poor{open(t, dir)}
	stats, err := tree.Copy(ctx, f, "src", "dst", tree.CopyOptions{}, nil)
	incomplete := (*tree.Incomplete)(nil)
	require.ErrorAs(t, err, &incomplete)
	require.Equal(t, stats.Missing, incomplete.Missing)
	require.EqualError(t, err, "the copy of src is not whole: 1 names cannot be copied, the first: src/pipe: mknod dst/pipe: operation not permitted")
	stats, err = tree.Copy(ctx, f, "src", "live", tree.CopyOptions{Live: true}, nil)
	require.NoError(t, err)
	require.Equal(t, int64(1), stats.Missing.Total)
}
