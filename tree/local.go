package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Local is an FS on a directory of this host: a local disk's, or one that the
// host has mounted. Names are resolved by openat2 below an open handle, with
// no symlink and no ".." anywhere.
//
// System calls cannot be interrupted, and on a dead NFS mount they hang; so
// each runs apart, and its caller waits for it only as long as its context
// lasts. At most maxStuck calls run at once: past that, a caller waits for a
// place.
type Local struct {
	*handle
	// deferred leaves it to SyncAll to put names on stable storage.
	deferred bool
	// trees are those that an engine stays in. They are set before it works.
	trees []bound
}

// handle is the open root, closed when nobody is at work below it.
type handle struct {
	dir      string // as it was named
	fd       int
	remote   bool          // on an NFS server: what it has answered is on stable storage
	dev, ino uint64        // of fd
	magic    int64         // the type of its filesystem (statfs(2))
	slots    chan struct{} // one token for each call at work
	// cloneless are the devices that have refused to clone a file.
	cloneless sync.Map

	mu     sync.Mutex // guards the fields below
	users  int        // calls at work
	closed bool
}

const maxStuck = 64

// OpenLocal opens the directory dir as the root of a filesystem. dir itself
// may be reached through symlinks.
func OpenLocal(ctx context.Context, dir string) (*Local, error) {
	h := &handle{dir: dir, fd: -1, slots: make(chan struct{}, maxStuck)}
	l := &Local{handle: h}
	opened, err := call(ctx, l, "open", dir, func() (*Local, error) {
		fd, err := ignoringEINTR2(func() (int, error) {
			return unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		})
		if err != nil {
			return nil, err
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			unix.Close(fd)
			return nil, err
		}
		probe, err := lookup(fd, ".", unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("openat2: %w (Linux 5.6 is needed)", err)
		}
		unix.Close(probe)
		var on unix.Statfs_t
		if err := unix.Fstatfs(fd, &on); err != nil {
			unix.Close(fd)
			return nil, err
		}
		h.fd, h.dev, h.ino, h.magic = fd, st.Dev, st.Ino, int64(uint32(on.Type))
		h.remote = h.magic == unix.NFS_SUPER_MAGIC
		return l, nil
	}, func(l *Local) { l.Close() })
	return opened, err
}

// Handle returns the root's file descriptor, valid until Close.
func (l *Local) Handle() int { return l.fd }

// Path returns the directory's name as it was given.
func (l *Local) Path() string { return l.dir }

// Deferred returns the same filesystem for bulk work in a place that nobody
// sees yet: names are put on stable storage by SyncAll, not one by one.
func (l *Local) Deferred() FS { return &Local{handle: l.handle, deferred: true, trees: l.trees} }

// SyncAll puts the whole filesystem on stable storage.
func (l *Local) SyncAll(ctx context.Context) error {
	return do(ctx, l, "sync", ".", func() error { return unix.Syncfs(l.fd) })
}

// Check returns an error that matches ErrAway unless the directory under the
// root's name is still the one that was opened: a handle follows a directory
// that is moved, and sees the one under a mount that went away.
func (l *Local) Check(ctx context.Context) error {
	return do(ctx, l, "check", ".", l.check)
}

func (l *Local) check() error {
	var st unix.Stat_t
	if err := unix.Stat(l.dir, &st); err != nil || st.Dev != l.dev || st.Ino != l.ino {
		return ErrAway
	}
	return nil
}

// Close closes the root once the calls at work have ended.
func (l *Local) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	if l.users > 0 || l.fd < 0 {
		return nil
	}
	return unix.Close(l.fd)
}

func (h *handle) enter() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return fs.ErrClosed
	}
	h.users++
	return nil
}

func (h *handle) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.users--; h.users == 0 && h.closed && h.fd >= 0 {
		unix.Close(h.fd)
	}
}

// call runs f apart and waits for it as long as ctx lasts. What an abandoned f
// returns in the end is given to drop.
func call[T any](ctx context.Context, l *Local, op, name string, f func() (T, error), drop func(T)) (T, error) {
	var none T
	fail := func(err error) (T, error) {
		if p, ok := err.(*fs.PathError); ok {
			p.Op = op // of another name, whose fault it is
			return none, p
		}
		return none, &fs.PathError{Op: op, Path: name, Err: err}
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return fail(ctx.Err())
	}
	if err := l.enter(); err != nil {
		<-l.slots
		return fail(err)
	}
	type result struct {
		v   T
		err error
	}
	done := make(chan result)
	go func() {
		v, err := f()
		l.leave()
		<-l.slots
		select {
		case done <- result{v, err}:
		case <-ctx.Done():
			if err == nil && drop != nil {
				drop(v)
			}
		}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return fail(r.err)
		}
		return r.v, nil
	case <-ctx.Done():
		return fail(ctx.Err())
	}
}

// do is call for what returns nothing.
func do(ctx context.Context, l *Local, op, name string, f func() error) error {
	_, err := call(ctx, l, op, name, func() (struct{}, error) { return struct{}{}, f() }, nil)
	return err
}

// change is do for what makes, renames, removes or changes a name: f does it,
// and changed says whose names, and whose attributes, are on stable storage
// afterwards.
//
// The root is checked first, and ctx again behind all that may hang before f:
// a change that its caller gave up long ago is not made when a server comes
// back.
func (l *Local) change(ctx context.Context, op, name string, changed changed, f func(dir int, base string) error) error {
	return do(ctx, l, op, name, func() error {
		if err := ofRoot(op, name); err != nil {
			return err
		}
		if err := l.check(); err != nil {
			return err
		}
		return l.in(name, func(dir int, base string) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := f(dir, base); err != nil {
				return because(err, dir, name)
			}
			if !l.durable() {
				return nil
			}
			if changed&itsAttr != 0 {
				if err := l.syncAt(dir, base); err != nil {
					return err
				}
			}
			if changed&itsName != 0 {
				return l.syncAt(dir, ".")
			}
			return nil
		})
	})
}

// changed is what a change is to put on stable storage.
type changed uint8

const (
	itsName changed = 1 << iota
	itsAttr
)

// durable tells whether each change is put on stable storage by itself.
func (l *Local) durable() bool { return !l.deferred && !l.remote }

// ofRoot is why a name cannot be made, renamed or removed if it is the root's,
// in the same words on every filesystem.
func ofRoot(op, name string) error {
	if name != "." {
		return nil
	}
	switch op {
	case "mkdir", "create", "symlink", "mknod", "link":
		return unix.EEXIST
	case "rename", "remove", "rmdir":
		return unix.EBUSY
	}
	return nil
}

// syncAt puts what base in dir is on stable storage: a directory's names, and
// the attributes.
func (l *Local) syncAt(dir int, base string) error {
	fd, err := unix.Openat(dir, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	a, err := statx(fd, "", unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	if a.Kind == Directory || a.Kind == Regular {
		open, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			defer unix.Close(open)
			return tolerable(unix.Fsync(open))
		}
		if !errors.Is(err, unix.EACCES) {
			return err
		}
	}
	// What cannot be opened, or not without consequences, goes with all the rest.
	return tolerable(unix.Syncfs(l.fd))
}

// tolerable takes off the errors of filesystems that have nothing to sync.
func tolerable(err error) error {
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EROFS) {
		return nil
	}
	return err
}

func ignoringEINTR2(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
