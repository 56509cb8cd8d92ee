package volume

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What a process is asked before it has read the leases of the one before it
// counts as well.
func TestARestartedProcessKeepsUsesAndTakesThemBack(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.beats()
	for _, name := range []string{"left", "used", "more"} {
		n.must(n.Create(ctx, name, nil))
		_, err := n.Mount(ctx, name, "a", 1)
		n.must(err)
	}
	n.must(n.Close())

	again := node(t, dir, "n1")
	again.must(again.Unmount(ctx, "left", "a"))
	again.must(again.Unmount(ctx, "left", "unknown"))
	_, err := again.Mount(ctx, "more", "b", 1)
	again.must(err)
	_, err = again.Mount(ctx, "more", "a", 1)
	again.must(err)
	again.beats()
	require.False(t, again.claimed("left", "a"), "taken back before it was known")
	require.NoFileExists(t, dir+"/.berth/leases/left/n1.json")
	require.True(t, again.claimed("used", "a"))
	require.Contains(t, read(t, dir, ".berth/leases/more/n1.json"), `"a":{"count":2`)
	for range 2 {
		again.must(again.Unmount(ctx, "more", "a"))
	}
	again.must(again.Unmount(ctx, "more", "b"))
	again.must(again.Unmount(ctx, "used", "a"))
	require.False(t, again.Cluster.InUse())
}
