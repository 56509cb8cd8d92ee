package tree

import (
	"context"
	"io/fs"
	"path"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/guard"
	"github.com/casit/berth/nfs"
	"github.com/casit/berth/several"
)

// StatBelow calls fn for each directory D in dir in which the path D/rel exists,
// with the name of D and the attributes of D/rel, one call at a time. This finds
// one name in all snapshots. A D in which it cannot be seen keeps no other: the error
// that StatBelow returns in the end tells of them, by path. Over the wire it costs one listing of dir and, for
// each D, one call for each component of rel.
func StatBelow(ctx context.Context, fsys FS, dir, rel string, fn func(d string, a Attr)) error {
	e := engineOf(fsys)
	at, a, err := e.find(ctx, dir)
	if err != nil {
		return err
	}
	if a.Kind != Directory {
		return &fs.PathError{Op: "list", Path: dir, Err: syscall.ENOTDIR}
	}
	var dirs []location
	if err := e.names(ctx, at, func(entry Entry, at location) error {
		if entry.Kind == Directory {
			dirs = append(dirs, at)
		}
		return nil
	}); err != nil {
		return err
	}
	var mu sync.Mutex // guards failed; held while fn runs
	var failed several.Errors
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(e.workers())
	for _, d := range dirs {
		g.Go(guard.Func(func() error {
			a, err := statFrom(ctx, e, d, rel)
			if isGone(err) {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				fn(path.Base(d.name), a)
			}
			failed.Add(err)
			return ctx.Err()
		}))
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return failed.Err()
}

// statFrom looks rel up in the directory d, from the handle of d if the listing told one.
func statFrom(ctx context.Context, e engine, d location, rel string) (a Attr, err error) {
	name := path.Join(d.name, rel)
	w, ok := e.(*Wire)
	if !ok {
		_, a, err = e.find(ctx, name)
		return a, err
	}
	at := object{handle: d.handle, attr: nfs.Attr{Type: nfs.TypeDir}}
	for base := range strings.SplitSeq(rel, "/") {
		if at.attr.Type != nfs.TypeDir {
			return a, w.fail(ctx, "stat", name, notDir(at.attr.Type))
		}
		got := w.lookup(ctx, at.handle, base)
		if got.err != nil {
			return a, w.fail(ctx, "stat", name, got.err)
		}
		at = got.object
	}
	return attrOf(&at.attr), nil
}
