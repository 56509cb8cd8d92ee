package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// Progress is how far work on a tree has come.
type Progress struct {
	Files int64 // everything that is not a directory
	Dirs  int64
	Bytes int64
}

// isBusy tells the names that the Linux NFS client gives to files that were
// removed while open: the file id in 16 digits, a counter in 8. They go away by
// themselves. On a local filesystem nobody makes such names but their owner.
func isBusy(e engine, name string, kind Kind) bool {
	if isLocal(e) {
		return false
	}
	digits, ok := strings.CutPrefix(name, ".nfs")
	return ok && kind != Directory && len(digits) == 16+8 && strings.Trim(digits, "0123456789abcdef") == ""
}

// errEnough ends a listing early.
var errEnough = errors.New("enough")

// maxNames is how many names of one directory are held in memory.
const maxNames = 4096

// Delete removes the tree at name, bottom up. It may be repeated, and run on
// several nodes at once: what is gone already is fine. What cannot be removed
// is passed over; the error then tells the first reason and how many. Files of
// removed-but-open kind (.nfs and 24 digits) are left, with their directories,
// for a later call, and .snapshot in name itself is never gone into. What is
// mounted below name is left as it is, with its directory: ErrMount. progress may
// be nil; it is called from several goroutines, one at a time.
func Delete(ctx context.Context, fsys FS, name string, progress func(Progress)) error {
	d := &deletion{e: engineOf(fsys), report: progress}
	at, a, err := d.e.find(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	parent, base, err := within(ctx, d.e, name)
	if err == nil && (a.Mount || parent.known && parent.device != at.device) {
		err = mounted(name)
	}
	if err == nil {
		err = stay(ctx, d.e, name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = runPool(ctx, d.e.workers(), func(ctx context.Context, w *pool) error {
		d.pool = w
		if a.Kind != Directory {
			d.remove(ctx, parent, base)
			return nil
		}
		return d.empty(ctx, &doomed{in: parent, base: base, at: at})
	})
	if err := errors.Join(err, ctx.Err()); err != nil {
		return err
	}
	if d.failed > 0 {
		return fmt.Errorf("%d left in %s: %w", d.failed, name, d.first)
	}
	return nil
}

// maxRounds is how often a directory is emptied that fills again meanwhile.
const maxRounds = 10

type deletion struct {
	e    engine
	pool *pool

	mu     sync.Mutex // guards the fields below; held while report is called
	done   Progress
	report func(Progress)
	failed int64
	first  error
}

// doomed is a directory at work. It is removed when nothing in it is at work
// any more.
type doomed struct {
	parent  *doomed
	in, at  location
	base    string
	pending atomic.Int64
	stays   atomic.Bool // something in it could not be removed
	full    bool        // there were more names than fit in one batch
	rounds  int         // it was found not to be empty
}

// note counts a failure, except of what is gone.
func (d *deletion) note(err error) bool {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed++; d.first == nil {
		d.first = err
	}
	return false
}

func (d *deletion) count(f func(*Progress)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(&d.done)
	if d.report != nil {
		d.report(d.done)
	}
}

func (d *deletion) remove(ctx context.Context, dir location, base string) bool {
	if !d.note(d.e.remove(ctx, dir, base)) {
		return false
	}
	d.count(func(p *Progress) { p.Files++ })
	return true
}

// empty lists a directory, a bounded number of names at a time, and makes tasks
// of removing them.
func (d *deletion) empty(ctx context.Context, n *doomed) error {
	n.pending.Store(1) // this listing
	batch, err := d.names(ctx, n)
	if errors.Is(err, fs.ErrPermission) {
		// A directory that nobody may enter; root of a squashed export included.
		mode := uint32(0o700)
		if err = d.e.setAttr(ctx, n.at, SetAttr{Mode: &mode}); err == nil {
			batch, err = d.names(ctx, n)
		}
	}
	if !d.note(err) {
		n.stays.Store(true)
	}
	n.full = len(batch) == maxNames
	n.pending.Add(int64(len(batch)))
	for _, b := range batch {
		if b.dir && !b.at.mount {
			err = d.pool.dir(ctx, func(ctx context.Context) error {
				return d.empty(ctx, &doomed{parent: n, in: n.at, base: b.base, at: b.at})
			})
		} else {
			err = d.pool.file(ctx, func(ctx context.Context) error {
				if b.at.mount {
					d.note(mounted(b.at.name))
					n.stays.Store(true)
				} else if b.busy {
					d.note(&fs.PathError{Op: "remove", Path: b.at.name, Err: syscall.EBUSY})
					n.stays.Store(true)
				} else if !d.remove(ctx, n.at, b.base) {
					n.stays.Store(true)
				}
				return d.finish(ctx, n)
			})
		}
		if err != nil {
			return err
		}
	}
	return d.finish(ctx, n)
}

// finish counts one thing in a directory as done; the last one removes the
// directory, and is one thing done in its parent.
func (d *deletion) finish(ctx context.Context, n *doomed) error {
	for ; n != nil && n.pending.Add(-1) == 0; n = n.parent {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n.stays.Load() {
			if n.parent != nil {
				n.parent.stays.Store(true)
			}
			continue
		}
		var err error
		if !n.full {
			err = d.e.rmdir(ctx, n.in, n.base)
		}
		if n.full || errors.Is(err, syscall.ENOTEMPTY) && n.rounds < maxRounds {
			if !n.full {
				n.rounds++
			}
			return d.pool.dir(ctx, func(ctx context.Context) error { return d.empty(ctx, n) })
		}
		if d.note(err) {
			d.count(func(p *Progress) { p.Dirs++ })
		} else if n.parent != nil {
			n.parent.stays.Store(true)
		}
	}
	return nil
}

// listed is a name to be removed.
type listed struct {
	base string
	dir  bool
	busy bool
	at   location
}

// names lists up to maxNames entries, without a filer's snapshots.
func (d *deletion) names(ctx context.Context, n *doomed) ([]listed, error) {
	var batch []listed
	err := d.e.names(ctx, n.at, func(e Entry, at location) error {
		if own, err := isSnapshots(ctx, d.e, n.at, e.Name, e.Kind, n.parent == nil); err != nil || own {
			return err
		}
		if batch = append(batch, listed{e.Name, e.Kind == Directory, isBusy(d.e, e.Name, e.Kind), at}); len(batch) == maxNames {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return batch, err
}
