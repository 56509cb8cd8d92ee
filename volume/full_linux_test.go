package volume

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/export"
	"github.com/casit/berth/nfs/ganeshatest"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// fullKinds are exports that fill up, each in its own way.
var fullKinds = map[string]func(t *testing.T) string{
	"tmpfs": func(t *testing.T) string {
		dir := t.TempDir()
		mounted(t, dir, "tmpfs", "tmpfs", 0, "size=4m")
		return dir
	},
	"no inodes": func(t *testing.T) string {
		dir := t.TempDir()
		mounted(t, dir, "tmpfs", "tmpfs", 0, "size=1g,nr_inodes=120")
		return dir
	},
	"ext4":  treetest.Ext4,
	"xfs":   treetest.XFS,
	"btrfs": treetest.Btrfs,
	"quota": func(t *testing.T) string { // of the export's own subvolume
		dir, export := treetest.Btrfs(t), t.TempDir()
		quota(t, dir, "export", "32M")
		device, err := exec.Command("findmnt", "-no", "SOURCE", dir).Output()
		require.NoError(t, err)
		mounted(t, export, strings.TrimSpace(string(device)), "btrfs", 0, "subvol=export") // as nfs-ganesha wants it
		return export
	},
}

// quota makes a btrfs subvolume that may hold so much.
func quota(t *testing.T, dir, name, limit string) {
	t.Helper()
	for _, args := range [][]string{{"quota", "enable", dir}, {"subvolume", "create", filepath.Join(dir, name)}, {"qgroup", "limit", limit, filepath.Join(dir, name)}} {
		out, err := exec.Command("btrfs", args...).CombinedOutput()
		require.NoError(t, err, "%v: %s", args, out)
	}
}

// fillUp writes files until not one more byte and not one more name has room.
func fillUp(t *testing.T, dir string) {
	t.Helper()
	for _, size := range []int{1 << 20, 64 << 10, 4 << 10, 1, 0} {
		block := make([]byte, size)
		for i := range block {
			block[i] = byte(i*7 + i>>8)
		}
		for i := 0; ; i++ {
			f, err := os.Create(filepath.Join(dir, fmt.Sprintf("fill-%d-%d", size, i)))
			if err == nil {
				_, err = f.Write(block)
				if syncErr := f.Sync(); err == nil {
					err = syncErr
				}
				f.Close()
			}
			if err != nil {
				require.True(t, tree.IsFull(err), "%v", err)
				break
			}
			if size == 0 && i == 400 {
				break // names without content have room
			}
		}
	}
}

// TestOnAFullExportSpaceCanBeGivenBack has an export without one free byte, or one
// free inode, or at its quota: volumes are removed and purged there.
func TestOnAFullExportSpaceCanBeGivenBack(t *testing.T) {
	if os.Geteuid() != 0 {
		treetest.Skip(t, "mounting needs root")
	}
	for kind, make := range fullKinds {
		t.Run(kind, func(t *testing.T) {
			dir := make(t)
			full := map[string]string{"quota": "a quota on the export", "no inodes": "no inodes left"}[kind]
			giveBack(t, dir, node(t, dir, "n1"), cmp.Or(full, "is full"))
		})
	}
}

