package snapshot

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/compare"
)

// hide changes a file and puts its time back, as who breaks in does.
func (w *world) hide(name, text string) {
	w.t.Helper()
	info, err := os.Stat(w.path(name))
	require.NoError(w.t, err)
	require.Equal(w.t, info.Size(), int64(len(text)))
	require.NoError(w.t, os.WriteFile(w.path(name), []byte(text), 0o644))
	require.NoError(w.t, os.Chtimes(w.path(name), info.ModTime(), info.ModTime()))
}

// changed is what a diff says of a reference: the letter and the path.
func (w *world) changed(ref string) (lines []string, total compare.Changes) {
	w.t.Helper()
	require.NoError(w.t, w.Diff(ctx, DiffRequest{A: ref}, func(d Diff) error {
		if d.Change != nil {
			lines = append(lines, d.Change.Kind+" "+d.Change.Path)
		}
		if d.Changes != nil {
			total = *d.Changes
		}
		return nil
	}))
	return lines, total
}

func TestAChangeWhoseTimeWasPutBackIsFoundEverywhere(t *testing.T) {
	needRsync(t)
	for engine, r := range map[string]RestoreRequest{
		"copy": {Refs: []string{"blog@nightly"}},
		"sync": {Refs: []string{"blog@nightly"}, Live: true},
		"file": {Refs: []string{"blog@nightly:wp-login.php"}},
	} {
		t.Run(engine, func(t *testing.T) {
			w := newWorld(t)
			w.site("blog")
			w.write("blog/wp-login.php", "<?php good ?>")
			w.snap("nightly")
			lines, _ := w.changed("blog@nightly")
			require.Empty(t, lines)
			w.hide("blog/wp-login.php", "<?php evil ?>")

			lines, total := w.changed("blog@nightly")
			require.Equal(t, []string{"M wp-login.php"}, lines)
			require.Equal(t, []int64{1, 1}, []int64{total.Modified, total.Disguised})
			list, err := w.List(ctx, ListRequest{Volume: "blog", Changes: true})
			require.NoError(t, err)
			require.Equal(t, int64(1), list[0].Versions[0].Live.Disguised)
			files, err := w.Files(ctx, FileRequest{Ref: "blog:wp-login.php"})
			require.NoError(t, err)
			require.Len(t, files, 2, "live, and the snapshot's")
			require.Equal(t, "content", files[1].Differs)
			files, err = w.Files(ctx, FileRequest{Ref: "blog:wp-content"})
			require.NoError(t, err)
			require.Len(t, files, 1, "a directory in which nothing changed")

			p := w.restore(r)
			require.Equal(t, int64(1), p.Items[0].Changes.Modified)
			require.Equal(t, "<?php good ?>", w.read("blog/wp-login.php"))
			options := []string{}
			if engine == "file" { // its directory has had it renamed in
				options = append(options, "--omit-dir-times")
			}
			require.Empty(t, different(t, w.path(".snapshot/nightly/blog"), w.path("blog"), options...))
			p, err = w.Plan(ctx, r)
			require.NoError(t, err)
			require.False(t, p.Any())
			w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: r.Live})
			require.Equal(t, "<?php evil ?>", w.read("blog/wp-login.php"))
			w.nothingLeft()
		})
	}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	out, err := exec.Command("cp", "-a", from, to).CombinedOutput()
	require.NoError(t, err, string(out))
}

func TestADirectoryWhoseFilesChangedIsNotTheSame(t *testing.T) {
	needRsync(t)
	w := newWorld(t)
	w.write("blog/wp-content/a/page", "version 1")
	w.snap("one")
	w.hide("blog/wp-content/a/page", "version 2")
	files, err := w.Files(ctx, FileRequest{Ref: "blog:wp-content"})
	require.NoError(t, err)
	require.Len(t, files, 2)
	require.Equal(t, "what is below", files[1].Differs)
}

// What was counted by size and time is not believed.
func TestCountsOfAnOlderReleaseAreNotTrusted(t *testing.T) {
	needRsync(t)
	w := newWorld(t)
	w.write("blog/page", "version 1")
	w.snap("one")
	w.hide("blog/page", "version 2")
	w.snap("two")
	all, err := w.List(ctx, ListRequest{Volume: "blog"})
	require.NoError(t, err)
	fsys, err := w.store.FS(ctx)
	require.NoError(t, err)
	newer, older := all[0].Versions[0].Snapshot, all[0].Versions[1].Snapshot
	w.store.Cache.Put(ctx, fsys, "changes\x00blog\x00"+older.ID()+"\x00"+newer.ID(), &compare.Changes{Unchanged: 1})
	all, err = w.List(ctx, ListRequest{Volume: "blog", Changes: true})
	require.NoError(t, err)
	require.Equal(t, int64(1), all[0].Versions[0].Before.Disguised)
	require.NoError(t, os.WriteFile(w.path(".snapshot/two/blog/page"), []byte("version 3"), 0o644))
	again, err := w.List(ctx, ListRequest{Volume: "blog", Changes: true})
	require.NoError(t, err)
	require.Equal(t, all[0].Versions[0].Before, again[0].Versions[0].Before, "counted once")
}

