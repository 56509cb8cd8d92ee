package tree_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

func TestAFileWithManyNamesIsMeasuredOnce(t *testing.T) {
	eachFS(t, func(t *testing.T, f tree.FS) {
		makeDirs(t, f, "src", "outside")
		treetest.Write(t, f, "src/big", string(make([]byte, 100_000)))
		treetest.Write(t, f, "src/small", "12345")
		treetest.Write(t, f, "outside/f", "1234567")
		for i := range 30 {
			d := fmt.Sprintf("src/%02d", i)
			makeDirs(t, f, d)
			for _, name := range []string{"big", "small"} {
				require.NoError(t, f.Link(ctx, "src/"+name, d+"/"+name))
			}
		}
		require.NoError(t, f.Link(ctx, "outside/f", "src/one"))
		require.NoError(t, f.Link(ctx, "outside/f", "src/two"))
		m, err := tree.Measure(ctx, f, "src")
		require.NoError(t, err)
		require.Equal(t, tree.Progress{Dirs: 31, Files: 64, Bytes: 100_012}, m.Progress)
		require.LessOrEqual(t, m.Used, int64(100_012))
		require.Greater(t, m.Used, int64(90_000))

		a, err := f.Stat(ctx, "src/two")
		require.NoError(t, err)
		time.Sleep(20 * time.Millisecond)
		require.NoError(t, f.Link(ctx, "src/small", "src/late")) // changes the file
		m, err = tree.MeasureSince(ctx, f, "src", a.Ctime)
		require.NoError(t, err)
		require.Equal(t, tree.Progress{Dirs: 31, Files: 32, Bytes: 5}, m.Progress)
	})
}
