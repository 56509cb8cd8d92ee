package tree

import (
	"context"
	"io/fs"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

type Local struct {
	dir  string
	root int
}

func OpenLocal(ctx context.Context, dir string) (*Local, error) {
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_RDONLY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return &Local{dir: dir, root: fd}, nil
}
func (l *Local) Handle() int  { return l.root }
func (l *Local) Path() string { return l.dir }
func (l *Local) Close() error { return unix.Close(l.root) }
func (l *Local) Check(ctx context.Context) error {
	var a, b unix.Stat_t
	if unix.Fstat(l.root, &a) != nil || unix.Stat(l.dir, &b) != nil || a.Ino != b.Ino || a.Dev != b.Dev {
		return ErrAway
	}
	return ctx.Err()
}
func (l *Local) at(name string, flags int, mode uint32) (int, error) {
	if err := CheckPath(name); err != nil {
		return -1, err
	}
	return unix.Openat2(l.root, name, &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Mode: uint64(mode), Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS})
}
func (l *Local) parent(name string) (int, string, error) {
	fd, err := l.at(path.Dir(name), unix.O_PATH|unix.O_DIRECTORY, 0)
	return fd, path.Base(name), err
}
func (l *Local) do(ctx context.Context, op, name string, change bool, f func(p int, base string) error) error {
	if err := ctx.Err(); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	if change {
		if err := l.Check(ctx); err != nil {
			return &fs.PathError{Op: op, Path: name, Err: err}
		}
	}
	p, base, err := l.parent(name)
	if err == nil {
		err = f(p, base)
		unix.Close(p)
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}
func attrOf(s *unix.Statx_t) Attr {
	k := map[uint16]Kind{unix.S_IFREG: Regular, unix.S_IFDIR: Directory, unix.S_IFLNK: Symlink, unix.S_IFIFO: FIFO, unix.S_IFSOCK: Socket, unix.S_IFBLK: BlockDevice, unix.S_IFCHR: CharDevice}[s.Mode&unix.S_IFMT]
	tm := func(t unix.StatxTimestamp) time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }
	return Attr{Kind: k, Mode: uint32(s.Mode & 07777), UID: s.Uid, GID: s.Gid, Nlink: s.Nlink, Size: int64(s.Size), Used: int64(s.Blocks) * 512, Device: unix.Mkdev(s.Dev_major, s.Dev_minor), FileID: s.Ino, Atime: tm(s.Atime), Mtime: tm(s.Mtime), Ctime: tm(s.Ctime)}
}
func (l *Local) Stat(ctx context.Context, name string) (a Attr, err error) {
	err = l.do(ctx, "stat", name, false, func(p int, base string) error {
		var st unix.Statx_t
		if err := unix.Statx(p, base, unix.AT_SYMLINK_NOFOLLOW|unix.AT_STATX_FORCE_SYNC, unix.STATX_BASIC_STATS, &st); err != nil {
			return err
		}
		a = attrOf(&st)
		return nil
	})
	return a, err
}
func (l *Local) ReadDir(ctx context.Context, name string, fn func(Entry) error) error {
	return l.ReadDirPlus(ctx, name, func(e EntryPlus) error { return fn(Entry{e.Name, e.Attr.Kind}) })
}
func (l *Local) ReadDirPlus(ctx context.Context, name string, fn func(EntryPlus) error) error {
	fd, err := l.at(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		var st unix.Statx_t
		if unix.Statx(fd, n, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &st) != nil {
			continue
		}
		if err := fn(EntryPlus{n, attrOf(&st)}); err != nil {
			return err
		}
	}
	return nil
}
func (l *Local) Readlink(ctx context.Context, name string) (string, error) { panic("x") }
func (l *Local) Open(ctx context.Context, name string) (File, error) {
	fd, err := l.at(name, unix.O_RDWR, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &localFile{os.NewFile(uintptr(fd), name)}, nil
}
func (l *Local) Create(ctx context.Context, name string, set SetAttr) (f File, err error) {
	err = l.do(ctx, "create", name, true, func(p int, base string) error {
		fd, err := unix.Openat(p, base, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
		if err == nil {
			f = &localFile{os.NewFile(uintptr(fd), name)}
		}
		return err
	})
	return f, err
}
func (l *Local) Mkdir(ctx context.Context, name string, set SetAttr) error {
	err := l.do(ctx, "mkdir", name, true, func(p int, base string) error { return unix.Mkdirat(p, base, 0) })
	if err != nil {
		return err
	}
	return l.SetAttr(ctx, name, set)
}
func (l *Local) Symlink(ctx context.Context, target, name string, set SetAttr) error { panic("x") }
func (l *Local) Mknod(ctx context.Context, name string, kind Kind, major, minor uint32, set SetAttr) error {
	panic("x")
}
func (l *Local) Link(ctx context.Context, o, n string) error {
	return l.do(ctx, "link", o, true, func(p int, base string) error {
		return l.do(ctx, "link", n, true, func(q int, nb string) error { return unix.Linkat(p, base, q, nb, 0) })
	})
}
func (l *Local) Rename(ctx context.Context, o, n string) error {
	return l.do(ctx, "rename", o, true, func(p int, base string) error {
		return l.do(ctx, "rename", n, true, func(q int, nb string) error { return unix.Renameat(p, base, q, nb) })
	})
}
func (l *Local) Remove(ctx context.Context, name string) error {
	return l.do(ctx, "remove", name, true, func(p int, base string) error { return unix.Unlinkat(p, base, 0) })
}
func (l *Local) Rmdir(ctx context.Context, name string) error {
	return l.do(ctx, "rmdir", name, true, func(p int, base string) error { return unix.Unlinkat(p, base, unix.AT_REMOVEDIR) })
}
func (l *Local) SetAttr(ctx context.Context, name string, set SetAttr) error {
	return l.do(ctx, "setattr", name, true, func(p int, base string) error {
		if set.UID != nil {
			unix.Fchownat(p, base, int(*set.UID), -1, unix.AT_SYMLINK_NOFOLLOW)
		}
		if set.GID != nil {
			unix.Fchownat(p, base, -1, int(*set.GID), unix.AT_SYMLINK_NOFOLLOW)
		}
		if set.Mode != nil {
			return unix.Fchmodat(p, base, *set.Mode, 0)
		}
		return nil
	})
}
func (l *Local) Statfs(ctx context.Context) (Space, error) {
	var s unix.Statfs_t
	err := unix.Fstatfs(l.root, &s)
	return Space{Total: int64(s.Blocks) * s.Bsize, Free: int64(s.Bfree) * s.Bsize, Avail: int64(s.Bavail) * s.Bsize}, err
}

type localFile struct{ f *os.File }

func (f *localFile) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	return f.f.ReadAt(p, off)
}
func (f *localFile) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	return f.f.WriteAt(p, off)
}
func (f *localFile) Stat(ctx context.Context) (Attr, error) {
	var st unix.Statx_t
	err := unix.Statx(int(f.f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &st)
	return attrOf(&st), err
}
func (f *localFile) SetAttr(ctx context.Context, set SetAttr) error { return nil }
func (f *localFile) Sync(ctx context.Context) error                 { return nil }
func (f *localFile) Close() error                                   { return f.f.Close() }
