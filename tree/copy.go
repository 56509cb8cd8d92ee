package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
)

// CopyOptions choose how a tree is copied. The zero value is good.
type CopyOptions struct {
	Parallel int  // files and directories at work at once; 0 for what suits the filesystem
	Checksum bool // read every copied file again and compare its content
	// Live: the source may change while it is read. Without it a copy is whole,
	// or an error.
	Live bool
	// Proofs takes what is read of small files; nil for nothing.
	Proofs *Proofs
}

// Stats are what a copy or a comparison did.
type Stats struct {
	Progress
	Links    int64  // of Files: further names of a file copied once
	Busy     int64  // files that an NFS client keeps open, which are no part of the tree
	Vanished Listed // were listed, and gone when read
	Changed  Listed // files that changed while they were read: the copy may be torn
	Missing  Listed // could not be recreated here, with the reason
}

// Listed are paths, of which there may be more than anybody reads.
type Listed struct {
	Paths []string // the first maxListed
	Total int64    // with those that Paths has no room for
}

const maxListed = 1000

func (l *Listed) add(path string) {
	if l.Total++; len(l.Paths) < maxListed {
		l.Paths = append(l.Paths, path)
	}
}

// chunk is how much is read and written at once, in bytes; holes are found in
// its blocks.
const (
	chunk     = 1 << 20
	holeBlock = 64 << 10
)

// maxHeavy bounds the files that have a chunk in memory.
const maxHeavy = 8

// Copy makes dst, which must not exist, a copy of the tree src: content, holes,
// hard links within it, symlinks, special files, owners, modes with setuid,
// setgid and sticky bits, times to the nanosecond, and extended attributes with
// ACLs and capabilities. Every copied file's size and mtime are compared
// afterwards. .snapshot in src itself is left out, and so is what an NFS client
// has kept of removed files (.nfs and 24 digits). What is mounted in src is an
// ErrMount; a Live copy has an empty directory there, and says so.
//
// A copy is the tree as it was when the copying began. One from which anything
// is missing, because it cannot be made here, has vanished or was changed since,
// is an error, *Incomplete, when all the rest is done; opts.Live leaves that to
// who reads Stats. That src itself is removed or moved meanwhile is always an
// error.
//
// When it returns without an error, dst is on stable storage. On error or
// cancellation dst is partial: copy into a place that nobody sees. progress
// may be nil; it is called from several goroutines, one at a time.
func Copy(ctx context.Context, fsys FS, src, dst string, opts CopyOptions, progress func(Progress)) (Stats, error) {
	c := &copying{e: engineOf(fsys), opts: opts, report: progress, links: map[inode]*firstName{}, heavy: make(chan struct{}, maxHeavy)}
	if !opts.Checksum {
		c.quick, _ = c.e.(quick)
	}
	if opts.Parallel <= 0 {
		opts.Parallel = c.e.workers()
	}
	from, a, err := c.e.find(ctx, src)
	if err != nil {
		return c.stats, err
	}
	if a.Kind != Directory {
		return c.stats, &fs.PathError{Op: "copy", Path: src, Err: errors.New("not a directory")}
	}
	parent, base, err := within(ctx, c.e, dst)
	if err != nil {
		return c.stats, err
	}
	if err := stay(ctx, c.e, src); err != nil {
		return c.stats, err
	}
	err = runPool(ctx, opts.Parallel, func(ctx context.Context, w *pool) error {
		c.pool = w
		return c.dir(ctx, &dirNode{src: from, attr: a}, parent, base)
	})
	if err == nil {
		err = ctx.Err() // tasks that never began
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = errors.Join(c.still(ctx, src, a), err)
	}
	if err == nil && !opts.Live {
		err = c.stats.Whole(src)
	}
	if err != nil {
		return c.stats, err
	}
	if s, ok := fsys.(interface{ SyncAll(context.Context) error }); ok {
		return c.stats, s.SyncAll(context.WithoutCancel(ctx))
	}
	return c.stats, nil
}

type copying struct {
	e      engine
	quick  quick // nil if there is none, or content is compared
	opts   CopyOptions
	report func(Progress)
	pool   *pool
	heavy  chan struct{} // one token for each file with a chunk in memory
	began  beginning

	mu    sync.Mutex // guards the fields below
	stats Stats
	links map[inode]*firstName
}

type inode struct{ device, id uint64 }

// firstName is where a file with several names is copied first.
type firstName struct {
	at      location
	ready   bool   // it exists, or never will
	ok      bool   // it exists
	met     uint32 // names of it
	waiting []task // further names
}

