package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casit/berth/nfs"
)

// Local is an FS on a directory of this host: a local disk's, or one that the
// host has mounted. Names are resolved by openat2 below an open handle, with
// no symlink and no ".." anywhere.
//
// System calls cannot be interrupted, and on a dead NFS mount they hang. So each
// call runs in a goroutine of its own, and its caller waits for it only until the
// context ends. At most maxStuck calls run at once, and maxUrgent of urgent ones;
// further callers wait. Calls that only read and were given up do not count, until
// maxCalls run.
type Local struct {
	*handle
	// deferred says that only SyncAll puts names on stable storage.
	deferred bool
	// trees are the trees whose mounts an engine does not leave. They are set
	// before the engine begins.
	trees []bound
	// patience is that of an engine; nil outside of one.
	patience *patience
}

// handle is the open root. It is closed when the last call has ended.
type handle struct {
	dir      string // as the caller named it
	fd       int
	remote   bool          // on an NFS server, whose answer means that a change is on stable storage
	dev, ino uint64        // of fd
	magic    int64         // the type of its filesystem (statfs(2))
	slots    chan struct{} // one token for each call that runs, and was not given up
	urgent   chan struct{} // the same for urgent calls
	wait     time.Duration // fileWait
	stuck    stuck
	// cloneless are the devices that have refused to clone a file.
	cloneless sync.Map

	mu     sync.Mutex // guards the fields below
	users  int        // calls that run
	closed bool
}

const (
	maxStuck  = 64
	maxUrgent = 8
)

// Urgent returns a context whose calls wait for no call of others: neither for
// those that hang, nor for the many of a large piece of work. It is for a node's
// sign of life, which is a few small calls.
func Urgent(ctx context.Context) context.Context { return nfs.Urgent(ctx) }

// OpenLocal opens the directory dir as the root of a filesystem. dir itself
// may be reached through symlinks.
func OpenLocal(ctx context.Context, dir string) (*Local, error) {
	h := &handle{dir: dir, fd: -1, slots: make(chan struct{}, maxStuck), urgent: make(chan struct{}, maxUrgent), wait: fileWait}
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

// Deferred returns the same filesystem for large trees that nobody sees yet: only
// SyncAll puts their names on stable storage.
func (l *Local) Deferred() FS {
	return &Local{handle: l.handle, deferred: true, trees: l.trees, patience: l.patience}
}

// SyncAll puts the whole filesystem on stable storage.
func (l *Local) SyncAll(ctx context.Context) error {
	return do(ctx, l, "sync", ".", func() error { return unix.Syncfs(l.fd) })
}

// Check returns an error that matches ErrAway if the root's name is another
// directory by now. The handle alone cannot tell: it follows a directory that is
// moved.
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

// Close closes the root when the calls that run have ended.
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

// call runs f in a goroutine and waits for it until ctx ends. Then the late result
// of f goes to drop.
func call[T any](ctx context.Context, l *Local, op, name string, f func() (T, error), drop func(T)) (T, error) {
	return run(ctx, l, op, name, f, drop, false)
}

// run is call. A call that only reads gives its slot back when its caller has gone: what
// one name holds must not hold others.
func run[T any](ctx context.Context, l *Local, op, name string, f func() (T, error), drop func(T), reads bool) (T, error) {
	var none T
	fail := func(err error) (T, error) {
		if p, ok := err.(*fs.PathError); ok {
			p.Op = op // the error is about another name
			return none, p
		}
		return none, &fs.PathError{Op: op, Path: name, Err: err}
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	slots := l.slots
	if nfs.IsUrgent(ctx) {
		slots = l.urgent
	}
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return fail(ctx.Err())
	}
	if err := l.enter(); err != nil {
		<-slots
		return fail(err)
	}
	type result struct {
		v   T
		err error
	}
	done := make(chan result)
	free := sync.OnceFunc(func() { <-slots })
	go func() {
		v, err := f()
		l.leave()
		free()
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
		if reads && l.calls() < maxCalls {
			free()
		}
		return fail(ctx.Err())
	}
}

// calls returns how many calls run.
func (h *handle) calls() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.users
}

// do is call for a function without a result.
func do(ctx context.Context, l *Local, op, name string, f func() error) error {
	_, err := call(ctx, l, op, name, func() (struct{}, error) { return struct{}{}, f() }, nil)
	return err
}

// change is do for a function f that makes, renames, removes or changes a name. f
// returns what has to be put on stable storage afterwards.
//
// change checks the root first. It checks ctx again before f, after all calls that
// may hang: when a server comes back, a change that the caller gave up long ago
// must not be made.
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

// changed is what has to be put on stable storage after a change.
type changed uint8

const (
	itsName changed = 1 << iota
	itsAttr
)

// durable tells whether each change has to be put on stable storage at once.
func (l *Local) durable() bool { return !l.deferred && !l.remote }

// ofRoot returns the error of making, renaming or removing the root, which is the
// same on every filesystem.
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

// syncAt puts the file or directory base in dir on stable storage: its attributes,
// and the names of a directory.
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
		open, err := l.reopen(fd, unix.O_RDONLY)
		if err == nil {
			defer unix.Close(open)
			return tolerable(unix.Fsync(open))
		}
		if !errors.Is(err, unix.EACCES) && !errors.Is(err, ErrHeld) {
			return err
		}
	}
	// A device or a FIFO must not be opened: the whole filesystem is synced.
	return tolerable(unix.Syncfs(l.fd))
}

// tolerable returns nil for the errors of filesystems that cannot sync.
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
