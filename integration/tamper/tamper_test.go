package tamper

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const batches, perBatch = 10, 100

// TestEditsAreWhatTheySay holds each edit's own account against a walk of the
// whole tree.
func TestEditsAreWhatTheySay(t *testing.T) {
	seen := map[string]int{}
	for _, f := range []Features{{Xattrs: true}, {}} {
		dir := t.TempDir()
		require.NoError(t, Site(dir, 1, f))
		before, err := Walk(dir)
		require.NoError(t, err)
		require.Greater(t, len(before), 400)
		edits, err := Batch(dir, before, 1, perBatch, f)
		require.NoError(t, err)
		require.Len(t, edits, perBatch)
		after, err := Walk(dir)
		require.NoError(t, err)
		var paths []string
		for _, e := range edits {
			seen[e.Kind]++
			paths = append(paths, e.Paths...)
			require.Equal(t, nothing[e.Kind], !e.Any(), "%s: %+v", e.Kind, e)
		}
		d := Compare(before, after)
		n := len(paths)
		slices.Sort(paths)
		require.Len(t, slices.Compact(paths), n, "edits share no path")
		require.Equal(t, paths, d.Paths)
		require.Empty(t, d.Check(append(paths, firstOf(d.Links)...)))
		require.NotEmpty(t, d.Check(paths[1:]))
		require.NotEmpty(t, d.Check(append(paths, "index.php.none")))
	}
	for _, k := range all {
		require.Positive(t, seen[k.name], k.name)
	}
}

// nothing are the kinds after which the tree is what it was.
var nothing = map[string]bool{"chmod and back": true, "an equal file renamed over it": true, "zeros into a hole": true,
	"the time set to what it was": true, "a symlink made again": true}

func firstOf(groups [][]string) (names []string) {
	for _, g := range groups {
		names = append(names, g[0])
	}
	return names
}

func TestTheSameSeedMakesTheSame(t *testing.T) {
	var trees [2][2]Tree
	for i := range trees {
		dir := t.TempDir()
		require.NoError(t, Site(dir, 7, Features{Xattrs: true}))
		var err error
		trees[i][0], err = Walk(dir)
		require.NoError(t, err)
		_, err = Batch(dir, trees[i][0], 7, perBatch, Features{Xattrs: true})
		require.NoError(t, err)
		trees[i][1], err = Walk(dir)
		require.NoError(t, err)
		// The times of edits that keep none are those of now.
		for name, e := range trees[i][1] {
			e.Mtime = time.Time{}
			trees[i][1][name] = e
		}
	}
	require.Empty(t, Unlike(trees[0][0], trees[1][0], false))
	require.Empty(t, Unlike(trees[0][1], trees[1][1], false))
}
