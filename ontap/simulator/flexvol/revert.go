package flexvol

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// Revert takes the whole directory back to a snapshot. As on a filer, what is at
// the same place in both keeps its inode: directories, and files with one name.
func (d *Dir) Revert(snapshot string) error { return d.Become(d, snapshot) }

// Become makes the directory equal to a snapshot of source, but for .snapshot.
func (d *Dir) Become(source *Dir, snapshot string) error {
	from, err := source.Open(path.Join(SnapDir, snapshot), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := d.Open(".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer to.Close()
	c := &copier{reflink: d.Engine != "copy", links: map[[2]uint64]link{}}
	defer func() {
		for _, l := range c.links {
			unix.Close(l.dir)
		}
	}()
	return d.backTo(c, from, to, true)
}

func (d *Dir) backTo(c *copier, from, to *os.File, top bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &st); err != nil {
		return err
	}
	names, err := from.Readdirnames(-1)
	if err != nil {
		return err
	}
	present, err := to.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range present {
		if !slices.Contains(names, name) && (!top || name != SnapDir && Visible(name)) {
			if err := d.removeAt(to, name); err != nil {
				return err
			}
		}
	}
	for _, name := range names {
		if top && (name == SnapDir || !Visible(name)) {
			continue
		}
		if err := d.entryBackTo(c, from, to, name); err != nil {
			return err
		}
	}
	return dressHandle(int(to.Fd()), &st)
}

func (d *Dir) entryBackTo(c *copier, from, to *os.File, name string) error {
	var then, now unix.Stat_t
	if err := unix.Fstatat(int(from.Fd()), name, &then, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	err := unix.Fstatat(int(to.Fd()), name, &now, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	there, kind := err == nil, then.Mode&unix.S_IFMT
	same := there && now.Mode&unix.S_IFMT == kind
	switch {
	case same && kind == unix.S_IFDIR:
		source, err := openDirAt(int(from.Fd()), name)
		if err != nil {
			return err
		}
		defer source.Close()
		target, err := openDirAt(int(to.Fd()), name)
		if err != nil {
			return err
		}
		defer target.Close()
		return d.backTo(c, source, target, false)
	case same && kind == unix.S_IFREG && then.Nlink == 1 && now.Nlink == 1:
		source, err := openFileAt(int(from.Fd()), name, unix.O_RDONLY)
		if err != nil {
			return err
		}
		defer source.Close()
		target, err := openFileAt(int(to.Fd()), name, unix.O_RDWR|unix.O_TRUNC)
		if err != nil {
			return err
		}
		defer target.Close()
		if !c.reflink || unix.IoctlFileClone(int(target.Fd()), int(source.Fd())) != nil {
			if err := copyData(source, target, then.Size); err != nil {
				return err
			}
		}
		return dressHandle(int(target.Fd()), &then)
	}
	if there {
		if err := d.removeAt(to, name); err != nil {
			return err
		}
	}
	return c.entry(int(from.Fd()), name, int(to.Fd()), name)
}

// Chmod sets the mode of the directory itself.
func (d *Dir) Chmod(mode uint32) error { return unix.Fchmod(d.fd(), mode) }

// Chown sets the owner of the directory itself; -1 leaves one as it is.
func (d *Dir) Chown(uid, gid int) error { return unix.Fchown(d.fd(), uid, gid) }

// Sum is what lies below a directory: bytes on disk, and files and directories.
// Hard links count once.
type Sum struct{ Bytes, Files, Directories int64 }

// Sum counts the content of a clean relative path. .snapshot of the root does not
// count. What goes away meanwhile is left out.
func (d *Dir) Sum(name string) (Sum, error) {
	f, err := d.Open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return Sum{}, err
	}
	defer f.Close()
	var sum Sum
	err = sum.add(f, name == ".", map[[2]uint64]bool{})
	return sum, err
}

func (sum *Sum) add(dir *os.File, top bool, seen map[[2]uint64]bool) error {
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		var st unix.Stat_t
		if top && (name == SnapDir || !Visible(name)) || unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue
		}
		key := [2]uint64{st.Dev, st.Ino}
		if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR && seen[key] {
			continue
		}
		seen[key] = true
		sum.Bytes += st.Blocks * 512
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			sum.Files++
			continue
		}
		sum.Directories++
		child, err := openDirAt(int(dir.Fd()), name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = sum.add(child, false, seen)
		child.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// Mkdir makes a directory at the top, with exactly this mode.
func (d *Dir) Mkdir(name string, mode uint32) error {
	if err := unix.Mkdirat(d.fd(), name, mode); err != nil {
		return err
	}
	return unix.Fchmodat(d.fd(), name, mode, 0)
}

// ChmodAt sets the mode of a directory at the top.
func (d *Dir) ChmodAt(name string, mode uint32) error {
	return withDirAt(d.fd(), name, func(fd int) error { return unix.Fchmod(fd, mode) })
}

// Destroy deletes the directory with all its snapshots, and closes it.
func (d *Dir) Destroy() error {
	name := d.root.Name()
	err := d.changingSnapshots(func(snapshots *os.File) error {
		names, err := snapshots.Readdirnames(-1)
		for _, one := range names {
			err = errors.Join(err, d.removeAt(snapshots, one))
		}
		return err
	})
	d.Close()
	return errors.Join(err, os.RemoveAll(name))
}
