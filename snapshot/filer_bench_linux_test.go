package snapshot

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs/nfstest"
)

// BenchmarkRestoreOnAFiler brings a WordPress of 21,000 files in 3,000
// directories back, of which one file in a hundred has changed.
func BenchmarkRestoreOnAFiler(b *testing.B) {
	if !inFiler(b) {
		return
	}
	s := size{dirs: 3000, perDir: 7}
	if testing.Short() {
		s.dirs = 300
	}
	f := newFiler(b, 4096)
	f.wordpress("blog", s)
	f.take("nightly")
	seconds, calls := map[Engine]float64{}, map[Engine]float64{}
	api := f.Versions.tuned.Load().Filer
	does, err := api.Restores(ctx)
	require.NoError(b, err)
	require.True(b, does) // asked before, and not in the loop
	for _, engine := range []Engine{EngineCopy, EngineFiler, EngineSync} {
		r := each[engine]
		r.Refs = []string{"blog@nightly"}
		r.Checksum = false
		f.Tune(Tuning{}) // as without ONTAP's directory-restore
		if engine == EngineFiler {
			f.Tune(Tuning{Filer: api})
		}
		b.Run(string(engine), func(b *testing.B) {
			f.t = b
			for range b.N {
				b.StopTimer()
				f.spoil("blog", s)
				j, err := f.prepare(r)
				require.NoError(b, err)
				require.Equal(b, string(engine), j.Engine)
				f.wire.reset()
				f.rest.Store(0)
				b.StartTimer()
				f.finish(j.ID)
				b.StopTimer()
				f.same(".snapshot/nightly/blog", "blog")
				require.NoError(b, f.purge())
				b.StartTimer()
			}
			seconds[engine], calls[engine] = b.Elapsed().Seconds()/float64(b.N), float64(f.wire.total())
			b.ReportMetric(calls[engine], "NFS-calls")
			b.ReportMetric(float64(f.rest.Load()), "REST-requests")
			b.ReportMetric(float64(f.wire.bytes.Load())/(1<<20), "MiB-on-the-wire")
			if engine != EngineCopy {
				b.ReportMetric(seconds[EngineCopy]/seconds[engine], "times-as-fast-as-copy")
				b.ReportMetric(calls[engine]/calls[EngineCopy], "calls-of-copy")
			}
		})
	}
}

// BenchmarkVersionsOfAThousandSnapshots counts what looking for versions costs
// the server.
func BenchmarkVersionsOfAThousandSnapshots(b *testing.B) {
	const snapshots = 1000
	w, server := wide(b, snapshots)
	for name, ask := range map[string]func() error{
		"List":  func() error { _, err := w.List(ctx, ListRequest{Volume: "blog"}); return err },
		"Files": func() error { _, err := w.Files(ctx, FileRequest{Ref: "blog:wp-config.php"}); return err },
	} {
		b.Run(name, func(b *testing.B) {
			before := server.Calls(nfstest.Any)
			for range b.N {
				require.NoError(b, ask())
			}
			b.ReportMetric(float64(server.Calls(nfstest.Any)-before)/float64(b.N)/snapshots, "calls/snapshot")
		})
	}
}

// BenchmarkRestoreInAWideDirectory brings one file in a hundred of a hundred
// thousand in one directory back.
func BenchmarkRestoreInAWideDirectory(b *testing.B) {
	if !inFiler(b) {
		return
	}
	n := 100_000
	if testing.Short() {
		n = 5000
	}
	f := newFiler(b, 4096)
	f.wideDirectory("cache", n)
	f.take("nightly")
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		for i := 0; i < n; i += 100 {
			require.NoError(b, os.Remove(f.path(wideName("cache", i))))
		}
		j, err := f.prepare(RestoreRequest{Refs: []string{"cache@nightly"}, Live: true})
		require.NoError(b, err)
		f.wire.reset()
		b.StartTimer()
		f.finish(j.ID)
	}
	b.ReportMetric(float64(f.wire.total())/float64(n), "calls/file")
}

func wideName(volume string, i int) string {
	return fmt.Sprintf("%s/objects/%08x", volume, uint32(i*2654435761))
}

// wideDirectory makes a volume with one large directory.
func (f *filer) wideDirectory(name string, files int) {
	f.t.Helper()
	require.NoError(f.t, f.store.Create(ctx, name, nil))
	for i := range files {
		f.write(wideName(name, i), "x")
	}
}

// BenchmarkLargeFileOnAFiler brings a file of 256 MiB back, copied and cloned by the
// filer.
func BenchmarkLargeFileOnAFiler(b *testing.B) {
	if !inFiler(b) {
		return
	}
	f := newFiler(b, 2048, restoring(EngineCopy))
	require.NoError(b, f.store.Create(ctx, "vm", nil))
	f.large("vm/disk", 256)
	f.take("nightly")
	api := f.Versions.tuned.Load().Filer
	for name, t := range map[string]Tuning{"copied": {}, "cloned": {Filer: api}} {
		b.Run(name, func(b *testing.B) {
			f.t = b
			f.Tune(t)
			for range b.N {
				b.StopTimer()
				f.write("vm/disk", "lost")
				j, err := f.prepare(RestoreRequest{Refs: []string{"vm@nightly"}})
				require.NoError(b, err)
				f.wire.reset()
				f.rest.Store(0)
				b.StartTimer()
				f.finish(j.ID)
				b.StopTimer()
				require.NoError(b, f.purge())
				b.StartTimer()
			}
			b.ReportMetric(float64(f.wire.total()), "NFS-calls")
			b.ReportMetric(float64(f.rest.Load()), "REST-requests")
			b.ReportMetric(float64(f.wire.bytes.Load())/(1<<20), "MiB-on-the-wire")
		})
	}
}
