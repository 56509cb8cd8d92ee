package snapshot

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator"
	"github.com/casit/berth/volume"
)

// Numbers of NFS (RFC 1813 §3).
const (
	procRemove = 12
	procRmdir  = 13
)

const notDeleted = "the filer has not deleted a directory; it is deleted over NFS"

// many makes a volume of files in dirs, and removes it. It returns the trash item.
func (f *filer) many(name string, dirs, files int) (id string) {
	f.t.Helper()
	require.NoError(f.t, f.store.Create(ctx, name, nil))
	for d := range dirs {
		require.NoError(f.t, os.MkdirAll(f.path(name, fmt.Sprintf("dir%d", d)), 0o755))
		for i := range files / dirs {
			f.write(fmt.Sprintf("%s/dir%d/file%d", name, d, i), "x")
		}
	}
	require.NoError(f.t, f.store.Remove(ctx, name))
	items, err := f.store.Trash.List(ctx)
	require.NoError(f.t, err)
	require.Len(f.t, items, 1)
	return items[0].ID
}

// purged purges everything, and waits until it is gone. It returns how many calls
// that took.
func (f *filer) purged() (removals, calls int64) {
	f.t.Helper()
	f.wire.reset()
	_, err := f.store.Trash.Purge(ctx, nil, volume.Everything, false)
	require.NoError(f.t, err)
	f.nothingLeft()
	return f.wire.calls[procRemove].Load() + f.wire.calls[procRmdir].Load(), f.wire.total()
}

// A purge is one request to the filer, instead of a call per file. Whatever the
// filer does or does not do, the item is gone in the end, and nothing else.
func TestTheFilerDeletesWhatIsPurged(t *testing.T) {
	if !inFiler(t) {
		return
	}
	const dirs, files = 10, 2000
	for name, c := range map[string]struct {
		fault   simulator.Fault
		size    int
		busy    bool
		server  bool // the filer does it
		said    string
		refused bool // and is not asked again
	}{
		"by the filer":               {size: files, server: true},
		"few files":                  {size: 20},
		"what a client keeps open":   {size: files, busy: true},
		"the role forbids it":        {size: files, fault: simulator.Fault{Status: http.StatusForbidden, Code: ontap.CodePermission}, said: "Forbidden", refused: true},
		"no such method":             {size: files, fault: simulator.Fault{Status: http.StatusMethodNotAllowed, Code: ontap.CodeUnsupported}, said: "Method Not Allowed", refused: true},
		"another argument":           {size: files, fault: simulator.Fault{Status: http.StatusBadRequest, Code: ontap.CodeUnexpectedField}, said: "Bad Request", refused: true},
		"it is busy":                 {size: files, fault: simulator.Fault{Status: http.StatusServiceUnavailable}, said: "Service Unavailable"},
		"its job fails":              {size: files, fault: simulator.Fault{Job: "fail"}, said: "Job failed", refused: true},
		"its answer is lost":         {size: files, fault: simulator.Fault{DropAnswer: true, Times: 1}, server: true, said: "outcome unknown"},
		"the connection breaks":      {size: files, fault: simulator.Fault{Drop: true, Times: 1}, said: "outcome unknown"},
		"its job is gone afterwards": {size: files, fault: simulator.Fault{Job: "vanish"}, server: true, said: "outcome unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFiler(t, 64, func(cfg *simulator.Config) { cfg.NoWaiting = c.fault.Job != "" })
			f.write("other/file", "stays")
			id := f.many("site", dirs, c.size)
			f.take("kept")
			if c.busy {
				f.write(".berth/trash/"+id+"/data/dir1/.nfs"+strings.Repeat("0", 24), "open")
			}
			c.fault.Method, c.fault.Path = http.MethodDelete, "/storage/volumes/*/files/*"
			require.NoError(t, f.sim.Inject(c.fault))
			if c.busy {
				_, err := f.store.Trash.Purge(ctx, nil, volume.Everything, false)
				require.NoError(t, err)
				require.Eventually(t, func() bool { return len(f.reported("a tree cannot be deleted; it is tried again")) > 0 }, 20*time.Second, 10*time.Millisecond)
				require.FileExists(t, f.path(".berth/staging/purge."+id, "data/dir1/.nfs"+strings.Repeat("0", 24)))
				require.NoError(t, os.RemoveAll(f.path(".berth/staging/purge."+id)))
				return
			}
			removals, calls := f.purged()
			t.Logf("%d removals of %d NFS calls", removals, calls)
			if c.server {
				require.Less(t, removals, int64(20))
				require.Less(t, calls, int64(1000))
			} else {
				require.GreaterOrEqual(t, removals, int64(c.size+dirs))
			}
			said := f.reported(notDeleted)
			if c.said == "" {
				require.Empty(t, said)
			} else { // the tree may be gone before the answer is
				require.Eventually(t, func() bool { said = f.reported(notDeleted); return len(said) > 0 }, 20*time.Second, 10*time.Millisecond)
				require.Len(t, said, 1)
				require.ErrorContains(t, said[0]["err"].(error), c.said)
			}
			require.Equal(t, "stays", f.read("other/file"))
			require.FileExists(t, f.path(".snapshot/kept/.berth/trash", id, "data/dir1/file1"))

			f.sim.Heal()
			f.many("again", dirs, files)
			removals, _ = f.purged()
			if c.refused {
				require.Greater(t, removals, int64(files), "the filer is not asked again at once")
			} else {
				require.Less(t, removals, int64(20))
			}
			require.Len(t, f.reported(notDeleted), len(said), "and it is said once")
		})
	}
}

