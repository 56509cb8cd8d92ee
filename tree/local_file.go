package tree

import (
	"context"
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// localFile is an open regular file of a Local.
type localFile struct {
	l    *Local
	name string
	f    *os.File
}

// Open implements FS. The name is looked at before it is opened: opening a
// device or a FIFO would do something.
func (l *Local) Open(ctx context.Context, name string) (File, error) {
	f, err := call(ctx, l, "open", name, func() (*os.File, error) {
		fd, err := l.openat(name, unix.O_PATH|unix.O_NOFOLLOW)
		if err != nil {
			return nil, err
		}
		defer unix.Close(fd)
		a, err := statx(fd, "", unix.AT_EMPTY_PATH)
		if err != nil {
			return nil, err
		}
		switch a.Kind {
		case Regular:
		case Directory:
			return nil, unix.EISDIR
		case Symlink:
			return nil, unix.ELOOP
		default:
			return nil, unix.ENXIO
		}
		proc := "/proc/self/fd/" + strconv.Itoa(fd)
		f, err := os.OpenFile(proc, os.O_RDWR, 0)
		if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ETXTBSY) {
			f, err = os.OpenFile(proc, os.O_RDONLY, 0)
		}
		return f, bare(err)
	}, func(f *os.File) { f.Close() })
	if err != nil {
		return nil, err
	}
	return &localFile{l, name, f}, nil
}

// Create implements FS.
func (l *Local) Create(ctx context.Context, name string, set SetAttr) (File, error) {
	f, err := call(ctx, l, "create", name, func() (f *os.File, err error) {
		if err := l.check(); err != nil {
			return nil, err
		}
		err = l.in(name, func(dir int, base string) error {
			fd, err := unix.Openat(dir, base, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
			if err != nil {
				return err
			}
			f = os.NewFile(uintptr(fd), name)
			if err := setFile(f, set); err != nil {
				f.Close()
				return err
			}
			return nil
		})
		return f, err
	}, func(f *os.File) { f.Close() })
	if err != nil {
		return nil, err
	}
	return &localFile{l, name, f}, nil
}

// bare takes the path that os added off a system error: ours is added later.
func bare(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// ReadAt implements File.
func (f *localFile) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	// The buffer is the caller's again when ctx ends: read into another.
	type got struct {
		data []byte
		err  error
	}
	if ctx.Done() == nil {
		return f.f.ReadAt(p, off)
	}
	r, err := call(ctx, f.l, "read", f.name, func() (got, error) {
		buf := make([]byte, len(p))
		n, err := f.f.ReadAt(buf, off)
		return got{buf[:n], err}, nil
	}, nil)
	if err != nil {
		return 0, err
	}
	return copy(p, r.data), bare(r.err)
}

// WriteAt implements File.
func (f *localFile) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	data := append([]byte(nil), p...)
	return call(ctx, f.l, "write", f.name, func() (int, error) {
		n, err := f.f.WriteAt(data, off)
		return n, bare(err)
	}, nil)
}

// Stat implements File.
func (f *localFile) Stat(ctx context.Context) (Attr, error) {
	return call(ctx, f.l, "stat", f.name, func() (Attr, error) {
		var a Attr
		err := withFd(f.f, func(fd int) (err error) {
			a, err = statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_FORCE_SYNC)
			return err
		})
		return a, err
	}, nil)
}

// SetAttr implements File.
func (f *localFile) SetAttr(ctx context.Context, set SetAttr) error {
	return do(ctx, f.l, "setattr", f.name, func() error { return setFile(f.f, set) })
}

// withFd runs use while f cannot be closed under it: a call that hung may go
// on after its file was given up.
func withFd(f *os.File, use func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return bare(err)
	}
	if ctlErr := raw.Control(func(fd uintptr) { err = use(int(fd)) }); ctlErr != nil {
		return bare(ctlErr)
	}
	return err
}

func setFile(f *os.File, set SetAttr) error {
	return withFd(f, func(fd int) error { return setFd(fd, set) })
}

func setFd(fd int, set SetAttr) error {
	if set.Size != nil {
		if err := unix.Ftruncate(fd, *set.Size); err != nil {
			return err
		}
	}
	if set.UID != nil || set.GID != nil {
		if err := unix.Fchown(fd, idOf(set.UID), idOf(set.GID)); err != nil {
			return err
		}
	}
	if set.Mode != nil {
		if err := unix.Fchmod(fd, *set.Mode&0o7777); err != nil {
			return err
		}
	}
	if set.Atime != nil || set.Mtime != nil {
		return unix.UtimesNanoAt(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), []unix.Timespec{timeOf(set.Atime), timeOf(set.Mtime)}, 0)
	}
	return nil
}

// Sync implements File.
func (f *localFile) Sync(ctx context.Context) error {
	return do(ctx, f.l, "sync", f.name, func() error { return bare(f.f.Sync()) })
}

// Close implements File. It does not wait for calls that hang.
func (f *localFile) Close() error { return bare(f.f.Close()) }
