package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"
)

// Progress is how far work on a tree has come.
type Progress struct {
	Files int64 // everything that is not a directory
	Dirs  int64
	Bytes int64
}

// snapshotDir is shown by filers in directories; it is never part of a tree.
const snapshotDir = ".snapshot"

// isBusy tells the names that an NFS client gives to files that were removed
// while open. They go away by themselves.
func isBusy(name string) bool { return strings.HasPrefix(name, ".nfs") }

// errEnough ends a listing early.
var errEnough = errors.New("enough")

// maxNames is how many names of one directory are held in memory.
const maxNames = 4096

// Delete removes the tree at name, bottom up. It may be repeated, and run on
// several nodes at once: what is gone already is fine. What cannot be removed
// is passed over; the error then tells the first reason and how many. Files of
// removed-but-open kind (.nfs*) are left, with their directories, for a later
// call. progress may be nil.
func Delete(ctx context.Context, fsys FS, name string, progress func(Progress)) error {
	if d, ok := fsys.(interface{ Deferred() FS }); ok {
		fsys = d.Deferred()
	}
	d := &deletion{fsys: fsys, report: progress}
	a, err := fsys.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if a.Kind != Directory {
		d.remove(ctx, name)
	} else {
		d.tree(ctx, name)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.failed > 0 {
		return fmt.Errorf("%d left in %s: %w", d.failed, name, d.first)
	}
	return nil
}

type deletion struct {
	fsys   FS
	done   Progress
	report func(Progress)
	failed int64
	first  error
}

// note counts a failure, except of what is gone.
func (d *deletion) note(err error) bool {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if d.failed++; d.first == nil {
		d.first = err
	}
	return false
}

func (d *deletion) remove(ctx context.Context, name string) {
	if d.note(d.fsys.Remove(ctx, name)) {
		d.done.Files++
		if d.report != nil {
			d.report(d.done)
		}
	}
}

// tree empties a directory and removes it. A directory that fills again while
// it is emptied is tried a few times.
func (d *deletion) tree(ctx context.Context, name string) {
	before := d.failed
	for range 10 {
		if ctx.Err() != nil || !d.empty(ctx, name) {
			return
		}
		err := d.fsys.Rmdir(ctx, name)
		if errors.Is(err, syscall.ENOTEMPTY) && d.failed == before {
			continue
		}
		if d.note(err) {
			d.done.Dirs++
		}
		return
	}
	d.note(&fs.PathError{Op: "rmdir", Path: name, Err: syscall.ENOTEMPTY})
}

// empty removes what is in a directory, a bounded number of names at a time,
// and tells whether the directory itself may go.
func (d *deletion) empty(ctx context.Context, name string) bool {
	for {
		before := d.failed
		batch, err := d.names(ctx, name)
		if errors.Is(err, fs.ErrPermission) {
			// A directory that nobody may enter; root of a squashed export included.
			mode := uint32(0o700)
			if err = d.fsys.SetAttr(ctx, name, SetAttr{Mode: &mode}); err == nil {
				batch, err = d.names(ctx, name)
			}
		}
		if err != nil {
			return d.note(err)
		}
		left := 0
		for _, e := range batch {
			child := path.Join(name, e.Name)
			switch {
			case ctx.Err() != nil:
				return false
			case isBusy(e.Name):
				left++
				d.note(&fs.PathError{Op: "remove", Path: child, Err: syscall.EBUSY})
			case e.Kind == Directory:
				d.tree(ctx, child)
			default:
				d.remove(ctx, child)
			}
		}
		if len(batch) < maxNames || d.failed > before {
			return left == 0 && d.failed == before
		}
	}
}

// names lists up to maxNames entries, without .snapshot.
func (d *deletion) names(ctx context.Context, name string) ([]Entry, error) {
	var batch []Entry
	err := d.fsys.ReadDir(ctx, name, func(e Entry) error {
		if e.Name == snapshotDir && e.Kind == Directory {
			return nil
		}
		if batch = append(batch, e); len(batch) == maxNames {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return batch, err
}
