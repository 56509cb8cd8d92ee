package snapshot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/export"
	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/ganeshatest"
	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// each names the engines, and a request that each of them carries out.
var each = map[Engine]RestoreRequest{
	EngineFiler: {},
	EngineCopy:  {Checksum: true},
	EngineSync:  {Live: true},
}

func TestAFullExportKeepsTheOldTree(t *testing.T) {
	if !inFiler(t) {
		return
	}
	const mib = 1 << 20
	f := newFiler(t, 240)
	require.NoError(t, f.store.Create(ctx, "blog", nil))
	for i := range 16 {
		f.write(fmt.Sprintf("blog/upload%02d", i), strings.Repeat(fmt.Sprint(i%10), mib))
	}
	f.take("nightly")
	for i := range 16 {
		f.write(fmt.Sprintf("blog/upload%02d", i), strings.Repeat("x", mib))
	}
	fill := f.path("fill")
	for engine, r := range each {
		r.Refs = []string{"blog@nightly"}
		t.Run(string(engine), func(t *testing.T) {
			f.t = t
			hacked := "hacked-" + string(engine)
			f.take(hacked)
			// Room for berth's own files and half of the volume.
			f.leave(fill, 8*mib)
			if engine != EngineFiler {
				_, err := f.Plan(ctx, r)
				require.ErrorContains(t, err, "less than 5 % of the export would be left")
				require.ErrorContains(t, err, "berth df")
			}
			// The plan was made when there was room.
			j, err := f.prepare(r)
			require.NoError(t, err)
			require.Equal(t, string(engine), j.Engine)
			err = f.attempt(j.ID)
			t.Log(err)
			require.Error(t, err)
			require.Regexp(t, `is full; see .*'berth trash purge ID'|not .* enough space .*'berth df'`, err.Error())
			require.NotContains(t, err.Error(), "\n")
			if engine == EngineSync {
				// What was replaced before is undone, once there is room.
				require.NoError(t, os.Remove(fill))
				f.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: true})
				require.Empty(t, different(t, f.path(".snapshot", hacked, "blog"), f.path("blog")))
			} else {
				f.same(".snapshot/"+hacked+"/blog", "blog")
				require.NoError(t, os.Remove(fill))
			}
			f.nothingLeft()
			// And with room it works.
			require.Equal(t, engine, f.restore(r).Engine)
			f.same(".snapshot/nightly/blog", "blog")
			f.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: r.Live})
			f.nothingLeft()
			require.NoError(t, f.purge())
		})
	}
}

// Over NFS too a small file comes back where there is no room at all.
func TestASmallFileComesBackOnAFullServer(t *testing.T) {
	if !inFiler(t) {
		return
	}
	f := newFiler(t, 64)
	require.NoError(t, f.store.Create(ctx, "blog", nil))
	f.write("blog/page", "good")
	f.take("nightly")
	f.write("blog/page", "hacked")
	require.Eventually(t, func() bool {
		_, err := os.Stat(f.path(export.ReserveDir, "d3"))
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	f.fill("fill")
	f.restore(RestoreRequest{Refs: []string{"blog@nightly:page"}})
	require.Equal(t, "good", f.read("blog/page"))
	f.nothingLeft()
	require.NoError(t, f.store.Remove(ctx, "blog"))
}

// leave fills the export until so many bytes are free.
func (f *filer) leave(name string, bytes int64) {
	f.t.Helper()
	file, err := os.Create(name)
	require.NoError(f.t, err)
	defer file.Close()
	var avail int64
	require.NoError(f.t, f.store.With(ctx, "measure", func(fsys tree.FS) error {
		s, err := fsys.Statfs(ctx)
		avail = s.Avail
		return err
	}))
	block := make([]byte, 1<<20)
	for ; avail > bytes; avail -= int64(len(block)) {
		_, err := file.Write(block)
		require.NoError(f.t, err)
	}
}

// purge empties the trash.
func (f *filer) purge() error {
	items, err := f.store.Trash.List(ctx)
	for _, it := range items {
		if err == nil {
			err = os.RemoveAll(filepath.Dir(f.path(it.Data())))
		}
	}
	return err
}

func TestASquashedExportNamesTheRule(t *testing.T) {
	if !inFiler(t) {
		return
	}
	f := newFiler(t, 256)
	f.site("blog")
	f.take("nightly")
	f.vandalize("blog")
	f.take("hacked")
	// Time for the next heartbeat is not given: it would be refused too.
	f.server.Restart(ganeshatest.Export{Dir: flexvol, RootSquash: true})
	for engine, r := range each {
		r.Refs = []string{"blog@nightly"}
		_, err := f.tryRestore(r)
		require.Error(t, err, engine)
		t.Logf("%s: %v", engine, err)
		require.ErrorContains(t, err, "superuser=sys in the export rule", engine)
		require.ErrorContains(t, err, "no_root_squash", engine)
		f.same(".snapshot/hacked/blog", "blog")
	}
	f.server.Restart(ganeshatest.Export{Dir: flexvol})
	f.nothingLeft()

	// And now in the middle of it.
	for _, engine := range []Engine{EngineCopy, EngineSync} {
		r := each[engine]
		r.Refs = []string{"blog@nightly"}
		j, err := f.prepare(r)
		require.NoError(t, err)
		var once sync.Once
		f.wire.before(func(proc uint32) {
			if proc == procRead && len(f.staged(j.ID)) > 1 {
				once.Do(func() { f.server.Restart(ganeshatest.Export{Dir: flexvol, RootSquash: true}) })
			}
		})
		err = f.attempt(j.ID)
		f.wire.before(nil)
		t.Logf("%s: %v", engine, err)
		require.ErrorContains(t, err, "no_root_squash", engine)
		f.server.Restart(ganeshatest.Export{Dir: flexvol})
		if engine == EngineCopy {
			f.same(".snapshot/hacked/blog", "blog")
		}
		require.NoError(t, f.Jobs.End(ctx, j.ID))
		f.nothingLeft()
		f.restore(RestoreRequest{Refs: []string{"blog@nightly"}})
		f.same(".snapshot/nightly/blog", "blog")
		f.nothingLeft()
		f.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}})
	}
	f.nothingLeft()
}

