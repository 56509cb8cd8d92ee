package snapshot

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/problem"
)

// An undo belongs to the volume that it was made of, and not to whichever has
// its name by now.
func TestAnUndoBelongsToItsVolume(t *testing.T) {
	undo := RestoreRequest{Undo: true, Refs: []string{"blog"}}
	live := RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: true}
	for _, made := range []struct {
		name  string
		begin func(w *world)
	}{
		{"created", func(w *world) { require.NoError(t, w.store.Create(ctx, "blog", nil)) }},
		{"adopted", func(w *world) { require.NoError(t, os.Mkdir(w.path("blog"), 0o755)) }},
	} {
		for _, r := range []struct {
			name          string
			restore, undo RestoreRequest
		}{
			{"whole", RestoreRequest{Refs: []string{"blog@s"}}, undo},
			{"live", RestoreRequest{Refs: []string{"blog@s"}, Live: true}, live},
			{"one file", RestoreRequest{Refs: []string{"blog@s:i"}}, live},
		} {
			t.Run(made.name+", "+r.name, func(t *testing.T) {
				needRsync(t)
				w := newWorld(t)
				made.begin(w)
				w.write("blog/i", "old")
				w.snap("s")
				w.write("blog/i", "of the former volume")
				w.restore(r.restore)
				require.NoError(t, w.store.Remove(ctx, "blog"))

				_, err := w.Plan(ctx, r.undo)
				require.Equal(t, problem.Nothing, problem.KindOf(err), "%v", err)
				made.begin(w)
				w.write("blog/i", "of the new volume")
				_, err = w.tryRestore(r.undo)
				require.Equal(t, problem.Nothing, problem.KindOf(err), "%v", err)
				require.ErrorContains(t, err, `belongs to a former volume "blog"`)
				require.ErrorContains(t, err, "berth trash restore ")
				require.Equal(t, "of the new volume", w.read("blog/i"))

				// The new one has its own undo, and keeps it beside the former's.
				w.restore(r.restore)
				require.Equal(t, "old", w.read("blog/i"))
				w.restore(r.undo)
				require.Equal(t, "of the new volume", w.read("blog/i"))
				w.restore(r.undo)
				require.Equal(t, "old", w.read("blog/i"), "again is redo")
			})
		}
	}
}

func TestAnUndoGoesWithItsVolume(t *testing.T) {
	needRsync(t)
	setUp := func(t *testing.T, live bool) *world {
		w := newWorld(t)
		require.NoError(t, w.store.Create(ctx, "blog", nil))
		w.write("blog/i", "old")
		w.snap("s")
		w.write("blog/i", "newer")
		w.restore(RestoreRequest{Refs: []string{"blog@s"}, Live: live})
		require.NoError(t, w.store.Remove(ctx, "blog"))
		return w
	}
	for name, live := range map[string]bool{"whole": false, "live": true} {
		t.Run(name+", back under its name", func(t *testing.T) {
			w := setUp(t, live)
			_, _, err := w.store.Trash.Restore(ctx, "blog", "")
			require.NoError(t, err)
			w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: live})
			require.Equal(t, "newer", w.read("blog/i"))
		})
		t.Run(name+", back under another name", func(t *testing.T) {
			w := setUp(t, live)
			require.NoError(t, w.store.Create(ctx, "blog", nil))
			w.write("blog/i", "of the new volume")
			_, _, err := w.store.Trash.Restore(ctx, "blog", "blog-old")
			require.NoError(t, err)
			_, err = w.Plan(ctx, RestoreRequest{Undo: true, Refs: []string{"blog"}})
			require.Equal(t, problem.Nothing, problem.KindOf(err))
			w.restore(RestoreRequest{Undo: true, Refs: []string{"blog-old"}, Live: live})
			require.Equal(t, "newer", w.read("blog-old/i"))
			require.Equal(t, "of the new volume", w.read("blog/i"))
		})
		t.Run(name+", back from a snapshot", func(t *testing.T) {
			w := setUp(t, live)
			w.restore(RestoreRequest{Refs: []string{"blog@s"}})
			w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: live})
			require.Equal(t, "newer", w.read("blog/i"))
		})
	}
	t.Run("of two that come back, one has the id", func(t *testing.T) {
		w := setUp(t, false)
		w.restore(RestoreRequest{Refs: []string{"blog@s"}})
		_, _, err := w.store.Trash.Restore(ctx, "blog", "second")
		require.NoError(t, err)
		_, err = w.Plan(ctx, RestoreRequest{Undo: true, Refs: []string{"second"}})
		require.Equal(t, problem.Nothing, problem.KindOf(err))

		w = setUp(t, false)
		_, _, err = w.store.Trash.Restore(ctx, "blog", "first")
		require.NoError(t, err)
		w.restore(RestoreRequest{Refs: []string{"blog@s"}})
		_, err = w.Plan(ctx, RestoreRequest{Undo: true, Refs: []string{"blog"}})
		require.Equal(t, problem.Nothing, problem.KindOf(err))
		w.restore(RestoreRequest{Undo: true, Refs: []string{"first"}})
		require.Equal(t, "newer", w.read("first/i"))
	})
}

