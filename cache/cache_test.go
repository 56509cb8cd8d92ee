package cache

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/export"
	"github.com/casit/berth/tree"
)

func TestWhatNobodyReadsLeavesTheCache(t *testing.T) {
	dir := t.TempDir()
	conn := export.New(export.Config{URL: "file://" + dir, Open: func(ctx context.Context) (tree.FS, error) { return tree.OpenLocal(ctx, dir) }})
	defer conn.Close()
	ctx := t.Context()
	e, err := conn.Connect(ctx)
	require.NoError(t, err)
	now, err := e.AskTime(ctx)
	require.NoError(t, err)
	n, fsys := New(conn), e.FS
	ago := func(key string, days int) {
		at := time.Now().Add(-time.Duration(days) * 24 * time.Hour)
		require.NoError(t, os.Chtimes(filepath.Join(dir, export.CachePath(key, ".bin")), at, at))
	}
	has := func(key string) bool {
		_, err := os.Stat(filepath.Join(dir, export.CachePath(key, ".bin")))
		return err == nil
	}
	for key, days := range map[string]int{"new": 0, "month": 30, "old": 59, "unused": 61} {
		n.PutBytes(ctx, fsys, key, make([]byte, 1000))
		ago(key, days)
	}
	require.NoError(t, Sweep(ctx, fsys, now))
	require.Equal(t, []bool{true, true, true, false}, []bool{has("new"), has("month"), has("old"), has("unused")})
	require.Len(t, n.Bytes(ctx, fsys, "old"), 1000) // it is of use again
	require.NoError(t, sweep(ctx, fsys, now, 2500))
	require.Equal(t, []bool{true, false, true}, []bool{has("new"), has("month"), has("old")}, "the least recently read goes")

	n.Put(ctx, fsys, "value", 7)
	var v int
	require.True(t, n.Get(ctx, fsys, "value", &v))
	require.Equal(t, 7, v)

	file := filepath.Join(dir, export.CachePath("value", ".json"))
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	for i := range whole {
		damaged := slices.Clone(whole)
		damaged[i] ^= 1
		require.NoError(t, os.WriteFile(file, damaged, 0o600))
		require.False(t, n.Get(ctx, fsys, "value", &v), "byte %d of a result was damaged", i)
	}
	require.NoError(t, os.Truncate(file, 0))
	require.False(t, n.Get(ctx, fsys, "value", &v))
	require.NoError(t, os.Rename(file, filepath.Join(dir, export.CachePath("other", ".json"))))
	require.NoError(t, os.WriteFile(filepath.Join(dir, export.CachePath("other", ".json")), whole, 0o600))
	require.False(t, n.Get(ctx, fsys, "other", &v), "a result of another question")
}