// staged is what a job's directory has.
func (f *filer) staged(id string) (names []string) {
	entries, _ := os.ReadDir(f.path(".berth/staging", id))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestASnapshotThatIsDeletedWhileItIsRead(t *testing.T) {
	if !inFiler(t) {
		return
	}
	s := size{dirs: 60, perDir: 5}
	for engine, r := range map[Engine]RestoreRequest{EngineCopy: each[EngineCopy], EngineSync: each[EngineSync]} {
		t.Run(string(engine), func(t *testing.T) {
			f := newFiler(t, 512)
			f.wordpress("blog", s)
			f.take("nightly")
			for d := range s.dirs { // so that a sync has to read a lot too
				for i := range s.perDir {
					f.write(fmt.Sprintf("blog/wp-content/%02d/plugin%04d/class-%d.php", d%40, d, i), "HACKED")
				}
			}
			f.take("hacked")
			r.Refs = []string{"blog@nightly"}
			j, err := f.prepare(r)
			require.NoError(t, err)
			require.Equal(t, string(engine), j.Engine)

			client, x := f.client, f.export()
			list, err := f.tuned.Load().Filer.List(ctx)
			require.NoError(t, err)
			var once sync.Once
			reads := 0
			var mu sync.Mutex
			f.wire.before(func(proc uint32) {
				mu.Lock()
				// A sync reads first to find out what differs.
				if proc == procRead && (engine == EngineCopy || len(f.staged(j.ID)) > 1) {
					reads++
				}
				enough := reads > 100
				mu.Unlock()
				if enough {
					once.Do(func() {
						for _, snap := range list {
							if snap.Name == "nightly" {
								require.NoError(t, client.SnapshotDelete(ctx, x.Volume.UUID, snap.UUID))
							}
						}
					})
				}
			})
			err = f.attempt(j.ID)
			f.wire.before(nil)
			t.Log(err)
			require.NoDirExists(t, f.path(".snapshot/nightly"))
			require.ErrorContains(t, err, "deleted")
			require.ErrorContains(t, err, "another version")
			if engine == EngineSync {
				f.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: true})
				require.Empty(t, different(t, f.path(".snapshot/hacked/blog"), f.path("blog"), f.lax...))
			} else {
				f.same(".snapshot/hacked/blog", "blog")
			}
			f.nothingLeft()
		})
	}
}

// A container goes on appending while a file is brought back: the volume has
// the old version whole, and the undo has every byte that was appended.
func TestAFileThatGrowsWhileItIsSynced(t *testing.T) {
	if !inFiler(t) {
		return
	}
	f := newFiler(t, 512)
	f.site("blog")
	f.write("blog/access.log", strings.Repeat("old line\n", 1<<17))
	f.take("nightly")
	f.write("blog/access.log", "")
	log, err := os.OpenFile(f.path("blog/access.log"), os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	defer log.Close()
	var written int64
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Microsecond):
				n, _ := log.WriteString("another line\n")
				written += int64(n)
			}
		}
	}()
	require.Eventually(t, func() bool { info, err := log.Stat(); return err == nil && info.Size() > 0 }, time.Minute, time.Millisecond)
	f.restore(RestoreRequest{Refs: []string{"blog@nightly"}, Live: true})
	require.Empty(t, different(t, f.path(".snapshot/nightly/blog"), f.path("blog"), f.lax...))
	close(stop)
	<-ended
	f.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: true})
	require.Equal(t, strings.Repeat("another line\n", int(written)/13), f.read("blog/access.log"))
	f.nothingLeft()
}

