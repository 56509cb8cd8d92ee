package tree_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/tree"
)

// endless is a filesystem that takes no memory: two trees of many directories
// with many files each, all alike, half of them further names of the others.
// What is made is forgotten.
type endless struct {
	tree.FS // not there: what the engines do not use
	dirs    int
	perDir  int
}

var then = time.Unix(1_500_000_000, 0)

func (e endless) attr(name string, i int) tree.Attr {
	if path.Dir(path.Dir(name)) == "." || name == "." {
		return tree.Attr{Kind: tree.Directory, Mode: 0o755, Nlink: 2, Mtime: then}
	}
	var dir uint64
	fmt.Sscanf(path.Base(path.Dir(name)), "dir%d", &dir)
	return tree.Attr{Kind: tree.Regular, Mode: 0o644, Nlink: 2, Device: 1, FileID: dir<<32 | uint64(i/2), Mtime: then}
}

func (e endless) Stat(_ context.Context, name string) (tree.Attr, error) {
	if name == "new" {
		return tree.Attr{}, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return e.attr(name, 0), nil
}

func (e endless) ReadDirPlus(ctx context.Context, name string, fn func(tree.EntryPlus) error) error {
	base, n := "file", e.perDir
	if path.Dir(name) == "." {
		base, n = "dir", e.dirs
	}
	for i := range n {
		child := fmt.Sprintf("%s%d", base, i)
		if err := fn(tree.EntryPlus{Name: child, Attr: e.attr(path.Join(name, child), i)}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (e endless) ReadDir(ctx context.Context, name string, fn func(tree.Entry) error) error {
	return e.ReadDirPlus(ctx, name, func(p tree.EntryPlus) error { return fn(tree.Entry{Name: p.Name, Kind: p.Attr.Kind}) })
}

func (e endless) Open(context.Context, string) (tree.File, error) { return nothing{}, nil }
func (e endless) Create(context.Context, string, tree.SetAttr) (tree.File, error) {
	return nothing{}, nil
}
func (e endless) Mkdir(context.Context, string, tree.SetAttr) error   { return nil }
func (e endless) Link(context.Context, string, string) error          { return nil }
func (e endless) Remove(context.Context, string) error                { return nil }
func (e endless) Rmdir(context.Context, string) error                 { return nil }
func (e endless) SetAttr(context.Context, string, tree.SetAttr) error { return nil }

// nothing is an empty file.
type nothing struct{ tree.File }

func (nothing) ReadAt(context.Context, []byte, int64) (int, error) { return 0, io.EOF }
func (nothing) Stat(context.Context) (tree.Attr, error)            { return tree.Attr{Mtime: then}, nil }
func (nothing) SetAttr(context.Context, tree.SetAttr) error        { return nil }
func (nothing) Close() error                                       { return nil }

// BenchmarkMemory shows that what copy, compare and delete hold in memory does
// not depend on how many entries a tree has.
func BenchmarkMemory(b *testing.B) {
	for _, dirs := range []int{20, 200, 1000} {
		fsys := endless{dirs: dirs, perDir: 1000}
		for verb, do := range map[string]func(look func()) error{
			"copy": func(look func()) error {
				_, err := tree.Copy(ctx, fsys, "old", "new", tree.CopyOptions{}, func(p tree.Progress) {
					if p.Files%(int64(dirs)*100) == 0 {
						look()
					}
				})
				return err
			},
			"compare": func(look func()) error {
				watched := &watchedFS{endless: fsys, every: dirs / 5, look: look}
				_, err := tree.Compare(ctx, watched, "old", "other", tree.Equality{}, func(d tree.Difference) error {
					return fmt.Errorf("%s: %s", d.Path, d.Fields)
				})
				return err
			},
			"delete": func(look func()) error {
				return tree.Delete(ctx, fsys, "old", func(p tree.Progress) {
					if p.Files%(int64(dirs)*100) == 0 {
						look()
					}
				})
			},
		} {
			b.Run(fmt.Sprintf("%s-%d-entries", verb, dirs*1000), func(b *testing.B) {
				for b.Loop() {
					before, peak := liveMiB(), 0.0
					var mu sync.Mutex
					require.NoError(b, do(func() {
						mu.Lock()
						defer mu.Unlock()
						peak = max(peak, liveMiB()-before)
					}))
					b.ReportMetric(peak, "MiB-live")
				}
			})
		}
	}
}

// watchedFS looks at the memory now and then while directories are listed.
type watchedFS struct {
	endless
	mu    sync.Mutex // guards lists
	lists int
	every int
	look  func()
}

func (w *watchedFS) ReadDirPlus(ctx context.Context, name string, fn func(tree.EntryPlus) error) error {
	w.mu.Lock()
	w.lists++
	look := w.lists%w.every == 0
	w.mu.Unlock()
	err := w.endless.ReadDirPlus(ctx, name, fn)
	if look {
		w.look()
	}
	return err
}

// liveMiB is what is in use once everything else was collected.
func liveMiB() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}