// dirNode is a directory at work. Its attributes are set when nothing below it
// is at work any more, since every new entry changes its times.
type dirNode struct {
	parent   *dirNode
	src, dst location
	attr     Attr
	xattrs   Xattrs
	pending  atomic.Int64
}

// dir makes a directory's copy and lists it: all that is in it becomes tasks.
func (c *copying) dir(ctx context.Context, n *dirNode, parent location, base string) (err error) {
	private := uint32(0o700)
	if n.dst, err = c.e.mkdir(ctx, parent, base, SetAttr{Mode: &private}); err != nil {
		return err
	}
	if n.parent == nil && !c.opts.Live {
		if err := c.begin(ctx, n.dst.name); err != nil {
			return err
		}
	}
	// What the copy's parent may have left in it, as a default ACL, is not for
	// what is made there.
	if err := c.noteLost(n.src.name, c.e.setXattrs(ctx, n.dst, nil)); err != nil {
		return err
	}
	n.xattrs, err = c.e.xattrs(ctx, n.src)
	if err := c.noteLost(n.src.name, err); err != nil && !isGone(err) {
		return err
	}
	n.pending.Store(1) // this listing
	now, err := c.e.listing(ctx, n.src, func(e EntryPlus, src location) error {
		own, err := isSnapshots(ctx, c.e, n.src, e.Name, e.Attr.Kind, n.parent == nil)
		switch {
		case err != nil || own:
			return err
		case isBusy(c.e, e.Name, e.Attr.Kind):
			c.count(func(s *Stats) { s.Busy++ })
		case e.Attr.Mount:
			return c.mounted(ctx, src, n, e)
		case e.Attr.Kind == Directory:
			n.pending.Add(1)
			return c.pool.dir(ctx, func(ctx context.Context) error {
				return c.dir(ctx, &dirNode{parent: n, src: src, attr: e.Attr}, n.dst, e.Name)
			})
		default:
			n.pending.Add(1)
			first, mine := c.firstOf(e.Attr)
			t := func(ctx context.Context) error {
				if err := c.entry(ctx, src, n.dst, e, first, mine); err != nil {
					return err
				}
				return c.finish(ctx, n)
			}
			if first != nil && !mine && c.wait(first, t) {
				return nil
			}
			return c.pool.file(ctx, t)
		}
		return ctx.Err()
	})
	switch {
	case isGone(err) && n.parent != nil && c.vanished(ctx, n.src.name, Directory):
		c.list(&c.stats.Vanished, n.src.name)
	case err != nil:
		return err
	case c.opts.Live: // names come and go all the time
	case c.began.before(n.attr), now.Kind == Directory && !isUnchanged(n.attr, now):
		c.list(&c.stats.Changed, n.src.name)
	}
	return c.finish(ctx, n)
}

// mounted leaves out what is mounted in the source: who copies all of it wants
// to know at once, who copies what is in use gets an empty directory.
func (c *copying) mounted(ctx context.Context, src location, n *dirNode, e EntryPlus) error {
	if !c.opts.Live {
		return mounted(src.name)
	}
	c.list(&c.stats.Missing, fmt.Sprintf("%s: %v", src.name, ErrMount))
	if e.Attr.Kind != Directory {
		return nil
	}
	_, err := c.e.mkdir(ctx, n.dst, e.Name, allOf(e.Attr))
	return err
}

// finish counts one thing below a directory as done; the last one sets the
// directory's attributes, and is one thing done for its parent.
func (c *copying) finish(ctx context.Context, n *dirNode) error {
	for ; n != nil && n.pending.Add(-1) == 0; n = n.parent {
		if err := c.setAll(ctx, n.src.name, n.dst, n.attr, n.xattrs); err != nil {
			return err
		}
		c.count(func(s *Stats) { s.Dirs++ })
	}
	return nil
}

// allOf is every attribute that a copy keeps.
func allOf(a Attr) SetAttr {
	return SetAttr{Mode: &a.Mode, UID: &a.UID, GID: &a.GID, Atime: &a.Atime, Mtime: &a.Mtime}
}