func TestALargeSparseFile(t *testing.T) {
	if !inFiler(t) {
		return
	}
	size := int64(5 << 30)
	if testing.Short() {
		size = 256 << 20
	}
	f := newFiler(t, 256)
	require.NoError(t, f.store.Create(ctx, "vm", nil))
	f.sparse("vm/disk", size)
	f.take("nightly")
	for _, engine := range []Engine{EngineFiler, EngineCopy} {
		require.NoError(t, os.Truncate(f.path("vm/disk"), 7))
		r := RestoreRequest{Refs: []string{"vm@nightly"}}
		if engine == EngineCopy {
			f.Versions.Tune(Tuning{}) // as without ONTAP's directory-restore
		}
		require.Equal(t, engine, f.restore(r).Engine)
		info, err := os.Stat(f.path("vm/disk"))
		require.NoError(t, err)
		require.Equal(t, size, info.Size())
		require.Less(t, f.used("vm/disk"), int64(1<<20), "holes stay holes")
		f.sameData(".snapshot/nightly/vm", "vm")
	}
	f.nothingLeft()
}

// What a thousand snapshots cost is one look-up in each for each component of
// the path, since NFSv3 looks one name up at a time.
func TestAThousandSnapshotsCostOneCallEach(t *testing.T) {
	const snapshots = 1000
	w, server := wide(t, snapshots)
	for _, c := range []struct {
		name       string
		components int
		ask        func() (int, error)
	}{
		{"List", 1, func() (int, error) {
			l, err := w.List(ctx, ListRequest{Volume: "blog"})
			if err != nil {
				return 0, err
			}
			return len(l[0].Versions), nil
		}},
		{"Files", 2, func() (int, error) {
			l, err := w.Files(ctx, FileRequest{Ref: "blog:wp-config.php"})
			n := 0
			for _, v := range l {
				n += len(v.Snapshots)
			}
			return n, err
		}},
	} {
		before := server.Calls(nfstest.Any)
		n, err := c.ask()
		calls := server.Calls(nfstest.Any) - before
		require.NoError(t, err)
		require.Equal(t, snapshots, n)
		t.Logf("%s: %d calls, %.2f per snapshot", c.name, calls, float64(calls)/snapshots)
		require.Less(t, float64(calls), 1.2*float64(c.components)*snapshots+100, c.name)
	}
}

// wide is an export in memory whose .snapshot has many snapshots of a volume.
func wide(tb testing.TB, snapshots int) (*world, *nfstest.Server) {
	tb.Helper()
	server := nfstest.New(tb)
	target, err := nfs.ParseTarget(server.URL("/"))
	require.NoError(tb, err)
	w := worldOn(tb, tb.TempDir(), "n1", func(cfg *volume.Config) {
		cfg.LeaseTTL = time.Hour // heartbeats do not count
		cfg.Open = func(ctx context.Context) (tree.FS, error) { return tree.OpenWire(ctx, target, nil) }
	})
	require.NoError(tb, w.store.Create(ctx, "blog", nil))
	for i := range snapshots {
		at := time.Date(2026, 1, 1, i, 0, 0, 0, time.UTC)
		server.WriteFile(fmt.Sprintf("/.snapshot/hourly.%s/blog/wp-config.php", at.Format("2006-01-02_1504")), fmt.Appendf(nil, "version %d", i/100))
	}
	return w, server
}

func TestAHundredThousandFilesInOneDirectory(t *testing.T) {
	if !inFiler(t) {
		return
	}
	n := 100_000
	if testing.Short() {
		n = 5000
	}
	f := newFiler(t, 2048)
	f.wideDirectory("cache", n)
	f.take("nightly")
	for _, engine := range []Engine{EngineFiler, EngineSync} {
		for i := 0; i < n; i += 100 {
			name := wideName("cache", i)
			require.NoError(t, os.Remove(f.path(name)))
			f.write(name+".new", "y")
		}
		r := each[engine]
		r.Refs = []string{"cache@nightly"}
		p := f.restore(r)
		require.Equal(t, engine, p.Engine)
		require.Equal(t, int64(n/100), p.Items[0].Changes.Added)
		require.Equal(t, int64(n/100), p.Items[0].Changes.Removed)
		f.same(".snapshot/nightly/cache", "cache")
	}
	f.nothingLeft()
}
