package tree

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// cloning is the engine of a Local: named, but it clones files where the filesystem
// can (ioctl_ficlone(2): btrfs, XFS). A clone shares its blocks with the file until
// one of the two is written, and is an instant of the file.
type cloning struct {
	named
	l *Local
}

// names implements engine. Types come with the names. A mount shows when it is
// opened, or because it cannot be removed.
func (c cloning) names(ctx context.Context, dir location, fn func(e Entry, at location) error) error {
	return c.l.ReadDir(ctx, dir.name, func(e Entry) error { return fn(e, dir.child(e.Name)) })
}

// copyFile implements quick by a clone. A filesystem that cannot clone is asked only
// once.
func (c cloning) copyFile(ctx context.Context, src location, a Attr, dir location, base string, _ bool) (copied, bool, error) {
	at := dir.child(base)
	if _, no := c.l.cloneless.Load(a.Device); no || a.Size == 0 {
		return copied{}, false, nil
	}
	in, err := c.l.Open(ctx, src.name)
	if errors.Is(err, ErrHeld) || ctx.Err() != nil {
		return copied{}, false, err
	}
	if err != nil {
		return copied{}, false, nil // the copy tells why
	}
	defer in.Close()
	r, err := call(ctx, c.l, "clone", at.name, func() (r *copied, err error) {
		err = withFd(in.(*localFile).f, func(fd int) error {
			r, err = c.l.clone(ctx, fd, a, at)
			return err
		})
		return r, err
	}, nil)
	if err != nil || r == nil {
		return copied{}, false, err
	}
	return *r, true, nil
}

// clone makes a clone of the open file in with the attributes a, and compares their
// attributes. It returns nil where the file has to be copied.
func (l *Local) clone(ctx context.Context, in int, a Attr, at location) (r *copied, err error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	err = l.in(at.name, func(dir int, base string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		out, err := unix.Openat(dir, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return because(err, dir, at.name)
		}
		defer unix.Close(out)
		if err := share(out, in); err != nil {
			if undoErr := unix.Unlinkat(dir, base, 0); undoErr != nil {
				return undoErr
			}
			if isCloneless(err) {
				l.cloneless.Store(a.Device, true)
				return nil
			}
			if notThisOne(err) {
				return nil
			}
			return err
		}
		x, err := attrFile{fd: in}.read()
		unread, err := apart(err)
		if err != nil {
			return err
		}
		now, err := statx(in, "", unix.AT_EMPTY_PATH)
		if err != nil {
			return err
		}
		unset, err := setAllFd(out, a, x)
		if err != nil {
			return err
		}
		got, err := statx(out, "", unix.AT_EMPTY_PATH)
		if err != nil {
			return err
		}
		changed := !isSame(a, now)
		if !got.Mtime.Equal(a.Mtime) || got.Size != a.Size && !changed {
			return fmt.Errorf("the clone has %d bytes of %s instead of %d of %s", got.Size, got.Mtime, a.Size, a.Mtime)
		}
		r = &copied{at: at, bytes: got.Size, changed: changed, lost: append(unread, unset...).orNil()}
		return nil
	})
	return r, err
}

// share makes out a clone of in.
func share(out, in int) error {
	_, err := ignoringEINTR2(func() (int, error) { return 0, unix.IoctlFileClone(out, in) })
	return err
}

// isCloneless tells the errors of a filesystem on which no file can be cloned.
func isCloneless(err error) bool {
	for _, e := range []error{unix.EOPNOTSUPP, unix.ENOTTY, unix.ENOSYS, unix.EXDEV} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// notThisOne tells the errors of a file that cannot be cloned: a file that btrfs
// keeps without checksums, a swap file, blocks that ZFS has not written yet.
func notThisOne(err error) bool {
	for _, e := range []error{unix.EINVAL, unix.ETXTBSY, unix.EPERM, unix.EAGAIN} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Reflinks tells whether files in the directory name can share their blocks, so that
// a Copy within the filesystem takes no space. It tries with two files without
// names.
func (l *Local) Reflinks(ctx context.Context, name string) (bool, error) {
	return call(ctx, l, "clone", name, func() (bool, error) {
		dir, err := l.openat(name, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return false, err
		}
		defer unix.Close(dir)
		var files [2]int
		for i := range files {
			if files[i], err = unix.Openat(dir, ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600); err != nil {
				return false, nil // every filesystem that clones has files without names
			}
			defer unix.Close(files[i])
		}
		if _, err := unix.Write(files[0], []byte("x")); err != nil {
			return false, err
		}
		return share(files[1], files[0]) == nil, nil
	}, nil)
}

// Filesystem returns the type of the root's filesystem as statfs(2) numbers it,
// known since it was opened.
func (l *Local) Filesystem() int64 { return l.magic }

var (
	_ engine = cloning{}
	_ quick  = cloning{}
)
