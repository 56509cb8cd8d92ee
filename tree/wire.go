package tree

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/casit/berth/nfs"
)

// Wire is an FS on an NFSv3 export, over our own client: no kernel mount is
// involved, so nothing of it can hang in the kernel. Names are looked up
// component by component from the export's root (LOOKUP, RFC 1813 §3.3.3);
// only the root's handle is kept, since any other name may be another
// directory a moment later.
type Wire struct {
	c    *nfs.Client
	root nfs.Handle
}

// OpenWire mounts target with the NFSv3 client. cfg may be nil.
func OpenWire(ctx context.Context, target nfs.Target, cfg *nfs.Config) (*Wire, error) {
	c, err := nfs.Dial(ctx, target, cfg)
	if err != nil {
		return nil, err
	}
	return &Wire{c: c, root: c.Root()}, nil
}

// RootID names the export's root on its server: another one after the export
// was made anew.
func (w *Wire) RootID() string { return w.root.String() }

// Close implements FS.
func (w *Wire) Close() error { return w.c.Close() }

// fail gives err the form that FS promises. A root that is gone is ErrAway.
func (w *Wire) fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, syscall.ESTALE) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if _, rootErr := w.c.Getattr(ctx, w.root); errors.Is(rootErr, syscall.ESTALE) {
			err = ErrAway
		} else {
			// Something below the root was removed while we were at it.
			err = syscall.ENOENT
		}
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// find returns the handle and attributes of name.
func (w *Wire) find(ctx context.Context, name string) (nfs.Handle, nfs.Attr, error) {
	if err := CheckPath(name); err != nil {
		return nfs.Handle{}, nfs.Attr{}, fs.ErrInvalid
	}
	h := w.root
	if name == "." {
		a, err := w.c.Getattr(ctx, h)
		return h, a, err
	}
	var attr nfs.Attr
	for rest, part := name, ""; rest != ""; {
		part, rest, _ = strings.Cut(rest, "/")
		r, err := w.c.Lookup(ctx, h, part)
		if err != nil {
			return nfs.Handle{}, nfs.Attr{}, err
		}
		h, attr = r.Object, r.Attr.Attr
		if !r.Attr.Present {
			if attr, err = w.c.Getattr(ctx, h); err != nil {
				return nfs.Handle{}, nfs.Attr{}, err
			}
		}
		switch {
		case rest != "" && attr.Type == nfs.TypeLnk:
			return nfs.Handle{}, nfs.Attr{}, syscall.ELOOP
		case rest != "" && attr.Type != nfs.TypeDir:
			return nfs.Handle{}, nfs.Attr{}, syscall.ENOTDIR
		}
	}
	return h, attr, nil
}

// in returns the handle of the directory of name, and its last component.
func (w *Wire) in(ctx context.Context, name string) (nfs.Handle, string, error) {
	if err := CheckPath(name); err != nil || name == "." {
		return nfs.Handle{}, "", fs.ErrInvalid
	}
	h, a, err := w.find(ctx, path.Dir(name))
	if err == nil && a.Type != nfs.TypeDir {
		err = syscall.ENOTDIR
	}
	return h, path.Base(name), err
}

func attrOf(a nfs.Attr) Attr {
	return Attr{
		Kind: Kind(a.Type), Mode: a.Mode, UID: a.UID, GID: a.GID, Nlink: a.Nlink,
		Size: int64(a.Size), Used: int64(a.Used), Major: a.Major, Minor: a.Minor, Device: a.FSID, FileID: a.FileID,
		Atime: a.Atime.Time(), Mtime: a.Mtime.Time(), Ctime: a.Ctime.Time(),
	}
}

func setOf(s SetAttr) nfs.SetAttr {
	var out nfs.SetAttr
	if s.Mode != nil {
		out.Set, out.Mode = out.Set|nfs.SetMode, *s.Mode
	}
	if s.UID != nil {
		out.Set, out.UID = out.Set|nfs.SetUID, *s.UID
	}
	if s.GID != nil {
		out.Set, out.GID = out.Set|nfs.SetGID, *s.GID
	}
	if s.Size != nil {
		out.Set, out.Size = out.Set|nfs.SetSize, uint64(*s.Size)
	}
	set := func(t *time.Time, field nfs.Fields, to *nfs.Time) {
		if t != nil {
			out.Set, *to = out.Set|field, nfs.TimeOf(*t)
		}
	}
	set(s.Atime, nfs.SetAtime, &out.Atime)
	set(s.Mtime, nfs.SetMtime, &out.Mtime)
	return out
}

