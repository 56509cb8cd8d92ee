package treetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Btrfs is a fresh btrfs on a loop device until the test ends. It needs root.
func Btrfs(t *testing.T) string { return disk(t, "btrfs", 256<<20) }

// Ext4 is a fresh ext4 on a loop device until the test ends. It needs root.
func Ext4(t *testing.T) string { return disk(t, "ext4", 128<<20) }

// XFS is a fresh XFS, which clones files, on a loop device until the test ends.
// It needs root.
func XFS(t *testing.T) string { return disk(t, "xfs", 320<<20) }

// disk makes a filesystem of that many bytes and mounts it.
func disk(t *testing.T, fstype string, size int64) string {
	t.Helper()
	mkfs := "mkfs." + fstype
	if _, err := exec.LookPath(mkfs); err != nil {
		Skip(t, "needs "+mkfs)
	}
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, size))
	out, err := exec.Command(mkfs, "-q", image).CombinedOutput()
	require.NoError(t, err, string(out))
	if out, err := exec.Command("mount", "-t", fstype, "-o", "loop", image, dir).CombinedOutput(); err != nil {
		Skip(t, "needs loop devices and "+fstype+" in the kernel: "+string(out))
	}
	t.Cleanup(func() { require.NoError(t, exec.Command("umount", dir).Run()) })
	return dir
}
