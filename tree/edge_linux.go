package tree

import (
	"context"
	"fmt"
	"hash/fnv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hashOf makes a name of any name.
func hashOf(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return h.Sum64()
}

// btrfsRoot is the inode of every subvolume's root.
const btrfsRoot = 256

// fsxattr is struct fsxattr of linux/fs.h.
type fsxattr struct {
	flags, extsize, nextents, project, cowextsize uint32
	_                                             [8]byte
}

const (
	getFsxattr     = 2<<30 | 28<<16 | 'X'<<8 | 31 // FS_IOC_FSGETXATTR
	projectInherit = 0x200                        // FS_XFLAG_PROJINHERIT
)

// ownHow tells what a directory of a local filesystem is by itself, "" for nothing.
func (l *Local) ownHow(ctx context.Context, name string, a Attr) (string, error) {
	if l.remote {
		return "", nil
	}
	if l.magic == unix.BTRFS_SUPER_MAGIC && a.FileID == btrfsRoot && name != "." {
		return "a btrfs subvolume", nil
	}
	project, err := call(ctx, l, "look at", name, func() (uint32, error) {
		project := func(name string) uint32 {
			fd, err := l.openat(name, unix.O_RDONLY|unix.O_DIRECTORY)
			if err != nil {
				return 0
			}
			defer unix.Close(fd)
			var x fsxattr
			if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), getFsxattr, uintptr(unsafe.Pointer(&x))); errno != 0 || x.flags&projectInherit == 0 {
				return 0
			}
			return x.project
		}
		if own := project(name); own != project(".") {
			return own, nil
		}
		return 0, nil
	}, nil)
	if err != nil || project == 0 {
		return "", err
	}
	return fmt.Sprintf("project %d of the filesystem", project), nil
}

// statfsAt is Statfs as the directory name has it: with a project's or qtree's limit.
func (l *Local) statfsAt(ctx context.Context, name string) (Space, error) {
	return call(ctx, l, "statfs", name, func() (Space, error) {
		fd, err := l.openat(name, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return Space{}, err
		}
		defer unix.Close(fd)
		return statfs(fd)
	}, nil)
}
