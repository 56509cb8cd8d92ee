package snapshot

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// A version's size is that of the volume in it: the size of all that a snapshot has
// is no version's.
func TestAVersionHasItsOwnSize(t *testing.T) {
	dir := t.TempDir()
	w := worldOn(t, dir, "n1", func(cfg *volume.Config) {
		cfg.Open = func(ctx context.Context) (tree.FS, error) { return tree.OpenLocal(ctx, dir) }
	})
	w.write("small/file", strings.Repeat("x", 5<<10))
	w.write("large/file", strings.Repeat("x", 500<<10))
	made, err := w.Create(ctx, CreateRequest{Name: "both"})
	require.NoError(t, err)
	sizes := map[string]int64{}
	for _, name := range []string{"small", "large"} {
		list, err := w.List(ctx, ListRequest{Volume: name})
		require.NoError(t, err)
		sizes[name] = list[0].Versions[0].SizeBytes
	}
	if made.Method != "copy" {
		require.Equal(t, map[string]int64{"small": 0, "large": 0}, sizes, "blocks are shared: nobody knows")
		return
	}
	require.EqualValues(t, 5<<10, sizes["small"])
	require.EqualValues(t, 500<<10, sizes["large"])
}

// What a filer says of a snapshot is the size of its whole filesystem, not what the
// snapshot or a version in it takes: it is not shown as that.
func TestAFilerTellsNoVersionsSize(t *testing.T) {
	if !inFiler(t) {
		return
	}
	f := newFiler(t, 64)
	f.write("blog/index.php", "<?php")
	f.take("nightly")
	list, err := f.List(ctx, ListRequest{Volume: "blog"})
	require.NoError(t, err)
	require.Len(t, list[0].Versions, 1)
	text, err := json.Marshal(list)
	require.NoError(t, err)
	require.NotContains(t, string(text), "size_bytes")
}
