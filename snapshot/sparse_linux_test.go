package snapshot

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/tree"
)

// A file as large as the filesystem lets it be, with nothing in it, costs no operation on
// its volume more than any other file.
func TestAHugeHoleCostsNothing(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.store.Create(ctx, "evil", nil))
	w.write("evil/a", "x")
	short, cancel := context.WithTimeout(ctx, 2*time.Minute) // it would take hours
	defer cancel()
	w.snap("s1")
	size, when := int64(15<<40), time.Unix(1e9, 0)
	for _, name := range []string{".snapshot/s1/evil/big", "evil/big"} {
		f, err := os.Create(w.path(name))
		require.NoError(t, err)
		defer f.Close()
		if f.Truncate(size) != nil {
			size = 1 << 40
			require.NoError(t, f.Truncate(size))
		}
		require.NoError(t, os.Chtimes(w.path(name), when, when))
	}
	require.NoError(t, w.Diff(short, DiffRequest{A: "evil@s1", Checksum: true}, func(d Diff) error {
		require.Nil(t, d.Change)
		return nil
	}))
	for _, r := range []RestoreRequest{{Checksum: true}, {Checksum: true, Live: true}} {
		r.Refs = []string{"evil@s1"}
		f, err := os.OpenFile(w.path("evil/big"), os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.WriteAt([]byte("end"), size-3)
		require.NoError(t, errors.Join(err, f.Close()))
		w.restore(r)
	}
	fsys, err := w.store.FS(short)
	require.NoError(t, err)
	used, err := tree.Measure(short, fsys, "evil")
	require.NoError(t, err)
	require.Less(t, used.Used, int64(1<<20), "a hole stays a hole")
	require.NoError(t, short.Err())
}
