package flexvol

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// hiddenName is what .snapshot is called while it is hidden: beside the root if
// that is on the same filesystem, else in it, where only root may look inside.
const hiddenName = Unfinished + "hidden"

// places are where a hidden .snapshot can be, the better one first. They hold open
// directories, which the caller closes.
type place struct {
	dir  *os.File
	name string
}

func (d *Dir) places() ([]place, error) {
	beside := filepath.Clean(d.root.Name())
	parent, err := os.Open(filepath.Dir(beside))
	if err != nil {
		return nil, err
	}
	here, err := d.Open(".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		parent.Close()
		return nil, err
	}
	return []place{{parent, "." + filepath.Base(beside) + hiddenName}, {here, hiddenName}}, nil
}

func closeAll(places []place) {
	for _, p := range places {
		p.dir.Close()
	}
}

// findHidden opens a .snapshot that an earlier run has hidden.
func (d *Dir) findHidden() error {
	places, err := d.places()
	if err != nil {
		return err
	}
	defer closeAll(places)
	for _, p := range places {
		fd, err := unix.Openat(int(p.dir.Fd()), p.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("hidden %s: %w", SnapDir, err)
		}
		d.hidden = os.NewFile(uintptr(fd), SnapDir)
		return nil
	}
	return nil
}

// Hide takes .snapshot with all snapshots away from the root, or brings it back, as
// clients see a FlexVol whose -snapdir-access is false. Snapshots can be made,
// listed, read and deleted through a Dir all the same.
func (d *Dir) Hide(hide bool) error {
	if hide == d.Hidden() {
		return nil
	}
	places, err := d.places()
	if err != nil {
		return err
	}
	defer closeAll(places)
	if !hide {
		return d.unhide(places)
	}
	f, err := d.Open(SnapDir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range places {
		err = unix.Renameat2(d.fd(), SnapDir, int(p.dir.Fd()), p.name, unix.RENAME_NOREPLACE)
		if err == nil {
			d.hidden = f
			return f.Chmod(0o700)
		}
		if !errors.Is(err, unix.EXDEV) {
			break
		}
	}
	f.Close()
	return fmt.Errorf("hide %s: %w", SnapDir, err)
}

func (d *Dir) unhide(places []place) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := error(unix.ENOENT)
	for _, p := range places {
		err = unix.Renameat2(int(p.dir.Fd()), p.name, d.fd(), SnapDir, unix.RENAME_NOREPLACE)
		// Between two filesystems nothing is looked up.
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EXDEV) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("show %s: %w", SnapDir, err)
	}
	err = d.hidden.Chmod(0o555)
	d.hidden.Close()
	d.hidden = nil
	return err
}

// Hidden says whether .snapshot is away.
func (d *Dir) Hidden() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.hidden != nil
}

// Visible says whether a name in the root is one that clients see.
func Visible(name string) bool { return name != hiddenName }
