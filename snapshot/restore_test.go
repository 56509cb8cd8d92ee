package snapshot

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/problem"
)

func TestRestoreOfAWholeVolumeAndUndoAndRedo(t *testing.T) {
	needRsync(t)
	w := newWorld(t)
	w.site("blog")
	w.snap("nightly")
	w.vandalize("blog")
	w.snap("hacked") // what an undo has to bring back
	require.NotEmpty(t, different(t, w.path(".snapshot/nightly/blog"), w.path("blog")))

	p := w.restore(RestoreRequest{Refs: []string{"blog@nightly"}})
	require.Equal(t, EngineCopy, p.Engine)
	require.Positive(t, p.Items[0].Changes.Added)
	require.Positive(t, p.Items[0].Changes.Removed)
	require.Empty(t, different(t, w.path(".snapshot/nightly/blog"), w.path("blog")))
	w.nothingLeft()

	require.Equal(t, EngineMove, w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}}).Engine)
	require.Empty(t, different(t, w.path(".snapshot/hacked/blog"), w.path("blog")))
	w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}})
	require.Empty(t, different(t, w.path(".snapshot/nightly/blog"), w.path("blog")), "again is redo")
	w.nothingLeft()
	items, err := w.store.Trash.List(ctx)
	require.NoError(t, err)
	require.Len(t, items, 1, "an undo uses its copy up and leaves another")
}

func TestLiveRestoreReplacesWhatDiffersAndIsUndone(t *testing.T) {
	needRsync(t)
	w := newWorld(t)
	w.site("blog")
	w.snap("nightly")
	w.vandalize("blog")
	w.snap("hacked")
	_, err := w.store.Mount(ctx, "blog", "id1", 1)
	require.NoError(t, err)

	_, err = w.tryRestore(RestoreRequest{Refs: []string{"blog@nightly"}})
	require.ErrorContains(t, err, "in use on n1")
	require.NotEmpty(t, different(t, w.path(".snapshot/nightly/blog"), w.path("blog")))

	root, err := os.Stat(w.path("blog"))
	require.NoError(t, err)
	require.Equal(t, EngineSync, w.restore(RestoreRequest{Refs: []string{"blog@nightly"}, Live: true}).Engine)
	require.Empty(t, different(t, w.path(".snapshot/nightly/blog"), w.path("blog")))
	now, err := os.Stat(w.path("blog"))
	require.NoError(t, err)
	require.True(t, os.SameFile(root, now), "containers have its directory open")

	w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: true})
	require.Empty(t, different(t, w.path(".snapshot/hacked/blog"), w.path("blog")))
	w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: true})
	require.Empty(t, different(t, w.path(".snapshot/nightly/blog"), w.path("blog")))
	w.nothingLeft()
}

func TestRestoreOfOneFileWhileContainersRun(t *testing.T) {
	needRsync(t)
	w := newWorld(t)
	w.site("blog")
	w.snap("nightly")
	w.vandalize("blog")
	_, err := w.store.Mount(ctx, "blog", "id1", 1)
	require.NoError(t, err)
	p := w.restore(RestoreRequest{Refs: []string{"blog@nightly:index.php"}})
	require.True(t, p.Harmless)
	require.Equal(t, "version 1", w.read("blog/index.php"))
	require.Equal(t, "evil", w.read("blog/uploads/x.php"), "nothing else is touched")
	w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: true})
	require.Equal(t, "HACKED", w.read("blog/index.php"))
	// One that was deleted.
	require.NoError(t, os.Remove(w.path("blog/index.php")))
	w.restore(RestoreRequest{Refs: []string{"blog@nightly:index.php"}})
	require.Equal(t, "version 1", w.read("blog/index.php"))
	w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: true})
	require.NoFileExists(t, w.path("blog/index.php"))
	w.nothingLeft()
}

func TestRestoreOfADirectoryThatIsGone(t *testing.T) {
	needRsync(t)
	w := newWorld(t)
	w.site("blog")
	w.snap("nightly")
	w.vandalize("blog")
	w.restore(RestoreRequest{Refs: []string{"blog@nightly:wp-content/plugins/b"}})
	require.Equal(t, "plugin b", w.read("blog/wp-content/plugins/b/b.php"))
	w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}})
	require.NoDirExists(t, w.path("blog/wp-content/plugins/b"))
	_, err := w.Plan(ctx, RestoreRequest{Refs: []string{"blog@nightly:wp-content/plugins/none"}})
	require.Equal(t, problem.NotFound, problem.KindOf(err))
}

func TestRestoreBesideOverwritesNothing(t *testing.T) {
	needRsync(t)
	w := newWorld(t)
	w.site("blog")
	w.snap("nightly")
	w.vandalize("blog")
	_, err := w.store.Mount(ctx, "blog", "id1", 1)
	require.NoError(t, err)
	w.restore(RestoreRequest{Refs: []string{"blog@nightly:wp-content"}, To: "old-content"})
	require.Equal(t, "plugin b", w.read("blog/old-content/plugins/b/b.php"))
	w.restore(RestoreRequest{Refs: []string{"blog@nightly:index.php"}, To: "wp-content/index.old"})
	require.Equal(t, "version 1", w.read("blog/wp-content/index.old"))
	for _, to := range []string{"index.php", "old-content", "../x", ".", "no/such/dir"} {
		_, err := w.tryRestore(RestoreRequest{Refs: []string{"blog@nightly:index.php"}, To: to})
		require.Error(t, err, to)
	}
	require.Equal(t, "HACKED", w.read("blog/index.php"))
	w.nothingLeft()
}

