package tree

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"

	"github.com/casit/berth/nfs"
)

// location is where a file or directory is: its name, and its handle on filesystems
// that have handles.
type location struct {
	name   string
	handle nfs.Handle
	// mount says that something is mounted here, as the listing told. Over the
	// wire the device tells, where it is known.
	mount  bool
	known  bool
	device uint64
	in     *above // the directories that it is in, as far as handles of them are known
}

// above is a directory of which handles tell that it does not contain itself.
type above struct {
	in     *above
	handle nfs.Handle
}

// engine is a filesystem for Copy, Delete, Measure and Compare. It takes locations
// instead of names, so that a filesystem with handles (Wire) looks up no name
// twice. named is the engine of any FS.
type engine interface {
	workers() int // how many tasks at once make it fast
	find(ctx context.Context, name string) (location, Attr, error)
	list(ctx context.Context, dir location, fn func(e EntryPlus, at location) error) error
	// listing is list; it also returns the attributes of the directory at the
	// end, without a kind if they are not known.
	listing(ctx context.Context, dir location, fn func(e EntryPlus, at location) error) (now Attr, err error)
	// names is list without attributes, where that is faster.
	names(ctx context.Context, dir location, fn func(e Entry, at location) error) error
	readlink(ctx context.Context, at location) (string, error)
	open(ctx context.Context, at location) (File, error)
	// xattrs returns the extended attributes that a copy keeps; nil for none.
	xattrs(ctx context.Context, at location) (Xattrs, error)

	mkdir(ctx context.Context, dir location, base string, set SetAttr) (location, error)
	mknod(ctx context.Context, dir location, base string, a Attr, set SetAttr) (location, error)
	symlink(ctx context.Context, target string, dir location, base string, set SetAttr) (location, error)
	link(ctx context.Context, file, dir location, base string) error
	// create makes an empty file with the attributes, all but the size.
	create(ctx context.Context, dir location, base string, set SetAttr) (File, location, error)
	setAttr(ctx context.Context, at location, set SetAttr) error
	// setXattrs gives a file exactly these extended attributes, and removes
	// others. It may change mode and times, so setAttr comes after it.
	setXattrs(ctx context.Context, at location, x Xattrs) error
	remove(ctx context.Context, dir location, base string) error
	rmdir(ctx context.Context, dir location, base string) error
}

// quick is an engine that can copy a file by fewer calls than File takes. done is
// false if it cannot copy this file; then it has made nothing.
type quick interface {
	copyFile(ctx context.Context, src location, a Attr, dir location, base string, summed bool) (r copied, done bool, err error)
}

// copied is the result of copying a file.
type copied struct {
	at      location
	bytes   int64
	changed bool   // the file changed while it was read
	lost    error  // extended attributes that could not be kept, if any
	proof   *proof // nil where the content was not summed up
}

// engineOf returns the engine of a filesystem, for trees that nobody sees yet.
func engineOf(fsys FS) engine {
	if d, ok := fsys.(interface{ Deferred() FS }); ok {
		fsys = d.Deferred()
	}
	if e, ok := fsys.(engine); ok {
		return e
	}
	if l, ok := fsys.(*Local); ok {
		l = &Local{handle: l.handle, deferred: l.deferred, trees: slices.Clone(l.trees), patience: newPatience()}
		return cloning{named{l}, l}
	}
	return named{fsys}
}

// named is an engine on any FS.
type named struct{ fsys FS }

func (n named) workers() int { return 16 }

func (n named) find(ctx context.Context, name string) (location, Attr, error) {
	a, err := n.fsys.Stat(ctx, name)
	return location{name: name}, a, err
}

func (n named) list(ctx context.Context, dir location, fn func(e EntryPlus, at location) error) error {
	return n.fsys.ReadDirPlus(ctx, dir.name, func(e EntryPlus) error { return fn(e, dir.child(e.Name)) })
}

func (n named) listing(ctx context.Context, dir location, fn func(e EntryPlus, at location) error) (now Attr, err error) {
	if err = n.list(ctx, dir, fn); err == nil {
		now, err = n.fsys.Stat(ctx, dir.name)
	}
	return now, err
}

func (n named) names(ctx context.Context, dir location, fn func(e Entry, at location) error) error {
	return n.list(ctx, dir, func(e EntryPlus, at location) error {
		at.mount = e.Attr.Mount
		return fn(Entry{e.Name, e.Attr.Kind}, at)
	})
}

// child is the location of a name in a directory, without a handle.
func (p location) child(base string) location { return location{name: path.Join(p.name, base)} }

func (n named) readlink(ctx context.Context, at location) (string, error) {
	return n.fsys.Readlink(ctx, at.name)
}

func (n named) open(ctx context.Context, at location) (File, error) { return n.fsys.Open(ctx, at.name) }

func (n named) mkdir(ctx context.Context, dir location, base string, set SetAttr) (location, error) {
	at := dir.child(base)
	return at, n.fsys.Mkdir(ctx, at.name, set)
}

func (n named) mknod(ctx context.Context, dir location, base string, a Attr, set SetAttr) (location, error) {
	at := dir.child(base)
	return at, n.fsys.Mknod(ctx, at.name, a.Kind, a.Major, a.Minor, set)
}

func (n named) symlink(ctx context.Context, target string, dir location, base string, set SetAttr) (location, error) {
	at := dir.child(base)
	return at, n.fsys.Symlink(ctx, target, at.name, set)
}

func (n named) link(ctx context.Context, file, dir location, base string) error {
	return n.fsys.Link(ctx, file.name, dir.child(base).name)
}

func (n named) create(ctx context.Context, dir location, base string, set SetAttr) (File, location, error) {
	at := dir.child(base)
	f, err := n.fsys.Create(ctx, at.name, set)
	return f, at, err
}

func (n named) setAttr(ctx context.Context, at location, set SetAttr) error {
	return n.fsys.SetAttr(ctx, at.name, set)
}

func (n named) remove(ctx context.Context, dir location, base string) error {
	return n.fsys.Remove(ctx, dir.child(base).name)
}

func (n named) rmdir(ctx context.Context, dir location, base string) error {
	return n.fsys.Rmdir(ctx, dir.child(base).name)
}

// within returns the location of the directory of name, and the last component.
func within(ctx context.Context, e engine, name string) (dir location, base string, err error) {
	if CheckPath(name) != nil || name == "." {
		return location{}, "", &fs.PathError{Op: "check", Path: name, Err: fs.ErrInvalid}
	}
	parent, base := split(name)
	dir, a, err := e.find(ctx, parent)
	if err == nil && a.Kind != Directory {
		err = &fs.PathError{Op: "lookup", Path: parent, Err: errors.New("not a directory")}
	}
	return dir, base, err
}