// giveBack fills the export by one of its volumes, and removes and purges all but one.
// full is what a new volume is refused with.
func giveBack(t *testing.T, dir string, n *testNode, full string) {
	t.Helper()
	for _, name := range []string{"site1", "site2", "big"} {
		n.must(n.Create(ctx, name, nil))
	}
	n.must(n.Create(ctx, "gone", map[string]string{"on-remove": "delete"}))
	_, err := n.Mount(ctx, "big", "a", 1)
	n.must(err)
	n.beats()
	n.tasks.Wait()
	fillUp(t, filepath.Join(dir, "big"))

	err = n.Create(ctx, "new", nil)
	require.Error(t, err)
	require.ErrorContains(t, err, full)
	_, err = n.Mount(ctx, "site2", "b", 1)
	require.NoError(t, err, "a container starts, to clean up")
	n.Unmount(ctx, "site2", "b")
	n.Unmount(ctx, "big", "a")
	n.beats()
	n.tasks.Wait()
	n.must(n.Remove(ctx, "site1"))
	n.must(n.Remove(ctx, "gone"))
	n.must(n.Remove(ctx, "big"))
	trash, err := n.Trash.List(ctx)
	n.must(err)
	var ids []string
	for _, it := range trash {
		ids = append(ids, it.ID)
	}
	_, err = n.Trash.Purge(ctx, ids, 0, false)
	n.must(err)
	n.sweeps()
	require.Empty(t, entries(t, dir, export.TrashDir))
	unix.Sync()
	n.must(n.Create(ctx, "new", nil))
	n.beats()
	n.tasks.Wait()
	require.Len(t, entries(t, dir, export.ReserveDir), 13, "the reserve is whole again")
}

// TestOnAnExportAtItsQuotaSpaceCanBeGivenBack is over NFS: nfs-ganesha answers
// NFS3ERR_DQUOT on a btrfs whose subvolume is at its limit.
func TestOnAnExportAtItsQuotaSpaceCanBeGivenBack(t *testing.T) {
	if why := ganeshatest.Missing(); why != "" {
		treetest.Skip(t, why)
	}
	if !ganeshatest.Inside(t) {
		return
	}
	dir := fullKinds["quota"](t)
	target := ganeshatest.Start(t, ganeshatest.Export{Dir: dir}).Target(dir)
	giveBack(t, dir, node(t, "unused", "n1", func(c *Config) {
		c.URL = target.String()
		c.Open = func(ctx context.Context) (tree.FS, error) { return tree.OpenWire(ctx, target, nil) }
	}), "a quota on the export")
}

// TestACopyThatFindsNoRoomIsTakenAwayAtOnce has somebody fill the export while a clone
// is copied.
func TestACopyThatFindsNoRoomIsTakenAwayAtOnce(t *testing.T) {
	if os.Geteuid() != 0 {
		treetest.Skip(t, "mounting needs root")
	}
	dir := treetest.Ext4(t)
	space := func() int64 {
		var st unix.Statfs_t
		require.NoError(t, unix.Statfs(dir, &st))
		return int64(st.Bavail) * st.Bsize
	}
	var left int64
	n := node(t, dir, "n1", func(c *Config) {
		open := c.Open
		c.Open = func(ctx context.Context) (tree.FS, error) {
			f, err := open(ctx)
			return &disturbed{FS: f, do: func() {
				f, err := os.Create(filepath.Join(dir, ".filled"))
				require.NoError(t, err)
				require.NoError(t, unix.Fallocate(int(f.Fd()), 0, 0, space()-8<<20))
				f.Close()
				left = space()
			}}, err
		}
	})
	n.must(n.Create(ctx, "up", nil))
	n.beats()
	n.tasks.Wait()
	for i := range 18 {
		block := make([]byte, 1<<20)
		_, err := rand.Read(block)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "up", fmt.Sprint(i)), block, 0o600))
	}
	unix.Sync()
	err := n.Create(ctx, "copy", map[string]string{"from": "up"})
	require.ErrorContains(t, err, "clone up: the export file://"+dir+" is full")
	for _, name := range entries(t, dir, export.StagingDir) {
		require.Empty(t, entries(t, dir, export.StagingDir, name), "nothing of the copy is there, before any sweep: %s", name)
	}
	unix.Sync()
	require.Greater(t, space(), left-1<<20, "the room is back")
	require.Equal(t, []string{"up"}, n.names())
	require.Empty(t, lockedVolumes(t, dir))
	n.sweeps()
	require.Empty(t, entries(t, dir, export.StagingDir))
	n.must(n.Create(ctx, "small", nil))
}
