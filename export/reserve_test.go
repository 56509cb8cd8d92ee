package export

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// TestTheReserveIsForWhatGivesRoomBack has a full filesystem that takes no new file,
// and writes as many records as the reserve has room for.
func TestTheReserveIsForWhatGivesRoomBack(t *testing.T) {
	if os.Geteuid() != 0 {
		treetest.Skip(t, "mounting needs root")
	}
	dir, ctx := t.TempDir(), t.Context()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"))
	defer func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) }()
	e, err := open(t, dir).Connect(ctx)
	require.NoError(t, err)
	require.NoError(t, e.Refill(ctx))
	whole, err := os.ReadDir(filepath.Join(dir, ReserveDir))
	require.NoError(t, err)
	require.Len(t, whole, reserveFiles+reserveDirs+1)
	require.NoError(t, e.Refill(ctx), "it may be asked again")
	require.ErrorIs(t, os.WriteFile(filepath.Join(dir, "fill"), make([]byte, 8<<20), 0o600), unix.ENOSPC)

	err = e.Replace(ctx, MetaPath("new"), "a volume")
	require.True(t, tree.IsFull(err), "what needs more room finds none: %v", err)
	again, err := os.ReadDir(filepath.Join(dir, ReserveDir))
	require.NoError(t, err)
	require.Equal(t, len(whole), len(again))
	for i := range reserveFiles {
		require.NoError(t, e.Publish(Spend(ctx), MetaPath(string(rune('a'+i))), i))
	}
	var there number
	require.NoError(t, Read(ctx, e.FS, MetaPath("c"), &there))
	require.EqualValues(t, 2, there)
	require.NoError(t, Mkdir(Spend(ctx), e.FS, TrashPath("one")))
	require.FileExists(t, filepath.Join(dir, ReserveDir, ballast), "the rest is still there")
	require.NoError(t, e.Publish(Spend(ctx), MetaPath("more"), 0))
	require.NoFileExists(t, filepath.Join(dir, ReserveDir, ballast))

	require.NoError(t, os.Remove(filepath.Join(dir, "fill")))
	require.NoError(t, e.Refill(ctx))
	again, err = os.ReadDir(filepath.Join(dir, ReserveDir))
	require.NoError(t, err)
	require.Equal(t, len(whole), len(again))
}
