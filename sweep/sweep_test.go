package sweep

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// place is an export with a sweeper, whose time the test moves.
type place struct {
	*Sweeper
	e    *export.Export
	mu   sync.Mutex // guards the fields below
	now  time.Time
	said []string
	// older is how much older than they are the server says that all files are.
	older time.Duration
}

// aged is an export whose server says that its files are older than they are.
type aged struct {
	tree.FS
	*place
}

func (a aged) Stat(ctx context.Context, name string) (tree.Attr, error) {
	attr, err := a.FS.Stat(ctx, name)
	attr.Ctime = attr.Ctime.Add(-a.older)
	return attr, err
}

func (a aged) ReadDirPlus(ctx context.Context, name string, each func(tree.EntryPlus) error) error {
	return a.FS.ReadDirPlus(ctx, name, func(d tree.EntryPlus) error {
		d.Attr.Ctime = d.Attr.Ctime.Add(-a.older)
		return each(d)
	})
}

func (p *place) move(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
}

func (p *place) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *place) report(event string, fields map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = append(p.said, fmt.Sprint(event, fields))
}

// at opens an export; over may be nil, and wraps its filesystem.
func at(t *testing.T, url string, open func(ctx context.Context) (tree.FS, error), over func(p *place, fsys tree.FS) tree.FS, change func(*Config)) *place {
	t.Helper()
	p := &place{now: time.Now()}
	conn := export.New(export.Config{URL: url, Now: p.clock, Open: func(ctx context.Context) (tree.FS, error) {
		fsys, err := open(ctx)
		if err == nil && over != nil {
			fsys = over(p, fsys)
		}
		return fsys, err
	}})
	t.Cleanup(func() { conn.Close() })
	e, err := conn.Connect(t.Context())
	require.NoError(t, err)
	_, err = e.AskTime(t.Context())
	require.NoError(t, err)
	cfg := Config{Conn: conn, Report: p.report}
	if change != nil {
		change(&cfg)
	}
	p.Sweeper, p.e = New(cfg), e
	return p
}

func local(dir string) func(ctx context.Context) (tree.FS, error) {
	return func(ctx context.Context) (tree.FS, error) { return tree.OpenLocal(ctx, dir) }
}

func onWire(s *nfstest.Server) func(ctx context.Context) (tree.FS, error) {
	return func(ctx context.Context) (tree.FS, error) {
		target, err := nfs.ParseTarget(s.URL("/"))
		if err != nil {
			return nil, err
		}
		return tree.OpenWire(ctx, target, nil)
	}
}

// fill makes the trees that were handed over, each with one file of that name.
func (p *place) fill(t *testing.T, file string, trees ...string) {
	t.Helper()
	for _, n := range trees {
		dir := path.Join(export.StagingDir, export.PurgePrefix+n)
		require.NoError(t, export.Mkdir(t.Context(), p.e.FS, dir))
		require.NoError(t, export.Mkdir(t.Context(), p.e.FS, path.Join(dir, "data")))
		treetest.Write(t, p.e.FS, path.Join(dir, "data", file), "x")
	}
}

// staged lists staging.
func (p *place) staged(t *testing.T) []string {
	t.Helper()
	return treetest.Names(t, p.e.FS, export.StagingDir)
}

