package mounts

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

	"github.com/google/renameio/v2"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/guard"
	"github.com/casit/berth/nfs"
	"github.com/casit/berth/several"
	"github.com/casit/berth/text"
)

// Mounts is this node's mount of the export: one mount for all volumes and
// containers. Volumes are at paths below it. The mount has generations,
// ROOT/export.N: a new export can be mounted while containers still use the old
// one. ROOT/readonly.N is the same export for views.
//
// The list of mounts comes from the kernel every time and is never remembered:
// the mounts of a crashed plugin are still attached.
type Mounts struct {
	Root  string // as the kernel names it
	tasks *guard.Tasks
	busy  chan struct{} // has one token while nobody mounts; mount(2) cannot be cancelled
	// answered is the number of the generation that Ensure answered last.
	answered atomic.Int64
}

// MakeRoot makes the mount root and returns its one true name, which is what
// the kernel calls it.
func MakeRoot(name string) (string, error) {
	err := os.MkdirAll(name, 0o700)
	if err == nil {
		name, err = filepath.EvalSymlinks(name)
	}
	if err == nil && name == "/" {
		return "", BadRoot(name)
	}
	if err == nil {
		err = private(name)
	}
	if err != nil {
		return "", fmt.Errorf("BERTH_MOUNT_ROOT: %w", err)
	}
	return name, nil
}

// private gives a mount root that was made by others, as dockerd makes a managed
// plugin's, the mode that berth gives its own: the files below are the containers'.
// A directory that has anything of others in it stays as it is; the doctor says so.
func private(root string) error {
	entries, err := os.ReadDir(root)
	for _, e := range entries {
		name := "." + strings.TrimLeft(e.Name(), ".") // a label, or a temporary file, begins with more dots
		if !slices.ContainsFunc([]string{"." + writablePrefix, "." + readonlyPrefix, "." + emptyPrefix, HintName},
			func(ours string) bool { return strings.HasPrefix(name, ours) }) {
			return nil
		}
	}
	if err != nil {
		return err
	}
	return os.Chmod(root, 0o700)
}

// BadRoot is the error for a mount root that cannot be one.
func BadRoot(name string) error {
	return fmt.Errorf("BERTH_MOUNT_ROOT=%s: write the absolute path of a directory of its own, such as /var/lib/berth/mounts", text.Visible(name))
}

// HintName is the plugin's own file in the mount root, which survives a restart.
const HintName = ".index.json"

// New returns the mounts below root. What a context cannot interrupt runs as one of the
// tasks.
func New(root string, t *guard.Tasks) *Mounts {
	m := &Mounts{Root: root, tasks: t, busy: make(chan struct{}, 1)}
	m.busy <- struct{}{}
	return m
}

// Plane is the source of the data of an opened export.
type Plane interface {
	// same says that a generation is a mount of this very export with the present
	// options.
	same(g generation) bool
	// attach mounts the export on the directory target. It cannot be
	// interrupted.
	attach(target string) error
	// label is the text that same compares. It is kept in a file beside the
	// mountpoint; "" where the kernel's records suffice.
	label() string
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
	is       directoryID
	attr     uint64 // what it has of attrOf
}

// attrOf are the attributes of a mount with these options: without a word about
// them, no file is setuid there and no node is a device. What containers make has
// to be harmless to the host and to each other.
func attrOf(options string) (attr uint64) {
	if !nfs.HasOption(options, "suid") {
		attr |= unix.MOUNT_ATTR_NOSUID
	}
	if !nfs.HasOption(options, "dev") {
		attr |= unix.MOUNT_ATTR_NODEV
	}
	return attr
}

// attrIn are those attributes that the kernel lists for a mount.
func attrIn(i *mountinfo.Info) (attr uint64) {
	if nfs.HasOption(i.Options, "nosuid") {
		attr |= unix.MOUNT_ATTR_NOSUID
	}
	if nfs.HasOption(i.Options, "nodev") {
		attr |= unix.MOUNT_ATTR_NODEV
	}
	return attr
}

// directoryID is a directory of a filesystem, as mountinfo names it.
type directoryID struct {
	major, minor int
	root         string
}

// Ensure returns the path and generation of a mount of the export, mounting it
// if no generation has it. The mountpoint has mode 0: where the mount is
// missing, nothing can be written below it.
func (m *Mounts) Ensure(ctx context.Context, src Plane, readonly bool) (string, int, error) {
	select {
	case <-m.busy:
	case <-ctx.Done():
		return "", 0, fmt.Errorf("mount the export: %w", ctx.Err())
	}
	var g generation
	// A task of its own: the request may end first. The next request reads the
	// kernel's list of mounts.
	err := m.tasks.Run(ctx, "mount the export", func() (err error) {
		defer func() { m.busy <- struct{}{} }()
		if g, err = m.find(src, readonly); err == nil && !readonly {
			m.answered.Store(int64(g.number))
		}
		return err
	})
	if err == nil {
		return g.path, g.number, nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("mount the export: %w", ctx.Err())
	}
	return "", 0, err
}

