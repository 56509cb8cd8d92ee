package volume

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A node that ends what a dead one began needs a moment only, also for an
// operation that nobody waits for.
func TestWhoIsAboutToFinishADeadOperationIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
	n1.beats()
	n2.beats()
	n1.must(n1.Create(ctx, "blog", nil))
	locks := filepath.Join(dir, ".berth/locks/blog@")
	require.NoError(t, os.MkdirAll(locks, 0o700))
	lock := `{"version":1,"id":"0123456789abcdef","state":"held","op":"restore","volume":"blog","node":"n2","incarnation":"` + n2.Cluster.Incarnation() + `","since":"2026-11-23T05:30:00Z"`
	file := filepath.Join(locks, "9")

	write := func(text string) {
		require.NoError(t, os.WriteFile(dir+"/whole", []byte(text+"}\n"), 0o600))
		require.NoError(t, os.Rename(dir+"/whole", file))
	}
	write(lock)
	require.ErrorContains(t, n1.Set(ctx, "blog", map[string]string{"on-remove": "retain"}), "restore of volume \"blog\" is under way on n2")

	write(lock + `,"finishes":true`)
	time.AfterFunc(300*time.Millisecond, func() { write(strings.Replace(lock, "held", "free", 1) + `,"finishes":true`) })
	n1.must(n1.Set(ctx, "blog", map[string]string{"on-remove": "retain"}))
}
