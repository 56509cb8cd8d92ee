package snapshot

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
	"github.com/casit/berth/volume"
)

// TestAVolumeThatIsATreeOfItsOwn restores a volume that is a btrfs subvolume, as an
// administrator makes one for its quota: it stays that subvolume, whatever is restored
// and undone, although no name can be renamed over its edge.
func TestAVolumeThatIsATreeOfItsOwn(t *testing.T) {
	needRsync(t)
	dir := treetest.Btrfs(t)
	w := worldOn(t, dir, "n1", func(c *volume.Config) {
		c.Open = func(ctx context.Context) (tree.FS, error) { return tree.OpenLocal(ctx, dir) }
	})
	w.site("blog")
	cmd := exec.Command("sh", "-ec", "mv blog .plain; btrfs -q subvolume create blog; rsync -aH .plain/ blog/; rm -r .plain")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	w.snap("nightly")
	same := func(want string) {
		t.Helper()
		require.Empty(t, different(t, w.path(".snapshot", want, "blog"), w.path("blog")))
		own, err := w.store.Own(ctx, "blog")
		require.NoError(t, err)
		require.NotNil(t, own)
		require.Equal(t, "a btrfs subvolume", own.How, "it is the same tree")
		require.NoDirExists(t, w.path("blog", tree.Inside))
		w.nothingLeft()
	}
	for name, r := range map[string]RestoreRequest{"whole": {}, "live": {Live: true}, "checksum": {Checksum: true}} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.vandalize("blog")
			w.snap("hacked-" + name)
			r.Refs = []string{"blog@nightly"}
			p := w.restore(r)
			require.Equal(t, EngineSync, p.Engine)
			require.Contains(t, p.Notes(), "blog is a tree of its own (a btrfs subvolume): it is changed in place, and keeps its quota")
			same("nightly")
			w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}})
			same("hacked-" + name)
			w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}})
			same("nightly")
		})
	}
	w.t = t
	// Parts, and what goes beside.
	w.vandalize("blog")
	w.restore(RestoreRequest{Refs: []string{"blog@nightly:index.php"}})
	require.Equal(t, "version 1", w.read("blog/index.php"))
	w.restore(RestoreRequest{Refs: []string{"blog@nightly:wp-content"}})
	require.Empty(t, different(t, w.path(".snapshot/nightly/blog/wp-content"), w.path("blog/wp-content")))
	w.restore(RestoreRequest{Refs: []string{"blog@nightly:wp-content"}, To: "old"})
	require.Empty(t, different(t, w.path(".snapshot/nightly/blog/wp-content"), w.path("blog/old")))
	w.restore(RestoreRequest{Refs: []string{"blog@nightly:index.php"}, To: "old.php"})
	require.Equal(t, "version 1", w.read("blog/old.php"))
	require.NoDirExists(t, w.path("blog", tree.Inside))

	// A copy that an interrupted restore has left is no part of anything.
	w.write("blog/"+tree.Inside+"/left", "by a crash")
	w.restore(RestoreRequest{Refs: []string{"blog@nightly"}})
	same("nightly")

	// Its removal and its return are renames of the subvolume.
	require.NoError(t, w.store.Remove(ctx, "blog"))
	_, _, err = w.store.Trash.Restore(ctx, "blog", "")
	require.NoError(t, err)
	same("nightly")
	require.NoError(t, w.store.Create(ctx, "copy", map[string]string{"from": "blog"}))
	require.Empty(t, different(t, w.path("blog"), w.path("copy")))
	require.NoError(t, w.store.Remove(ctx, "blog"))
	items, err := w.store.Trash.List(ctx)
	require.NoError(t, err)
	_, err = w.store.Trash.Purge(ctx, []string{items[len(items)-1].ID}, 0, false)
	require.NoError(t, err)
	w.nothingLeft()
	_, err = os.Stat(w.path("blog"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// blind does not tell one filesystem from another, as a qtree has the fsid of its
// export.
type blind struct{ tree.FS }

func (b blind) Stat(ctx context.Context, name string) (tree.Attr, error) {
	a, err := b.FS.Stat(ctx, name)
	a.Device = 1
	return a, err
}

// TestATreeOfItsOwnThatNothingTellsOf is noticed at the first rename over its edge.
func TestATreeOfItsOwnThatNothingTellsOf(t *testing.T) {
	needRsync(t)
	dir := treetest.Btrfs(t)
	w := worldOn(t, dir, "n1", func(c *volume.Config) {
		c.Open = func(ctx context.Context) (tree.FS, error) {
			l, err := tree.OpenLocal(ctx, dir)
			return blind{l}, err
		}
	})
	w.site("blog")
	cmd := exec.Command("sh", "-ec", "mv blog .plain; btrfs -q subvolume create blog; rsync -aH .plain/ blog/; rm -r .plain")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	w.snap("nightly")
	w.vandalize("blog")
	w.snap("hacked")
	for range 2 {
		w.restore(RestoreRequest{Refs: []string{"blog@nightly"}, Live: true})
		require.Empty(t, different(t, w.path(".snapshot/nightly/blog"), w.path("blog")))
		w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: true})
		require.Empty(t, different(t, w.path(".snapshot/hacked/blog"), w.path("blog")))
	}
	require.NoDirExists(t, w.path("blog", tree.Inside))
	w.nothingLeft()
}
