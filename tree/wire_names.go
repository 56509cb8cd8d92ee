package tree

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"path"
	"syscall"

	"github.com/casit/berth/nfs"
)

// Stat implements FS, by the attributes that come with LOOKUP (RFC 1813
// §3.3.3), or GETATTR for the root.
func (w *Wire) Stat(ctx context.Context, name string) (a Attr, err error) {
	err = w.do(ctx, "stat", name, func() error {
		o, err := w.walk(ctx, name)
		a = attrOf(&o.attr)
		return err
	})
	if err != nil {
		return Attr{}, err
	}
	return a, nil
}

// attrOf makes an Attr of the attributes of a server. The kinds have the numbers of
// RFC 1813.
func attrOf(a *nfs.Attr) Attr {
	if a.FileID == 0 && a.Type != nfs.TypeDir {
		// A server that numbers no files: which names are one file is not known.
		alone := *a
		alone.Nlink = 1
		a = &alone
	}
	return Attr{
		Kind: Kind(a.Type), Mode: a.Mode, UID: a.UID, GID: a.GID, Nlink: a.Nlink,
		Size: signed(a.Size), Used: signed(a.Used), Major: a.Major, Minor: a.Minor,
		Device: a.FSID, FileID: a.FileID,
		Atime: a.Atime.Time(), Mtime: a.Mtime.Time(), Ctime: a.Ctime.Time(),
	}
}

