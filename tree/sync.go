package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync/atomic"
	"syscall"
)

// SyncOptions are the options of Sync. Staging and Trash are needed: directories
// that exist, outside of both trees. Staging has to be where names can be renamed
// into the target: for a tree of its own (OwnTree, or an EXDEV of Sync) it is the
// directory Inside in the tree's root. What cannot be renamed or linked to Trash is copied there.
type SyncOptions struct {
	Staging string // new files are made in it; nobody else uses it
	Trash   string // removed and replaced files go there
	// Equality says which names need no change. Its first side is dst.
	Equality Equality
	// Clone is as in CopyOptions.
	Clone func(ctx context.Context, src, dst string) bool
}

// SyncStats are what Sync did. Files and Dirs of Stats count the names of the source
// that are done, changed or not; Bytes are the bytes that were written. A path in
// Missing or Vanished was not made equal.
type SyncStats struct {
	Stats
	Written    int64 // files, symlinks and special files that were made anew
	Made       int64 // directories that were made anew
	Attributes int64 // names of which only attributes were set; times of directories do not count
	Trashed    int64 // names in the trash, removed or replaced; a directory counts as one
	Unchanged  int64 // of Files
}

// Sync makes the tree dst equal to src while others read and write dst. It writes
// only what differs. src and dst may also be one file, symlink or special file, and
// dst may be absent if its directory exists. src must not change.
//
// Sync compares as Compare does; the times of all names, and which names are one
// file, count too. .snapshot in src and dst themselves is left out. The files .nfs
// and 24 digits, which an NFS client keeps of removed files, stay in dst.
//
// A new file is made in Staging, with its attributes, verified and on stable
// storage. Then a RENAME puts it over the old file. So a reader sees the old
// content or the new one, and an open file stays as it was. Symlinks, special files
// and directories that dst does not have are made in the same way, a directory with
// everything in it. A name that becomes a directory, or stops being one, is absent
// for an instant. Where only attributes differ, they are set on the file itself;
// the attributes and times of a directory are set when its entries are done.
//
// Nothing is deleted. A name that src does not have is renamed to its path below
// Trash. A file that will be replaced is linked there first, so that an undo can
// put it back. Trash has no record of attributes that were set and of names that
// are new. If a path in Trash is taken, "~" and the file's id are added to it. A
// change that another client makes to a name between the link and the rename is
// lost.
//
// After an error, a crash or a cancellation each name is old or new, and the same
// Sync again completes the tree. The files in Staging may be deleted when no Sync
// runs. Vanished lists names whose directories others remove, and names that others
// replace again and again. Names that others add after a directory was listed stay.
// A name in src that cannot be read ends Sync with an error, also if it has
// vanished: Sync never takes it for absent.
//
// The memory in use is bounded by the number of names that share a file: a directory
// of more than namesAtOnce names is listed several times. progress may be nil; it is
// called from several goroutines, one at a time. Its bytes are those that were
// compared or written.
func Sync(ctx context.Context, fsys FS, src, dst string, opts SyncOptions, progress func(Progress)) (SyncStats, error) {
	if err := opts.check(src, dst); err != nil {
		return SyncStats{}, err
	}
	e := engineOf(fsys).(mover)
	s := &syncing{
		over: NewCarrier(fsys),
		e:    e,
		c:    &copying{e: e, opts: CopyOptions{Clone: opts.Clone}, report: progress, heavy: make(chan struct{}, maxHeavy)},
		diff: newComparing(fsys, opts.Equality),
	}
	s.c.quick, _ = e.(quick)
	s.diff.opts.Exact, s.diff.e = true, e
	s.diff.opts.Progress = func(p Progress) { s.c.count(func(*Stats) { s.c.read = p.Bytes }) }
	all, durable := fsys.(interface{ SyncAll(context.Context) error })
	if durable {
		s.stable = all.SyncAll
	}
	err := s.trees(ctx, src, dst, opts)
	if err == nil && durable {
		err = s.stable(ctx)
	}
	s.done.Stats = s.c.stats
	return s.done, err
}

// check refuses two trees if one is in the other.
func (o SyncOptions) check(src, dst string) error {
	for _, name := range []string{src, dst, o.Staging, o.Trash} {
		if err := CheckPath(name); err != nil {
			return err
		}
	}
	overlap := below(dst, src) || below(src, dst)
	for _, tree := range []string{src, dst} {
		if o.Staging == path.Join(dst, Inside) {
			overlap = overlap || below(o.Trash, tree) || below(tree, o.Trash) && tree == dst
			continue
		}
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
	over   *Carrier // to the trash
	e      mover
	c      *copying   // makes files; keeps Stats and reports progress
	diff   *comparing // compares
	pool   *pool
	stable func(context.Context) error // puts the filesystem on stable storage; nil where each answer means so
	run    location                    // directory in Staging
	made   atomic.Int64                // names given in run

	// Guarded by c.mu.
	done   SyncStats
	linked []*syncName // names whose files have or had other names
}

// syncName is a name of a directory, on both sides or one.
type syncName struct {
	in   *syncDir
	base string
	x, y *entryAt // in the source and the target
}

// path is the name in the target, for the lists of Stats.
func (m *syncName) path() string { return m.in.dst.child(m.base).name }

// trees finds both trees and makes them equal: first all names that can be decided
// one by one, then the files with several names.
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
	// run is not empty if directories of the target vanished meanwhile.
	if err := s.e.rmdir(ctx, dirs[0], s.run.base()); err != nil && !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// begin makes a directory in staging for this run. An interrupted run may have left
// another one there.
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

// fresh returns a new name in run.
func (s *syncing) fresh() string { return fmt.Sprintf("%d", s.made.Add(1)) }

// count changes the stats.
func (s *syncing) count(f func(*SyncStats)) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	f(&s.done)
}

// vanished lists a name of the target whose directory does not exist any more.
func (s *syncing) vanished(name string) {
	s.c.list(&s.c.stats.Vanished, name)
}

// mover is an engine that also looks up and renames names in given directories.
type mover interface {
	engine
	lookupIn(ctx context.Context, dir location, base string) (location, Attr, error)
	// move renames; id is the id of the file, 0 if unknown.
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
