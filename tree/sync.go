package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"syscall"
)

// SyncOptions say with what help a tree is made equal to another one. Staging
// and Trash are needed: directories that exist, on the filesystem of the tree
// and outside of both trees.
type SyncOptions struct {
	Staging string // where files are made; nobody else works in it
	Trash   string // what is removed or replaced goes here
	// Equality says what need not be changed. Its first side is dst.
	Equality Equality
}

// SyncStats are what Sync did. Of Stats, Files and Dirs are the names of the
// source that are done, whether they had to be changed or not, and Bytes were
// written. A path in Missing or Vanished was not made equal.
type SyncStats struct {
	Stats
	Written    int64 // files, symlinks and special files that were made anew
	Made       int64 // directories that were made anew
	Attributes int64 // names of which only attributes were set; directories' times do not count
	Trashed    int64 // names in the trash: removed ones, and replaced versions; a directory is one
	Unchanged  int64 // of Files
}

// Sync makes the tree dst equal to src, while others read and write dst: only
// what differs is written. Either may also be one file, symlink or special
// file, and dst may be absent if its directory exists. src must not change.
//
// What differs is found as Compare finds it, the times of everything and which
// names are one file included. .snapshot in src and dst themselves is left out; what an NFS
// client has kept of removed files (.nfs and 24 digits) stays where it is.
//
// A file is made completely in Staging, with its attributes, verified and on
// stable storage, and then renamed over the old one: who reads sees the old
// content or the new, and who has the old file open keeps it. The same goes for
// symlinks, special files and, with all that is in it, a directory that dst
// does not have. A name that becomes a directory, or stops being one, is absent
// for an instant. Where only attributes differ they are set in place, the ones
// of directories when all in them is done, together with their times.
//
// Nothing is deleted. What src does not have is renamed to its path below
// Trash, and a version that is replaced is linked there first, so that what dst
// held can be put back; attributes that were set in place, and names that are
// new, are not on record there. Where a path in Trash is taken already by
// another version, "~" and the file's id are added. What another client makes
// of a name in between that linking and the rename over it is lost.
//
// After an error, a crash or cancellation each name is old or new; the same
// Sync again completes it. What is left in Staging may be deleted at any time
// when no Sync is at work. Names whose directories others remove, and names that
// they do not stop replacing, are listed in Vanished; names that they add after
// a directory was listed stay. A name in src that cannot be read, also
// because it has vanished, ends everything with an error: nothing is taken for
// absent because of that.
//
// What is held in memory is bounded by the largest directories and the number
// of names that share a file. progress may be nil; it is called from several
// goroutines, one at a time.
func Sync(ctx context.Context, fsys FS, src, dst string, opts SyncOptions, progress func(Progress)) (SyncStats, error) {
	if err := opts.check(src, dst); err != nil {
		return SyncStats{}, err
	}
	e := engineOf(fsys).(mover)
	s := &syncing{
		e:    e,
		c:    &copying{e: e, report: progress, heavy: make(chan struct{}, maxHeavy)},
		diff: newComparing(fsys, opts.Equality),
	}
	s.c.quick, _ = e.(quick)
	s.diff.opts.Exact, s.diff.e = true, e
	all, durable := fsys.(interface{ SyncAll(context.Context) error })
	if durable {
		s.stable = all.SyncAll
	}
	err := s.trees(ctx, src, dst, opts)
	if err == nil && durable {
		err = s.stable(context.WithoutCancel(ctx))
	}
	s.done.Stats = s.c.stats
	return s.done, err
}

// check refuses trees that are within each other.
func (o SyncOptions) check(src, dst string) error {
	for _, name := range []string{src, dst, o.Staging, o.Trash} {
		if err := CheckPath(name); err != nil {
			return err
		}
	}
	overlap := below(dst, src) || below(src, dst)
	for _, tree := range []string{src, dst} {
		for _, other := range []string{o.Staging, o.Trash} {
			overlap = overlap || below(other, tree) || below(tree, other) && tree == dst
		}
	}
	if overlap {
		return &fs.PathError{Op: "sync", Path: dst, Err: fmt.Errorf("%w: source, target, staging and trash overlap", fs.ErrInvalid)}
	}
	return nil
}

// below tells whether name is dir or in it.
func below(name, dir string) bool {
	return dir == "." || name == dir || strings.HasPrefix(name, dir+"/")
}

