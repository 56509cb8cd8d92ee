package tree_test

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// mortal dies at changes of a file's content too.
type mortal struct{ treetest.Mortal }

type mortalFile struct {
	tree.File
	m mortal
}

func (f mortalFile) WriteAt(ctx context.Context, p []byte, off int64) (n int, err error) {
	err = f.m.Change(ctx, func(ctx context.Context) error { n, err = f.File.WriteAt(ctx, p, off); return err })
	return n, err
}

func (f mortalFile) SetAttr(ctx context.Context, set tree.SetAttr) error {
	return f.m.Change(ctx, func(ctx context.Context) error { return f.File.SetAttr(ctx, set) })
}

func (m mortal) Create(ctx context.Context, name string, set tree.SetAttr) (tree.File, error) {
	f, err := m.Mortal.Create(ctx, name, set)
	return mortalFile{f, m}, err
}

// changing are the procedures that change something.
var changing = []nfstest.Proc{nfstest.Setattr, nfstest.Write, nfstest.Create, nfstest.Mkdir, nfstest.Symlink,
	nfstest.Mknod, nfstest.Remove, nfstest.Rmdir, nfstest.Rename, nfstest.Link, nfstest.Commit}

// eventful is a tree in which all that Sync does happens.
var eventful = struct{ live, snap forest }{
	forest{"a": "text old", "l": "link to/a", "gone": "dir", "gone/x": "text x", "d": "dir @700:1:1", "d/g": "text gone",
		"d/e": "text old", "fd": "text file", "df": "dir", "df/a": "text a", "p": "text same", "q": "text same", "r": "text 1", "s": "same r", "m": "text same"},
	forest{"a": "text newer", "l": "link to/b", "new": "dir @2750:1:1", "new/deep": "dir", "new/deep/y": "text y", "new/q": "same p", "d": "dir",
		"d/e": "text new", "fd": "dir", "fd/z": "text z", "df": "text file", "p": "text same", "q": "same p", "r": "text 1", "s": "text 1", "m": "text same @600:1:1"},
}

// requireOldOrNew checks a tree in the middle of it: each name is what it was or
// what it shall be, and no old content is lost.
func requireOldOrNew(t *testing.T, f tree.FS, was, want map[string]seen, what string) {
	t.Helper()
	live, trash := look(t, f, "live"), look(t, f, "trash")
	for name, now := range live {
		old, isOld := was[name]
		shall, isNew := want[name]
		sameAs := func(s seen, ok bool) bool { return ok && s.Kind == now.Kind && s.Content == now.Content }
		require.True(t, sameAs(old, isOld) || sameAs(shall, isNew), "%s: %q is %v", what, name, now)
	}
	for name, shall := range want {
		old, both := was[name]
		if _, there := live[name]; both && (shall.Kind == tree.Directory) == (old.Kind == tree.Directory) {
			require.True(t, there, "%s: %q is never absent", what, name)
		}
	}
	for name, old := range was {
		if old.Kind != tree.Directory {
			require.True(t, live[name].Content == old.Content || trash[name].Content == old.Content, "%s: %q is lost", what, name)
		}
	}
}

// completes checks that a Sync that was interrupted is completed by another.
func completes(t *testing.T, f tree.FS, was, want map[string]seen, what string) {
	t.Helper()
	requireOldOrNew(t, f, was, want, what)
	stats, err := tree.Sync(ctx, f, "snap", "live", workplace, nil)
	require.NoError(t, err, what)
	require.Zero(t, stats.Missing.Total+stats.Vanished.Total, what)
	require.Equal(t, want, look(t, f, "live"), what)
	requireUndoable(t, f, was, want)
	for _, name := range treetest.Names(t, f, "trash") {
		require.NotContains(t, name, "~", "%s: nothing is kept twice", what)
	}
}

