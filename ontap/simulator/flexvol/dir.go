// Package flexvol is a directory that plays a FlexVol: it takes, shows, renames
// and deletes snapshots of itself, and copies out of them.
//
//	d, err := flexvol.Open("/srv/vol", false)
//	...
//	defer d.Close()
//	err = d.Take("nightly") // in /srv/vol/.snapshot/nightly
//
// A snapshot is an instant only where the directory is a btrfs subvolume.
// Elsewhere it is a copy, by reflink if possible, that takes a while.
package flexvol

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// SnapDir is the directory with the snapshots of a FlexVol.
const SnapDir = ".snapshot"

// beneath resolves every path below the root: not out of the root, through no
// symlink and into no other mount.
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

// Dir is the directory that plays the FlexVol, held by its handle: whatever
// happens to its name, nothing outside is touched. Paths are relative to it.
type Dir struct {
	root      *os.File
	Engine    string // btrfs, reflink or copy
	immutable bool

	mu     sync.RWMutex // guards hidden
	hidden *os.File     // .snapshot while Hide has it away, else nil
}

// Open opens the directory, makes its .snapshot, and removes what a killed run
// left there. Immutable marks the files of copied snapshots (chattr +i).
func Open(name string, immutable bool) (*Dir, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("root %s: %w", name, err)
	}
	d := &Dir{root: os.NewFile(uintptr(fd), name), immutable: immutable}
	if err := d.prepare(); err != nil {
		d.Close()
		return nil, fmt.Errorf("root %s: %w", name, err)
	}
	return d, nil
}

// Close gives .snapshot back to its owner, who may want to remove the tree.
func (d *Dir) Close() {
	_ = unix.Fchmodat(d.fd(), SnapDir, 0o755, 0) // it need not be there
	if d.hidden != nil {
		_ = d.hidden.Chmod(0o755)
		d.hidden.Close()
	}
	d.root.Close()
}

// prepare makes .snapshot, removes what a killed run left in it, and finds out
// how snapshots can be made here.
func (d *Dir) prepare() error {
	if err := d.findHidden(); err != nil {
		return err
	}
	if d.hidden == nil {
		if err := unix.Mkdirat(d.fd(), SnapDir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return d.changingSnapshots(func(snapshots *os.File) error {
		names, err := snapshots.Readdirnames(-1)
		if err != nil {
			return err
		}
		for _, name := range names {
			if strings.HasPrefix(name, Unfinished) {
				if err := d.removeAt(snapshots, name); err != nil {
					return err
				}
			}
		}
		d.Engine, err = probeEngine(d.root, snapshots)
		return err
	})
}

func (d *Dir) fd() int { return int(d.root.Fd()) }

// Open opens a clean relative path; "." is the root.
func (d *Dir) Open(name string, flags int) (*os.File, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	at, below := d.fd(), name
	if d.hidden != nil && InSnapshot(name) {
		at, below = int(d.hidden.Fd()), path.Join(".", strings.TrimPrefix(name, SnapDir)) // Join drops the slash
	}
	fd, err := unix.Openat2(at, below, &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW), Resolve: beneath})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Parent opens the directory above a clean relative path and returns the last element.
func (d *Dir) Parent(name string) (*os.File, string, error) {
	f, err := d.Open(path.Dir(name), unix.O_RDONLY|unix.O_DIRECTORY)
	return f, path.Base(name), err
}

// Lstat returns the status of a clean relative path.
func (d *Dir) Lstat(name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	if name == "." {
		return st, unix.Fstat(d.fd(), &st)
	}
	parent, base, err := d.Parent(name)
	if err != nil {
		return st, err
	}
	defer parent.Close()
	if err := unix.Fstatat(int(parent.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return st, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return st, nil
}

// InSnapshot says whether a clean relative path lies in .snapshot.
func InSnapshot(name string) bool {
	return name == SnapDir || strings.HasPrefix(name, SnapDir+"/")
}

// Remove deletes a file, or a directory with all below it.
func (d *Dir) Remove(name string, recurse bool) error {
	if name == "." || InSnapshot(name) {
		return fmt.Errorf("remove %s: %w", name, unix.EROFS)
	}
	parent, base, err := d.Parent(name)
	if err != nil {
		return err
	}
	defer parent.Close()
	if recurse {
		return d.removeAt(parent, base)
	}
	err = unix.Unlinkat(int(parent.Fd()), base, 0)
	if errors.Is(err, unix.EISDIR) {
		err = unix.Unlinkat(int(parent.Fd()), base, unix.AT_REMOVEDIR)
	}
	return err
}

// removeAt deletes name in parent with all below it. It walks by handles,
// follows no symlink and enters no other mount.
func (d *Dir) removeAt(parent *os.File, name string) error {
	at := int(parent.Fd())
	err := unix.Unlinkat(at, name, 0)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if errors.Is(err, unix.EPERM) && d.immutable && mutableAt(at, name) {
		err = unix.Unlinkat(at, name, 0)
	}
	if err == nil || !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return err
	}
	fd, err := unix.Openat2(at, name, &unix.OpenHow{Resolve: beneath,
		Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC})
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if isSubvolume(fd) {
		return destroyNested(at, name)
	}
	if d.immutable {
		setImmutable(fd, false)
	}
	for {
		names, err := f.Readdirnames(1024)
		for _, child := range names {
			if err := d.removeAt(f, child); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
		}
		if err != nil {
			return err
		}
		// Removals have moved the other entries: begin again.
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
}

// Rename moves within the FlexVol, never over something.
func (d *Dir) Rename(from, to string) error {
	return d.between(from, to, func(source int, sourceBase string, target int, targetBase string) error {
		return unix.Renameat2(source, sourceBase, target, targetBase, unix.RENAME_NOREPLACE)
	})
}

// between calls f with the directories and last names of two paths.
func (d *Dir) between(from, to string, f func(source int, sourceBase string, target int, targetBase string) error) error {
	source, sourceBase, err := d.Parent(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, targetBase, err := d.Parent(to)
	if err != nil {
		return err
	}
	defer target.Close()
	return f(int(source.Fd()), sourceBase, int(target.Fd()), targetBase)
}

// Snapshots are the directories in .snapshot and when they were made.
func (d *Dir) Snapshots() (map[string]time.Time, error) {
	f, err := d.Open(SnapDir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	out := map[string]time.Time{}
	for _, name := range names {
		var st unix.Statx_t
		err := unix.Statx(int(f.Fd()), name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st)
		if err != nil {
			return nil, err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		made := st.Mtime
		if st.Mask&unix.STATX_BTIME != 0 {
			made = st.Btime
		}
		out[name] = time.Unix(made.Sec, 0)
	}
	return out, nil
}

// Usage is how full the FlexVol is: bytes, and inodes.
type Usage struct{ Size, Free, Used, Files, FilesUsed int64 }

// Usage asks the filesystem. It is zero after an error.
func (d *Dir) Usage() Usage {
	var st unix.Statfs_t
	if unix.Fstatfs(d.fd(), &st) != nil {
		return Usage{}
	}
	block := st.Bsize
	return Usage{Size: int64(st.Blocks) * block, Free: int64(st.Bavail) * block, Used: int64(st.Blocks-st.Bfree) * block,
		Files: int64(st.Files), FilesUsed: int64(st.Files - st.Ffree)}
}