// firstOf returns where this file is copied first, and whether that is this
// name; nil if it has one name only.
func (c *copying) firstOf(a Attr) (f *firstName, mine bool) {
	if a.Nlink < 2 {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	id := inode{a.Device, a.FileID}
	if f = c.links[id]; f == nil {
		f, mine = &firstName{}, true
		c.links[id] = f
	}
	if f.met++; f.met >= a.Nlink {
		delete(c.links, id) // there are no more
	}
	return f, mine
}

// wait puts off a further name of a file until the first one is over; false if
// it is.
func (c *copying) wait(f *firstName, t task) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !f.ready {
		f.waiting = append(f.waiting, t)
	}
	return !f.ready
}

// over lets further names of a file go on.
func (c *copying) resume(ctx context.Context, f *firstName, at location, ok bool) error {
	c.mu.Lock()
	f.at, f.ok, f.ready = at, ok, true
	waiting := f.waiting
	f.waiting = nil
	c.mu.Unlock()
	for _, t := range waiting {
		if err := c.pool.file(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// entry copies what is not a directory.
func (c *copying) entry(ctx context.Context, src, dir location, e EntryPlus, first *firstName, mine bool) error {
	if first != nil && !mine && first.ok {
		if err := c.e.link(ctx, first.at, dir, e.Name); err != nil {
			return err
		}
		c.count(func(s *Stats) { s.Files++; s.Links++ })
		return nil
	}
	made, err := c.build(ctx, src, dir, e)
	for range 3 {
		if !errors.Is(err, errRemoved) {
			break
		}
		// Removed or replaced while it was read: what was made of it is
		// nothing, and what is there now is copied.
		if undoErr := c.e.remove(ctx, dir, e.Name); undoErr != nil && !errors.Is(undoErr, fs.ErrNotExist) {
			return undoErr
		}
		now, a, findErr := c.e.find(ctx, src.name)
		if findErr != nil || a.Kind != e.Attr.Kind {
			break
		}
		src, e.Attr = now, a
		made, err = c.build(ctx, src, dir, e)
	}
	switch {
	// Gone from the source? Anything else is ours.
	case isReplaced(err) && c.vanished(ctx, src.name, e.Attr.Kind):
		c.list(&c.stats.Vanished, src.name)
	case errors.Is(err, fs.ErrNotExist):
		return err
	case err != nil && e.Attr.Kind != Regular && ctx.Err() == nil && !errors.Is(err, ErrAway):
		c.list(&c.stats.Missing, fmt.Sprintf("%s: %v", src.name, err))
	case err != nil:
		return err
	default:
		if made.changed || c.began.before(e.Attr) {
			c.list(&c.stats.Changed, src.name)
		}
		if !made.changed {
			c.opts.Proofs.add(made.proof)
		}
		c.count(func(s *Stats) { s.Files++ })
	}
	if mine {
		return c.resume(ctx, first, made.at, err == nil)
	}
	return nil
}

// make is build, and lists a file that changed meanwhile.
func (c *copying) make(ctx context.Context, src, dir location, e EntryPlus) (location, error) {
	r, err := c.build(ctx, src, dir, e)
	if err == nil && r.changed {
		c.list(&c.stats.Changed, src.name)
	}
	return r.at, err
}

// build makes a copy of what is not a directory.
func (c *copying) build(ctx context.Context, src, dir location, e EntryPlus) (r copied, err error) {
	a := e.Attr
	switch a.Kind {
	case Regular:
		if c.quick != nil {
			r, done, err := c.quick.copyFile(ctx, src, a, dir, e.Name, c.opts.Proofs != nil)
			if done || err != nil {
				c.count(func(s *Stats) { s.Bytes += r.bytes })
				if err == nil {
					err = c.noteLost(src.name, r.lost)
				}
				return r, err
			}
		}
		return c.file(ctx, src, dir, e.Name, a)
	case Symlink:
		target, err := c.e.readlink(ctx, src)
		if err != nil {
			return r, err
		}
		if r.at, err = c.e.symlink(ctx, target, dir, e.Name, allOf(a)); err != nil {
			return r, err
		}
	default:
		if r.at, err = c.e.mknod(ctx, dir, e.Name, a, allOf(a)); err != nil {
			return r, err
		}
	}
	x, err := c.e.xattrs(ctx, src)
	if err = c.noteLost(src.name, err); err != nil {
		return r, err
	}
	if _, ok := c.e.(complete); ok && (x != nil || a.Kind != Symlink) {
		err = c.setAll(ctx, src.name, r.at, a, x)
	}
	return r, err
}

func (c *copying) count(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
	if c.report != nil {
		c.report(c.stats.Progress)
	}
}

// list adds to one of the lists of Stats.
func (c *copying) list(l *Listed, line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.add(line)
}
