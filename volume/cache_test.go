package volume

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/export"
)

func TestWhatNobodyReadsLeavesTheCache(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.beats()
	fsys := n.conn.Current().FS
	ago := func(key string, days int) {
		at := time.Now().Add(-time.Duration(days) * 24 * time.Hour)
		require.NoError(t, os.Chtimes(filepath.Join(dir, export.CachePath(key, ".bin")), at, at))
	}
	has := func(key string) bool {
		_, err := os.Stat(filepath.Join(dir, export.CachePath(key, ".bin")))
		return err == nil
	}
	for key, days := range map[string]int{"new": 0, "month": 30, "old": 59, "unused": 61} {
		n.CacheBytes(ctx, fsys, key, make([]byte, 1000))
		ago(key, days)
	}
	now, ok := n.conn.Time()
	require.True(t, ok)
	n.must(sweepCache(ctx, fsys, now, cacheBytes))
	require.Equal(t, []bool{true, true, true, false}, []bool{has("new"), has("month"), has("old"), has("unused")})
	require.Len(t, n.CachedBytes(ctx, fsys, "old"), 1000) // it is of use again
	n.must(sweepCache(ctx, fsys, now, 2500))
	require.Equal(t, []bool{true, false, true}, []bool{has("new"), has("month"), has("old")}, "the least recently read goes")

	n.Cache(ctx, fsys, "value", 7)
	var v int
	require.True(t, n.Cached(ctx, fsys, "value", &v))
	require.Equal(t, 7, v)
}

func TestTheAuditTrailIsKeptForThirteenMonths(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.beats()
	now := time.Now().UTC()
	month := func(ago int) string {
		return time.Date(now.Year(), now.Month()-time.Month(ago), 1, 0, 0, 0, 0, time.UTC).Format("200601")
	}
	kept := []string{"n-1-" + month(0) + ".jsonl", "n-1-" + month(13) + ".jsonl", "notes", "n1-199913.jsonl"}
	for _, name := range append(kept, "n-1-"+month(14)+".jsonl", "gone-200001.jsonl") {
		write(t, dir, export.AuditDir, name, "{}\n")
	}
	n.swept = time.Time{}
	n.sweep(ctx, n.conn.Current())
	n.sweeps()
	require.ElementsMatch(t, kept, entries(t, dir, export.AuditDir))
	require.Empty(t, entries(t, dir, export.StagingDir))
}

func FuzzAuditMonth(f *testing.F) {
	for _, name := range []string{"n1-202611.jsonl", "a-b-200001.jsonl", "-202611.jsonl", "n1-202613.jsonl", "n1-2026111.jsonl", "notes"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if m, ok := auditMonth(name); ok {
			require.Equal(t, name[len(name)-len("-200601.jsonl"):], fmt.Sprintf("-%s.jsonl", m.Format("200601")))
		}
	})
}
