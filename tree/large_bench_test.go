package tree_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree"
)

// BenchmarkLargeDirectory lists, measures and compares directories of a million names
// over NFS (BERTH_NAMES names), and tells the peak of the heap, the server's included.
func BenchmarkLargeDirectory(b *testing.B) {
	names := uint64(1_000_000)
	if n, err := strconv.Atoi(os.Getenv("BERTH_NAMES")); err == nil {
		names = uint64(n)
	}
	s := nfstest.New(b)
	s.WriteFile("/a/file", []byte("x"))
	s.WriteFile("/b/file", []byte("x"))
	file, err := s.Stat("/a/file")
	require.NoError(b, err)
	dirs := map[uint64]bool{}
	for _, dir := range []string{"/a", "/b"} {
		i, err := s.Stat(dir)
		require.NoError(b, err)
		dirs[i.FileID] = true
	}
	s.Lie(nfstest.Lies{List: func(dir, cookie uint64) (p nfstest.Page, ok bool) {
		for i := cookie; i < min(cookie+200, names); i++ {
			p.Entries = append(p.Entries, nfstest.Dirent{Name: fmt.Sprintf("photo-%09d.jpg", i*7919%names), Cookie: i + 1, Of: file.FileID})
		}
		p.EOF = cookie+200 >= names
		return p, dirs[dir]
	}})
	w := openWire(b, s)
	for name, do := range map[string]func(ctx context.Context) error{
		"list":    func(ctx context.Context) error { return w.ReadDir(ctx, "a", func(tree.Entry) error { return nil }) },
		"measure": func(ctx context.Context) error { _, err := tree.Measure(ctx, w, "a"); return err },
		"compare": func(ctx context.Context) error {
			_, err := tree.Compare(ctx, w, "a", "b", tree.Equality{}, func(tree.Difference) error { return nil })
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				before, peak := m.HeapAlloc, uint64(0)
				ctx, cancel := context.WithCancel(b.Context())
				done := make(chan error)
				go func() { done <- do(ctx) }()
				for running := true; running; {
					select {
					case err := <-done:
						require.NoError(b, err)
						running = false
					case <-time.After(20 * time.Millisecond):
						runtime.ReadMemStats(&m)
						peak = max(peak, m.HeapAlloc)
					}
				}
				cancel()
				b.ReportMetric(float64(peak-min(before, peak))/(1<<20), "peak-MiB")
			}
		})
	}
}
