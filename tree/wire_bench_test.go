package tree_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"path"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree"
)

// grown is a generated tree: the same for the same seed and counts.
type grown struct {
	dirs  []string // parents first, without the root
	files map[string]int
}

// grow makes a plan of directories up to eight deep and files whose sizes are
// log-normal with a median of 4 KiB, one in 500 an upload of 1 to 8 MB.
func grow(dirs, files int) grown {
	r := rand.New(rand.NewPCG(42, 42))
	g := grown{files: map[string]int{}}
	all, depth := []string{""}, []int{0}
	for i := 1; i < dirs; i++ {
		p := r.IntN(len(all))
		for depth[p] >= 8 {
			p = r.IntN(len(all))
		}
		all = append(all, path.Join(all[p], fmt.Sprintf("dir%04d", i)))
		depth = append(depth, depth[p]+1)
	}
	g.dirs = all[1:]
	for i := range files {
		size := int(4096 * math.Exp(1.5*r.NormFloat64()))
		if size = min(size, 1<<20); i%500 == 499 {
			size = 1<<20 + r.IntN(7<<20)
		} else if i%100 == 0 {
			size = 0
		}
		g.files[path.Join(all[r.IntN(len(all))], fmt.Sprintf("file%05d", i))] = size
	}
	return g
}

// plant makes the tree below root.
func (g grown) plant(b *testing.B, w *tree.Wire, root string) {
	mode := uint32(0o755)
	require.NoError(b, w.Mkdir(ctx, root, tree.SetAttr{Mode: &mode}))
	for _, d := range g.dirs {
		require.NoError(b, w.Mkdir(ctx, path.Join(root, d), tree.SetAttr{Mode: &mode}))
	}
	data := make([]byte, 9<<20)
	for i := range data {
		data[i] = byte(i%251) + 1
	}
	var wait sync.WaitGroup
	places := make(chan struct{}, 32)
	for name, size := range g.files {
		places <- struct{}{}
		wait.Go(func() {
			defer func() { <-places }()
			f, err := w.Create(ctx, path.Join(root, name), tree.SetAttr{Mode: &mode})
			if err == nil && size > 0 {
				_, err = f.WriteAt(ctx, data[:size], 0)
			}
			if err != nil {
				b.Error(err)
			}
		})
	}
	wait.Wait()
}

// dialer is nfs.Config.Dial.
type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// engines measures copy, compare and delete with many calls in flight, and the
// copy with one, in the same run: what a machine is capable of drops out of the
// ratio. calls tells how many calls were made so far.
func engines(b *testing.B, target nfs.Target, dial dialer, calls func() int, ready func()) {
	dirs, files, few := 3000, 20000, 10
	if testing.Short() {
		dirs, files, few = 150, 1000, 5
	}
	many, err := tree.OpenWire(ctx, target, &nfs.Config{Dial: dial})
	require.NoError(b, err)
	defer many.Close()
	one, err := tree.OpenWire(ctx, target, &nfs.Config{Dial: dial, Connections: 1, InFlight: 1})
	require.NoError(b, err)
	defer one.Close()
	grow(dirs, files).plant(b, many, "all")
	grow(dirs/few, files/few).plant(b, many, "part")
	ready()
	timed := func(f func() error) (seconds float64, n int) {
		before, start := calls(), time.Now()
		require.NoError(b, f())
		return time.Since(start).Seconds(), calls() - before
	}
	different := func(d tree.Difference) error { return fmt.Errorf("%s %s: %s", d.Kind, d.Path, d.Fields) }
	for b.Loop() {
		var stats tree.Stats
		copying, n := timed(func() (err error) {
			stats, err = tree.Copy(ctx, many, "all", "copy", tree.CopyOptions{}, nil)
			return err
		})
		alone, _ := timed(func() error {
			_, err := tree.Copy(ctx, one, "part", "copy1", tree.CopyOptions{Parallel: 1}, nil)
			return err
		})
		comparing, m := timed(func() error {
			_, err := tree.Compare(ctx, many, "all", "copy", tree.Equality{}, different)
			return err
		})
		deleting, _ := timed(func() error { return tree.Delete(ctx, many, "copy", nil) })
		require.NoError(b, tree.Delete(ctx, many, "copy1", nil))
		require.Equal(b, int64(files), stats.Files)
		b.ReportMetric(float64(files)/copying, "files/s")
		b.ReportMetric(float64(files)/copying*alone/float64(files/few), "many:one")
		b.ReportMetric(float64(n)/float64(files), "calls/file")
		b.ReportMetric(float64(m)/float64(2*dirs), "calls/dir-compared")
		b.ReportMetric(comparing*1000, "ms-compare")
		b.ReportMetric(float64(files+dirs)/deleting, "deleted/s")
	}
}

// BenchmarkWire shows what many calls in flight are worth for the engines:
// against the server in memory, without and with 1 ms of latency.
func BenchmarkWire(b *testing.B) {
	for _, latency := range []time.Duration{0, time.Millisecond} {
		b.Run("memory-"+latency.String(), func(b *testing.B) {
			s := nfstest.New(b)
			target, err := nfs.ParseTarget(s.URL("/"))
			require.NoError(b, err)
			engines(b, target, nil, func() int { return s.Calls(nfstest.Any) }, func() { s.SetLatency(latency) })
		})
	}
}
