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

// Progress is how much of a tree is done.
type Progress struct {
	Files int64 // everything that is not a directory
	Dirs  int64
	Bytes int64
}

// isBusy tells the names that the Linux NFS client gives to files that are removed
// while they are open: .nfs, 16 digits of the file id, 8 of a counter. The client
// removes them itself when the file is closed. On a local filesystem such a name
// is an ordinary one.
func isBusy(e engine, name string, kind Kind) bool {
	if isLocal(e) {
		return false
	}
	digits, ok := strings.CutPrefix(name, ".nfs")
	return ok && kind != Directory && len(digits) == 16+8 && strings.Trim(digits, "0123456789abcdef") == ""
}

// errEnough ends a listing early.
var errEnough = errors.New("enough")

// maxNames is how many names of one directory are in memory.
const maxNames = 4096

// Delete removes the tree at name, bottom up. It may be repeated, and several nodes
// may run it at once: a name that does not exist any more is no error. Delete
// passes over a name that cannot be removed; its error then has the first reason
// and the number of such names. Three things stay: files of removed-but-open kind
// (.nfs and 24 digits), with their directories, for a later call; .snapshot in
// name itself; and mounts below name, with their directories, which are an
// ErrMount. progress may be nil; it is called from several goroutines, one at a
// time.
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
			d.remove(ctx, nil, parent, base)
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

// maxRounds is how often Delete empties a directory that others fill again, or that
// a server says to be full of names that do not exist. maxBatches bounds the names of
// a directory, by maxNames: to 20 million.
const (
	maxRounds  = 10
	maxBatches = 5000
)

type deletion struct {
	e    engine
	pool *pool

	mu     sync.Mutex // guards the fields below; held while report is called
	done   Progress
	report func(Progress)
	failed int64
	first  error
}

// doomed is a directory that is being deleted. It is removed when all of its
// entries are done.
type doomed struct {
	parent  *doomed
	in, at  location
	base    string
	pending atomic.Int64
	stays   atomic.Bool // something in it could not be removed
	full    bool        // the directory has more names than one batch
	rounds  int         // how often the directory was not empty, or nothing of a batch was there
	batches int         // how often the directory was listed
	removed atomic.Bool // something of the batch was removed
}

// note counts a failure. It returns true for no error and for a name that does not
// exist any more.
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

func (d *deletion) remove(ctx context.Context, n *doomed, dir location, base string) bool {
	err := d.e.remove(ctx, dir, base)
	if !d.note(err) {
		return false
	}
	if err == nil && n != nil {
		n.removed.Store(true)
	}
	d.count(func(p *Progress) { p.Files++ })
	return true
}

// empty lists a bounded number of names of a directory and makes a task of each
// removal.
func (d *deletion) empty(ctx context.Context, n *doomed) error {
	n.pending.Store(1) // for the listing itself
	n.batches++
	n.removed.Store(false)
	batch, err := d.names(ctx, n)
	if errors.Is(err, fs.ErrPermission) {
		// A directory that nobody may enter, also root of a squashed export.
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
				} else if !d.remove(ctx, n, n.at, b.base) {
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

// finish counts one entry of a directory as done. The last entry removes the
// directory, which is then one entry done of its parent.
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
		if n.full && (n.rounds == maxRounds || n.batches == maxBatches) {
			err = &fs.PathError{Op: "delete", Path: n.at.name, Err: fmt.Errorf("%w: its listing does not end", syscall.ENOTEMPTY)}
		} else if n.full || errors.Is(err, syscall.ENOTEMPTY) && n.rounds < maxRounds {
			if !n.full || !n.removed.Load() {
				n.rounds++
			}
			return d.pool.dir(ctx, func(ctx context.Context) error { return d.empty(ctx, n) })
		}
		if d.note(err) {
			d.count(func(p *Progress) { p.Dirs++ })
			if err == nil && n.parent != nil {
				n.parent.removed.Store(true)
			}
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

// names lists up to maxNames entries, without the .snapshot of a filer.
func (d *deletion) names(ctx context.Context, n *doomed) ([]listed, error) {
	var batch []listed
	err := d.e.names(ctx, n.at, func(e Entry, at location) error {
		if own, err := isSnapshots(ctx, d.e, n.at, e.Name, e.Kind, n.parent == nil && e.Name != Inside); err != nil || own {
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