// Stat implements FS.
func (w *Wire) Stat(ctx context.Context, name string) (Attr, error) {
	_, a, err := w.find(ctx, name)
	if err != nil {
		return Attr{}, w.fail("stat", name, err)
	}
	return attrOf(a), nil
}

// ReadDir implements FS by ReadDirPlus: READDIR tells no types.
func (w *Wire) ReadDir(ctx context.Context, name string, fn func(Entry) error) error {
	return w.ReadDirPlus(ctx, name, func(e EntryPlus) error { return fn(Entry{e.Name, e.Attr.Kind}) })
}

// ReadDirPlus implements FS.
func (w *Wire) ReadDirPlus(ctx context.Context, name string, fn func(EntryPlus) error) error {
	h, a, err := w.find(ctx, name)
	if err == nil && a.Type != nfs.TypeDir {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return w.fail("readdir", name, err)
	}
	var fnErr error
	err = w.c.List(ctx, h, func(e *nfs.Entry) error {
		if !e.Attr.Present {
			return nil // it vanished while it was listed
		}
		fnErr = fn(EntryPlus{e.Name, attrOf(e.Attr.Attr)})
		return fnErr
	})
	if fnErr != nil {
		return fnErr
	}
	return w.fail("readdir", name, err)
}

// Readlink implements FS.
func (w *Wire) Readlink(ctx context.Context, name string) (string, error) {
	h, a, err := w.find(ctx, name)
	if err == nil && a.Type != nfs.TypeLnk {
		err = syscall.EINVAL
	}
	if err != nil {
		return "", w.fail("readlink", name, err)
	}
	target, _, err := w.c.Readlink(ctx, h)
	return target, w.fail("readlink", name, err)
}

// Mkdir implements FS: one call, with all attributes.
func (w *Wire) Mkdir(ctx context.Context, name string, set SetAttr) error {
	dir, base, err := w.in(ctx, name)
	if err == nil {
		if set.Mode == nil {
			none := uint32(0)
			set.Mode = &none
		}
		_, err = w.c.Mkdir(ctx, dir, base, setOf(set))
	}
	return w.fail("mkdir", name, err)
}

// Symlink implements FS.
func (w *Wire) Symlink(ctx context.Context, target, name string, set SetAttr) error {
	dir, base, err := w.in(ctx, name)
	if err == nil {
		_, err = w.c.Symlink(ctx, dir, base, target, setOf(set))
	}
	return w.fail("symlink", name, err)
}

// Mknod implements FS.
func (w *Wire) Mknod(ctx context.Context, name string, kind Kind, major, minor uint32, set SetAttr) error {
	dir, base, err := w.in(ctx, name)
	if err == nil {
		_, err = w.c.Mknod(ctx, dir, base, nfs.Type(kind), major, minor, setOf(set))
	}
	return w.fail("mknod", name, err)
}

// Link implements FS.
func (w *Wire) Link(ctx context.Context, oldName, newName string) error {
	file, _, err := w.find(ctx, oldName)
	if err != nil {
		return w.fail("link", oldName, err)
	}
	dir, base, err := w.in(ctx, newName)
	if err == nil {
		_, err = w.c.Link(ctx, file, dir, base)
	}
	return w.fail("link", newName, err)
}

// Rename implements FS.
func (w *Wire) Rename(ctx context.Context, oldName, newName string) error {
	from, oldBase, err := w.in(ctx, oldName)
	if err != nil {
		return w.fail("rename", oldName, err)
	}
	was, err := w.c.Lookup(ctx, from, oldBase)
	if err != nil {
		return w.fail("rename", oldName, err)
	}
	to, newBase, err := w.in(ctx, newName)
	if err == nil {
		_, err = w.c.Rename(ctx, from, oldBase, to, newBase, was.Attr.FileID)
	}
	return w.fail("rename", newName, err)
}