type syncing struct {
	e      mover
	c      *copying   // makes files; keeps Stats and reports progress
	diff   *comparing // compares
	pool   *pool
	stable func(context.Context) error // puts the filesystem on stable storage; nil where each answer means that
	run    location                    // directory in Staging
	made   atomic.Int64                // names given in run

	// Guarded by c.mu, as its stats are.
	done   SyncStats
	linked []*syncName // names whose file has or had others
}

// syncName is a name in a directory at work, on both sides or one.
type syncName struct {
	in   *syncDir
	base string
	x, y *entryAt // in the source and the target
}

// path is the name in the target, for lists.
func (m *syncName) path() string { return m.in.dst.child(m.base).name }

// trees finds what is to be worked with and carries it all out: first what can
// be decided name by name, then what takes all names of a file to be known.
func (s *syncing) trees(ctx context.Context, src, dst string, opts SyncOptions) error {
	var dirs [2]location
	for i, name := range []string{opts.Staging, opts.Trash} {
		at, a, err := s.e.find(ctx, name)
		if err == nil && a.Kind != Directory {
			err = &fs.PathError{Op: "sync", Path: name, Err: syscall.ENOTDIR}
		}
		if err != nil {
			return err
		}
		dirs[i] = at
	}
	from, a, err := s.e.find(ctx, src)
	if err != nil {
		return err
	}
	parent, base, err := within(ctx, s.e, dst)
	if err != nil {
		return err
	}
	m := &syncName{in: &syncDir{dst: parent, above: true, bin: dirs[1], binned: true}, base: base, x: &entryAt{from, a}}
	to, b, err := s.e.lookupIn(ctx, parent, base)
	if err == nil {
		m.y = &entryAt{to, b}
		err = stay(ctx, s.e, dst)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err = errors.Join(err, stay(ctx, s.e, src)); err != nil {
		return err
	}
	if err := s.begin(ctx, dirs[0]); err != nil {
		return err
	}
	for _, phase := range []func(context.Context) error{
		func(ctx context.Context) error { return s.name(ctx, m) },
		s.groups,
	} {
		err := runPool(ctx, s.e.workers(), func(ctx context.Context, w *pool) error {
			s.pool = w
			return phase(ctx)
		})
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
	// What was meant for directories that vanished is still there.
	if err := s.e.rmdir(ctx, dirs[0], s.run.base()); err != nil && !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// begin makes a directory in staging for this run; one that was interrupted may
// have left its own.
func (s *syncing) begin(ctx context.Context, staging location) error {
	private := uint32(0o700)
	for i := 1; ; i++ {
		at, err := s.e.mkdir(ctx, staging, fmt.Sprintf("sync-%d", i), SetAttr{Mode: &private})
		if !errors.Is(err, fs.ErrExist) {
			s.run = at
			return err
		}
	}
}

// fresh is a name in run that is not taken.
func (s *syncing) fresh() string { return fmt.Sprintf("%d", s.made.Add(1)) }

// count changes what is told of it all in the end.
func (s *syncing) count(f func(*SyncStats)) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	f(&s.done)
}

// vanished takes note of a name of the target whose directory is gone.
func (s *syncing) vanished(name string) {
	s.c.list(&s.c.stats.Vanished, name)
}

// mover is an engine that also works on names in directories it holds.
type mover interface {
	engine
	lookupIn(ctx context.Context, dir location, base string) (location, Attr, error)
	// move renames; id is the file id of what is moved, 0 if unknown.
	move(ctx context.Context, dir location, base string, to location, toBase string, id uint64) error
}

func (n named) lookupIn(ctx context.Context, dir location, base string) (location, Attr, error) {
	return n.find(ctx, dir.child(base).name)
}

func (n named) move(ctx context.Context, dir location, base string, to location, toBase string, _ uint64) error {
	return n.fsys.Rename(ctx, dir.child(base).name, to.child(toBase).name)
}

func (w *Wire) lookupIn(ctx context.Context, dir location, base string) (at location, a Attr, err error) {
	at = dir.child(base)
	err = w.once(ctx, "lookup", at.name, func() error {
		o := w.lookup(ctx, dir.handle, base)
		at.handle, at.known, at.device, a = o.handle, o.err == nil, o.attr.FSID, attrOf(&o.attr)
		return o.err
	})
	return at, a, err
}

func (w *Wire) move(ctx context.Context, dir location, base string, to location, toBase string, id uint64) error {
	return w.once(ctx, "rename", dir.child(base).name, func() error {
		_, err := w.client.Rename(ctx, dir.handle, base, to.handle, toBase, id)
		return err
	})
}

var (
	_ mover = named{}
	_ mover = (*Wire)(nil)
)
