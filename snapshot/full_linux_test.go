package snapshot

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/export"
	"github.com/casit/berth/tree/treetest"
)

const mib = 1 << 20

// worldOf is a world on a small filesystem of its own, whose reserve is made.
func worldOf(t *testing.T, size string) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		treetest.Skip(t, "mounting needs root")
	}
	dir := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	w := worldOn(t, dir, "n1")
	require.NoError(t, w.store.Create(ctx, "blog", nil))
	require.NoError(t, w.store.Create(ctx, "other", nil))
	require.Eventually(t, func() bool {
		_, err := os.Stat(w.path(export.ReserveDir, "d3"))
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	return w
}

// fill writes until nothing more goes in.
func (w *world) fill(name string) {
	w.t.Helper()
	f, err := os.Create(w.path(name))
	require.NoError(w.t, err)
	defer f.Close()
	for size := mib; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, unix.ENOSPC) {
			size /= 2
		} else {
			require.NoError(w.t, err)
		}
	}
}

// A site whose export is full is mended without any flag: by a file, in place, as a
// whole, beside, and back again; and what gives room back goes on.
func TestWhatIsSmallComesBackOnAFullExport(t *testing.T) {
	for name, bring := range map[string]func(w *world){
		"a file": func(w *world) {
			w.restore(RestoreRequest{Refs: []string{"blog@s1:wp-config.php"}})
			require.Equal(w.t, "good", w.read("blog/wp-config.php"))
			w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: true})
		},
		"a tree": func(w *world) {
			w.restore(RestoreRequest{Refs: []string{"blog@s1"}})
			require.Equal(w.t, "good", w.read("blog/wp-config.php"))
			w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}})
		},
		"a tree, live": func(w *world) {
			w.restore(RestoreRequest{Refs: []string{"blog@s1"}, Live: true})
			require.Equal(w.t, "good", w.read("blog/wp-config.php"))
			w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: true})
		},
		"a clone": func(w *world) {
			_, err := w.MakeClone(ctx, CloneRequest{Ref: "blog@s1", As: "old"})
			require.NoError(w.t, err)
			require.Equal(w.t, "good", w.read("old/wp-config.php"))
			require.NoError(w.t, w.store.Remove(ctx, "old"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := worldOf(t, "64m")
			w.write("blog/wp-config.php", "good")
			w.snap("s1")
			w.write("blog/wp-config.php", "hacked")
			w.fill("other/fill")
			_, err := w.store.Mount(ctx, "other", "a", 1)
			require.NoError(t, err)
			require.NoError(t, w.store.Unmount(ctx, "other", "a"))
			bring(w)
			require.Equal(t, "hacked", w.read("blog/wp-config.php"))
			w.nothingLeft()
			w.fill("other/more") // whatever has come free
			for _, name := range []string{"blog", "other"} {
				require.NoError(t, w.store.Remove(ctx, name), name)
			}
		})
	}
}

// What takes much is refused by an estimate, whose words say how it is done all the
// same; then only a server that has really no room refuses.
func TestAnEstimateOfRoomCanBeOverridden(t *testing.T) {
	w := worldOf(t, "64m")
	big := make([]byte, 14*mib)
	_, err := rand.Read(big)
	require.NoError(t, err)
	w.write("blog/upload", string(big))
	w.snap("s1")
	w.write("blog/upload", "lost")
	w.write("other/fill", string(bytes.Repeat([]byte("x"), 32*mib))) // 16 MiB are left
	require.ErrorContains(t, w.planned(RestoreRequest{Refs: []string{"blog@s1"}}), "less than 5 % of the export would be left; 'berth df' shows")
	require.ErrorContains(t, w.planned(RestoreRequest{Refs: []string{"blog@s1"}}), "--force restores all the same")
	_, err = w.MakeClone(ctx, CloneRequest{Ref: "blog@s1", As: "old"})
	require.ErrorContains(t, err, "'berth snapshot restore blog@s1 --as old --force'")

	_, err = w.MakeClone(ctx, CloneRequest{Ref: "blog@s1", As: "old", Force: true})
	require.NoError(t, err)
	require.Equal(t, string(big), w.read("old/upload"))

	// Now there is no room: what was copied goes, and the volume is as it was.
	_, err = w.tryRestore(RestoreRequest{Refs: []string{"blog@s1"}, Force: true})
	require.ErrorContains(t, err, "is full")
	require.Equal(t, "lost", w.read("blog/upload"))
	w.nothingLeft()
	require.NoError(t, os.RemoveAll(w.path("old")))
	w.restore(RestoreRequest{Refs: []string{"blog@s1"}, Force: true})
	require.Equal(t, string(big), w.read("blog/upload"))
}

// planned is the error of a plan.
func (w *world) planned(r RestoreRequest) error {
	_, err := w.Plan(ctx, r)
	return err
}
