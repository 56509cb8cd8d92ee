package volume

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// TestKilledAtEveryStep kills a process at every single change that an
// operation makes. The next process of that node, and another node, must find
// the volume as it was or as it was to be, with its data, and must be able to
// go on.
func TestKilledAtEveryStep(t *testing.T) {
	for name, do := range map[string]func(n *testNode) error{
		"create": func(n *testNode) error { return n.Create(ctx, "new", map[string]string{"mode": "0711"}) },
		"remove": func(n *testNode) error { return n.Remove(ctx, "site1") },
		"undelete": func(n *testNode) error {
			_, _, err := n.Trash.Restore(ctx, "gone", "")
			return err
		},
		"clone": func(n *testNode) error { return n.Create(ctx, "copy", map[string]string{"from": "site1"}) },
		"set":   func(n *testNode) error { return n.Set(ctx, "site1", map[string]string{"on-remove": "retain"}) },
		"mount": func(n *testNode) error {
			if _, err := n.Mount(ctx, "site1", "a", 1); err != nil {
				return err
			}
			return n.Unmount(ctx, "site1", "a")
		},
		"purge": func(n *testNode) error {
			items, err := n.Trash.List(ctx)
			if err != nil || len(items) == 0 {
				return err
			}
			_, err = n.Trash.Purge(ctx, []string{items[0].ID}, 0, false)
			n.sweeper.Sweep(ctx, n.conn.Current())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			for step := int64(0); ; step++ {
				dir := t.TempDir()
				left := &atomic.Int64{}
				left.Store(1 << 40)
				n := node(t, dir, "n1", func(c *Config) {
					c.Open = func(ctx context.Context) (tree.FS, error) {
						l, err := tree.OpenLocal(ctx, dir)
						return treetest.Mortal{FS: l, Left: left}, err
					}
				})
				n.must(n.Create(ctx, "site1", map[string]string{"access": "single"}))
				n.must(n.Create(ctx, "gone", map[string]string{"mode": "0700"}))
				write(t, dir, "site1/page", "hello")
				write(t, dir, "gone/page", "bye")
				n.must(n.Remove(ctx, "gone"))
				n.beats()
				left.Store(step)
				err := do(n)
				killed := left.Load() < 0
				left.Store(-1)

				checkAfterDeath(t, fmt.Sprintf("%s killed at change %d", name, step), dir, name, killed, do)
				if !killed {
					require.NoError(t, err)
					break
				}
			}
		})
	}
}

// checkAfterDeath looks at the export as the next process of n1 and as n2.
func checkAfterDeath(t *testing.T, what, dir, op string, killed bool, do func(*testNode) error) {
	t.Helper()
	again, other := node(t, dir, "n1"), node(t, dir, "n2")
	again.beats()
	other.beats()
	again.beats()
	again.sweeps()
	require.Empty(t, lockedVolumes(t, dir), what)

	// Nothing is lost: each tree is a volume or in the trash, whole.
	names := other.names()
	trash, err := other.Trash.List(ctx)
	require.NoError(t, err, what)
	for volume, page := range map[string]string{"site1": "hello", "gone": "bye"} {
		var places []string
		for _, n := range names {
			if n == volume {
				places = append(places, filepath.Join(dir, n))
			}
		}
		for _, item := range trash {
			if item.Volume == volume {
				places = append(places, filepath.Join(dir, export.TrashData(item.ID)))
			}
		}
		if op == "purge" && volume == "gone" {
			require.LessOrEqual(t, len(places), 1, what)
			continue
		}
		require.Len(t, places, 1, "%s: %s is in one place: %v", what, volume, places)
		require.Equal(t, page, read(t, places[0], "page"), what)
	}
	if op == "clone" {
		if got, err := other.Get(ctx, "copy"); err == nil {
			require.Equal(t, "hello", read(t, dir, "copy/page"), "%s: a clone is whole or absent", what)
			require.Equal(t, "site1", got.Options["from"], what)
		}
	}
	// dockerd sends it again.
	if killed {
		err := do(again)
		if op == "undelete" && problem.KindOf(err) == problem.NotFound {
			err = nil // finished by the other process
		}
		require.NoError(t, err, what)
	}
	switch op {
	case "create":
		info, err := os.Stat(filepath.Join(dir, "new"))
		require.NoError(t, err, what)
		require.Equal(t, os.FileMode(0o711), info.Mode().Perm(), what)
	case "remove":
		require.NotContains(t, other.names(), "site1", what)
	case "undelete":
		require.Contains(t, other.names(), "gone", what)
		got, err := other.Get(ctx, "gone")
		require.NoError(t, err)
		require.Equal(t, "0700", got.Options["mode"], what)
	}
	require.Empty(t, lockedVolumes(t, dir), what)
	again.sweeps() // the sweep of a tick may have been at work when do wanted to
	for _, e := range entries(t, dir, ".berth/staging") {
		require.Contains(t, e, export.TmpPrefix, "%s: only private files wait for the sweep", what)
	}
}