func TestSyncKilledAtEveryStep(t *testing.T) {
	needRoot(t)
	t.Run("local", func(t *testing.T) {
		for step := int64(0); ; step++ {
			l := open(t, t.TempDir())
			prepare(t, l, eventful.live, eventful.snap)
			was, want := look(t, l, "live"), look(t, l, "snap")
			left := &atomic.Int64{}
			left.Store(step)
			_, err := tree.Sync(ctx, mortal{treetest.Mortal{FS: l.Deferred(), Left: left}}, "snap", "live", workplace, nil)
			if left.Load() >= 0 {
				require.NoError(t, err)
				require.Equal(t, want, look(t, l, "live"))
				require.Greater(t, step, int64(50))
				return
			}
			require.ErrorIs(t, err, treetest.ErrKilled)
			completes(t, l, was, want, fmt.Sprintf("killed at change %d", step))
		}
	})
	const statusIO = 5 // RFC 1813 §2.6
	for name, end := range map[string]func(stop func()) nfstest.Fault{
		"wire":             func(func()) nfstest.Fault { return nfstest.Fault{Status: statusIO} },
		"wire, cancelled":  func(stop func()) nfstest.Fault { stop(); return nfstest.Fault{} },
		"wire, lost reply": func(stop func()) nfstest.Fault { stop(); return nfstest.Fault{Drop: true} },
	} {
		t.Run(name, func(t *testing.T) {
			for step := int64(0); ; step++ {
				s := nfstest.New(t)
				w := openWire(t, s)
				prepare(t, w, eventful.live, eventful.snap)
				was, want := look(t, w, "live"), look(t, w, "snap")
				stopping, stop := context.WithCancel(ctx)
				var n atomic.Int64
				s.Hook(func(c nfstest.Call) nfstest.Fault {
					if slices.Contains(changing, c.Proc) && n.Add(1) > step {
						return end(stop)
					}
					return nfstest.Fault{}
				})
				_, err := tree.Sync(stopping, w, "snap", "live", workplace, nil)
				stop()
				s.Hook(nil)
				if n.Load() <= step {
					require.NoError(t, err)
					require.Equal(t, want, look(t, w, "live"))
					require.Greater(t, step, int64(50))
					return
				}
				if n.Load() == step+1 && err == nil {
					continue // cancelled at the very last change
				}
				require.Error(t, err)
				w.Close()
				s.Drain() // what was still on its way
				completes(t, openWire(t, s), was, want, fmt.Sprintf("ended at change %d", step))
			}
		})
	}
}

func TestSyncSurvivesFaults(t *testing.T) {
	s := nfstest.New(t)
	w := openWire(t, s)
	prepare(t, w, eventful.live, eventful.snap)
	was, want := look(t, w, "live"), look(t, w, "snap")
	s.SetReplyCache(true)
	var n atomic.Int64
	s.Hook(func(nfstest.Call) nfstest.Fault {
		switch i := n.Add(1); {
		case i%40 == 0:
			return nfstest.Fault{Close: true}
		case i%15 == 0:
			return nfstest.Fault{Status: jukebox}
		}
		return nfstest.Fault{}
	})
	_, err := tree.Sync(ctx, w, "snap", "live", workplace, nil)
	require.NoError(t, err)
	s.Hook(nil)
	require.Equal(t, want, look(t, w, "live"))
	requireUndoable(t, w, was, want)
}

// Who reads while files are replaced sees one version or the other, always.
func TestSyncIsAtomicForReaders(t *testing.T) {
	onEach(t, func(t *testing.T, f tree.FS) {
		const files = 8
		versions := []string{strings.Repeat("a", 5_000), strings.Repeat("b", 300_000)}
		one, two := forest{}, forest{}
		for i := range files {
			one[fmt.Sprint("f", i)], two[fmt.Sprint("f", i)] = "text "+versions[0], "text "+versions[1]
			one[fmt.Sprint("l", i)], two[fmt.Sprint("l", i)] = "link "+versions[0][:50], "link "+versions[1][:60]
		}
		two["f1"] = "same f0" // a group is replaced name by name
		prepare(t, f, one, two)
		plantForest(t, f, "snap1", one)
		var readers sync.WaitGroup
		reading, stop := context.WithCancel(ctx)
		defer readers.Wait()
		defer stop()
		for i := range files {
			readers.Go(func() {
				for reading.Err() == nil {
					data, err := tree.ReadFile(ctx, f, fmt.Sprint("live/f", i), 1<<20)
					if err != nil || !slices.Contains(versions, string(data)) {
						t.Errorf("f%d: %d bytes, %v", i, len(data), err)
						return
					}
					target, err := f.Readlink(ctx, fmt.Sprint("live/l", i))
					if err != nil || target != versions[0][:50] && target != versions[1][:60] {
						t.Errorf("l%d: %s, %v", i, target, err)
						return
					}
				}
			})
		}
		for round := range 10 {
			opts := tree.SyncOptions{Staging: "staging", Trash: fmt.Sprint("trash", round)}
			makeDirs(t, f, opts.Trash)
			_, err := tree.Sync(ctx, f, []string{"snap", "snap1"}[round%2], "live", opts, nil)
			require.NoError(t, err)
		}
	})
}

