package snapshot

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/job"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
	"github.com/casit/berth/volume"
)

// mortal has nothing to put on stable storage.
type mortal struct{ treetest.Mortal }

func (m mortal) SyncAll(context.Context) error { return nil }

// TestKilledAtEveryStepOfARestore kills the process at every single change
// that a restore or undo makes. The next process must find the old tree or the
// new one under the name, nothing lost, and --resume and --abort must end it.
func TestKilledAtEveryStepOfARestore(t *testing.T) {
	needRsync(t)
	for name, r := range map[string]RestoreRequest{
		"whole":   {Refs: []string{"blog@nightly"}},
		"deleted": {Refs: []string{"gone@nightly"}},
		"live":    {Refs: []string{"blog@nightly"}, Live: true},
		"beside":  {Refs: []string{"blog@nightly:wp-content"}, To: "old"},
		"undo":    {Refs: []string{"blog"}, Undo: true},
	} {
		for _, abort := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, abort %v", name, abort), func(t *testing.T) {
				t.Parallel()
				stride := int64(1)
				if testing.Short() {
					stride = 7
				}
				for step := int64(0); killRestore(t, r, name, step, abort); step += stride {
				}
			})
		}
	}
}

// killRestore tells whether the process was killed before it had finished.
func killRestore(t *testing.T, r RestoreRequest, name string, step int64, abort bool) bool {
	left := &atomic.Int64{}
	left.Store(1 << 40)
	dir := t.TempDir()
	w := worldOn(t, dir, "n1", func(c *volume.Config) {
		c.Open = func(ctx context.Context) (tree.FS, error) {
			l, err := tree.OpenLocal(ctx, dir)
			return mortal{treetest.Mortal{FS: l, Left: left}}, err
		}
	})
	w.site("blog")
	w.site("gone")
	w.snap("nightly")
	w.vandalize("blog")
	require.NoError(t, w.store.Remove(ctx, "gone"))
	w.snap("hacked")
	if r.Undo {
		w.restore(RestoreRequest{Refs: []string{"blog@nightly"}})
	}
	before, after := w.path(".snapshot/hacked/blog"), w.path(".snapshot/nightly/blog")
	switch name {
	case "undo":
		before, after = after, before
	case "deleted":
		before, after = "", w.path(".snapshot/nightly/gone")
	case "beside":
		after = before
	}

	left.Store(step)
	_, err := w.tryRestore(r)
	killed := left.Load() < 0
	left.Store(-1)
	what := fmt.Sprintf("%s killed at change %d (%v)", name, step, err)
	if !killed {
		require.NoError(t, err, what)
	}

	again := worldOn(t, dir, "n1")
	other := worldOn(t, dir, "n2")
	vol := "blog"
	if name == "deleted" {
		vol = "gone"
	}
	// Whoever wants to use it finishes what has begun.
	_, err = other.store.Mount(ctx, vol, "id", 1)
	if name == "deleted" && problem.KindOf(err) == problem.NotFound {
		err = nil
	} else if err == nil {
		require.NoError(t, other.store.Unmount(ctx, vol, "id"))
	}
	require.NoError(t, err, what)
	is := func(tree string) bool {
		if tree == "" {
			_, err := os.Stat(w.path(vol))
			return os.IsNotExist(err)
		}
		_, err := os.Stat(w.path(vol))
		return err == nil && different(t, tree, w.path(vol)) == ""
	}
	if name == "whole" || name == "undo" || name == "deleted" {
		require.True(t, is(before) || is(after), what)
	}

	j, err := again.Jobs.Find(ctx, vol)
	if err == nil {
		if abort && j.State != job.Swapped {
			require.NoError(t, again.Jobs.Abort(ctx, j.ID), what)
		} else {
			require.NoError(t, again.Start(ctx, j.ID), what)
			p, err := again.Jobs.Wait(ctx, j.ID)
			for ; err == nil && !p.Over; p, err = again.Jobs.Wait(ctx, j.ID) {
			}
			require.NoError(t, err, what)
			require.NoError(t, again.Jobs.End(ctx, j.ID), what)
			requireDone(t, w, name, vol, after, what)
		}
	}
	if !killed {
		requireDone(t, w, name, vol, after, what)
	}
	again.nothingLeft()
	return killed
}

func requireDone(t *testing.T, w *world, name, vol, after, what string) {
	t.Helper()
	if name == "beside" {
		require.Empty(t, different(t, w.path(".snapshot/nightly/blog/wp-content"), w.path("blog/old")), what)
		return
	}
	require.Empty(t, different(t, after, w.path(vol)), what)
}
