package flexvol

import (
	"errors"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	btrfsSubvolCreate   = 0x5000940e // BTRFS_IOC_SUBVOL_CREATE
	btrfsSubvolSetFlags = 0x4008941a // BTRFS_IOC_SUBVOL_SETFLAGS
)

// MakeQtree makes the directory name at the top. On btrfs it is a subvolume: as
// on a filer, rename and link over its edge fail with EXDEV. Elsewhere it is an
// ordinary directory.
func (d *Dir) MakeQtree(name string, mode uint32) error {
	var err error
	if d.Engine == "btrfs" {
		err = createSubvolume(d.fd(), name)
	} else {
		err = unix.Mkdirat(d.fd(), name, mode)
	}
	if err != nil {
		return err
	}
	return unix.Fchmodat(d.fd(), name, mode, 0)
}

// subvolumesIn are the names of the subvolumes that lie directly in a directory.
func subvolumesIn(dir *os.File) ([]string, error) {
	if _, err := dir.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range names {
		if name == SnapDir || !Visible(name) {
			continue
		}
		_ = withDirAt(int(dir.Fd()), name, func(fd int) error {
			if isSubvolume(fd) {
				out = append(out, name)
			}
			return nil
		})
	}
	return out, nil
}

// takeSubvolume makes a read-only snapshot of root and of the subvolumes at its
// top, which btrfs alone would leave out. It is one instant per subvolume only.
func (d *Dir) takeSubvolume(snapshots *os.File, name string) error {
	top, err := d.Open(".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer top.Close()
	qtrees, err := subvolumesIn(top)
	if err != nil {
		return err
	}
	to := int(snapshots.Fd())
	if len(qtrees) == 0 {
		return snapshotSubvolume(d.fd(), to, name, btrfsReadOnly)
	}
	temporary := Unfinished + name
	if err := snapshotSubvolume(d.fd(), to, temporary, 0); err != nil {
		return err
	}
	err = withDirAt(to, temporary, func(copied int) error {
		for _, q := range qtrees {
			// What stands for a subvolume in a snapshot is an empty directory.
			if err := unix.Unlinkat(copied, q, unix.AT_REMOVEDIR); err != nil {
				return err
			}
			err := withDirAt(d.fd(), q, func(live int) error { return snapshotSubvolume(live, copied, q, btrfsReadOnly) })
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = unix.Renameat2(to, temporary, to, name, unix.RENAME_NOREPLACE)
	}
	if err != nil {
		return errors.Join(err, d.removeAt(snapshots, temporary))
	}
	return withDirAt(to, name, func(fd int) error { return setReadOnly(fd, true) })
}

// destroyNested deletes a subvolume with those that lie at its top.
func destroyNested(parent int, name string) error {
	err := destroySubvolume(parent, name)
	if !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	err = withDirAt(parent, name, func(fd int) error {
		if err := setReadOnly(fd, false); err != nil {
			return err
		}
		again, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		top := os.NewFile(uintptr(again), name)
		defer top.Close()
		nested, err := subvolumesIn(top)
		for _, q := range nested {
			err = errors.Join(err, destroySubvolume(fd, q))
		}
		return err
	})
	return errors.Join(err, destroySubvolume(parent, name))
}

// createSubvolume makes an empty subvolume as name in parent.
func createSubvolume(parent int, name string) error {
	var args struct { // btrfs_ioctl_vol_args
		fd   int64
		name [4088]byte
	}
	copy(args.name[:len(args.name)-1], name)
	return ioctl(parent, btrfsSubvolCreate, unsafe.Pointer(&args))
}

func setReadOnly(fd int, readOnly bool) error {
	var flags uint64
	if readOnly {
		flags = btrfsReadOnly
	}
	return ioctl(fd, btrfsSubvolSetFlags, unsafe.Pointer(&flags))
}
