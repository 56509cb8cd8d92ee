package nfs_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/nfstest"
)

// inFlight is how many calls the flood has under way: two connections with 64.
const inFlight = 128

// flood compares calls one after the other with many in flight, in one run,
// and reports their ratio: what a machine is capable of drops out of it.
func flood(b *testing.B, ctx context.Context, op func(context.Context) error) {
	b.ReportAllocs()
	one := max(b.N/8, 1)
	start := time.Now()
	for range one {
		if err := op(ctx); err != nil {
			b.Fatal(err)
		}
	}
	alone := float64(one) / time.Since(start).Seconds()

	b.ResetTimer()
	start = time.Now()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wait sync.WaitGroup
	for range inFlight {
		wait.Go(func() {
			for left.Add(-1) >= 0 {
				if err := op(ctx); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	many := float64(b.N) / time.Since(start).Seconds()
	b.ReportMetric(alone, "one/s")
	b.ReportMetric(many, "many/s")
	b.ReportMetric(many/alone, "many:one")
}

// floods runs flood for the calls that copying a tree is made of.
func floods(b *testing.B, c *nfs.Client, dir nfs.Handle) {
	ctx := context.Background()
	made, err := c.Create(ctx, dir, "flood", nfs.Unchecked, nfs.SetAttr{Set: nfs.SetMode, Mode: 0o644})
	require.NoError(b, err)
	h := made.Object
	data := make([]byte, 4096)
	_, err = c.Write(ctx, h, 0, data, nfs.FileSync)
	require.NoError(b, err)
	var buffers sync.Pool
	for _, op := range []struct {
		name string
		call func(context.Context) error
	}{
		{"getattr", func(ctx context.Context) error { _, err := c.Getattr(ctx, h); return err }},
		{"lookup", func(ctx context.Context) error { _, err := c.Lookup(ctx, dir, "flood"); return err }},
		{"read4k", func(ctx context.Context) error {
			p, _ := buffers.Get().(*[4096]byte)
			if p == nil {
				p = new([4096]byte)
			}
			defer buffers.Put(p)
			_, err := c.Read(ctx, h, 0, p[:])
			return err
		}},
		{"write4k", func(ctx context.Context) error { _, err := c.Write(ctx, h, 0, data, nfs.FileSync); return err }},
	} {
		b.Run(op.name, func(b *testing.B) { flood(b, ctx, op.call) })
	}
}

// BenchmarkFlood shows what many calls in flight are worth: against the server
// in memory, the same with 1 ms of latency, and nfs-ganesha.
func BenchmarkFlood(b *testing.B) {
	for name, latency := range map[string]time.Duration{"memory": 0, "memory-1ms": time.Millisecond} {
		b.Run(name, func(b *testing.B) {
			s := nfstest.New(b)
			s.SetLatency(latency)
			_, c := dial(b, s, "/", nil)
			floods(b, c, c.Root())
		})
	}
	b.Run("ganesha", benchmarkGanesha)
}

// BenchmarkCounting shows what Stats cost: rounds of a flood with and without
// take turns in one run, and their ratio is reported.
func BenchmarkCounting(b *testing.B) {
	s := nfstest.New(b)
	_, with := dial(b, s, "/", &nfs.Config{Stats: new(nfs.Stats)})
	_, without := dial(b, s, "/", nil)
	const round = 4096
	flood := func(c *nfs.Client) time.Duration {
		start := time.Now()
		var left atomic.Int64
		left.Store(round)
		var wait sync.WaitGroup
		for range inFlight {
			wait.Go(func() {
				for left.Add(-1) >= 0 {
					if _, err := c.Getattr(b.Context(), c.Root()); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wait.Wait()
		return time.Since(start)
	}
	var counted, uncounted []time.Duration
	for range max(b.N/round/2, 3) {
		counted, uncounted = append(counted, flood(with)), append(uncounted, flood(without))
	}
	slices.Sort(counted)
	slices.Sort(uncounted)
	half := len(counted) / 2
	b.ReportMetric(float64(counted[half])/float64(uncounted[half]), "with:without")
}
