package tree

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// localFile is an open regular file of a Local.
type localFile struct {
	l    *Local
	name string
	f    *os.File
}

// Open implements FS.
func (l *Local) Open(ctx context.Context, name string) (File, error) {
	return l.openFile(ctx, name, unix.O_RDONLY)
}

// OpenWrite implements FS.
func (l *Local) OpenWrite(ctx context.Context, name string) (File, error) {
	return l.openFile(ctx, name, unix.O_RDWR)
}

func (l *Local) openFile(ctx context.Context, name string, flags int) (File, error) {
	f, err := ask(ctx, l, "open", name, func() (*os.File, error) {
		fd, err := l.openRegular(name, flags)
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(fd), name), nil
	}, func(f *os.File) { f.Close() })
	if err != nil {
		return nil, err
	}
	return &localFile{l, name, f}, nil
}

// openRegular opens a regular file, and nothing else: to open a device or a FIFO has
// effects, and may wait.
func (l *Local) openRegular(name string, flags int) (int, error) {
	fd, err := l.openat(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	a, err := statx(fd, "", unix.AT_EMPTY_PATH)
	if err != nil {
		return -1, err
	}
	switch a.Kind {
	case Regular:
		return l.reopen(fd, flags)
	case Directory:
		return -1, unix.EISDIR
	case Symlink:
		return -1, unix.ELOOP
	}
	return -1, unix.ENXIO
}

// reopen opens the regular file of a descriptor that was opened with O_PATH.
//
// Programs use the file meanwhile. So reading leaves no trace: it is opened for
// reading alone, since a descriptor for writing would make execve(2) fail (ETXTBSY)
// and its close would tell watchers of a write; and its atime stays, where the owner or
// root asks (O_NOATIME). O_NONBLOCK is for the open alone: where a program has a lease
// on the file (fcntl(2), F_SETLEASE), an open would wait for that program.
func (l *Local) reopen(fd, flags int) (int, error) {
	proc := "/proc/self/fd/" + strconv.Itoa(fd)
	flags |= unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	if flags&unix.O_ACCMODE == unix.O_RDONLY {
		flags |= unix.O_NOATIME
	}
	open := func() (int, error) { return unix.Open(proc, flags, 0) }
	out, err := ignoringEINTR2(open)
	if errors.Is(err, unix.EPERM) && flags&unix.O_NOATIME != 0 {
		flags &^= unix.O_NOATIME
		out, err = ignoringEINTR2(open)
	}
	// Now the program is asked to give the lease back.
	for begin := time.Now(); errors.Is(err, unix.EAGAIN); out, err = ignoringEINTR2(open) {
		if time.Since(begin) > leaseWait || l.patience.ended() {
			return -1, ErrHeld
		}
		time.Sleep(leaseWait / 50)
		l.patience.take(leaseWait / 50)
	}
	if err != nil {
		return -1, err
	}
	return out, unix.SetNonblock(out, false)
}

// Create implements FS.
func (l *Local) Create(ctx context.Context, name string, set SetAttr) (File, error) {
	f, err := call(ctx, l, "create", name, func() (f *os.File, err error) {
		if err := ofRoot("create", name); err != nil {
			return nil, err
		}
		if err := l.check(); err != nil {
			return nil, err
		}
		err = l.in(name, func(dir int, base string) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			fd, err := unix.Openat(dir, base, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
			if err != nil {
				return because(err, dir, name)
			}
			f = os.NewFile(uintptr(fd), name)
			err = setFile(f, set)
			if err == nil && l.durable() {
				if err = bare(f.Sync()); err == nil {
					err = l.syncAt(dir, ".")
				}
			}
			if err != nil {
				f.Close()
			}
			return err
		})
		return f, err
	}, func(f *os.File) { f.Close() })
	if err != nil {
		return nil, err
	}
	return &localFile{l, name, f}, nil
}

// bare removes the path that package os added to a system error. Our path is added
// later.
func bare(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// ReadAt implements File.
func (f *localFile) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	// When ctx ends, the buffer belongs to the caller again, so an abandoned call
	// must not read into it.
	type got struct {
		data []byte
		err  error
	}
	if ctx.Done() == nil {
		return f.f.ReadAt(p, off)
	}
	r, err := ask(ctx, f.l, "read", f.name, func() (got, error) {
		buf := spare(len(p))
		n, err := f.f.ReadAt(buf, off)
		return got{buf[:n], err}, nil
	}, nil)
	if err != nil {
		return 0, err
	}
	defer reuse(r.data)
	return copy(p, r.data), bare(r.err)
}

// chunks are the buffers of calls that have ended.
var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// spare returns a buffer of n bytes.
func spare(n int) []byte {
	if n <= holeBlock || n > chunk {
		return make([]byte, n)
	}
	return chunks.Get().(*[chunk]byte)[:n]
}

// reuse takes back a buffer.
func reuse(b []byte) {
	if cap(b) == chunk {
		chunks.Put((*[chunk]byte)(b[:chunk]))
	}
}

// WriteAt implements File.
func (f *localFile) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	data := spare(len(p))
	copy(data, p)
	return call(ctx, f.l, "write", f.name, func() (int, error) {
		defer reuse(data)
		n, err := f.f.WriteAt(data, off)
		return n, bare(err)
	}, nil)
}

