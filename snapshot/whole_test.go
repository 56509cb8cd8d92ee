package snapshot

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/job"
)

// What is made of a snapshot that is being deleted is no copy of it, whoever asks.
func TestACopyOfASnapshotThatIsBeingDeletedIsNotWhole(t *testing.T) {
	for name, make := range map[string]func(w *world) error{
		"restore": func(w *world) error {
			_, err := w.tryRestore(RestoreRequest{Refs: []string{"blog@s1"}})
			return err
		},
		"a live restore": func(w *world) error {
			_, err := w.tryRestore(RestoreRequest{Refs: []string{"blog@s1"}, Live: true})
			return err
		},
		"a restore beside": func(w *world) error {
			_, err := w.tryRestore(RestoreRequest{Refs: []string{"blog@s1:up"}, To: "old"})
			return err
		},
		"a restore of a part": func(w *world) error {
			_, err := w.tryRestore(RestoreRequest{Refs: []string{"blog@s1:up"}})
			return err
		},
		"a clone": func(w *world) error {
			_, err := w.MakeClone(ctx, CloneRequest{Ref: "blog@s1", As: "copy"})
			return err
		},
		"a clone by Docker": func(w *world) error {
			return w.store.Create(ctx, "copy", map[string]string{"from": "blog@s1"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var w *world
			var armed atomic.Bool
			w = onOpen(t, t.TempDir(), "n1", func(_ context.Context, file string) error {
				if strings.HasPrefix(file, ".snapshot/s1/blog/up/") && armed.CompareAndSwap(true, false) {
					for i := range 150 {
						if name := fmt.Sprintf(".snapshot/s1/blog/up/f%03d", i); name != file {
							require.NoError(t, os.Remove(w.path(name)))
						}
					}
				}
				return nil
			})
			require.NoError(t, w.store.Create(ctx, "blog", nil))
			for i := range 150 {
				w.write(fmt.Sprintf("blog/up/f%03d", i), "old")
			}
			w.snap("s1")
			for i := range 150 {
				w.write(fmt.Sprintf("blog/up/f%03d", i), "new content")
			}
			armed.Store(true)
			err := make(w)
			require.False(t, armed.Load(), "the snapshot was read")
			require.Error(t, err)
			require.Contains(t, err.Error(), "delete")
			require.NoDirExists(t, w.path("copy"))
			require.NoDirExists(t, w.path("blog/old"))
			if name == "restore" {
				require.Equal(t, "new content", w.read("blog/up/f149"), "nothing was swapped")
			}
			jobs, err := w.store.Jobs.List(ctx)
			require.NoError(t, err)
			for _, j := range jobs {
				require.Equal(t, job.Failed, j.State)
			}
		})
	}
}