// large makes a file of a size that the filer is asked to clone: MiB of data, and
// a hole at its end.
func (f *filer) large(name string, mib int) {
	f.t.Helper()
	f.write(name, "")
	file, err := os.OpenFile(f.path(name), os.O_RDWR, 0)
	require.NoError(f.t, err)
	defer file.Close()
	piece := bytes.Repeat([]byte("data"), 1<<18)
	for i := range mib {
		piece[0]++
		_, err = file.WriteAt(piece, int64(i)<<20)
		require.NoError(f.t, err)
	}
	require.NoError(f.t, file.Truncate(int64(mib)<<20+12345))
	require.NoError(f.t, file.Chown(33, 34))
	require.NoError(f.t, file.Chmod(0o6750))
	when := time.Unix(1_500_000_000, 123_456_789)
	require.NoError(f.t, os.Chtimes(f.path(name), when, when))
}

// Large files are cloned out of a snapshot, by each way that brings a volume back.
// Whatever the filer does or does not do, what comes back is the same.
func TestTheFilerClonesLargeFiles(t *testing.T) {
	if !inFiler(t) {
		return
	}
	const mib, big = 66, 66 << 20
	for name, c := range map[string]struct {
		fault   simulator.Fault
		request RestoreRequest
		as      string
		server  bool // the filer does it
		said    string
		refused bool // and is not asked again
	}{
		"a volume":                   {server: true},
		"a volume in use":            {server: true, request: RestoreRequest{Live: true}},
		"one file":                   {server: true, request: RestoreRequest{Refs: []string{"vm@nightly:images/disk"}}},
		"beside":                     {server: true, request: RestoreRequest{Refs: []string{"vm@nightly:images"}, To: "old"}},
		"a new volume":               {server: true, as: "vm2"},
		"read again":                 {request: RestoreRequest{Checksum: true}},
		"the role forbids it":        {fault: simulator.Fault{Status: http.StatusForbidden, Code: ontap.CodePermission}, said: "Forbidden", refused: true},
		"no such path":               {fault: simulator.Fault{Status: http.StatusBadRequest, Code: "917864"}, said: "Bad Request", refused: true},
		"it is busy":                 {fault: simulator.Fault{Status: http.StatusServiceUnavailable}, said: "Service Unavailable"},
		"its job fails":              {fault: simulator.Fault{Job: "fail"}, said: "Job failed", refused: true},
		"its answer is lost":         {fault: simulator.Fault{DropAnswer: true, Times: 1}, said: "outcome unknown"},
		"the connection breaks":      {fault: simulator.Fault{Drop: true, Times: 1}, said: "outcome unknown"},
		"its job is gone afterwards": {fault: simulator.Fault{Job: "vanish"}, said: "outcome unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFiler(t, 512, restoring(EngineCopy), func(cfg *simulator.Config) { cfg.NoWaiting = c.fault.Job != "" })
			require.NoError(t, f.store.Create(ctx, "vm", nil))
			f.large("vm/images/disk", mib)
			require.NoError(t, os.Link(f.path("vm/images/disk"), f.path("vm/images/link")))
			f.write("vm/config", "small")
			f.take("nightly")
			require.NoError(t, os.WriteFile(f.path("vm/images/disk"), []byte("lost"), 0o600))
			c.fault.Method, c.fault.Path = http.MethodPost, "/storage/file/clone"
			require.NoError(t, f.sim.Inject(c.fault))

			f.wire.reset()
			var warnings []string
			var at string
			if c.as != "" {
				_, err := f.MakeClone(ctx, CloneRequest{Ref: "vm@nightly", As: c.as})
				require.NoError(t, err)
				at = c.as
			} else {
				r := c.request
				if r.Refs == nil {
					r.Refs = []string{"vm@nightly"}
				}
				at = path.Join("vm", r.To)
				j, err := f.prepare(r)
				require.NoError(t, err)
				require.NotEqual(t, string(EngineFiler), j.Engine)
				warnings = f.told(j.ID)
			}
			moved := f.wire.bytes.Load()
			t.Logf("%.1f MiB over NFS for a file of %d MiB", float64(moved)/(1<<20), mib)
			if c.request.To != "" {
				f.same(".snapshot/nightly/vm/images", at)
			} else if name != "one file" {
				f.same(".snapshot/nightly/vm", at)
			}
			f.sameFile(".snapshot/nightly/vm/images/disk", path.Join(at, map[bool]string{false: "images/disk", true: "disk"}[c.request.To != ""]))
			if c.server {
				require.Less(t, moved, int64(4<<20))
			} else {
				require.Greater(t, moved, int64(big))
			}
			if c.said == "" {
				require.Empty(t, warnings)
			} else {
				require.Len(t, warnings, 1)
				require.Contains(t, warnings[0], ".snapshot/nightly/vm/images/disk is copied, since the filer has not cloned it: ")
				require.Contains(t, warnings[0], c.said)
			}
			f.nothingLeft()
			if c.said == "" {
				return
			}
			f.sim.Heal()
			require.NoError(t, os.WriteFile(f.path("vm/images/disk"), []byte("lost"), 0o600))
			f.wire.reset()
			j, err := f.prepare(RestoreRequest{Refs: []string{"vm@nightly"}})
			require.NoError(t, err)
			require.Empty(t, f.told(j.ID), "it is said once")
			require.Equal(t, c.refused, f.wire.bytes.Load() > big)
		})
	}
}