func TestADeletedVolumeComesBackWithItsOptions(t *testing.T) {
	needRsync(t)
	w := newWorld(t)
	require.NoError(t, w.store.Create(ctx, "db", map[string]string{"access": "single", "uid": "999"}))
	w.write("db/ibdata1", "rows")
	w.snap("nightly")
	require.NoError(t, w.store.Remove(ctx, "db"))
	l, err := w.List(ctx, ListRequest{Volume: "db"})
	require.NoError(t, err)
	require.True(t, l[0].Deleted)

	w.restore(RestoreRequest{Refs: []string{"db@nightly"}})
	require.Equal(t, "rows", w.read("db/ibdata1"))
	got, err := w.store.Get(ctx, "db")
	require.NoError(t, err)
	require.Equal(t, "single", got.Options["access"])
	require.Equal(t, "999", got.Options["uid"])
	w.nothingLeft()
}

func TestAStackGoesBackTogether(t *testing.T) {
	needRsync(t)
	w := newWorld(t)
	for _, name := range []string{"shop_web", "shop_db", "other"} {
		require.NoError(t, w.store.Create(ctx, name, nil))
		w.write(name+"/page", "old")
	}
	w.snap("nightly")
	for _, name := range []string{"shop_web", "shop_db", "other"} {
		w.write(name+"/page", "newer")
	}
	p := w.restore(RestoreRequest{Stack: "shop@nightly"})
	require.Len(t, p.Items, 2)
	require.Equal(t, "old", w.read("shop_web/page"))
	require.Equal(t, "old", w.read("shop_db/page"))
	require.Equal(t, "newer", w.read("other/page"))
	w.restore(RestoreRequest{Undo: true, Stack: "shop"})
	require.Equal(t, "newer", w.read("shop_web/page"))
	require.Equal(t, "newer", w.read("shop_db/page"))
	w.nothingLeft()
}

func TestRefusals(t *testing.T) {
	needRsync(t)
	w := newWorld(t)
	w.site("blog")
	w.snap("nightly")
	for name, c := range map[string]struct {
		r    RestoreRequest
		kind problem.Kind
	}{
		"no snapshot named":  {RestoreRequest{Refs: []string{"blog"}}, problem.Invalid},
		"no such snapshot":   {RestoreRequest{Refs: []string{"blog@weekly"}}, problem.NotFound},
		"no such volume":     {RestoreRequest{Refs: []string{"none@nightly"}}, problem.NotFound},
		"nothing":            {RestoreRequest{}, problem.Invalid},
		"stop and live":      {RestoreRequest{Refs: []string{"blog@nightly"}, Stop: true, Live: true}, problem.Invalid},
		"the same one twice": {RestoreRequest{Refs: []string{"blog@nightly:index.php", "blog@nightly:hard"}}, problem.Invalid},
		"nothing to undo":    {RestoreRequest{Undo: true, Refs: []string{"blog"}}, problem.Nothing},
		"no stack":           {RestoreRequest{Stack: "shop@nightly"}, problem.NotFound},
	} {
		_, err := w.Plan(ctx, c.r)
		require.Error(t, err, name)
		require.Equal(t, c.kind, problem.KindOf(err), "%s: %v", name, err)
	}
	p, err := w.Plan(ctx, RestoreRequest{Refs: []string{"blog@nightly"}})
	require.NoError(t, err)
	require.False(t, p.Any(), "nothing is different")
}

func TestALiveDatabaseIsNotReplacedUnderItsServer(t *testing.T) {
	needRsync(t)
	w := newWorld(t)
	w.site("db")
	w.write("db/ibdata1", "old rows")
	w.snap("nightly")
	w.write("db/ibdata1", "new rows, more")
	_, err := w.store.Mount(ctx, "db", "id1", 1)
	require.NoError(t, err)
	_, err = w.Plan(ctx, RestoreRequest{Refs: []string{"db@nightly"}, Live: true})
	require.ErrorContains(t, err, "database")
	_, err = w.tryRestore(RestoreRequest{Refs: []string{"db@nightly:ibdata1"}})
	require.ErrorContains(t, err, "in use")
	require.Equal(t, "new rows, more", w.read("db/ibdata1"))
	w.restore(RestoreRequest{Refs: []string{"db@nightly"}, Live: true, Force: true})
	require.Equal(t, "old rows", w.read("db/ibdata1"))
}

// What somebody has made under the name of a filer's snapshots is no version.
func TestVersionsOfAFileAreNobodysOwnDirectory(t *testing.T) {
	needRsync(t)
	w := newWorld(t)
	w.site("blog")
	w.snap("one")
	w.write("blog/index.php", "version 2, longer")
	w.snap("two")
	for _, forged := range []string{"", "blog/.snapshot/one/index.php", "blog/.snapshot/two/index.php", "blog/.snapshot/other/index.php"} {
		if forged != "" {
			w.write(forged, "somebody's own")
		}
		got, err := w.Files(ctx, FileRequest{Ref: "blog:index.php"})
		require.NoError(t, err, forged)
		require.Len(t, got, 2, forged)
		require.True(t, got[0].Live)
		require.Equal(t, []string{"two"}, []string{got[0].Snapshots[0].Name}, "read, since it is a copy")
		require.Equal(t, int64(len("version 1")), got[1].SizeBytes, forged)
	}
}
