package embedded

import (
	"context"
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/casit/berth/export"
	"github.com/casit/berth/tree"
)

// localFilesystems are filesystems of this host alone, by their number in statfs(2). On
// any other filesystem somebody else may make .snapshot.
var localFilesystems = map[int64]bool{
	unix.EXT4_SUPER_MAGIC:      true, // and ext2, ext3
	unix.XFS_SUPER_MAGIC:       true,
	unix.BTRFS_SUPER_MAGIC:     true,
	unix.F2FS_SUPER_MAGIC:      true,
	unix.TMPFS_MAGIC:           true,
	unix.OVERLAYFS_SUPER_MAGIC: true,
	unix.REISERFS_SUPER_MAGIC:  true,
	unix.NILFS_SUPER_MAGIC:     true,
	0x2fc12fc1:                 true, // ZFS
	0xca451a4e:                 true, // bcachefs
	0x3153464a:                 true, // JFS
}

// IsLocal tells whether a filesystem, by its number in statfs(2), is this host's alone.
func IsLocal(magic int64) bool { return localFilesystems[magic] }

// open opens a name below the export; no symlink is followed.
func (e *Maker) open(name string) (int, error) {
	how := &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(e.fsys.Handle(), name, how)
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return fd, err
		}
	}
}

// tryLock takes the lock of a name (flock(2)), exclusive or shared. ok is false if
// another process has it. The locks of a process end with it.
func (e *Maker) tryLock(name string, exclusive bool) (unlock func(), ok bool, err error) {
	fd, err := e.open(name)
	if err != nil {
		return nil, false, err
	}
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	err = unix.Flock(fd, how|unix.LOCK_NB)
	if err != nil {
		unix.Close(fd)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
			err = nil
		}
		return nil, false, err
	}
	return func() { unix.Close(fd) }, true, nil
}

// Calls of btrfs (linux/btrfs.h). Their numbers are derived from calls with the same
// direction, because architectures number directions differently.
const (
	btrfsSnapCreate  = unix.FICLONE + (4096-4)<<16 + (23 - 9)         // BTRFS_IOC_SNAP_CREATE_V2
	btrfsSnapDestroy = unix.FICLONE + (4096-4)<<16 + (15 - 9)         // BTRFS_IOC_SNAP_DESTROY
	btrfsRootRefs    = unix.FIDEDUPERANGE + (4096-24)<<16 + (61 - 54) // BTRFS_IOC_GET_SUBVOL_ROOTREF

	btrfsReadOnly  = 1 << 1 // BTRFS_SUBVOL_RDONLY
	btrfsRootInode = 256    // of every subvolume (BTRFS_FIRST_FREE_OBJECTID)
)

func ioctl(fd int, request uintptr, args unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(args))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return errno
		}
		return nil
	}
}

// isSubvolume tells whether a directory is the root of a btrfs subvolume.
func (e *Maker) isSubvolume(a tree.Attr) bool {
	return e.fsys.Filesystem() == unix.BTRFS_SUPER_MAGIC && a.FileID == btrfsRootInode
}

// isWholeSubvolume tells whether the export is a btrfs subvolume that has all volumes.
// A snapshot of it has neither the subvolumes nor the mounts in it.
func (e *Maker) isWholeSubvolume(ctx context.Context, volumes []string) (bool, error) {
	root, err := e.fsys.Stat(ctx, ".")
	if err != nil || !e.isSubvolume(root) {
		return false, err
	}
	for _, v := range volumes {
		a, err := e.fsys.Stat(ctx, v)
		if export.Ends(ctx, e.fsys, err) {
			return false, err
		}
		if err != nil || a.Device != root.Device {
			return false, nil
		}
	}
	ours, err := e.fsys.Stat(ctx, snapshotsDir)
	if err != nil {
		return false, err
	}
	return e.hasSubvolumesOnlyIn(ours.FileID), nil
}

// hasSubvolumesOnlyIn tells whether all subvolumes of the export are in the directory
// with that inode, which is .snapshot.
func (e *Maker) hasSubvolumesOnlyIn(dir uint64) bool {
	var args struct {
		minTreeID uint64
		refs      [255]struct{ treeID, dirID uint64 }
		num       uint8
		_         [7]uint8
	}
	for {
		err := ioctl(e.fsys.Handle(), btrfsRootRefs, unsafe.Pointer(&args))
		if err != nil && !errors.Is(err, unix.EOVERFLOW) { // the buffer has no room for more
			return false
		}
		for _, r := range args.refs[:args.num] {
			if r.dirID != dir {
				return false
			}
		}
		if err == nil {
			return true
		}
	}
}

// subvolumeSnapshot makes a read-only snapshot of the export in .snapshot. The snapshot
// has everything that was written before, and is whole or absent.
func (e *Maker) subvolumeSnapshot(name string) error {
	args := struct { // btrfs_ioctl_vol_args_v2
		fd      int64
		transID uint64
		flags   uint64
		_       [4]uint64
		name    [4040]byte
	}{fd: int64(e.fsys.Handle()), flags: btrfsReadOnly}
	copy(args.name[:len(args.name)-1], name)
	return e.inSnapshots(btrfsSnapCreate, unsafe.Pointer(&args))
}

// subvolumeDestroy removes a subvolume in .snapshot. The kernel frees its blocks in the
// background, when no process has it open.
func (e *Maker) subvolumeDestroy(name string) error {
	var args struct { // btrfs_ioctl_vol_args
		fd   int64
		name [4088]byte
	}
	copy(args.name[:len(args.name)-1], name)
	return e.inSnapshots(btrfsSnapDestroy, unsafe.Pointer(&args))
}

func (e *Maker) inSnapshots(request uintptr, args unsafe.Pointer) error {
	dir, err := e.open(snapshotsDir)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return ioctl(dir, request, args)
}