// Remove implements FS.
func (w *Wire) Remove(ctx context.Context, name string) error {
	dir, base, err := w.in(ctx, name)
	if err == nil {
		_, err = w.c.Remove(ctx, dir, base)
	}
	return w.fail("remove", name, err)
}

// Rmdir implements FS.
func (w *Wire) Rmdir(ctx context.Context, name string) error {
	dir, base, err := w.in(ctx, name)
	if err == nil {
		_, err = w.c.Rmdir(ctx, dir, base)
	}
	return w.fail("rmdir", name, err)
}

// SetAttr implements FS.
func (w *Wire) SetAttr(ctx context.Context, name string, set SetAttr) error {
	h, a, err := w.find(ctx, name)
	if err == nil {
		if a.Type == nfs.TypeLnk {
			set.Mode = nil
		}
		_, err = w.c.Setattr(ctx, h, setOf(set), nil)
	}
	return w.fail("setattr", name, err)
}

// Statfs implements FS.
func (w *Wire) Statfs(ctx context.Context) (Space, error) {
	s, err := w.c.FSStat(ctx, w.root)
	if err != nil {
		return Space{}, w.fail("statfs", ".", err)
	}
	return Space{Total: int64(s.TotalBytes), Free: int64(s.FreeBytes), Avail: int64(s.AvailBytes),
		Files: int64(s.TotalFiles), FilesFree: int64(s.FreeFiles)}, nil
}

// wireFile is an open file of a Wire: a handle.
type wireFile struct {
	w    *Wire
	name string
	h    nfs.Handle
}

// Open implements FS.
func (w *Wire) Open(ctx context.Context, name string) (File, error) {
	h, a, err := w.find(ctx, name)
	if err == nil {
		switch a.Type {
		case nfs.TypeReg:
			return &wireFile{w, name, h}, nil
		case nfs.TypeDir:
			err = syscall.EISDIR
		case nfs.TypeLnk:
			err = syscall.ELOOP
		default:
			err = syscall.ENXIO
		}
	}
	return nil, w.fail("open", name, err)
}

// Create implements FS.
func (w *Wire) Create(ctx context.Context, name string, set SetAttr) (File, error) {
	dir, base, err := w.in(ctx, name)
	if err != nil {
		return nil, w.fail("create", name, err)
	}
	if set.Mode == nil {
		private := uint32(0o600)
		set.Mode = &private
	}
	made, err := w.c.Create(ctx, dir, base, nfs.Guarded, setOf(set))
	if err == nil && made.Object.IsZero() {
		var r nfs.LookupResult
		r, err = w.c.Lookup(ctx, dir, base)
		made.Object = r.Object
	}
	if err != nil {
		return nil, w.fail("create", name, err)
	}
	return &wireFile{w, name, made.Object}, nil
}

// ReadAt implements File.
func (f *wireFile) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n, err := f.w.c.ReadAt(ctx, f.h, p, off)
	if err == io.EOF {
		return n, err
	}
	return n, f.w.fail("read", f.name, err)
}

// WriteAt implements File. What it wrote is on stable storage when it returns.
func (f *wireFile) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if _, err := f.w.c.Store(ctx, f.h, shifted{p, off}, nfs.Range{Offset: off, Length: int64(len(p))}); err != nil {
		return 0, f.w.fail("write", f.name, err)
	}
	return len(p), nil
}

// shifted is data as if it began at an offset.
type shifted struct {
	data []byte
	off  int64
}

func (s shifted) ReadAt(p []byte, off int64) (int, error) {
	n := copy(p, s.data[off-s.off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Stat implements File.
func (f *wireFile) Stat(ctx context.Context) (Attr, error) {
	a, err := f.w.c.Getattr(ctx, f.h)
	return attrOf(a), f.w.fail("stat", f.name, err)
}

// SetAttr implements File.
func (f *wireFile) SetAttr(ctx context.Context, set SetAttr) error {
	_, err := f.w.c.Setattr(ctx, f.h, setOf(set), nil)
	return f.w.fail("setattr", f.name, err)
}

// Sync implements File: WriteAt has done it.
func (f *wireFile) Sync(context.Context) error { return nil }

// Close implements File: NFSv3 has no open files.
func (f *wireFile) Close() error { return nil }