// A file of a removed volume may have the name that the NFS client gives to files which
// are removed and open. It stays, and is shown; what others have removed goes.
func TestAFileNamedLikeARemovedOneKeepsNoOtherTree(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) (string, func(ctx context.Context) (tree.FS, error)){
		"over NFS": func(t *testing.T) (string, func(ctx context.Context) (tree.FS, error)) {
			s := nfstest.New(t)
			return s.URL("/"), onWire(s)
		},
		"on a local disk": func(t *testing.T) (string, func(ctx context.Context) (tree.FS, error)) {
			dir := t.TempDir()
			return "file://" + dir, local(dir)
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, opened := open(t)
			p := at(t, url, opened, nil, nil)
			p.fill(t, ".nfs000000000000000100000001", "evil")
			p.fill(t, "f", "a", "b", "z")
			p.Sweep(t.Context(), p.e)
			if name == "on a local disk" {
				require.Empty(t, p.staged(t), "there it is a name as any other")
				return
			}
			require.Equal(t, []string{"purge.evil"}, p.staged(t))
			left, err := p.Look(t.Context(), p.e)
			require.NoError(t, err)
			require.Equal(t, Left{Purging: 1}, left, "it may be open for a while")

			p.move(2 * time.Hour)
			p.Sweep(t.Context(), p.e)
			left, err = p.Look(t.Context(), p.e)
			require.NoError(t, err)
			require.Len(t, left.Stuck, 1)
			require.Equal(t, export.StagingDir+"/purge.evil", left.Stuck[0].Path)
			require.Contains(t, left.Stuck[0].Reason, "data/.nfs000000000000000100000001: device or resource busy")
			require.Len(t, p.said, 1, "it is reported once: %s", p.said)

			p.fill(t, "g", "later")
			p.Sweep(t.Context(), p.e)
			require.Equal(t, []string{"purge.evil"}, p.staged(t))
			require.NoError(t, p.e.FS.Remove(t.Context(), left.Stuck[0].Path+"/data/.nfs000000000000000100000001"))
			p.Sweep(t.Context(), p.e)
			require.Empty(t, p.staged(t))
		})
	}
}

// faulty is an export in which one tree answers as if the whole export were at fault.
type faulty struct {
	tree.FS
	below string
	err   error // nil: it does not answer at all
}

func (f *faulty) at(ctx context.Context, name string) error {
	if !strings.HasPrefix(name, f.below) {
		return nil
	}
	if f.err == nil {
		<-ctx.Done()
		return &fs.PathError{Op: "readdir", Path: name, Err: ctx.Err()}
	}
	return &fs.PathError{Op: "readdir", Path: name, Err: f.err}
}

func (f *faulty) ReadDir(ctx context.Context, name string, each func(tree.Entry) error) error {
	if err := f.at(ctx, name); err != nil {
		return err
	}
	return f.FS.ReadDir(ctx, name, each)
}

func (f *faulty) Stat(ctx context.Context, name string) (tree.Attr, error) {
	if err := f.at(ctx, name); err != nil {
		return tree.Attr{}, err
	}
	return f.FS.Stat(ctx, name)
}

func TestNoErrorOfOneTreeKeepsAnother(t *testing.T) {
	for _, err := range []error{syscall.ESTALE, syscall.ENOTCONN, syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EACCES, nil} {
		t.Run(fmt.Sprint(err), func(t *testing.T) {
			dir := t.TempDir()
			evil := path.Join(export.StagingDir, "purge.evil")
			p := at(t, "file://"+dir, local(dir), func(_ *place, fsys tree.FS) tree.FS { return &faulty{fsys, evil, err} },
				func(cfg *Config) {
					if err == nil {
						cfg.Patience = 500 * time.Millisecond
					}
				})
			require.NoError(t, os.MkdirAll(filepath.Join(dir, evil, "data"), 0o700))
			p.fill(t, "f", "a", "b", "c", "d", "e", "x", "y", "z")
			require.Eventually(t, func() bool { // on a busy machine the others may not be done within their turn
				p.Sweep(t.Context(), p.e)
				return slices.Equal([]string{"purge.evil"}, p.staged(t))
			}, time.Minute, time.Millisecond)
			require.NotEmpty(t, p.faults.Reason(stuck, evil))
			require.Contains(t, strings.Join(p.said, "\n"), evil)
		})
	}
}

// An export that is away is not asked for each tree.
func TestAnExportThatIsAwayEndsASweep(t *testing.T) {
	dir := t.TempDir()
	p := at(t, "file://"+dir, local(dir), func(_ *place, fsys tree.FS) tree.FS {
		return &faulty{fsys, export.StagingDir + "/purge.", syscall.ESTALE}
	}, nil)
	for i := range 50 {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, export.StagingDir, fmt.Sprint("purge.", i)), 0o700))
	}
	require.NoError(t, os.Remove(filepath.Join(dir, ".berth/export.json")))
	p.Sweep(t.Context(), p.e)
	require.Len(t, p.said, 1)
	require.Contains(t, p.said[0], "purging goes on later")
}

