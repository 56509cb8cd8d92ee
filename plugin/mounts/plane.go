package mounts

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/nfs"
)

// directory is the plane of a file:// export: a bind of the handle whose export
// id was checked.
type directory struct {
	fd   int
	is   directoryID
	attr uint64 // of berth's mount, those of the directory's own mount among them
}

// Directory is the plane of the directory behind fd, mounted with options, of which
// suid and dev have an effect.
func Directory(fd int, options string) (Plane, error) {
	is, mount, err := idOf(fd)
	if err != nil {
		return nil, err
	}
	return directory{fd, is, attrOf(options) | attrIn(mount)}, nil
}

func (d directory) same(g generation) bool     { return g.is == d.is && g.attr == d.attr }
func (d directory) attach(target string) error { return bind(d.fd, "", target, d.attr) }
func (d directory) label() string              { return "" }

// kernelMount is the plane of an nfs:// export: the kernel's NFS client.
type kernelMount struct {
	mount *nfs.KernelMount
	// root is the server's handle of the export's root. An export that was made
	// anew under the same name has another handle.
	root string
}

// Kernel is the plane of a mount by the kernel's NFS client; root is the server's
// handle of the export's root.
func Kernel(m *nfs.KernelMount, root string) Plane { return kernelMount{m, root} }

func (k kernelMount) label() string {
	return fmt.Sprintf("%s %s flags=%#x root=%s\n", k.mount.Source, k.mount.Data, k.mount.Flags, k.root)
}

// same compares with the label of g.
func (k kernelMount) same(g generation) bool {
	label, err := os.ReadFile(labelPath(g.path))
	return err == nil && string(label) == k.label()
}

func (k kernelMount) attach(target string) error { return k.mount.Attach(target) }

// idOf identifies the directory behind fd, and its mount, from the kernel's own
// records. It does not touch the directory's filesystem, which may be dead.
func idOf(fd int) (directoryID, *mountinfo.Info, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &st); err != nil {
		return directoryID{}, nil, fmt.Errorf("statx: %w", err)
	}
	dir, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return directoryID{}, nil, err
	}
	infos, err := mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) { return uint64(i.ID) != st.Mnt_id, false })
	if err != nil || len(infos) == 0 {
		return directoryID{}, nil, fmt.Errorf("the mount of %s is not in mountinfo: %w", dir, err)
	}
	below, err := filepath.Rel(infos[0].Mountpoint, dir)
	if err != nil || below == ".." || strings.HasPrefix(below, "../") {
		return directoryID{}, nil, fmt.Errorf("%s is not below its mount %s", dir, infos[0].Mountpoint)
	}
	return directoryID{infos[0].Major, infos[0].Minor, filepath.Join(infos[0].Root, below)}, infos[0], nil
}
