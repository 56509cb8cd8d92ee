package tree_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/tree"
)

// crowd is a filesystem of two directories with very many files, in no order; it
// takes no memory. Every 1,000th name is in "a" alone, and every 777th file is
// larger in "b".
type crowd struct {
	tree.FS // not there
	names   int
	passes  int
	peak    uint64
}

func (c *crowd) Stat(_ context.Context, name string) (tree.Attr, error) {
	if name == "a" || name == "b" {
		return tree.Attr{Kind: tree.Directory, Nlink: 2, Mtime: then}, nil
	}
	return tree.Attr{}, fs.ErrNotExist
}

func (c *crowd) ReadDirPlus(ctx context.Context, name string, fn func(tree.EntryPlus) error) error {
	if name == "a" {
		c.passes++
	}
	for i := range c.names {
		i = i * 7919 % c.names
		a := tree.Attr{Kind: tree.Regular, Nlink: 1, Mtime: then, Ctime: then, FileID: uint64(i + 1), Size: 3}
		if name == "b" {
			if i%1000 == 0 {
				continue
			}
			if i%777 == 0 {
				a.Size = 4
			}
			if i%50_000 == 1 {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				c.peak = max(c.peak, m.HeapAlloc)
			}
		}
		if err := fn(tree.EntryPlus{Name: fmt.Sprintf("file-%08d", i), Attr: a}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func TestADirectoryOfAnySizeIsComparedInLittleMemory(t *testing.T) {
	c := &crowd{names: 100_000}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	last, removed, modified := "", 0, 0
	stats, err := tree.Compare(t.Context(), c, "a", "b", tree.Equality{}, func(d tree.Difference) error {
		require.Greater(t, d.Path, last)
		switch last = d.Path; d.Kind {
		case tree.Removed:
			removed++
		case tree.Modified:
			modified++
		default:
			t.Errorf("%+v", d)
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []int{100, 128}, []int{removed, modified})
	require.EqualValues(t, 100_000, stats.Files)
	require.Less(t, c.passes, 8)
	require.Less(t, (c.peak-min(c.peak, m.HeapAlloc))>>20, uint64(64), "MiB")
}

// However few names are in memory at once, the result is the same.
func TestPartsOfADirectoryMakeTheWhole(t *testing.T) {
	for _, names := range []int{1, 2, 7, 1000} {
		t.Run(fmt.Sprint(names), func(t *testing.T) {
			base, random := t.TempDir(), rand.New(rand.NewPCG(uint64(names), 1))
			l := open(t, base)
			makeDirs(t, l, "src", "dst", "src/d", "dst/d", "staging", "trash")
			for _, side := range []string{"src", "dst"} {
				for i := range 120 {
					name := path.Join(side, []string{".", "d"}[i%2], fmt.Sprintf("n%d", random.IntN(80)))
					if random.IntN(8) == 0 {
						_ = os.Mkdir(filepath.Join(base, name), 0o755)
					} else {
						_ = os.WriteFile(filepath.Join(base, name), []byte(fmt.Sprint(random.IntN(3))), 0o644)
					}
				}
			}
			differences := func() (paths []string) {
				_, err := tree.Compare(ctx, l, "dst", "src", tree.Equality{Checksum: true}, func(d tree.Difference) error {
					paths = append(paths, fmt.Sprint(d.Kind, " ", d.Path))
					return nil
				})
				require.NoError(t, err)
				return paths
			}
			want := differences()
			require.NotEmpty(t, want)
			defer tree.SetNamesAtOnce(names)()
			require.Equal(t, want, differences())
			_, err := tree.Sync(ctx, l, "src", "dst", tree.SyncOptions{Staging: "staging", Trash: "trash"}, nil)
			require.NoError(t, err)
			require.Empty(t, differences())
		})
	}
}
