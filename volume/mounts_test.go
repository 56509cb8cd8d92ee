package volume

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/job"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// bind mounts source on target until the test ends, or unmounts it.
func bind(t *testing.T, source, target string) {
	t.Helper()
	require.NoError(t, unix.Mount(source, target, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
}

// withDisk is a node with a volume in which another filesystem is mounted, and
// where that is.
func withDisk(t *testing.T) (n *testNode, dir, disk string) {
	dir, disk = t.TempDir(), t.TempDir()
	mounted(t, disk, "tmpfs", "tmpfs", 0, "")
	write(t, disk, "1.jpg", "precious")
	n = node(t, dir, "n1")
	n.must(n.Create(ctx, "site", nil))
	write(t, dir, "site/page", "hello")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "site/media"), 0o755))
	bind(t, disk, filepath.Join(dir, "site/media"))
	return n, dir, disk
}

func TestAVolumeWithAMountInItIsNeitherRemovedNorRestored(t *testing.T) {
	n, dir, disk := withDisk(t)
	want := `volume "site" has another filesystem mounted in it: site/media; unmount it first ('umount ` + dir + `/site/media'), then again`
	err := n.Remove(ctx, "site")
	require.EqualError(t, err, want)
	require.Equal(t, problem.InUse, problem.KindOf(err))
	for _, live := range []bool{false, true} {
		j := newJob(n, "site")
		j.Live = live
		n.must(n.Jobs.Prepare(ctx, j))
		_, err = n.Jobs.Run(ctx, j.ID, func(context.Context, tree.FS, *job.Job) error { panic("filled") })
		require.ErrorContains(t, err, want)
		n.must(n.Jobs.End(ctx, j.ID))
	}
	err = n.Create(ctx, "copy", map[string]string{"from": "site"})
	require.ErrorContains(t, err, "another filesystem is mounted on site/media")
	require.ErrorContains(t, err, "umount "+dir+"/site/media")
	require.Equal(t, []string{"site"}, n.names())
	require.Equal(t, "precious", read(t, disk, "1.jpg"))
	require.Equal(t, "hello", read(t, dir, "site/page"))

	// A volume that is a mount itself cannot be moved either.
	require.NoError(t, unix.Unmount(filepath.Join(dir, "site/media"), 0))
	n.must(n.Create(ctx, "disk", nil))
	bind(t, disk, filepath.Join(dir, "disk"))
	require.ErrorContains(t, n.Remove(ctx, "disk"), `volume "disk" has another filesystem mounted in it: disk`)
	n.must(n.Remove(ctx, "site"))
}

func TestTheSweeperLeavesWhatIsMountedAndGoesOn(t *testing.T) {
	n, dir, disk := withDisk(t)
	// As if it had been mounted after the volume was removed.
	write(t, dir, ".berth/staging/purge.a/data/x", "x")
	write(t, dir, ".berth/staging/purge.z/data/x", "x")
	require.NoError(t, os.Rename(filepath.Join(dir, "site"), filepath.Join(dir, ".berth/staging/purge.a/data/site")))
	n.beats()
	require.Eventually(t, func() bool { // the tick's own sweep may still be at it
		n.sweeper.Sweep(ctx, n.conn.Current())
		return len(entries(t, dir, ".berth/staging")) == 1
	}, 10*time.Second, 5*time.Millisecond)
	n.tasks.Wait()
	said := strings.Join(*n.said, "\n")
	require.Equal(t, "precious", read(t, disk, "1.jpg"))
	require.Equal(t, []string{"purge.a"}, entries(t, dir, ".berth/staging"))
	require.NoFileExists(t, filepath.Join(dir, ".berth/staging/purge.a/data/x"))
	require.Contains(t, said, "purge.a/data/site/media: another filesystem is mounted there")
	require.NoError(t, unix.Unmount(filepath.Join(dir, ".berth/staging/purge.a/data/site/media"), 0))
	n.sweeps()
	require.Eventually(t, func() bool { // the tick may still fill the reserve
		return len(entries(t, dir, ".berth/staging")) == 0
	}, 10*time.Second, 5*time.Millisecond)
}
