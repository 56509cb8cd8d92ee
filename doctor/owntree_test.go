package doctor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/tree"
)

func TestOwnTrees(t *testing.T) {
	fsys, err := tree.OpenLocal(t.Context(), t.TempDir())
	require.NoError(t, err)
	defer fsys.Close()
	for _, name := range []string{"blog", "db"} {
		mode := uint32(0o755)
		require.NoError(t, fsys.Mkdir(t.Context(), name, tree.SetAttr{Mode: &mode}))
	}
	f := OwnTrees(t.Context(), fsys, []string{"blog", "db", "gone"})
	require.Equal(t, OK, f.State, f.Evidence)
	require.Equal(t, "none of 3 volumes is seen to be a tree of its own", f.Evidence)
	require.Equal(t, "own-trees", f.Check)
}