// find returns the generation of the export, and mounts it if there is none. The
// read-only generation is a clone of the writable one.
func (m *Mounts) find(src Plane, readonly bool) (generation, error) {
	have, err := m.list()
	if err != nil {
		return generation{}, err
	}
	g := generation{number: 1}
	for _, h := range slices.Backward(have) {
		if !h.readonly && src.same(h) {
			g = h
			break
		}
		g.number = max(g.number, h.number+1)
	}
	if g.path == "" {
		g.path = m.path(writablePrefix, g.number)
		if err := m.attach(g, src.label(), src.attach); err != nil {
			return g, err
		}
	}
	if !readonly {
		return g, nil
	}
	view := generation{number: g.number, path: m.path(readonlyPrefix, g.number), readonly: true}
	if slices.ContainsFunc(have, func(h generation) bool { return h.path == view.path }) {
		return view, nil
	}
	return view, m.attach(view, "", func(target string) error { return cloneReadOnly(g.path, target) })
}

func (m *Mounts) path(prefix string, number int) string {
	return filepath.Join(m.Root, prefix+strconv.Itoa(number))
}

// attach makes the mountpoint of g and lets mount do the rest.
func (m *Mounts) attach(g generation, label string, mount func(target string) error) error {
	err := os.MkdirAll(m.Root, 0o700)
	if err == nil {
		if err = os.Mkdir(g.path, 0); errors.Is(err, os.ErrExist) {
			err = nil
		}
	}
	if err == nil && label != "" {
		err = renameio.WriteFile(labelPath(g.path), []byte(label), 0o600)
	}
	if err == nil {
		err = mount(g.path)
	}
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("mount the export on %s: %w; berth serve needs CAP_SYS_ADMIN", g.path, err)
	}
	if err != nil {
		return fmt.Errorf("mount the export on %s: %w", g.path, err)
	}
	return nil
}

// labelPath is the file beside a mountpoint that has the label of its plane.
func labelPath(mountpoint string) string {
	return filepath.Join(filepath.Dir(mountpoint), "."+filepath.Base(mountpoint))
}

// bind attaches the directory behind fd, or at path where fd is AT_FDCWD, at
// target, with these attributes beside those of the directory's mount. They are set
// before it is attached: a remount afterwards would leave the host's propagated copy
// as it was.
func bind(fd int, path, target string, attr uint64) error {
	tree, err := unix.OpenTree(fd, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_NO_AUTOMOUNT)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	defer unix.Close(tree)
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: attr}); err != nil {
		return fmt.Errorf("mount_setattr: %w", err)
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount: %w", err)
	}
	return nil
}

func cloneReadOnly(from, target string) error {
	return bind(unix.AT_FDCWD, from, target, unix.MOUNT_ATTR_RDONLY)
}

// Current returns the writable generation that Ensure answered with last, or the
// newest one after a restart; "" and 0 if there is none. It makes no system call
// on the export, which may be dead.
func (m *Mounts) Current() (path string, number int) {
	have, err := m.list()
	if err != nil {
		return "", 0
	}
	return m.currentOf(have)
}

func (m *Mounts) currentOf(have []generation) (path string, number int) {
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

// Open lists the mounts on which setuid files or device nodes count.
func (m *Mounts) Open() (paths []string, err error) {
	have, err := m.list()
	for _, g := range have {
		if g.attr != attrOf("") {
			paths = append(paths, g.path)
		}
	}
	return paths, err
}

// list reads our mounts from mountinfo, oldest first.
func (m *Mounts) list() ([]generation, error) {
	prefix := m.Root + "/"
	infos, err := mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) {
		return !strings.HasPrefix(i.Mountpoint, prefix), false
	})
	if err != nil {
		return nil, fmt.Errorf("read the mounts: %w", err)
	}
	var out []generation
	for _, i := range infos {
		g := generation{path: i.Mountpoint, is: directoryID{i.Major, i.Minor, i.Root}, attr: attrIn(i)}
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

// emptyPrefix begins the name of a symlink to a read-only generation. dockerd
// copies the files of an image into an empty volume. Into a view it cannot, and
// its error shows the path and no cure. So the path itself has the cure.
const emptyPrefix = "this-version-is-empty--add-:nocopy--"

// ThroughEmpty is the path of an empty view through that symlink, or through the
// read-only generation itself where the symlink cannot be made.
func (m *Mounts) ThroughEmpty(number int, below string) string {
	target := readonlyPrefix + strconv.Itoa(number)
	link := emptyPrefix + strconv.Itoa(number)
	at := filepath.Join(m.Root, link)
	if err := os.Symlink(target, at); err != nil {
		if to, readErr := os.Readlink(at); readErr != nil || to != target {
			link = target
		}
	}
	return filepath.Join(m.Root, link, below)
}

// Retire detaches all generations but the current one and those in use, or all
// of them if all is set. Containers keep the mounts that they have.
func (m *Mounts) Retire(inUse []int, all bool) error {
	have, err := m.list()
	if err != nil {
		return err
	}
	_, current := m.currentOf(have)
	var failed several.Errors
	for _, g := range have {
		if !all && (g.number == current || current == 0 || slices.Contains(inUse, g.number)) {
			continue
		}
		if err := unix.Unmount(g.path, unix.MNT_DETACH); err != nil {
			failed.Add(fmt.Errorf("detach %s: %w", g.path, err))
			continue
		}
		_ = os.Remove(g.path)
		_ = os.Remove(labelPath(g.path))
		if g.readonly {
			_ = os.Remove(filepath.Join(m.Root, emptyPrefix+strconv.Itoa(g.number)))
		}
	}
	return failed.Err()
}
