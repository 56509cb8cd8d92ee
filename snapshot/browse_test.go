package snapshot

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/problem"
)

func TestBrowsingAVersion(t *testing.T) {
	w := newWorld(t)
	w.write(".snapshot/nightly/blog/index.php", "<?php")
	w.write(".snapshot/nightly/blog/caf\xe9/menu", "1")
	require.NoError(t, os.Symlink("/etc", w.path(".snapshot/nightly/blog/etc")))
	w.write(".snapshot/nightly/blog/many/00000", "0")
	for i := range 6 {
		w.write(fmt.Sprintf(".snapshot/nightly/blog/many/%05d", i), "0")
	}

	got, err := w.Browse(ctx, BrowseRequest{Ref: "blog@latest"})
	require.NoError(t, err)
	require.Equal(t, "blog@nightly", got.Side.Ref, "it says what was meant")
	require.Equal(t, "directory", got.File.Kind)
	var names []string
	for _, e := range got.Entries {
		names = append(names, e.Raw()+" "+e.Kind)
	}
	require.Equal(t, []string{"caf\xe9 directory", "etc symlink", "index.php file", "many directory"}, names)
	require.Equal(t, "caf\uFFFD", got.Entries[0].Name)

	got, err = w.Browse(ctx, BrowseRequest{Ref: "blog@nightly", PathB64: []byte("caf\xe9/menu")})
	require.NoError(t, err)
	require.Equal(t, int64(1), got.File.Bytes)
	require.Empty(t, got.Entries)

	var pages []int
	for after := ""; ; {
		got, err = w.Browse(ctx, BrowseRequest{Ref: "blog@nightly:many", AfterB64: []byte(after), Limit: 4})
		require.NoError(t, err)
		pages = append(pages, len(got.Entries), got.More)
		if got.More == 0 {
			break
		}
		after = got.Entries[len(got.Entries)-1].Raw()
	}
	require.Equal(t, []int{4, 2, 2, 0}, pages)

	for spec, kind := range map[string]problem.Kind{"blog@nightly:etc/passwd": problem.NotFound, "blog@nightly:index.php/x": problem.NotFound, "blog@nightly:../x": problem.Invalid,
		"blog@nightly:gone": problem.NotFound, "blog@no": problem.NotFound, "no@nightly": problem.NotFound, "..@nightly": problem.Invalid} {
		_, err = w.Browse(ctx, BrowseRequest{Ref: spec})
		require.Equal(t, kind, problem.KindOf(err), "%s: %v", spec, err)
	}
	link, err := w.Browse(ctx, BrowseRequest{Ref: "blog@nightly:etc"})
	require.NoError(t, err)
	require.Equal(t, "symlink", link.File.Kind)
}
