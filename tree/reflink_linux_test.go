package tree_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// shared tells whether every extent of a file is shared with another one
// (FS_IOC_FIEMAP, FIEMAP_EXTENT_SHARED).
func shared(t *testing.T, name string) bool {
	t.Helper()
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	const lastExtent, sharedExtent = 0x1, 0x2000
	var m struct {
		start, length             uint64
		flags, mapped, count, pad uint32
		extents                   [64]struct {
			logical, physical, length, pad1, pad2 uint64
			flags, pad3, pad4, pad5               uint32
		}
	}
	m.length, m.flags, m.count = ^uint64(0), 1 /* FIEMAP_FLAG_SYNC */, 64
	const fiemap = 0xc020660b
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), fiemap, uintptr(unsafe.Pointer(&m)))
	require.Zero(t, errno)
	require.NotZero(t, m.mapped)
	for _, e := range m.extents[:m.mapped] {
		if e.flags&sharedExtent == 0 {
			return false
		}
	}
	require.NotZero(t, m.extents[m.mapped-1].flags&lastExtent)
	return true
}

func TestACopySharesBlocksWhereTheFilesystemCan(t *testing.T) {
	needRoot(t)
	dir := treetest.Btrfs(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "src"), 0o755))
	hardTree(t, filepath.Join(dir, "src"))
	require.NoError(t, os.Truncate(filepath.Join(dir, "src/a/sparse"), 4<<20), "4 GiB of zeros take long to compare")
	big := filepath.Join(dir, "src/big")
	require.NoError(t, exec.Command("dd", "if=/dev/urandom", "of="+big, "bs=1M", "count=32").Run())
	require.NoError(t, os.Chmod(big, 0o640))
	require.NoError(t, unix.Chmod(big, 0o6755))
	l := open(t, dir)
	ok, err := l.Reflinks(ctx, ".")
	require.NoError(t, err)
	require.True(t, ok)
	require.EqualValues(t, unix.BTRFS_SUPER_MAGIC, l.Filesystem())

	require.NoError(t, l.SyncAll(ctx))
	before, err := l.Statfs(ctx)
	require.NoError(t, err)
	stats, err := tree.Copy(ctx, l, "src", "dst", tree.CopyOptions{}, nil)
	require.NoError(t, err)
	require.Empty(t, stats.Changed.Paths)
	require.Greater(t, stats.Bytes, int64(32<<20))
	require.True(t, shared(t, filepath.Join(dir, "dst/big")))
	after, err := l.Statfs(ctx)
	require.NoError(t, err)
	require.Less(t, before.Free-after.Free, int64(8<<20), "no second 32 MiB are used")
	_, err = tree.Compare(ctx, l, "src", "dst", tree.Equality{Checksum: true}, func(d tree.Difference) error {
		t.Errorf("differs: %+v", d)
		return nil
	})
	require.NoError(t, err)

	_, err = tree.Copy(ctx, l, "src", "read", tree.CopyOptions{Checksum: true}, nil)
	require.NoError(t, err)
	require.False(t, shared(t, filepath.Join(dir, "read/big")), "to compare content it has to be read and written")
}

func TestAFileThatCannotBeClonedIsCopied(t *testing.T) {
	needRoot(t)
	dir := treetest.Btrfs(t)
	// A file without checksums cannot share its blocks with one that has them.
	require.NoError(t, exec.Command("sh", "-euc", `cd "$1"; mkdir src; touch src/plain; chattr +C src/plain
		head -c 1000000 /dev/urandom >> src/plain; head -c 1000000 /dev/urandom > src/other; : > src/empty`, "sh", dir).Run())
	l := open(t, dir)
	stats, err := tree.Copy(ctx, l, "src", "dst", tree.CopyOptions{}, nil)
	require.NoError(t, err)
	require.Equal(t, tree.Progress{Files: 3, Dirs: 1, Bytes: 2_000_000}, stats.Progress)
	require.False(t, shared(t, filepath.Join(dir, "dst/plain")))
	require.True(t, shared(t, filepath.Join(dir, "dst/other")), "the others are still cloned")
	require.NoError(t, exec.Command("cmp", filepath.Join(dir, "src/plain"), filepath.Join(dir, "dst/plain")).Run())
}

func TestFilesAreClonedOutOfASubvolume(t *testing.T) {
	needRoot(t)
	dir := treetest.Btrfs(t)
	l := open(t, dir)
	require.NoError(t, exec.Command("sh", "-euc", `cd "$1"; mkdir live; head -c 1000000 /dev/urandom > live/f
		btrfs subvolume snapshot -r . snap; rm -r live`, "sh", dir).Run())
	_, err := tree.Copy(ctx, l, "snap/live", "live", tree.CopyOptions{}, nil)
	require.NoError(t, err)
	require.True(t, shared(t, filepath.Join(dir, "live/f")), "a restore takes no space")
}

func TestAFilesystemWithoutClonesSaysSo(t *testing.T) {
	l := open(t, mounted(t, "tmpfs", "tmpfs", 0, ""))
	ok, err := l.Reflinks(ctx, ".")
	require.NoError(t, err)
	require.False(t, ok)
	_, err = l.Reflinks(ctx, "missing")
	require.ErrorIs(t, err, os.ErrNotExist)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err = l.Reflinks(gone, ".")
	require.ErrorIs(t, err, context.Canceled)
}
