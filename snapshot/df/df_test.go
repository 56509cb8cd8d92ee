package df

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

func TestWhereTheSpaceIs(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int{"blog/a": 100_000, "shop/b": 200_000, ".berth/trash/t1/data/c": 300_000, ".berth/trash/t2/data/d": 400_000} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o644))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, ".berth/staging"), 0o700))
	l, err := tree.OpenLocal(t.Context(), dir)
	require.NoError(t, err)
	defer l.Close()
	made := time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)
	of := Export{
		Snapshots: []reference.Snapshot{{Name: "new", Time: made, Taken: 7}, {Name: "old", Time: made.AddDate(0, 0, -1), Taken: 5}},
		Trash: []*volume.Trashed{
			{ID: "t1", Kind: "removed", Meta: &volume.Meta{Created: made.Add(time.Hour)}},
			{ID: "t2", Kind: "undo", Meta: &volume.Meta{Created: made.Add(-time.Hour)}},
			{ID: "t3", Kind: "removed"},
		},
		Kept: func(context.Context) (int64, error) { return 0, errors.New("away") },
		Live: true,
	}
	u, err := Measure(t.Context(), l, of)
	require.NoError(t, err)
	require.GreaterOrEqual(t, u.Live, int64(300_000))
	require.GreaterOrEqual(t, u.Trash, int64(300_000))
	require.GreaterOrEqual(t, u.Undo, int64(400_000))
	require.Equal(t, u.Trash, u.Now, "no snapshot is younger than its volume")
	require.Equal(t, u.Undo, u.Later)
	require.Equal(t, int64(-1), u.Snapshots, "nobody says")
	require.Equal(t, "old", u.Oldest.Name)
	require.Len(t, u.Items, 3)
	require.Empty(t, u.Items[2].Failed, "what was purged meanwhile takes nothing")

	of.Live, of.Own = false, true
	u, err = Measure(t.Context(), l, of)
	require.NoError(t, err)
	require.Equal(t, int64(-1), u.Live)
	if !u.Shared {
		require.Equal(t, int64(12), u.Snapshots)
		require.Zero(t, u.Later, "plain copies keep nothing of the trash")
	}
}
