package tree

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const statMask = unix.STATX_BASIC_STATS

// Stat implements FS. On an NFS mount it makes the client ask the server.
func (l *Local) Stat(ctx context.Context, name string) (Attr, error) {
	return ask(ctx, l, "stat", name, func() (a Attr, err error) {
		err = l.in(name, func(dir int, base string) error {
			a, err = statx(dir, base, unix.AT_SYMLINK_NOFOLLOW|unix.AT_STATX_FORCE_SYNC)
			return err
		})
		return a, err
	}, nil)
}

func statx(dir int, base string, flags int) (Attr, error) {
	var st unix.Statx_t
	if err := unix.Statx(dir, base, flags, statMask, &st); err != nil {
		return Attr{}, err
	}
	at := func(t unix.StatxTimestamp) time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }
	return Attr{
		Kind: kindOf(uint32(st.Mode)), Mode: uint32(st.Mode) & 0o7777, UID: st.Uid, GID: st.Gid, Nlink: st.Nlink,
		Size: int64(st.Size), Used: int64(st.Blocks) * 512, Major: st.Rdev_major, Minor: st.Rdev_minor,
		Device: unix.Mkdev(st.Dev_major, st.Dev_minor), FileID: st.Ino,
		Atime: at(st.Atime), Mtime: at(st.Mtime), Ctime: at(st.Ctime),
		Mount: st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0,
	}, nil
}

var formats = map[uint32]Kind{unix.S_IFREG: Regular, unix.S_IFDIR: Directory, unix.S_IFLNK: Symlink,
	unix.S_IFIFO: FIFO, unix.S_IFSOCK: Socket, unix.S_IFBLK: BlockDevice, unix.S_IFCHR: CharDevice}

func kindOf(mode uint32) Kind { return formats[mode&unix.S_IFMT] }

// dirBatch is how many entries are read from a directory at once.
const dirBatch = 1024

// readDir opens the directory anew and passes on its entries in batches. see makes
// the result of an entry, in the goroutine that may hang.
func readDir[T any](ctx context.Context, l *Local, name string, see func(dir int, e os.DirEntry) (T, bool, error), fn func(T) error) error {
	dir, err := ask(ctx, l, "readdir", name, func() (*os.File, error) {
		fd, err := l.openat(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOATIME)
		if errors.Is(err, unix.EPERM) { // of another owner
			fd, err = l.openat(name, unix.O_RDONLY|unix.O_DIRECTORY)
		}
		if err != nil {
			return nil, err
		}
		// os.File needs the name where a filesystem does not tell types.
		return os.NewFile(uintptr(fd), "/proc/self/fd/"+strconv.Itoa(fd)), nil
	}, func(f *os.File) { f.Close() })
	if err != nil {
		return err
	}
	// The file is closed only after a batch that hangs.
	busy := false
	defer func() {
		if !busy {
			dir.Close()
		}
	}()
	for {
		busy = true
		batch, err := ask(ctx, l, "readdir", name, func() ([]T, error) {
			list, err := dir.ReadDir(dirBatch)
			if err != nil && !errors.Is(err, io.EOF) {
				return nil, err
			}
			out := make([]T, 0, len(list))
			for _, e := range list {
				var v T
				var ok bool
				err := withFd(dir, func(fd int) (err error) {
					v, ok, err = see(fd, e)
					return err
				})
				if err != nil {
					return nil, err
				}
				if ok {
					out = append(out, v)
				}
			}
			if len(list) == 0 {
				return nil, nil
			}
			return out, nil
		}, func([]T) { dir.Close() })
		busy = err != nil && (ctx.Err() != nil || errors.Is(err, ErrHeld)) // the batch that was given up still reads
		if err != nil || batch == nil {
			return err
		}
		for _, v := range batch {
			if err := fn(v); err != nil {
				return err
			}
		}
	}
}

// ReadDir implements FS: types come with the names, so no entry costs a call.
func (l *Local) ReadDir(ctx context.Context, name string, fn func(Entry) error) error {
	return readDir(ctx, l, name, func(_ int, e os.DirEntry) (Entry, bool, error) {
		return Entry{Name: e.Name(), Kind: entryKind(e.Type())}, true, nil
	}, fn)
}

// entryKind is the kind of a directory entry by its type.
func entryKind(m os.FileMode) Kind {
	switch m & os.ModeType {
	case 0:
		return Regular
	case os.ModeDir:
		return Directory
	case os.ModeSymlink:
		return Symlink
	case os.ModeNamedPipe:
		return FIFO
	case os.ModeSocket:
		return Socket
	case os.ModeDevice:
		return BlockDevice
	case os.ModeDevice | os.ModeCharDevice:
		return CharDevice
	}
	return 0
}

// ReadDirPlus implements FS. An entry that vanishes meanwhile is left out.
func (l *Local) ReadDirPlus(ctx context.Context, name string, fn func(EntryPlus) error) error {
	return readDir(ctx, l, name, func(dir int, e os.DirEntry) (EntryPlus, bool, error) {
		a, err := statx(dir, e.Name(), unix.AT_SYMLINK_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			return EntryPlus{}, false, nil
		}
		return EntryPlus{Name: e.Name(), Attr: a}, true, err
	}, fn)
}

// Readlink implements FS.
func (l *Local) Readlink(ctx context.Context, name string) (string, error) {
	return ask(ctx, l, "readlink", name, func() (target string, err error) {
		err = l.in(name, func(dir int, base string) error {
			buf := make([]byte, unix.PathMax)
			n, err := unix.Readlinkat(dir, base, buf)
			if err == nil {
				target = string(buf[:n])
			}
			return err
		})
		return target, err
	}, nil)
}

