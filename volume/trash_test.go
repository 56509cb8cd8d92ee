package volume

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/export"
)

// The ids of trash items have minutes; several removals of one name fit into one.
func TestTrashRestoreTakesTheNewest(t *testing.T) {
	for name, clock := range map[string]time.Duration{
		"within a minute":            2 * time.Second,
		"at once":                    0,
		"the clock steps back a bit": -10 * time.Millisecond,
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 { // ids are random
				dir := t.TempDir()
				n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
				n1.beats()
				n2.beats()
				for i, content := range []string{"old", "newer", "newest"} {
					n := n1
					if i == 1 {
						n = n2
					}
					n.must(n.Create(ctx, "blog", nil))
					write(t, dir, "blog/f", content)
					n.must(n.Remove(ctx, "blog"))
					n1.clock.move(clock)
				}
				items, err := n1.Trash.List(ctx)
				require.NoError(t, err)
				require.Len(t, items, 3)
				for i := range items[1:] {
					require.True(t, items[i].Removed.Before(items[i+1].Removed), "oldest first: %v", items)
				}
				restored, _, err := n1.Trash.Restore(ctx, "blog", "")
				require.NoError(t, err)
				require.Equal(t, "newest", read(t, dir, "blog/f"))
				require.Equal(t, items[2].ID, restored.ID)
			}
		})
	}
}

// What is at work belongs to a lock and is not swept, whatever its times say.
func TestTheCopyOfAFencedTreeIsNotSweptWhileItIsMade(t *testing.T) {
	dir := t.TempDir()
	h := &hooked{}
	n1, n2 := node(t, dir, "n1", hook(h)), node(t, dir, "n2")
	n1.beats()
	n2.beats()
	n1.must(n1.Create(ctx, "db", nil))
	write(t, dir, "db/f", "1")
	old := time.Now().Add(-48 * time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(dir, "db"), old, old))
	n1.must(n1.Remove(ctx, "db"))
	items, err := n1.Trash.List(ctx)
	require.NoError(t, err)
	file := filepath.Join(dir, export.TrashMeta(items[0].ID))
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(read(t, file), `"removed"`, `"fenced"`, 1)), 0o600))

	swept := 0
	h.rename = func(_, o string) error {
		if o == "db" { // the upkeep of another node, also hours later
			n2.clock.move(3 * time.Hour)
			n1.clock.move(3 * time.Hour)
			n2.sweeper.Sweep(ctx, n2.conn.Current())
			swept++
		}
		return nil
	}
	_, _, err = n1.Trash.Restore(ctx, items[0].ID, "")
	require.NoError(t, err)
	require.Equal(t, 1, swept)
	require.Equal(t, "1", read(t, dir, "db/f"))

	// A copy that nobody makes any more is swept.
	write(t, dir, ".berth/staging", export.CopyPrefix+items[0].ID+".x/f", "left")
	n2.sweeps()
	require.NoDirExists(t, filepath.Join(dir, ".berth/staging", export.CopyPrefix+items[0].ID+".x"))
}