// Others make, remove and rename all the time: that is no error, and when they
// have stopped, another Sync makes the trees equal.
func TestSyncWhileOthersWrite(t *testing.T) {
	onEach(t, func(t *testing.T, f tree.FS) {
		live, snap := forest{}, forest{}
		for d := range 6 {
			live[fmt.Sprint("d", d)], snap[fmt.Sprint("d", d)] = "dir", "dir"
			for i := range 15 {
				live[fmt.Sprintf("d%d/f%d", d, i)] = "text old"
				snap[fmt.Sprintf("d%d/f%d", d, i)] = "text newer"
			}
			snap[fmt.Sprintf("d%d/f3", d)] = "dir"
			snap[fmt.Sprintf("d%d/f4", d)] = fmt.Sprintf("same d%d/f5", d)
		}
		prepare(t, f, live, snap)
		want := look(t, f, "snap")
		var writers sync.WaitGroup
		writing, stop := context.WithCancel(ctx)
		defer writers.Wait()
		defer stop()
		for d := range 6 {
			writers.Go(func() {
				for i := 0; writing.Err() == nil; i++ {
					dir := fmt.Sprint("live/d", d)
					file := fmt.Sprintf("%s/f%d", dir, i%15)
					switch i % 9 {
					case 0:
						_ = f.Remove(ctx, file)
					case 1, 2:
						if n, err := f.Create(ctx, dir+"/tmp", tree.SetAttr{}); err == nil {
							_, _ = n.WriteAt(ctx, []byte("theirs"), 0)
							_ = n.Close()
						}
						_ = f.Rename(ctx, dir+"/tmp", file)
					case 3:
						_ = f.Mkdir(ctx, file, tree.SetAttr{Mode: ptr[uint32](0o755)})
						_ = f.Mkdir(ctx, file+"/x", tree.SetAttr{Mode: ptr[uint32](0o755)})
					case 4:
						_ = tree.Delete(ctx, f, file, nil)
					case 5:
						_ = f.Rename(ctx, dir, fmt.Sprintf("live/d%d.moved", d))
						_ = tree.Delete(ctx, f, fmt.Sprintf("live/d%d.moved", d), nil)
					case 6:
						_ = f.Symlink(ctx, "../snap", dir, tree.SetAttr{})
					case 7:
						_ = f.Remove(ctx, dir)
					case 8:
						_ = f.Mkdir(ctx, dir, tree.SetAttr{Mode: ptr[uint32](0o755)})
					}
				}
			})
		}
		for round := range 8 {
			opts := tree.SyncOptions{Staging: "staging", Trash: fmt.Sprint("trash", round)}
			makeDirs(t, f, opts.Trash)
			_, err := tree.Sync(ctx, f, "snap", "live", opts, nil)
			require.NoError(t, err)
		}
		stop()
		writers.Wait()
		_, err := tree.Sync(ctx, f, "snap", "live", workplace, nil)
		require.NoError(t, err)
		require.Equal(t, want, look(t, f, "live"))
	})
}

// without is a filesystem on which something fails.
type without struct {
	tree.FS
	mknod error
	link  error
	list  string // a directory that vanishes before it is listed
}

func (w without) Mknod(ctx context.Context, name string, kind tree.Kind, major, minor uint32, set tree.SetAttr) error {
	if w.mknod != nil {
		return &fs.PathError{Op: "mknod", Path: name, Err: w.mknod}
	}
	return w.FS.Mknod(ctx, name, kind, major, minor, set)
}

func (w without) Link(ctx context.Context, o, n string) error {
	if w.link != nil {
		return &fs.PathError{Op: "link", Path: n, Err: w.link}
	}
	return w.FS.Link(ctx, o, n)
}

