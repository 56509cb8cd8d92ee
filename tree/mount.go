package tree

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// ErrMount says that another filesystem is mounted in a tree. Nothing in this package
// goes into a mount, because the files in it are not the tree's.
var ErrMount = errors.New("another filesystem is mounted there")

// mounted is ErrMount with the name of the mount.
func mounted(name string) error {
	return &fs.PathError{Op: "enter", Path: name, Err: ErrMount}
}

// Mounts returns the names of all mounts below the directory name, sorted, as this
// process sees them, without name itself. The snapshots that the kernel's NFS
// client mounts in .snapshot are no part of a tree.
func (l *Local) Mounts(ctx context.Context, name string) ([]string, error) {
	return call(ctx, l, "look for mounts in", name, func() ([]string, error) {
		fd, err := l.openat(name, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return nil, err
		}
		defer unix.Close(fd)
		dir, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
		if err != nil {
			return nil, bare(err)
		}
		infos, err := mountinfo.GetMounts(nil)
		if err != nil {
			return nil, err
		}
		var found []string
		for _, i := range infos {
			rest, ok := strings.CutPrefix(i.Mountpoint, strings.TrimSuffix(dir, "/")+"/")
			if ok && !(l.remote && slices.Contains(strings.Split(rest, "/"), ".snapshot")) {
				found = append(found, filepath.Join(name, rest))
			}
		}
		slices.Sort(found)
		return slices.Compact(found), nil
	}, nil)
}
