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
	Parallel int  // files and directories that are copied at once; 0 lets the filesystem choose
	Checksum bool // read every copied file again and compare its content
	// Live allows the source to change while it is read. Without Live a copy is
	// whole, or an error.
	Live bool
	// Proofs gets the sums of the small files that were read; nil for none.
	Proofs *Proofs
	// Clone has the server make a large file dst of src, by their names, and says
	// whether it did; where it did not, the file is copied. Copy gives the file
	// its attributes, and removes what a failed Clone has left. Many goroutines
	// call it. It is not asked with Checksum. nil: every file is copied.
	Clone func(ctx context.Context, src, dst string) bool
}

// CloneFrom is the size, in bytes, of the smallest file that Clone is asked for: a
// call to the server's API takes about as long as copying so much.
const CloneFrom = 64 << 20

// Stats are what a copy or a comparison did.
type Stats struct {
	Progress
	Links    int64  // of Files: further names of a file copied once
	Busy     int64  // removed files that an NFS client keeps open; they are no part of the tree
	Vanished Listed // names that were listed, and removed before they were read
	Changed  Listed // files that changed while they were read: the copy may be torn
	Missing  Listed // names that are held (ErrHeld), or cannot be made here, with the reason
}

// Listed are the first of many paths, and how many there are.
type Listed struct {
	Paths []string // the first maxListed
	Total int64    // of all paths, also those that are not in Paths
}

const maxListed = 1000

func (l *Listed) add(path string) {
	if l.Total++; len(l.Paths) < maxListed {
		l.Paths = append(l.Paths, path)
	}
}

// chunk is how many bytes are read and written at once. Holes are found in blocks
// of holeBlock bytes.
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
// afterwards. Two things are left out: .snapshot in src itself, and the files .nfs
// and 24 digits, which an NFS client keeps of removed files. A mount in src is an
// ErrMount; a Live copy has an empty directory in its place and lists it in Stats.
//
// A copy is the tree as it was when Copy began. If files are held or cannot be made here, or
// vanish or change meanwhile, Copy copies the rest and returns *Incomplete. With
// opts.Live the caller reads Stats instead. It is always an error if src itself
// is removed or moved meanwhile.
//
// When Copy returns without an error, dst is on stable storage. After an error or
// a cancellation dst is partial, so copy to a name that nobody sees. progress may
// be nil; it is called from several goroutines, one at a time.
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
		return c.stats, s.SyncAll(ctx)
	}
	return c.stats, nil
}

type copying struct {
	e      engine
	quick  quick // nil if the filesystem has none, or with Checksum
	opts   CopyOptions
	report func(Progress)
	pool   *pool
	heavy  chan struct{} // one token for each file with a chunk in memory
	began  beginning

	mu    sync.Mutex // guards the fields below
	stats Stats
	read  int64 // bytes that a Sync has compared; progress counts them
	links map[inode]*firstName
}

type inode struct{ device, id uint64 }

// firstName is the name by which a file with several names is copied. Its other
// names become links to it.
type firstName struct {
	at      location
	ready   bool   // the file exists by this name, or never will
	ok      bool   // the file exists by this name
	met     uint32 // names of the file so far
	waiting []task // tasks of its other names
}

// dirNode is a directory that is being copied. Its attributes are set when
// everything in it is done, because every new entry changes its times.
type dirNode struct {
	parent   *dirNode
	src, dst location
	attr     Attr
	xattrs   Xattrs
	pending  atomic.Int64
}

// dir makes the copy of a directory, and a task of each of its entries.
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
	// The new directory may have got a default ACL from its parent. The files
	// that are made in it must not get that ACL.
	if err := c.noteLost(n.src.name, c.e.setXattrs(ctx, n.dst, nil)); err != nil {
		return err
	}
	n.xattrs, err = c.e.xattrs(ctx, n.src)
	if err := c.noteLost(n.src.name, err); err != nil && !isGone(err) {
		return err
	}
	n.pending.Store(1) // for the listing itself
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
	case isGone(err) && n.parent != nil && c.vanished(ctx, n.src.name, Directory, n.dst.name):
		c.list(&c.stats.Vanished, n.src.name)
	case err != nil:
		return err
	case c.opts.Live: // names come and go while a volume is in use
	case c.began.before(n.attr), now.Kind == Directory && !isUnchanged(n.attr, now):
		c.list(&c.stats.Changed, n.src.name)
	}
	return c.finish(ctx, n)
}

// mounted leaves a mount in the source out. It is an error; a Live copy gets an
// empty directory.
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

// finish counts one entry of a directory as done. The last entry sets the
// attributes of the directory, which is then one entry done of its parent.
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

// firstOf returns the name by which a file is copied, and whether it is this name;
// nil for a file with one name.
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
		delete(c.links, id) // this was the last name
	}
	return f, mine
}

// wait keeps the task of a further name until the first name is ready. It returns
// false if the first name is ready already.
func (c *copying) wait(f *firstName, t task) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !f.ready {
		f.waiting = append(f.waiting, t)
	}
	return !f.ready
}

// resume says that the first name is ready, and starts the tasks that wait for it.
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

// entry copies one entry that is no directory.
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
		// The file was removed or replaced while it was read. Its copy is
		// removed, and the new file is copied.
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
	// Has the source lost the name? Other errors are errors of the copy.
	case isReplaced(err) && c.vanished(ctx, src.name, e.Attr.Kind, dir.name):
		c.list(&c.stats.Vanished, src.name)
	case errors.Is(err, fs.ErrNotExist):
		return err
	case errors.Is(err, ErrHeld):
		if undoErr := c.e.remove(ctx, dir, e.Name); undoErr != nil && !errors.Is(undoErr, fs.ErrNotExist) {
			return undoErr
		}
		c.list(&c.stats.Missing, fmt.Sprintf("%s: %v", src.name, ErrHeld))
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

// make is build; it also lists a file that changed meanwhile.
func (c *copying) make(ctx context.Context, src, dir location, e EntryPlus) (location, error) {
	r, err := c.build(ctx, src, dir, e)
	if err == nil && r.changed {
		c.list(&c.stats.Changed, src.name)
	}
	return r.at, err
}

// build makes the copy of one entry that is no directory.
func (c *copying) build(ctx context.Context, src, dir location, e EntryPlus) (r copied, err error) {
	a := e.Attr
	switch a.Kind {
	case Regular:
		if c.opts.Clone != nil && !c.opts.Checksum && a.Size >= CloneFrom {
			if r, done, err := c.clone(ctx, src, dir, e.Name, a); done || err != nil {
				return r, err
			}
		}
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
		p := c.stats.Progress
		p.Bytes += c.read
		c.report(p)
	}
}

// list adds a path to one of the lists of Stats.
func (c *copying) list(l *Listed, line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.add(line)
}