func (w without) ReadDirPlus(ctx context.Context, name string, fn func(tree.EntryPlus) error) error {
	if name == w.list {
		return &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	return w.FS.ReadDirPlus(ctx, name, fn)
}

func TestSyncListsWhatItCannotMake(t *testing.T) {
	for name, refusal := range map[string]error{"not by us": syscall.EPERM, "not here": syscall.ENOTSUP} {
		t.Run(name, func(t *testing.T) {
			needRoot(t)
			l := open(t, t.TempDir())
			prepare(t, l, forest{"a": "text old", "null": "text old"}, forest{"a": "text newer", "null": "null", "d": "dir", "d/p": "fifo", "p": "fifo", "q": "same p"})
			stats, err := tree.Sync(ctx, without{FS: l, mknod: refusal}, "snap", "live", workplace, nil)
			require.NoError(t, err)
			require.Equal(t, int64(4), stats.Missing.Total, stats.Missing.Paths)
			require.Contains(t, strings.Join(stats.Missing.Paths, "\n"), "snap/d/p: mknod staging/sync-1/")
			require.Equal(t, "old", treetest.Read(t, l, "live/null"), "what cannot be replaced stays")
			require.Equal(t, "newer", treetest.Read(t, l, "live/a"))
			require.Empty(t, treetest.Names(t, l, "live/d"))
			stats, err = tree.Sync(ctx, l, "snap", "live", workplace, nil)
			require.NoError(t, err)
			require.Zero(t, stats.Missing.Total)
			require.Equal(t, look(t, l, "snap"), look(t, l, "live"))
		})
	}
}

func TestSyncWithoutLinksToSymlinks(t *testing.T) {
	s := nfstest.New(t)
	w := openWire(t, s)
	prepare(t, w, forest{"a": "text old", "l": "link to"}, forest{"a": "text newer", "l": "link elsewhere"})
	s.On(nfstest.Link, -1, nfstest.Fault{Status: 10004}) // NFS3ERR_NOTSUPP
	was, want := look(t, w, "live"), look(t, w, "snap")
	_, err := tree.Sync(ctx, w, "snap", "live", workplace, nil)
	require.NoError(t, err)
	require.Equal(t, want, look(t, w, "live"))
	requireUndoable(t, w, was, want)
}

// A source that goes away is never taken for an empty one.
func TestSyncOfASourceThatVanishes(t *testing.T) {
	needRoot(t)
	l := open(t, t.TempDir())
	prepare(t, l, forest{"d": "dir", "d/a": "text old"}, forest{"d": "dir", "d/a": "text newer"})
	_, err := tree.Sync(ctx, without{FS: l, list: "snap/d"}, "snap", "live", workplace, nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.EqualError(t, err, "sync: the source cannot be read: readdir snap/d: file does not exist")
	require.Equal(t, "old", treetest.Read(t, l, "live/d/a"))

	stats, err := tree.Sync(ctx, without{FS: l, list: "live/d"}, "snap", "live", workplace, nil)
	require.NoError(t, err, "what others do to the target is no error")
	require.Equal(t, tree.Listed{Paths: []string{"live/d"}, Total: 1}, stats.Vanished)

	s := nfstest.New(t)
	w := openWire(t, s)
	prepare(t, w, forest{"a": "text old"}, forest{"a": "text newer"})
	const stale = 70
	s.On(nfstest.Read, -1, nfstest.Fault{Status: stale})
	_, err = tree.Sync(ctx, w, "snap", "live", workplace, nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	s.Reset()
	require.Equal(t, "old", treetest.Read(t, w, "live/a"))
}

// What is in the trash already stays there, whatever comes to its place.
func TestSyncNeverReplacesWhatIsInTheTrash(t *testing.T) {
	onEach(t, func(t *testing.T, f tree.FS) {
		long := strings.Repeat("x", 255)
		snap := forest{"a": "text right", "d": "dir", "d/" + long: "text right"}
		prepare(t, f, forest{"a": "text 1", "d": "dir", "d/" + long: "text 1", "gone": "text 1", "b": "dir", "b/c": "text 1"}, snap)
		_, err := tree.Sync(ctx, f, "snap", "live", workplace, nil)
		require.NoError(t, err)
		for round, content := range []string{"2", "333"} {
			require.NoError(t, tree.Delete(ctx, f, "live", nil))
			plantForest(t, f, "live", forest{"a": "text " + content, "d": "dir", "d/" + long: "text " + content, "gone": "dir", "gone/x": "text " + content, "b": "text " + content})
			_, err = tree.Sync(ctx, f, "snap", "live", workplace, nil)
			require.NoError(t, err)
			require.Len(t, treetest.Names(t, f, "trash"), 4+3*(round+1))
			require.Len(t, treetest.Names(t, f, "trash/d"), 1+round+1)
		}
		require.Equal(t, look(t, f, "snap"), look(t, f, "live"))
		trash := look(t, f, "trash")
		for _, name := range []string{"a", "d/" + long, "gone", "b/c"} {
			require.Equal(t, "1", trash[name].Content)
		}
		var contents []string
		for _, s := range trash {
			contents = append(contents, s.Content)
		}
		slices.Sort(contents)
		require.Equal(t, 4, len(slices.DeleteFunc(slices.Clone(contents), func(s string) bool { return s != "333" })))
	})
}
