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

// ErrMount says that something else is mounted in a tree: work on the tree
// never goes into it, since what is there is not the tree's.
var ErrMount = errors.New("another filesystem is mounted there")

// mounted is ErrMount for the name where it is.
func mounted(name string) error {
	return &fs.PathError{Op: "enter", Path: name, Err: ErrMount}
}

// Mounts returns the names of what is mounted below the directory name, as this
// process sees it, sorted; not name itself. Snapshots that the kernel's NFS
// client mounts by itself in .snapshot are no part of a tree.
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
