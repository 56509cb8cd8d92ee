package volume

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/export"
	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// onWire is a node whose export is an NFSv3 server's.
func onWire(t *testing.T, s *nfstest.Server, name string) *testNode {
	t.Helper()
	target, err := nfs.ParseTarget(s.URL("/"))
	require.NoError(t, err)
	return node(t, "unused", name, func(c *Config) {
		c.URL = target.String()
		c.Open = func(ctx context.Context) (tree.FS, error) { return tree.OpenWire(ctx, target, nil) }
	})
}

func TestTheSameVolumesOverNFS(t *testing.T) {
	server := nfstest.New(t)
	n1, n2 := onWire(t, server, "n1"), onWire(t, server, "n2")
	n1.beats()
	n2.beats()
	n1.must(n1.Create(ctx, "site1", map[string]string{"uid": "33", "mode": "2770"}))
	require.Equal(t, []string{"site1"}, n2.names())
	attr, err := n1.conn.Current().FS.Stat(ctx, "site1")
	require.NoError(t, err)
	require.Equal(t, []uint32{33, 0o2770}, []uint32{attr.UID, attr.Mode})
	treetest.Write(t, n1.conn.Current().FS, "site1/page", "hello")

	_, err = n1.Mount(ctx, "site1", "a", 1)
	require.NoError(t, err)
	err = n2.Remove(ctx, "site1")
	require.ErrorContains(t, err, "in use on n1")
	n2.must(n2.Create(ctx, "copy", map[string]string{"from": "site1"}))
	require.Equal(t, "hello", treetest.Read(t, n1.conn.Current().FS, "copy/page"))
	n1.must(n1.Unmount(ctx, "site1", "a"))
	n2.must(n2.Remove(ctx, "site1"))
	require.Equal(t, []string{"copy"}, n1.names())
	_, _, err = n1.Trash.Restore(ctx, "site1", "")
	require.NoError(t, err)
	require.Equal(t, "hello", treetest.Read(t, n2.conn.Current().FS, "site1/page"))
	_, err = n2.Trash.Purge(ctx, nil, time.Hour, false)
	require.NoError(t, err)
	n1.must(n1.Remove(ctx, "copy"))
	items, err := n2.Trash.List(ctx)
	require.NoError(t, err)
	_, err = n2.Trash.Purge(ctx, []string{items[0].ID}, 0, false)
	require.NoError(t, err)
	n2.sweeps()
	for _, dir := range []string{export.LeaseDir, export.StagingDir, export.TrashDir} {
		require.Empty(t, treetest.Names(t, n1.conn.Current().FS, dir), dir)
	}
	locks, err := n1.Operations(ctx, "")
	n1.must(err)
	require.Empty(t, locks)
}

func TestManyMountsAtOnceShareLeaseWrites(t *testing.T) {
	const users = 50
	server := nfstest.New(t)
	n := onWire(t, server, "node1")
	n.must(n.Create(ctx, "crowd", nil))
	// The first one's lease is slow to be written: the others wait meanwhile.
	server.On(nfstest.Write, 1, nfstest.Fault{Delay: 300 * time.Millisecond})
	before := server.Calls(nfstest.Write)
	var all errgroup.Group
	for i := range users {
		all.Go(func() error {
			_, err := n.Mount(ctx, "crowd", fmt.Sprint("id", i), 1)
			return err
		})
	}
	require.NoError(t, all.Wait())
	require.LessOrEqual(t, server.Calls(nfstest.Write)-before, 5)
	using, err := n.Users(ctx, "crowd")
	require.NoError(t, err)
	require.Equal(t, users, using[0].Mounts)
}