// The age of a private file is the time at which the server has made or changed it, and
// not a time that was copied from elsewhere.
func TestTheAgeOfAPrivateFileIsNotCopied(t *testing.T) {
	dir := t.TempDir()
	p := at(t, "file://"+dir, local(dir), func(p *place, fsys tree.FS) tree.FS { return aged{fsys, p} }, nil)
	in := func(name string) string { return filepath.Join(dir, export.StagingDir, name) }
	require.NoError(t, os.WriteFile(in("tmp.file"), nil, 0o600))
	require.NoError(t, os.Mkdir(in("tmp.tree"), 0o700))
	require.NoError(t, os.WriteFile(in("tmp.tree/f"), nil, 0o600))
	long := time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, n := range []string{"tmp.file", "tmp.tree"} {
		require.NoError(t, os.Chtimes(in(n), long, long))
	}
	p.Sweep(t.Context(), p.e)
	require.Equal(t, []string{"tmp.file", "tmp.tree"}, p.staged(t), "they are being made")
	left, err := p.Look(t.Context(), p.e)
	require.NoError(t, err)
	require.Zero(t, left.Lost)
	p.move(24 * time.Hour)
	p.Sweep(t.Context(), p.e)
	require.Equal(t, []string{"tmp.file", "tmp.tree"}, p.staged(t), "this node's clock has jumped: the server's counts")

	// A copy of a trash item under the lock of its volume stays for as long as it takes.
	ahead := time.Now().Add(24 * time.Hour)
	require.NoError(t, os.Mkdir(in("undelete-item.1"), 0o700))
	require.NoError(t, os.Mkdir(in("undelete-other.1"), 0o700))
	lock := filepath.Join(dir, export.LockDir, "db")
	require.NoError(t, os.WriteFile(lock, export.Encode(cluster.Lock{Version: 1, ID: "x", Op: cluster.OpUndelete, Volume: "db", Node: "n1", Work: "item"}), 0o600))
	require.NoError(t, os.Chtimes(in("tmp.tree"), ahead, ahead))
	p.older = 3 * time.Hour
	left, err = p.Look(t.Context(), p.e)
	require.NoError(t, err)
	require.Equal(t, 2, left.Lost, "a time in the future makes nothing young")
	p.Sweep(t.Context(), p.e)
	require.Equal(t, []string{"tmp.tree", "undelete-item.1"}, p.staged(t), "while one copies, an earlier berth may")
	require.NoError(t, os.Remove(lock))
	p.Sweep(t.Context(), p.e)
	require.Empty(t, p.staged(t))
}

// What only gets old goes, whatever cannot.
func TestOneFileThatStaysKeepsNoOther(t *testing.T) {
	dir := t.TempDir()
	p := at(t, "file://"+dir, local(dir), nil, nil)
	old := time.Now().Add(-100 * 24 * time.Hour)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, export.CacheDir), 0o700))
	var names []string
	for _, n := range []string{"a.json", "b.json", "c.json"} {
		name := filepath.Join(dir, export.CacheDir, n)
		require.NoError(t, os.WriteFile(name, []byte("{}"), 0o600))
		require.NoError(t, os.Chtimes(name, old, old))
		names = append(names, name)
	}
	trail := filepath.Join(dir, export.AuditDir, "n1-202001.jsonl")
	require.NoError(t, os.WriteFile(trail, nil, 0o600))
	treetest.Immutable(t, names[0])
	p.Sweep(t.Context(), p.e)
	require.FileExists(t, names[0])
	for _, gone := range append(names[1:], trail) {
		require.NoFileExists(t, gone)
	}
	require.Contains(t, strings.Join(p.said, "\n"), "a.json")
}
