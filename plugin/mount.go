package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// mounts is this node's mount of the export: one for all volumes and
// containers, a path below it is what Mount answers. It comes in generations,
// ROOT/export.N, so that a new export can be answered while containers still
// use the old one; ROOT/readonly.N is the same export for views.
//
// What is mounted is read from the kernel every time, never remembered: after
// a crash the old mounts are still there.
type mounts struct {
	root string
	busy chan struct{} // holds one token while nobody mounts; mount(2) cannot be cancelled
	// answered is the number of the generation that Mount answered last.
	answered atomic.Int64
}

func newMounts(root string) *mounts {
	m := &mounts{root: root, busy: make(chan struct{}, 1)}
	m.busy <- struct{}{}
	return m
}

// source is an opened export directory: tree.Local.
type source interface {
	Handle() int
}

const (
	writablePrefix = "export."
	readonlyPrefix = "readonly."
)

// generation is one mount of ours.
type generation struct {
	number   int
	path     string
	readonly bool
	is       place
}

// place is a directory of a filesystem, as mountinfo names it.
type place struct {
	major, minor int
	root         string
}

// ensure returns the path and generation of a mount of src, mounting it if no
// generation has it. The mountpoint has mode 0: where the mount is missing,
// nothing can be written below it.
func (m *mounts) ensure(ctx context.Context, src source, readonly bool) (string, int, error) {
	select {
	case <-m.busy:
	case <-ctx.Done():
		return "", 0, fmt.Errorf("mount the export: %w", ctx.Err())
	}
	type result struct {
		g   generation
		err error
	}
	done := make(chan result, 1)
	go func() {
		// Apart from the request: whatever becomes of it, the next one looks
		// at what is mounted.
		g, err := m.find(src, readonly)
		if err == nil && !readonly {
			m.answered.Store(int64(g.number))
		}
		m.busy <- struct{}{}
		done <- result{g, err}
	}()
	select {
	case r := <-done:
		return r.g.path, r.g.number, r.err
	case <-ctx.Done():
		return "", 0, fmt.Errorf("mount the export: %w", ctx.Err())
	}
}

func (m *mounts) find(src source, readonly bool) (generation, error) {
	want, err := placeOf(src.Handle())
	if err != nil {
		return generation{}, fmt.Errorf("mount the export: %w", err)
	}
	have, err := m.list()
	if err != nil {
		return generation{}, err
	}
	next := 1
	for _, g := range slices.Backward(have) {
		if g.is == want && g.readonly == readonly {
			return g, nil
		}
		next = max(next, g.number+1)
		// A view belongs to the generation that containers are given.
		if g.is == want && g.readonly != readonly {
			next = g.number
			break
		}
	}
	g := generation{number: next, readonly: readonly, is: want}
	prefix := writablePrefix
	if readonly {
		prefix = readonlyPrefix
	}
	g.path = filepath.Join(m.root, prefix+strconv.Itoa(next))
	if err := os.MkdirAll(m.root, 0o700); err != nil {
		return g, fmt.Errorf("mount the export: %w", err)
	}
	if err := os.Mkdir(g.path, 0); err != nil && !errors.Is(err, os.ErrExist) {
		return g, fmt.Errorf("mount the export: %w", err)
	}
	if err := bind(src.Handle(), g.path, readonly); err != nil {
		if errors.Is(err, unix.EPERM) {
			return g, fmt.Errorf("mount the export on %s: %w; berth serve needs CAP_SYS_ADMIN", g.path, err)
		}
		return g, fmt.Errorf("mount the export on %s: %w", g.path, err)
	}
	return g, nil
}

// bind attaches the directory behind fd at target. A read-only one is made so
// before it is attached: remounting afterwards would leave the copy that has
// propagated to the host writable.
func bind(fd int, target string, readonly bool) error {
	tree, err := unix.OpenTree(fd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	defer unix.Close(tree)
	if readonly {
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
			return fmt.Errorf("mount_setattr: %w", err)
		}
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount: %w", err)
	}
	return nil
}

// current returns the writable generation that Mount answered last, after a
// restart the newest, without any system call on the export; "" and 0 if there
// is none.
func (m *mounts) current() (path string, number int) {
	have, err := m.list()
	if err != nil {
		return "", 0
	}
	for _, g := range have {
		if g.readonly {
			continue
		}
		path, number = g.path, g.number
		if int64(number) == m.answered.Load() {
			break
		}
	}
	return path, number
}

// list reads our mounts from mountinfo, oldest first.
func (m *mounts) list() ([]generation, error) {
	prefix := m.root + "/"
	infos, err := mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) {
		return !strings.HasPrefix(i.Mountpoint, prefix), false
	})
	if err != nil {
		return nil, fmt.Errorf("read the mounts: %w", err)
	}
	var out []generation
	for _, i := range infos {
		g := generation{path: i.Mountpoint, is: place{i.Major, i.Minor, i.Root}}
		name := strings.TrimPrefix(i.Mountpoint, prefix)
		number, ok := strings.CutPrefix(name, writablePrefix)
		if !ok {
			number, ok = strings.CutPrefix(name, readonlyPrefix)
			g.readonly = true
		}
		if n, err := strconv.Atoi(number); ok && err == nil {
			g.number = n
			out = append(out, g)
		}
	}
	slices.SortStableFunc(out, func(a, b generation) int { return a.number - b.number })
	return out, nil
}

// retire detaches generations other than the current one that no claim refers
// to, and every one if all is set. Containers keep what they have.
func (m *mounts) retire(inUse []int, all bool) error {
	have, err := m.list()
	if err != nil {
		return err
	}
	_, current := m.current()
	var errs []error
	for _, g := range have {
		if !all && (g.number == current || current == 0 || slices.Contains(inUse, g.number)) {
			continue
		}
		if err := unix.Unmount(g.path, unix.MNT_DETACH); err != nil {
			errs = append(errs, fmt.Errorf("detach %s: %w", g.path, err))
			continue
		}
		_ = os.Remove(g.path)
	}
	return errors.Join(errs...)
}

// placeOf finds out what the directory behind fd is, from the kernel's own
// records and without touching the filesystem it is on.
func placeOf(fd int) (place, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &st); err != nil {
		return place{}, fmt.Errorf("statx: %w", err)
	}
	dir, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return place{}, err
	}
	var p place
	infos, err := mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) { return uint64(i.ID) != st.Mnt_id, false })
	if err != nil || len(infos) == 0 {
		return p, fmt.Errorf("the mount of %s is not in mountinfo: %w", dir, err)
	}
	below, err := filepath.Rel(infos[0].Mountpoint, dir)
	if err != nil || below == ".." || strings.HasPrefix(below, "../") {
		return p, fmt.Errorf("%s is not below its mount %s", dir, infos[0].Mountpoint)
	}
	return place{infos[0].Major, infos[0].Minor, filepath.Join(infos[0].Root, below)}, nil
}