// Mkdir implements FS. The directory has mode 0 until owner and mode are set.
func (l *Local) Mkdir(ctx context.Context, name string, set SetAttr) error {
	return l.change(ctx, "mkdir", name, itsName|itsAttr, func(dir int, base string) error {
		if err := unix.Mkdirat(dir, base, 0); err != nil {
			return err
		}
		return setAttr(dir, base, set)
	})
}

// Symlink implements FS.
func (l *Local) Symlink(ctx context.Context, target, name string, set SetAttr) error {
	return l.change(ctx, "symlink", name, itsName, func(dir int, base string) error {
		if err := unix.Symlinkat(target, dir, base); err != nil {
			return err
		}
		return setAttr(dir, base, set)
	})
}

// Mknod implements FS.
func (l *Local) Mknod(ctx context.Context, name string, kind Kind, major, minor uint32, set SetAttr) error {
	format := map[Kind]uint32{FIFO: unix.S_IFIFO, Socket: unix.S_IFSOCK, BlockDevice: unix.S_IFBLK, CharDevice: unix.S_IFCHR}[kind]
	return l.change(ctx, "mknod", name, itsName, func(dir int, base string) error {
		if format == 0 {
			return unix.EINVAL
		}
		if err := unix.Mknodat(dir, base, format, int(unix.Mkdev(major, minor))); err != nil {
			return err
		}
		return setAttr(dir, base, set)
	})
}

// Link implements FS.
func (l *Local) Link(ctx context.Context, oldName, newName string) error {
	return l.change(ctx, "link", newName, itsName, func(dir int, base string) error {
		return l.in(oldName, func(oldDir int, oldBase string) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			err := unix.Linkat(oldDir, oldBase, dir, base, 0)
			if why := protection(oldDir, oldBase, unix.AT_SYMLINK_NOFOLLOW); errors.Is(err, unix.EPERM) && why != nil {
				return &fs.PathError{Op: "link", Path: oldName, Err: why}
			}
			return err
		})
	})
}

// Rename implements FS.
func (l *Local) Rename(ctx context.Context, oldName, newName string) error {
	return l.change(ctx, "rename", newName, itsName, func(dir int, base string) error {
		if err := ofRoot("rename", oldName); err != nil {
			return err
		}
		return l.in(oldName, func(oldDir int, oldBase string) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := unix.Renameat(oldDir, oldBase, dir, base); err != nil {
				return because(err, oldDir, oldName)
			}
			if !l.durable() {
				return nil
			}
			if path.Dir(oldName) == path.Dir(newName) {
				return nil
			}
			return l.syncAt(oldDir, ".")
		})
	})
}

// Remove implements FS.
func (l *Local) Remove(ctx context.Context, name string) error {
	return l.change(ctx, "remove", name, itsName, func(dir int, base string) error {
		return unix.Unlinkat(dir, base, 0)
	})
}

// Rmdir implements FS.
func (l *Local) Rmdir(ctx context.Context, name string) error {
	return l.change(ctx, "rmdir", name, itsName, func(dir int, base string) error {
		return unix.Unlinkat(dir, base, unix.AT_REMOVEDIR)
	})
}

// SetAttr implements FS.
func (l *Local) SetAttr(ctx context.Context, name string, set SetAttr) error {
	return l.change(ctx, "setattr", name, itsAttr, func(dir int, base string) error {
		return setAttr(dir, base, set)
	})
}

// setAttr changes base in dir through a handle. So it never follows a symlink that
// somebody puts there meanwhile. It sets the owner first, because chown takes
// setuid bits away, and the times last, because the other changes change them.
func setAttr(dir int, base string, set SetAttr) error {
	fd, err := unix.Openat(dir, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	a, err := statx(fd, "", unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	proc := "/proc/self/fd/" + strconv.Itoa(fd)
	if set.Size != nil {
		if a.Kind != Regular {
			return unix.EINVAL
		}
		if err := unix.Truncate(proc, *set.Size); err != nil {
			return err
		}
	}
	if set.UID != nil || set.GID != nil {
		if err := unix.Fchownat(fd, "", idOf(set.UID), idOf(set.GID), unix.AT_EMPTY_PATH); err != nil {
			return err
		}
	}
	if set.Mode != nil && a.Kind != Symlink {
		if err := unix.Chmod(proc, *set.Mode&0o7777); err != nil {
			return err
		}
	}
	if set.Atime != nil || set.Mtime != nil {
		return unix.UtimesNanoAt(dir, base, []unix.Timespec{timeOf(set.Atime), timeOf(set.Mtime)}, unix.AT_SYMLINK_NOFOLLOW)
	}
	return nil
}

// idOf is an argument of chown: -1 leaves the id as it is.
func idOf(id *uint32) int {
	if id == nil {
		return -1
	}
	return int(*id)
}

// timeOf is an argument of utimensat: UTIME_OMIT leaves the time as it is.
func timeOf(t *time.Time) unix.Timespec {
	if t == nil {
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	}
	return unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
}

// Statfs implements FS.
func (l *Local) Statfs(ctx context.Context) (Space, error) {
	return call(ctx, l, "statfs", ".", func() (Space, error) { return statfs(l.fd) }, nil)
}

func statfs(fd int) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return Space{}, err
	}
	size := st.Frsize
	return Space{Total: int64(st.Blocks) * size, Free: int64(st.Bfree) * size, Avail: int64(st.Bavail) * size,
		Files: int64(st.Files), FilesFree: int64(st.Ffree)}, nil
}