// Undo and redo of a live restore bring back the times of directories and of
// symlinks, and which names are one file.
func TestALiveUndoBringsTimesAndLinksBack(t *testing.T) {
	needRsync(t)
	w := newWorld(t)
	w.site("blog")
	w.write("blog/d/deep/er/file", "1")
	require.NoError(t, os.Link(w.path("blog/d/deep/er/file"), w.path("blog/d/same")))
	w.write("blog/x", "one")
	w.write("blog/y", "one")
	w.snap("nightly")
	w.vandalize("blog")
	w.write("blog/d/deep/new", "2")
	require.NoError(t, os.Remove(w.path("blog/d/same")))
	w.write("blog/d/same", "1")
	require.NoError(t, os.Remove(w.path("blog/y")))
	require.NoError(t, os.Link(w.path("blog/x"), w.path("blog/y")))
	when := time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
	require.NoError(t, os.Chtimes(w.path("blog/d/deep"), when, when))
	edited := filepath.Join(t.TempDir(), "edited")
	copyTree(t, w.path("blog"), edited)

	r := RestoreRequest{Refs: []string{"blog@nightly"}, Live: true}
	w.restore(r)
	require.Empty(t, different(t, w.path(".snapshot/nightly/blog"), w.path("blog")))
	for range 2 {
		w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: true})
		require.Empty(t, different(t, edited, w.path("blog")))
		w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: true})
		require.Empty(t, different(t, w.path(".snapshot/nightly/blog"), w.path("blog")))
	}
	w.nothingLeft()
}

func TestAFileComesBackWithTheDirectoriesThatAreGone(t *testing.T) {
	needRsync(t)
	w := newWorld(t)
	w.site("blog")
	w.write("blog/a/b/c/file", "text")
	require.NoError(t, os.Chmod(w.path("blog/a/b"), 0o2750))
	require.NoError(t, os.Chown(w.path("blog/a/b"), 33, 34))
	when := time.Unix(1_600_000_000, 123_456_789)
	for _, d := range []string{"blog/a/b/c", "blog/a/b", "blog/a"} {
		require.NoError(t, os.Chtimes(w.path(d), when, when))
	}
	w.snap("nightly")
	require.NoError(t, os.RemoveAll(w.path("blog/a")))
	edited := filepath.Join(t.TempDir(), "edited")
	copyTree(t, w.path("blog"), edited)
	p := w.restore(RestoreRequest{Refs: []string{"blog@nightly:a/b/c/file"}})
	require.Equal(t, []string{"a", "a/b", "a/b/c"}, p.Items[0].Parents)
	require.Empty(t, different(t, w.path(".snapshot/nightly/blog/a"), w.path("blog/a")))
	w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: true})
	require.NoDirExists(t, w.path("blog/a"))
	require.Empty(t, different(t, edited, w.path("blog")))
	w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: true})
	require.Equal(t, "text", w.read("blog/a/b/c/file"))

	// In the way of a directory is something else now.
	require.NoError(t, os.RemoveAll(w.path("blog/a")))
	w.write("blog/a", "a file")
	_, err := w.Plan(ctx, RestoreRequest{Refs: []string{"blog@nightly:a/b/c/file"}})
	require.Equal(t, problem.InUse, problem.KindOf(err), "%v", err)
	require.ErrorContains(t, err, `"a" in volume "blog" is a file now`)
	w.nothingLeft()
}

func TestAPathBehindASymlinkSaysSo(t *testing.T) {
	needRsync(t)
	w := newWorld(t)
	w.write("blog/releases/7/index.php", "7")
	require.NoError(t, os.Symlink("releases/7", w.path("blog/current")))
	require.NoError(t, os.Symlink("/srv/www", w.path("blog/out")))
	w.snap("nightly")
	for ref, hint := range map[string]string{
		"blog@nightly:current/index.php":         "blog@nightly:releases/7/index.php",
		"blog@nightly:out/index.php":             "from the volume's root",
		"blog@nightly:releases/7/index.php/more": "name the file itself",
	} {
		for what, err := range map[string]error{
			"diff":    w.Diff(ctx, DiffRequest{A: ref}, func(Diff) error { return nil }),
			"restore": func() error { _, err := w.Plan(ctx, RestoreRequest{Refs: []string{ref}}); return err }(),
		} {
			require.Equal(t, problem.NotFound, problem.KindOf(err), "%s %s: %v", what, ref, err)
			require.ErrorContains(t, err, hint, what)
		}
	}
	_, err := w.Files(ctx, FileRequest{Ref: "blog:current/index.php"})
	require.ErrorContains(t, err, "blog:releases/7/index.php")
}

func TestTimesOfAnyYearAreKept(t *testing.T) {
	for _, at := range []time.Time{{}, time.Unix(0, 1), time.Date(2026, 1, 1, 0, 0, 0, 5, time.UTC), time.Unix(1<<40, 999_999_999), time.Unix(-1<<40, 1)} {
		data, err := json.Marshal(moment{at})
		require.NoError(t, err, at)
		var back moment
		require.NoError(t, json.Unmarshal(data, &back))
		require.True(t, back.Equal(at), "%s %s", data, back)
		_, err = json.Marshal(compare.Shown(at))
		require.NoError(t, err)
	}
	var old moment
	require.NoError(t, json.Unmarshal([]byte(`"2026-11-23T05:30:00.5+01:00"`), &old), "as 0.1 wrote them")
	require.Equal(t, 2026, old.Year())
}