// told carries a prepared job out and returns what it has warned of.
func (f *filer) told(id string) (warnings []string) {
	f.t.Helper()
	require.NoError(f.t, f.Start(ctx, id))
	for {
		p, err := f.Jobs.Wait(ctx, id)
		require.NoError(f.t, err)
		if len(p.Warnings) > 0 {
			warnings = p.Warnings
		}
		if p.Over {
			require.Empty(f.t, p.Error)
			require.NoError(f.t, f.Jobs.End(ctx, id))
			return warnings
		}
	}
}

// sameFile requires that two files have the same content, owner, mode and time.
func (f *filer) sameFile(want, got string) {
	f.t.Helper()
	out, err := exec.Command("cmp", f.path(want), f.path(got)).CombinedOutput()
	require.NoError(f.t, err, string(out))
	a, err := os.Lstat(f.path(want))
	require.NoError(f.t, err)
	b, err := os.Lstat(f.path(got))
	require.NoError(f.t, err)
	x, y := a.Sys().(*syscall.Stat_t), b.Sys().(*syscall.Stat_t)
	require.Equal(f.t, []any{a.Mode(), a.ModTime(), x.Uid, x.Gid}, []any{b.Mode(), b.ModTime(), y.Uid, y.Gid})
	require.NotEqual(f.t, x.Ino, y.Ino)
}
