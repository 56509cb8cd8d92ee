package snapshot

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
)

// revert takes the whole FlexVol back, as an administrator does.
func (f *filer) revert(snap string) {
	f.t.Helper()
	volume, _ := f.sim.UUIDs()
	r := httptest.NewRequest(http.MethodPatch, "/api/storage/volumes/"+volume+"?return_timeout=30&restore_to.snapshot.name="+snap, nil)
	r.SetBasicAuth("berth", "s3cret-Horse")
	w := httptest.NewRecorder()
	f.sim.ServeHTTP(w, r)
	require.Less(f.t, w.Code, 300, w.Body.String())
}

// The FlexVol goes back in time under a running berth: metadata, leases, journals
// and the trash with it.
func TestAFlexVolIsRevertedUnderARunningBerth(t *testing.T) {
	if !inFiler(t) {
		return
	}
	f := newFiler(t, 128, restoring(EngineCopy))
	for _, name := range []string{"blog", "gone", "quiet"} {
		require.NoError(t, f.store.Create(ctx, name, nil))
		f.write(name+"/index.php", "first of "+name)
	}
	require.NoError(t, errors.Join(f.store.Cluster.Beat(ctx), f.store.Cluster.Look(ctx)))
	require.NoError(t, f.store.Remove(ctx, "gone"))
	f.take("old")
	trash, err := f.store.Trash.List(ctx)
	require.NoError(t, err)
	require.Len(t, trash, 1)
	expires := *trash[0].Expires
	time.Sleep(1100 * time.Millisecond) // the filer's times have seconds

	require.NoError(t, f.store.Create(ctx, "later", nil))
	f.write("blog/index.php", "second")
	f.take("new")
	_, err = f.store.Mount(ctx, "blog", "container", 1)
	require.NoError(t, err)
	_, err = f.store.Trash.Purge(ctx, []string{trash[0].ID}, 0, false)
	require.NoError(t, err)
	j, err := f.prepare(RestoreRequest{Refs: []string{"quiet@old"}})
	require.NoError(t, err)
	require.NoError(t, errors.Join(f.store.Cluster.Beat(ctx), f.store.Cluster.Look(ctx)))

	f.revert("old")
	require.Equal(t, "first of blog", f.read("blog/index.php"))
	require.NoDirExists(t, f.path("later"))
	require.NoFileExists(t, f.path(".berth/leases/blog/n1.json"))

	require.NoError(t, errors.Join(f.store.Cluster.Beat(ctx), f.store.Cluster.Look(ctx)))
	require.NoError(t, f.store.WithExport(ctx, "tidy", func(e *export.Export) error { return f.store.Cluster.Tidy(ctx, e) }))
	require.FileExists(t, f.path(".berth/leases/blog/n1.json"), "its container goes on")
	fsys, err := f.store.FS(ctx)
	require.NoError(t, err)
	pauses, err := cluster.Pauses(ctx, fsys)
	require.NoError(t, err)
	require.Len(t, pauses, 1)
	require.Equal(t, cluster.Reverted, pauses[0].Kind)

	trash, err = f.store.Trash.List(ctx)
	require.NoError(t, err)
	require.Len(t, trash, 1, "what was purged since is there again")
	require.True(t, trash[0].Expires.After(expires), "and gets the time back that is missing")
	_, err = f.store.Mount(ctx, "later", "other", 1)
	require.Equal(t, problem.NotFound, problem.KindOf(err), "%v", err)
	require.Error(t, f.Start(ctx, j.ID), "a job of the future is nobody's")
	jobs, err := f.store.Jobs.List(ctx)
	require.NoError(t, err)
	require.Empty(t, jobs)

	l, err := f.List(ctx, ListRequest{Volume: "blog"})
	require.NoError(t, err)
	require.Len(t, l[0].Versions, 1, "newer snapshots went with it")
	f.write("quiet/index.php", "spoilt")
	require.Equal(t, EngineCopy, f.restore(RestoreRequest{Refs: []string{"quiet@old"}}).Engine)
	require.Equal(t, "first of quiet", f.read("quiet/index.php"))
	_, name, err := f.store.Trash.Restore(ctx, "gone", "")
	require.NoError(t, err)
	require.Equal(t, "first of gone", f.read(name+"/index.php"))
}