// signed is a server's number as an int64: one that no disk has is the largest, and
// never less than nothing.
func signed(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// sattrOf makes a SETATTR of a change of attributes.
func sattrOf(set SetAttr) (s nfs.SetAttr) {
	if set.Mode != nil {
		s.Set, s.Mode = s.Set|nfs.SetMode, *set.Mode&0o7777
	}
	if set.UID != nil {
		s.Set, s.UID = s.Set|nfs.SetUID, *set.UID
	}
	if set.GID != nil {
		s.Set, s.GID = s.Set|nfs.SetGID, *set.GID
	}
	if set.Size != nil {
		s.Set, s.Size = s.Set|nfs.SetSize, uint64(*set.Size)
	}
	if set.Atime != nil {
		s.Set, s.Atime = s.Set|nfs.SetAtime, nfs.TimeOf(*set.Atime)
	}
	if set.Mtime != nil {
		s.Set, s.Mtime = s.Set|nfs.SetMtime, nfs.TimeOf(*set.Mtime)
	}
	return s
}

// missing returns what of s an object with the attributes a does not have. It does
// not compare access times and sizes.
func missing(s nfs.SetAttr, a *nfs.Attr) nfs.SetAttr {
	same := nfs.SetSize | nfs.SetAtime
	if a.Mode == s.Mode {
		same |= nfs.SetMode
	}
	if a.UID == s.UID {
		same |= nfs.SetUID
	}
	if a.GID == s.GID {
		same |= nfs.SetGID
	}
	if a.Mtime == s.Mtime {
		same |= nfs.SetMtime
	}
	s.Set &^= same
	return s
}

// ReadDir implements FS. NFSv3's plain listing does not tell kinds (RFC 1813
// §3.3.16), so it is ReadDirPlus.
func (w *Wire) ReadDir(ctx context.Context, name string, fn func(Entry) error) error {
	return w.ReadDirPlus(ctx, name, func(e EntryPlus) error { return fn(Entry{Name: e.Name, Kind: e.Attr.Kind}) })
}

// ReadDirPlus implements FS (RFC 1813 §3.3.17).
func (w *Wire) ReadDirPlus(ctx context.Context, name string, fn func(EntryPlus) error) error {
	var fnErr error
	seen := false
	err := w.do(ctx, "readdir", name, func() error {
		if seen {
			return fnErr // no second listing behind the first
		}
		dir, err := w.walkDir(ctx, name)
		if err != nil {
			return err
		}
		return w.client.List(ctx, dir, func(e *nfs.Entry) error {
			seen = true
			fnErr = fn(EntryPlus{Name: e.Name, Attr: attrOf(&e.Attr.Attr)})
			return fnErr
		})
	})
	if fnErr != nil {
		return fnErr
	}
	return err
}

// Readlink implements FS (RFC 1813 §3.3.5).
func (w *Wire) Readlink(ctx context.Context, name string) (target string, err error) {
	err = w.do(ctx, "readlink", name, func() error {
		o, err := w.walk(ctx, name)
		if err != nil {
			return err
		}
		if o.attr.Type != nfs.TypeLnk {
			return syscall.EINVAL
		}
		target, _, err = w.client.Readlink(ctx, o.handle)
		return err
	})
	return target, err
}

// Mkdir implements FS, with one MKDIR (RFC 1813 §3.3.9) if the server sets all
// attributes of it.
func (w *Wire) Mkdir(ctx context.Context, name string, set SetAttr) error {
	return w.in(ctx, "mkdir", name, func(dir nfs.Handle, base string) error {
		_, err := w.makeDir(ctx, dir, base, set)
		return err
	})
}

func (w *Wire) makeDir(ctx context.Context, dir nfs.Handle, base string, set SetAttr) (nfs.Handle, error) {
	nobody := uint32(0)
	given := set.Mode != nil
	if !given {
		set.Mode = &nobody
	}
	s := sattrOf(set)
	m, err := w.client.Mkdir(ctx, dir, base, s)
	if err != nil {
		return nfs.Handle{}, err
	}
	if !given {
		s.Set &^= nfs.SetMode // setgid may be inherited
	}
	o, err := w.complete(ctx, dir, base, m, s)
	if err != nil {
		// The directory is new and empty. Without its owner it must not stay.
		_, undoErr := w.client.Rmdir(context.WithoutCancel(ctx), dir, base)
		return nfs.Handle{}, errors.Join(err, undoErr)
	}
	return o.handle, nil
}

// complete sets those attributes of a new object that its making has not set.
func (w *Wire) complete(ctx context.Context, dir nfs.Handle, base string, m nfs.Made, s nfs.SetAttr) (object, error) {
	o := object{m.Object, m.Attr.Attr}
	var err error
	switch {
	case o.handle.IsZero():
		a := w.lookup(ctx, dir, base)
		o, err = a.object, a.err
	case !m.Attr.Present:
		o.attr, err = w.client.Getattr(ctx, o.handle)
	}
	if err != nil {
		return o, err
	}
	if rest := missing(s, &o.attr); rest.Set != 0 {
		o.attr, err = w.set(ctx, o.handle, rest)
	}
	return o, err
}

// set changes attributes, and returns the new ones. Some servers change the mode
// before the owner, and the change of owner takes setuid and setgid away. Then set
// sets the mode again.
func (w *Wire) set(ctx context.Context, h nfs.Handle, s nfs.SetAttr) (nfs.Attr, error) {
	for again := range 2 {
		wcc, err := w.client.Setattr(ctx, h, s, nil)
		a := wcc.After.Attr
		if err == nil && !wcc.After.Present {
			a, err = w.client.Getattr(ctx, h)
		}
		if err != nil || s.Set&nfs.SetMode == 0 || a.Mode == s.Mode || a.Type == nfs.TypeLnk || again == 1 {
			return a, err
		}
		s.Set &= nfs.SetMode
	}
	panic("not reached")
}

// Symlink implements FS (RFC 1813 §3.3.10). Some servers do not set a
// symlink's times; that is no error.
func (w *Wire) Symlink(ctx context.Context, target, name string, set SetAttr) error {
	return w.in(ctx, "symlink", name, func(dir nfs.Handle, base string) error {
		_, err := w.makeSymlink(ctx, target, dir, base, set)
		return err
	})
}

func (w *Wire) makeSymlink(ctx context.Context, target string, dir nfs.Handle, base string, set SetAttr) (object, error) {
	set.Mode, set.Size = nil, nil
	s := sattrOf(set)
	m, err := w.client.Symlink(ctx, dir, base, target, s)
	if err != nil {
		return object{}, err
	}
	return w.complete(ctx, dir, base, m, s)
}

// Mknod implements FS (RFC 1813 §3.3.11).
func (w *Wire) Mknod(ctx context.Context, name string, kind Kind, major, minor uint32, set SetAttr) error {
	return w.in(ctx, "mknod", name, func(dir nfs.Handle, base string) error {
		_, err := w.makeNode(ctx, dir, base, kind, major, minor, set)
		return err
	})
}

func (w *Wire) makeNode(ctx context.Context, dir nfs.Handle, base string, kind Kind, major, minor uint32, set SetAttr) (object, error) {
	switch kind {
	case FIFO, Socket, BlockDevice, CharDevice:
	default:
		return object{}, syscall.EINVAL
	}
	set.Size = nil
	s := sattrOf(set)
	m, err := w.client.Mknod(ctx, dir, base, nfs.Type(kind), major, minor, s)
	if err != nil {
		return object{}, err
	}
	return w.complete(ctx, dir, base, m, s)
}

// Link implements FS (RFC 1813 §3.3.15). If the request was sent again and the name is
// taken, the first request has made it, provided it is a name of the same file.
func (w *Wire) Link(ctx context.Context, oldName, newName string) error {
	if CheckPath(oldName) != nil {
		return &fs.PathError{Op: "link", Path: oldName, Err: fs.ErrInvalid}
	}
	return w.in(ctx, "link", newName, func(dir nfs.Handle, base string) error {
		o, err := w.walk(ctx, oldName)
		if err != nil {
			return err
		}
		if o.attr.Type == nfs.TypeDir {
			return syscall.EPERM
		}
		_, err = w.client.Link(ctx, o.handle, dir, base)
		return err
	})
}

// Rename implements FS (RFC 1813 §3.3.14). The old name is looked up first:
// its file id tells afterwards whether a request that had to be sent again was
// carried out the first time.
func (w *Wire) Rename(ctx context.Context, oldName, newName string) error {
	if CheckPath(newName) != nil {
		return &fs.PathError{Op: "rename", Path: newName, Err: fs.ErrInvalid}
	}
	return w.in(ctx, "rename", oldName, func(from nfs.Handle, base string) error {
		if err := ofRoot("rename", newName); err != nil {
			return err
		}
		parent, to := split(newName)
		toDir := from
		if parent != path.Dir(oldName) {
			var err error
			if toDir, err = w.walkDir(ctx, parent); err != nil {
				return err
			}
		}
		o := w.lookup(ctx, from, base)
		if o.err != nil {
			return o.err
		}
		_, err := w.client.Rename(ctx, from, base, toDir, to, o.attr.FileID)
		return err
	})
}

// Remove implements FS (RFC 1813 §3.3.12).
func (w *Wire) Remove(ctx context.Context, name string) error {
	return w.in(ctx, "remove", name, func(dir nfs.Handle, base string) error {
		_, err := w.client.Remove(ctx, dir, base)
		return err
	})
}

// Rmdir implements FS (RFC 1813 §3.3.13).
func (w *Wire) Rmdir(ctx context.Context, name string) error {
	return w.in(ctx, "rmdir", name, func(dir nfs.Handle, base string) error { return w.removeDir(ctx, dir, base) })
}

// removeDir removes an empty directory. Servers have two errors for a directory that
// is not empty.
func (w *Wire) removeDir(ctx context.Context, dir nfs.Handle, base string) error {
	_, err := w.client.Rmdir(ctx, dir, base)
	if nfs.StatusOf(err) == nfs.StatusExist {
		err = syscall.ENOTEMPTY
	}
	return err
}

// SetAttr implements FS, with one SETATTR (RFC 1813 §3.3.2). A symlink's mode
// is left alone.
func (w *Wire) SetAttr(ctx context.Context, name string, set SetAttr) error {
	return w.do(ctx, "setattr", name, func() error {
		o, err := w.walk(ctx, name)
		if err != nil {
			return err
		}
		return w.setObject(ctx, o, set)
	})
}

func (w *Wire) setObject(ctx context.Context, o object, set SetAttr) error {
	if set.Size != nil && o.attr.Type != nfs.TypeReg {
		return syscall.EINVAL
	}
	if o.attr.Type == nfs.TypeLnk {
		set.Mode = nil
	}
	s := sattrOf(set)
	if s.Set == 0 {
		return nil
	}
	_, err := w.set(ctx, o.handle, s)
	return err
}

// Statfs implements FS, by FSSTAT (RFC 1813 §3.3.18).
func (w *Wire) Statfs(ctx context.Context) (Space, error) { return w.statfsAt(ctx, ".") }

// statfsAt is Statfs as the directory name has it: with a project's or qtree's limit.
func (w *Wire) statfsAt(ctx context.Context, name string) (s Space, err error) {
	err = w.do(ctx, "statfs", name, func() error {
		o, err := w.space(ctx, name)
		s = Space{Total: signed(o.TotalBytes), Free: signed(o.FreeBytes), Avail: signed(o.AvailBytes),
			Files: signed(o.TotalFiles), FilesFree: signed(o.FreeFiles)}
		return err
	})
	return s, err
}

func (w *Wire) space(ctx context.Context, name string) (nfs.FSStat, error) {
	handle := w.client.Root()
	if name != "." {
		o, err := w.walk(ctx, name)
		if err != nil {
			return nfs.FSStat{}, err
		}
		handle = o.handle
	}
	return w.client.FSStat(ctx, handle)
}
