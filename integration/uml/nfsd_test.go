package uml

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// nfsdPort and nfsdMountPort are where a host's own NFS server answers.
const (
	nfsdPort      = 2049
	nfsdMountPort = 20049
)

// startNFSD makes the host export a directory of its disk by the kernel's own
// NFS server.
func startNFSD(t *testing.T, h *Host) string {
	t.Helper()
	const dir = "/var/lib/docker/nfsd"
	h.Run(t, "mkdir", "-p", dir, "/var/lib/nfs/sm", "/var/lib/nfs/v4recovery", "/run/rpc_pipefs")
	h.Run(t, "touch", "/var/lib/nfs/etab", "/var/lib/nfs/rmtab")
	h.Run(t, "modprobe", "nfsd")
	h.Run(t, "mount", "-t", "nfsd", "nfsd", "/proc/fs/nfsd")
	h.Run(t, "exportfs", "-i", "-o", "rw,sync,no_root_squash,insecure,no_subtree_check,fsid=1", "*:"+dir)
	h.Run(t, "rpc.nfsd", "--no-udp", "--no-nfs-version", "4", "--port", fmt.Sprint(nfsdPort), "4")
	h.Run(t, "rpc.mountd", "--no-nfs-version", "4", "--port", fmt.Sprint(nfsdMountPort))
	t.Cleanup(func() { // the host goes on without
		_, _ = h.TryRun("rpc.nfsd", "0")
		_, _ = h.TryRun("exportfs", "-au")
		_, _ = h.TryRun("umount", "/proc/fs/nfsd")
	})
	return dir
}

// dialLab is how the test's own NFS client gets into the lab's network.
func dialLab(l *Lab) func(context.Context, string, string) (net.Conn, error) {
	return func(_ context.Context, _, address string) (net.Conn, error) { return l.dial(address) }
}

// TestTheKernelsServer runs our client and everything that trees do against
// the Linux kernel's NFS server.
func TestTheKernelsServer(t *testing.T) {
	l := pair(t)
	h := l.Hosts[1]
	dir := startNFSD(t, h)
	root, err := tree.OpenWire(t.Context(), nfs.Target{Host: h.Address, Path: dir, Port: nfsdPort, MountPort: nfsdMountPort},
		&nfs.Config{Dial: dialLab(l), Credentials: &nfs.Credentials{}})
	require.NoError(t, err)
	defer root.Close()
	var made atomic.Int64
	treetest.Conformance(t, func(t *testing.T) tree.FS {
		sub := fmt.Sprintf("fs%d", made.Add(1))
		mode := uint32(0o755)
		require.NoError(t, root.Mkdir(t.Context(), sub, tree.SetAttr{Mode: &mode}))
		f, err := tree.OpenWire(t.Context(), nfs.Target{Host: h.Address, Path: dir + "/" + sub, Port: nfsdPort, MountPort: nfsdMountPort},
			&nfs.Config{Dial: dialLab(l), Credentials: &nfs.Credentials{}})
		require.NoError(t, err)
		t.Cleanup(func() { _ = f.Close() })
		return f
	})

	// A tree that the host has made, copied, compared there by another tool,
	// synced and deleted.
	h.Run(t, "sh", "-c", "cd "+dir+" && mkdir -p src/a/b && cd src && for i in 1 2 3 4 5 6 7 8 9; do echo $i >a/b/f$i; done && ln a/b/f1 hard && ln -s nowhere link && "+
		"mkfifo fifo && truncate -s 3M sparse && chmod 4755 a/b/f2 && chown 33:34 a/b/f3 && chmod 3770 a && touch -d '2001-02-03 04:05:06.789012345' a/b/f4")
	stats, err := tree.Copy(t.Context(), root, "src", "dst", tree.CopyOptions{Checksum: true}, nil)
	require.NoError(t, err)
	require.Zero(t, stats.Missing.Total)
	same := func() {
		t.Helper()
		require.Empty(t, h.Run(t, "rsync", "-niaH", "--delete", "--checksum", dir+"/src/", dir+"/dst/"))
	}
	same()
	h.Run(t, "sh", "-c", "cd "+dir+"/dst && echo other >a/b/f5 && rm a/b/f6 && mkdir new && chmod 600 a/b/f7")
	for _, d := range []string{"staging", "trash"} {
		require.NoError(t, root.Mkdir(t.Context(), d, tree.SetAttr{}))
	}
	_, err = tree.Sync(t.Context(), root, "src", "dst", tree.SyncOptions{Staging: "staging", Trash: "trash"}, nil)
	require.NoError(t, err)
	same()
	require.NoError(t, tree.Delete(t.Context(), root, "dst", nil))
	_, err = root.Stat(t.Context(), "dst")
	require.ErrorIs(t, err, os.ErrNotExist)
}
