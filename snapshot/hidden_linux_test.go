package snapshot

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap/simulator"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/reference"
)

// A place that is not there is not a thing that is not there.
func TestSnapshotsThatTheExportDoesNotShowAreHiddenAndNotAbsent(t *testing.T) {
	if !inFiler(t) {
		return
	}
	f := newFiler(t, 64)
	f.write("blog/index.php", "good")
	f.write("other/index.php", "other")
	f.take("nightly")
	f.take("later")
	f.write("blog/index.php", "bad")
	view := func() error {
		_, err := f.store.Mount(ctx, "blog@nightly", "a", 1)
		return err
	}
	require.NoError(t, f.sim.Set(func(s *simulator.Settings) { s.SnapshotDirectory = false }))

	l, err := f.List(ctx, ListRequest{Volume: "blog"})
	require.NoError(t, err)
	require.Empty(t, l[0].Versions)
	require.ElementsMatch(t, []string{"nightly", "later"}, l[0].Hidden)
	require.Equal(t, "on the filer: 'volume modify -vserver svm1 -volume docker_vols -snapdir-access true' and 'vserver nfs modify -vserver svm1 -v3-hide-snapshot disabled'", l[0].Unhide)
	s, err := f.Newest(ctx)
	require.NoError(t, err)
	require.True(t, s.Hidden)

	for name, do := range map[string]func() error{
		"ls of a volume that was removed": func() error { _, err := f.List(ctx, ListRequest{Volume: "gone"}); return err },
		"restore":                         func() error { _, err := f.Plan(ctx, RestoreRequest{Refs: []string{"blog@nightly"}}); return err },
		"restore of a stack":              func() error { _, err := f.Plan(ctx, RestoreRequest{Stack: "blog@nightly"}); return err },
		"restore of a word":               func() error { _, err := f.Plan(ctx, RestoreRequest{Refs: []string{"blog@latest"}}); return err },
		"versions of a file":              func() error { _, err := f.Files(ctx, FileRequest{Ref: "blog:index.php"}); return err },
		"clone":                           func() error { return f.store.Create(ctx, "copy", map[string]string{"from": "blog@nightly"}) },
		"rm":                              func() error { _, err := f.Remove(ctx, RemoveRequest{Names: []string{"nightly"}}); return err },
		"rm --dry-run": func() error {
			_, err := f.Remove(ctx, RemoveRequest{Names: []string{"nightly"}, DryRun: true})
			return err
		},
		"diff": func() error {
			return f.Diff(ctx, DiffRequest{A: "blog@nightly", B: "blog"}, func(Diff) error { return nil })
		},
		"a view": view,
	} {
		err := do()
		require.Error(t, err, name)
		if name != "a view" && name != "clone" {
			require.ErrorContains(t, err, "is on the filer, and the export does not show it", name)
		}
		require.ErrorContains(t, err, "-snapdir-access true' and 'vserver nfs modify", name)
		require.NotEqual(t, problem.NotFound, problem.KindOf(err), name)
	}
	list, err := f.tuned.Load().Filer.List(ctx)
	require.NoError(t, err)
	require.Len(t, list, 2, "nothing was removed")

	require.NoError(t, f.sim.Set(func(s *simulator.Settings) { s.SnapshotDirectory = true }))
	require.NoError(t, view())
	l, err = f.List(ctx, ListRequest{Volume: "blog"})
	require.NoError(t, err)
	require.Len(t, l[0].Versions, 2)
	require.Empty(t, l[0].Hidden)
}

// A snapshot that goes while the list is read is not hidden.
func TestASnapshotThatIsDeletedMeanwhileIsNotHidden(t *testing.T) {
	if !inFiler(t) {
		return
	}
	f := newFiler(t, 64)
	f.write("blog/index.php", "good")
	f.take("nightly")
	f.take("later")
	api := f.tuned.Load().Filer
	list, err := api.List(ctx)
	require.NoError(t, err)
	_, err = f.Remove(ctx, RemoveRequest{Names: []string{"later"}})
	require.NoError(t, err)
	fsys, err := f.store.FS(ctx)
	require.NoError(t, err)
	left, err := seen(ctx, fsys, api, list)
	require.NoError(t, err)
	require.Equal(t, []reference.Snapshot{list[0]}, left)
}
