package tree_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

func openWire(t testing.TB, s *nfstest.Server) *tree.Wire {
	t.Helper()
	target, err := nfs.ParseTarget(s.URL("/"))
	require.NoError(t, err)
	w, err := tree.OpenWire(ctx, target, nil)
	require.NoError(t, err)
	t.Cleanup(func() { w.Close() })
	return w
}

func TestWireConforms(t *testing.T) {
	treetest.Conformance(t, func(t *testing.T) tree.FS { return openWire(t, nfstest.New(t)) })
}