// data implements sparse (lseek(2), SEEK_DATA and SEEK_HOLE). A filesystem without
// holes says that all is data.
func (f *localFile) data(ctx context.Context, off int64) (from, to int64, err error) {
	type extent struct{ from, to int64 }
	e, err := ask(ctx, f.l, "seek", f.name, func() (e extent, err error) {
		err = withFd(f.f, func(fd int) (err error) {
			e.from, err = unix.Seek(fd, off, unix.SEEK_DATA)
			switch {
			case errors.Is(err, unix.ENXIO): // no more data
				e = extent{math.MaxInt64, math.MaxInt64}
				return nil
			case errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP):
				e = extent{off, math.MaxInt64}
				return nil
			case err != nil:
				return err
			}
			e.to, err = unix.Seek(fd, e.from, unix.SEEK_HOLE)
			if errors.Is(err, unix.ENXIO) { // the file was cut off meanwhile; reading shows it
				e.to, err = math.MaxInt64, nil
			}
			return err
		})
		return e, err
	}, nil)
	return e.from, e.to, err
}

// Stat implements File.
func (f *localFile) Stat(ctx context.Context) (Attr, error) {
	return ask(ctx, f.l, "stat", f.name, func() (Attr, error) {
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
	return do(ctx, f.l, "setattr", f.name, func() error {
		if err := setFile(f.f, set); err != nil {
			_ = withFd(f.f, func(fd int) error { err = becauseOf(err, fd, f.name); return nil })
			return err
		}
		if !f.l.durable() {
			return nil
		}
		return bare(f.f.Sync())
	})
}

// withFd runs use with the file descriptor. f is not closed before use returns: a
// call that hangs may go on after its caller has given up.
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

// setFd changes an open file in the same order as setAttr: chown takes setuid and
// setgid bits away, and so may a change of the size.
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

// closeWait is how long Close waits. The system does not close a file with unwritten
// data on a dead NFS mount before the server is back.
const closeWait = 2 * time.Second

// Close implements File. It does not wait for calls that hang. After closeWait it
// returns os.ErrDeadlineExceeded, and a goroutine goes on to close the file.
func (f *localFile) Close() error {
	done := make(chan error, 1)
	go func() { done <- bare(f.f.Close()) }()
	return closed(f.name, done, closeWait)
}

// closed waits until a Close has ended.
func closed(name string, done <-chan error, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return &fs.PathError{Op: "close", Path: name, Err: os.ErrDeadlineExceeded}
	}
}
