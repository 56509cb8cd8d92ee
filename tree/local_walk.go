package tree

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLookup is how many bytes of a name one call looks up; the kernel takes 4,095
// (PATH_MAX). Longer names are looked up in steps.
const maxLookup = 4000

// bound is a tree in which no lookup crosses a mount. The lookup of the tree itself
// may: the kernel's NFS client mounts each snapshot by itself.
type bound struct {
	name   string
	direct bool // the tree is on the root's mount
}

// staying is an engine that can be kept within a mount.
type staying interface {
	stay(ctx context.Context, name string) error
}

// stay keeps an engine within the mount of the tree name, also if something is
// mounted in the tree later. Callers call it before they begin.
func stay(ctx context.Context, e engine, name string) error {
	if s, ok := e.(staying); ok {
		return s.stay(ctx, name)
	}
	return nil
}

// stay implements staying.
func (c cloning) stay(ctx context.Context, name string) error {
	b, err := call(ctx, c.l, "open", name, func() (bound, error) {
		fd, err := walk(c.l.fd, name, unix.O_PATH|unix.O_NOFOLLOW, unix.RESOLVE_NO_XDEV)
		if err == nil {
			unix.Close(fd)
		}
		if errors.Is(err, unix.EXDEV) {
			return bound{name, false}, nil
		}
		return bound{name, true}, err
	}, nil)
	if err == nil {
		c.l.trees = append(c.l.trees, b)
	}
	return err
}

// boundOf returns the innermost bound that has a name.
func (l *Local) boundOf(name string) (b bound, ok bool) {
	for _, t := range l.trees {
		if name != t.name && below(name, t.name) && (!ok || below(t.name, b.name)) {
			b, ok = t, true
		}
	}
	return b, ok
}

// openat opens a name below the root.
func (l *Local) openat(name string, flags uint64) (int, error) {
	if err := CheckPath(name); err != nil {
		return -1, fs.ErrInvalid
	}
	b, ok := l.boundOf(name)
	if !ok {
		return walk(l.fd, name, flags, 0)
	}
	root, err := l.fd, error(nil)
	if !b.direct {
		if root, err = walk(l.fd, b.name, unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
			return -1, err
		}
		defer unix.Close(root)
		if b.name != "." {
			name = name[len(b.name)+1:]
		}
	}
	fd, err := walk(root, name, flags, unix.RESOLVE_NO_XDEV)
	if errors.Is(err, unix.EXDEV) {
		err = ErrMount
	}
	return fd, err
}

// walk opens a name below a directory.
func walk(dir int, name string, flags, resolve uint64) (int, error) {
	for at := dir; ; {
		end := len(name)
		if end > maxLookup {
			end = strings.LastIndexByte(name[:maxLookup+1], '/')
		}
		if end <= 0 || end == len(name) { // the last component, or a component that is too long
			fd, err := lookup(at, name, flags, resolve)
			if at != dir {
				unix.Close(at)
			}
			return fd, err
		}
		next, err := lookup(at, name[:end], unix.O_PATH|unix.O_DIRECTORY, resolve)
		if at != dir {
			unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
		at, name = next, name[end+1:]
	}
}

// lookup opens a name below dir and follows no symlink. Every name is opened so.
func lookup(dir int, name string, flags, resolve uint64) (int, error) {
	how := &unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: resolve | unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := ignoringEINTR2(func() (int, error) { return unix.Openat2(dir, name, how) })
	if errors.Is(err, unix.EAGAIN) {
		// A rename or a mount came between (openat2(2)): look it up again.
		fd, err = unix.Openat2(dir, name, how)
	}
	return fd, err
}

// in opens the directory of name and runs f with it and the last component.
func (l *Local) in(name string, f func(dir int, base string) error) error {
	dir, err := l.openat(path.Dir(name), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if err := CheckPath(name); err != nil {
		return fs.ErrInvalid
	}
	return f(dir, path.Base(name))
}
