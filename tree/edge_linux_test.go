package tree_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// TestATreeOfItsOwn has a btrfs subvolume in an export: nothing is renamed or linked
// over its edge, and Sync changes it in place all the same.
func TestATreeOfItsOwn(t *testing.T) {
	if os.Geteuid() != 0 {
		treetest.Skip(t, "mounting needs root")
	}
	dir, ctx := treetest.Btrfs(t), t.Context()
	sh := func(script string) {
		t.Helper()
		cmd := exec.Command("sh", "-ec", script)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	sh(`btrfs -q subvolume create own; mkdir plain staging trash src src/new src/new/deep
		for f in same changed twin; do echo $f >src/$f; done; ln src/twin src/new/twin; echo 1 >src/new/deep/f; ln -s same src/link
		touch -d '2001-02-03 04:05:06' src/same src/changed src/twin src/new/deep/f
		cp -a src/same own/; echo other >own/changed; mkdir own/gone; echo 2 >own/gone/f; echo 3 >own/extra`)
	l, err := tree.OpenLocal(ctx, dir)
	require.NoError(t, err)
	defer l.Close()

	own, err := tree.OwnTree(ctx, l, "own")
	require.NoError(t, err)
	require.Equal(t, "a btrfs subvolume", own.String())
	own, err = tree.OwnTree(ctx, l, "plain")
	require.NoError(t, err)
	require.Nil(t, own)
	_, err = tree.Sync(ctx, l, "src", "own", tree.SyncOptions{Staging: "staging", Trash: "trash"}, nil)
	require.ErrorIs(t, err, unix.EXDEV)
	require.NoError(t, l.Mkdir(ctx, "own/"+tree.Inside, tree.SetAttr{}))
	_, err = tree.Sync(ctx, l, "src", "own", tree.SyncOptions{Staging: "own/" + tree.Inside, Trash: "trash"}, nil)
	require.NoError(t, err)
	sh(`rmdir own/` + tree.Inside + `; touch -r src own; test -z "$(rsync -niaH --delete --checksum src/ own/)"
		test "$(cat trash/changed trash/gone/f trash/extra)" = "$(printf 'other\n2\n3')"`)

	// Single names over the edge.
	sh(`mkdir own/sub`)
	over := tree.NewCarrier(l)
	require.NoError(t, over.Move(ctx, "trash/gone", "own/gone", "own/sub"))
	require.NoDirExists(t, filepath.Join(dir, "trash/gone"))
	require.NoError(t, over.Keep(ctx, "own/gone/f", "trash/f", "trash"))
	require.ErrorIs(t, over.Keep(ctx, "own/gone/f", "trash/f", "trash"), os.ErrExist)
	require.NoError(t, over.Move(ctx, "own/gone", "trash/gone", "trash"))
	sh(`test "$(cat trash/f trash/gone/f)" = "$(printf '2\n2')"; test ! -e own/gone; rmdir own/sub`)
}