func TestAStacksUndoLeavesNewVolumesAlone(t *testing.T) {
	needRsync(t)
	w := newWorld(t)
	for _, n := range []string{"shop_web", "shop_db"} {
		require.NoError(t, w.store.Create(ctx, n, nil))
		w.write(n+"/i", "old")
	}
	w.snap("s")
	w.write("shop_web/i", "newer")
	w.write("shop_db/i", "newer")
	w.restore(RestoreRequest{Stack: "shop@s"})
	require.NoError(t, w.store.Remove(ctx, "shop_db"))
	require.NoError(t, w.store.Create(ctx, "shop_db", nil))
	w.write("shop_db/i", "of the new volume")
	p := w.restore(RestoreRequest{Undo: true, Stack: "shop"})
	require.Len(t, p.Items, 1)
	require.Equal(t, "newer", w.read("shop_web/i"))
	require.Equal(t, "of the new volume", w.read("shop_db/i"))

	require.NoError(t, w.store.Remove(ctx, "shop_web"))
	require.NoError(t, w.store.Create(ctx, "shop_web", nil))
	_, err := w.Plan(ctx, RestoreRequest{Undo: true, Stack: "shop"})
	require.Equal(t, problem.Nothing, problem.KindOf(err))
	require.ErrorContains(t, err, "former volume")
}

// 0.1 wrote no id into what a live restore replaced.
func TestUndosOfAnEarlierBerth(t *testing.T) {
	needRsync(t)
	w := newWorld(t)
	require.NoError(t, w.store.Create(ctx, "blog", nil))
	w.write("blog/i", "old")
	w.snap("s")
	w.write("blog/i", "newer")
	forget := func() {
		records, err := filepath.Glob(w.path(".berth/trash/*/volume.json"))
		require.NoError(t, err)
		for _, name := range records {
			data, err := os.ReadFile(name)
			require.NoError(t, err)
			var m map[string]any
			require.NoError(t, json.Unmarshal(data, &m))
			delete(m, "volume_id")
			data, err = json.Marshal(m)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(name, data, 0o600))
		}
	}
	w.restore(RestoreRequest{Refs: []string{"blog@s"}, Live: true})
	forget()
	undo := RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: true}
	w.restore(undo)
	require.Equal(t, "newer", w.read("blog/i"))
	w.restore(RestoreRequest{Refs: []string{"blog@s"}})
	forget()
	w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}})
	require.Equal(t, "newer", w.read("blog/i"), "the id is in the metadata of a whole tree")
	w.restore(RestoreRequest{Refs: []string{"blog@s"}, Live: true})
	forget()
	require.NoError(t, w.store.Remove(ctx, "blog"))
	forget()
	require.NoError(t, w.store.Create(ctx, "blog", nil))
	w.write("blog/i", "of the new volume")
	_, err := w.Plan(ctx, undo)
	require.Equal(t, problem.Nothing, problem.KindOf(err), "a removal is younger")

	// Where the removed one is purged, the times say it.
	items, err := w.store.Trash.List(ctx)
	require.NoError(t, err)
	for _, it := range items {
		if it.Kind == "removed" {
			_, err = w.store.Trash.Purge(ctx, []string{it.ID}, 0, false)
			require.NoError(t, err)
			continue
		}
		name := w.path(".berth/trash", it.ID, "volume.json")
		it.Removed = it.Removed.Add(-time.Minute)
		data, err := json.Marshal(it)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(name, data, 0o600))
	}
	_, err = w.Plan(ctx, undo)
	require.Equal(t, problem.Nothing, problem.KindOf(err), "the volume is younger")
}

// An adopted volume is given an id when its options are set: what was replaced
// in it before is still its own.
func TestAnAdoptedVolumeKeepsItsUndoWhenItIsGivenAnID(t *testing.T) {
	needRsync(t)
	w := newWorld(t)
	w.write("blog/i", "old")
	w.snap("s")
	w.write("blog/i", "newer")
	w.restore(RestoreRequest{Refs: []string{"blog@s"}, Live: true})
	require.NoError(t, w.store.Set(ctx, "blog", map[string]string{"on-remove": "retain"}))
	w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: true})
	require.Equal(t, "newer", w.read("blog/i"))
}

func TestARepairedVolumeKeepsItsUndo(t *testing.T) {
	needRsync(t)
	for name, broken := range map[string]func(text string) string{
		"torn":  func(text string) string { return text[:len(text)/2+20] },
		"newer": func(text string) string { return `{"version":9,` + text[len(`{"version":1,`):] },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			require.NoError(t, w.store.Create(ctx, "blog", map[string]string{"on-remove": "retain"}))
			w.write("blog/i", "old")
			w.snap("s")
			w.write("blog/i", "newer")
			w.restore(RestoreRequest{Refs: []string{"blog@s"}})
			w.write(".berth/volumes/blog.json", broken(w.read(".berth/volumes/blog.json")))
			_, err := w.store.Repair(ctx, "blog", false)
			require.NoError(t, err)
			w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}})
			require.Equal(t, "newer", w.read("blog/i"))
		})
	}
}
