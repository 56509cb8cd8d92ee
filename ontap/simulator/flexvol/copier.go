package flexvol

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// copier copies trees inside one filesystem with all that makes a file itself:
// owner, mode, times, hard links, holes, symlinks and special files. It walks
// by handles and follows no symlink. It leaves out names that disappear meanwhile.
type copier struct {
	skip      string // a name in the top directory that is not copied
	reflink   bool   // share blocks where the filesystem can
	immutable bool   // mark copied files and directories, but not the top
	links     map[[2]uint64]link
}

// link is the copy of the first name of a file that has several names.
type link struct {
	dir  int
	name string
}

// tree copies the directory from (in fromDir) to the new directory to (in toDir).
func (c *copier) tree(fromDir int, from string, toDir int, to string) error {
	c.links = map[[2]uint64]link{}
	var st unix.Stat_t
	if err := unix.Fstatat(fromDir, from, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	err := c.directory(fromDir, from, toDir, to, &st, true)
	for _, l := range c.links {
		unix.Close(l.dir)
	}
	return err
}

// entry copies one file or directory to a name that is free.
func (c *copier) entry(fromDir int, from string, toDir int, to string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(fromDir, from, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if c.links == nil {
			return c.tree(fromDir, from, toDir, to)
		}
		return c.directory(fromDir, from, toDir, to, &st, false)
	case unix.S_IFREG:
		return c.file(fromDir, from, toDir, to, &st)
	case unix.S_IFLNK:
		return symlink(fromDir, from, toDir, to, &st)
	}
	if err := unix.Mknodat(toDir, to, st.Mode, int(st.Rdev)); err != nil {
		return err
	}
	return dress(toDir, to, &st)
}

func (c *copier) directory(fromDir int, from string, toDir int, to string, st *unix.Stat_t, top bool) error {
	source, err := openDirAt(fromDir, from)
	if err != nil {
		return err
	}
	defer source.Close()
	if err := unix.Mkdirat(toDir, to, 0o700); err != nil {
		return err
	}
	target, err := openDirAt(toDir, to)
	if err != nil {
		return err
	}
	defer target.Close()
	for {
		names, err := source.Readdirnames(1024)
		for _, name := range names {
			if top && (name == c.skip || !Visible(name)) {
				continue
			}
			err := c.entry(int(source.Fd()), name, int(target.Fd()), name)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if err := dressHandle(int(target.Fd()), st); err != nil {
		return err
	}
	if c.immutable && !top {
		return setImmutable(int(target.Fd()), true)
	}
	return nil
}

func (c *copier) file(fromDir int, from string, toDir int, to string, st *unix.Stat_t) error {
	key := [2]uint64{st.Dev, st.Ino}
	if first, ok := c.links[key]; ok {
		return unix.Linkat(first.dir, first.name, toDir, to, 0)
	}
	source, err := openFileAt(fromDir, from, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := openFileAt(toDir, to, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	defer target.Close()
	if !c.reflink || unix.IoctlFileClone(int(target.Fd()), int(source.Fd())) != nil {
		if err := copyData(source, target, st.Size); err != nil {
			return err
		}
	}
	if err := dressHandle(int(target.Fd()), st); err != nil {
		return err
	}
	if st.Nlink > 1 && c.links != nil {
		dir, err := unix.FcntlInt(uintptr(toDir), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		c.links[key] = link{dir, to}
		return nil // stays mutable: no further name could be linked to it
	}
	if c.immutable {
		return setImmutable(int(target.Fd()), true)
	}
	return nil
}

// copyData copies the data and keeps the holes.
func copyData(from, to *os.File, size int64) error {
	for at := int64(0); at < size; {
		begin, err := unix.Seek(int(from.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil {
			return err
		}
		end, err := unix.Seek(int(from.Fd()), begin, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		section := io.NewSectionReader(from, begin, end-begin)
		if _, err := io.Copy(io.NewOffsetWriter(to, begin), section); err != nil {
			return err
		}
		at = end
	}
	return to.Truncate(size)
}

func symlink(fromDir int, from string, toDir int, to string, st *unix.Stat_t) error {
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fromDir, from, target)
	if err != nil {
		return err
	}
	if err := unix.Symlinkat(string(target[:n]), toDir, to); err != nil {
		return err
	}
	return dress(toDir, to, st)
}

// dress gives a name without a handle owner, mode and times.
func dress(at int, name string, st *unix.Stat_t) error {
	if err := chown(func(uid, gid int) error { return unix.Fchownat(at, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW) }, st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Fchmodat(at, name, st.Mode&0o7777, 0); err != nil {
			return err
		}
	}
	return unix.UtimesNanoAt(at, name, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

// dressHandle does the same by handle. Each step keeps what the steps before it
// have set.
func dressHandle(fd int, st *unix.Stat_t) error {
	if err := chown(func(uid, gid int) error { return unix.Fchown(fd, uid, gid) }, st); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, st.Mode&0o7777); err != nil {
		return err
	}
	// futimens(3): utimensat without a name. unix has only microseconds.
	times := [2]unix.Timespec{st.Atim, st.Mtim}
	if _, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// chown ignores EPERM for other users than root, who alone may give files away.
func chown(do func(uid, gid int) error, st *unix.Stat_t) error {
	if err := do(int(st.Uid), int(st.Gid)); err != nil && (os.Geteuid() == 0 || !errors.Is(err, unix.EPERM)) {
		return err
	}
	return nil
}

func openDirAt(at int, name string) (*os.File, error) {
	return openFileAt(at, name, unix.O_RDONLY|unix.O_DIRECTORY)
}

func openFileAt(at int, name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(at, name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}
