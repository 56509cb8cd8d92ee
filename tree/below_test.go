package tree_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree"
)

// One snapshot that the disk does not give hides no version in the others.
func TestADirectoryThatCannotBeReadHidesNoOther(t *testing.T) {
	server := nfstest.New(t)
	target, err := nfs.ParseTarget(server.URL("/"))
	require.NoError(t, err)
	w, err := tree.OpenWire(t.Context(), target, nil)
	require.NoError(t, err)
	t.Cleanup(func() { w.Close() })
	for _, dir := range []string{".snapshot", ".snapshot/a", ".snapshot/b", ".snapshot/c", ".snapshot/a/v", ".snapshot/b/v", ".snapshot/c/v"} {
		require.NoError(t, w.Mkdir(t.Context(), dir, tree.SetAttr{}))
	}
	const badDisk = 5                             // NFS3ERR_IO
	server.On(nfstest.Lookup, 1, nfstest.Fault{}) // of .snapshot
	server.On(nfstest.Lookup, 1, nfstest.Fault{Status: badDisk})
	seen := 0
	err = tree.StatBelow(t.Context(), w, ".snapshot", "v", func(string, tree.Attr) { seen++ })
	require.ErrorContains(t, err, ".snapshot/")
	require.Equal(t, 2, seen)
	require.NoError(t, tree.StatBelow(t.Context(), w, ".snapshot", "v", func(string, tree.Attr) { seen++ }))
	require.Equal(t, 5, seen)
}
