package flexvol

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Unfinished begins the name of a snapshot that is being made or deleted.
const Unfinished = ".simulator-"

// changingSnapshots runs change with .snapshot open and writable, and leaves
// the directory read-only for everybody but root.
func (d *Dir) changingSnapshots(change func(snapshots *os.File) error) error {
	f, err := d.Open(SnapDir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Chmod(0o755); err != nil {
		return err
	}
	mode := os.FileMode(0o555)
	if d.Hidden() {
		mode = 0o700
	}
	return errors.Join(change(f), f.Chmod(mode))
}

// Take makes a snapshot of the root: .snapshot/name.
func (d *Dir) Take(name string) error {
	return d.changingSnapshots(func(snapshots *os.File) error {
		if d.Engine == "btrfs" {
			return d.takeSubvolume(snapshots, name)
		}
		temporary := Unfinished + name
		c := copier{skip: SnapDir, reflink: d.Engine == "reflink", immutable: d.immutable}
		err := c.tree(d.fd(), ".", int(snapshots.Fd()), temporary)
		if err == nil {
			err = unix.Renameat2(int(snapshots.Fd()), temporary, int(snapshots.Fd()), name, unix.RENAME_NOREPLACE)
		}
		if err != nil {
			return errors.Join(err, d.removeAt(snapshots, temporary))
		}
		if d.immutable {
			// Last, because an immutable directory cannot be renamed.
			return withDirAt(int(snapshots.Fd()), name, func(fd int) error { return setImmutable(fd, true) })
		}
		return nil
	})
}

// Drop hides a snapshot at once, then frees its space.
func (d *Dir) Drop(name string) error {
	return d.changingSnapshots(func(snapshots *os.File) error {
		if err := d.renameSnapshotAt(snapshots, name, Unfinished+name); err != nil {
			return err
		}
		return d.removeAt(snapshots, Unfinished+name)
	})
}

// RenameSnapshot gives a snapshot another name, never a taken one.
func (d *Dir) RenameSnapshot(from, to string) error {
	return d.changingSnapshots(func(snapshots *os.File) error { return d.renameSnapshotAt(snapshots, from, to) })
}

func (d *Dir) renameSnapshotAt(snapshots *os.File, from, to string) error {
	fd := int(snapshots.Fd())
	if d.immutable {
		_ = withDirAt(fd, from, func(dir int) error { return setImmutable(dir, false) })
		defer withDirAt(fd, to, func(dir int) error { return setImmutable(dir, true) })
	}
	return unix.Renameat2(fd, from, fd, to, unix.RENAME_NOREPLACE)
}

// CopyOut copies from, a file or directory of the FlexVol or of a snapshot, to
// a name that is free.
func (d *Dir) CopyOut(from, to string) error {
	c := copier{reflink: d.Engine != "copy"}
	return d.between(from, to, c.entry)
}

// probeEngine finds the best way to make snapshots of root.
func probeEngine(root, snapshots *os.File) (string, error) {
	if isSubvolume(int(root.Fd())) {
		return "btrfs", nil
	}
	const probe = Unfinished + "probe"
	at := int(snapshots.Fd())
	fd, err := unix.Openat(at, probe, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	defer unix.Unlinkat(at, probe, 0)
	if _, err := unix.Write(fd, []byte("probe")); err != nil {
		return "", err
	}
	clone, err := unix.Openat(at, probe+"2", unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return "", err
	}
	defer unix.Close(clone)
	defer unix.Unlinkat(at, probe+"2", 0)
	if unix.IoctlFileClone(clone, fd) == nil {
		return "reflink", nil
	}
	return "copy", nil
}

// Numbers of linux/btrfs.h.
const (
	btrfsRootInode   = 256
	btrfsSnapCreate  = 0x50009417 // BTRFS_IOC_SNAP_CREATE_V2
	btrfsSnapDestroy = 0x5000940f // BTRFS_IOC_SNAP_DESTROY
	btrfsReadOnly    = 1 << 1     // BTRFS_SUBVOL_RDONLY
)

// isSubvolume says whether a directory is the root of a btrfs subvolume.
func isSubvolume(fd int) bool {
	var fs unix.Statfs_t
	var st unix.Stat_t
	return unix.Fstatfs(fd, &fs) == nil && fs.Type == unix.BTRFS_SUPER_MAGIC &&
		unix.Fstat(fd, &st) == nil && st.Ino == btrfsRootInode
}

// snapshotSubvolume makes a snapshot of source as name in parent; flags is 0 or
// btrfsReadOnly.
func snapshotSubvolume(source, parent int, name string, flags uint64) error {
	var args struct { // btrfs_ioctl_vol_args_v2
		fd      int64
		transid uint64
		flags   uint64
		unused  [4]uint64
		name    [4040]byte
	}
	args.fd, args.flags = int64(source), flags
	copy(args.name[:len(args.name)-1], name)
	return ioctl(parent, btrfsSnapCreate, unsafe.Pointer(&args))
}

// destroySubvolume deletes a subvolume that lies as name in parent.
func destroySubvolume(parent int, name string) error {
	var args struct { // btrfs_ioctl_vol_args
		fd   int64
		name [4088]byte
	}
	copy(args.name[:len(args.name)-1], name)
	return ioctl(parent, btrfsSnapDestroy, unsafe.Pointer(&args))
}

func ioctl(fd int, request uintptr, args unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(args)); errno != 0 {
		return fmt.Errorf("ioctl %#x: %w", request, errno)
	}
	return nil
}

// immutableFlag is FS_IMMUTABLE_FL of linux/fs.h.
const immutableFlag = 0x10

// setImmutable sets or clears chattr's i.
func setImmutable(fd int, on bool) error {
	flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	flags &^= immutableFlag
	if on {
		flags |= immutableFlag
	}
	return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, flags)
}

// mutableAt clears the immutable flag of a file, and says whether that worked.
func mutableAt(at int, name string) bool {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return setImmutable(fd, false) == nil
}

func withDirAt(at int, name string, do func(fd int) error) error {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return do(fd)
}
