package tamper

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Entry is everything that Walk sees of one name.
type Entry struct {
	Kind   byte // as ls -l has it: - d l p s b c
	Mode   uint32
	UID    uint32
	GID    uint32
	Size   int64
	Rdev   uint64
	Sum    string // of a file's content
	Target string // of a symlink
	Mtime  time.Time
	Xattrs string // sorted, with ACLs and capabilities
	Links  string // all names of the inode in the tree, where there are several
}

// Tree is a tree by path; the root is ".".
type Tree map[string]Entry

// Walk reads a tree, content and all.
func Walk(dir string) (Tree, error) { return walkBelow(dir, ".") }

// walkBelow reads what is at some paths below dir. A path may be absent.
func walkBelow(dir string, roots ...string) (Tree, error) {
	w := walker{dir: dir, tree: Tree{}, inodes: map[[2]uint64][]string{}}
	for _, root := range roots {
		if err := w.walk(root); err != nil {
			return nil, err
		}
	}
	for _, names := range w.inodes {
		if len(names) < 2 {
			continue
		}
		slices.Sort(names)
		for _, name := range names {
			e := w.tree[name]
			e.Links = strings.Join(names, "\x00")
			w.tree[name] = e
		}
	}
	return w.tree, nil
}

type walker struct {
	dir    string
	tree   Tree
	inodes map[[2]uint64][]string
}

func (w *walker) walk(name string) error {
	if _, seen := w.tree[name]; seen {
		return nil
	}
	full := w.dir + "/" + name
	var st unix.Stat_t
	if err := unix.Lstat(full, &st); err == unix.ENOENT {
		return nil
	} else if err != nil {
		return fmt.Errorf("stat %q: %w", full, err)
	}
	e := Entry{Kind: kinds[st.Mode&unix.S_IFMT], Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid, Size: st.Size, Rdev: st.Rdev,
		Mtime: mtimeOf(st).UTC()}
	var err error
	switch e.Kind {
	case 'd':
		e.Size = 0
	case 'l':
		e.Mode = 0
		e.Target, err = os.Readlink(full)
	case '-':
		e.Sum, err = sum(full)
	}
	if err == nil {
		e.Xattrs, err = xattrs(full)
	}
	if err != nil {
		return err
	}
	w.tree[name] = e
	if e.Kind != 'd' {
		id := [2]uint64{st.Dev, st.Ino}
		w.inodes[id] = append(w.inodes[id], name)
		return nil
	}
	entries, err := os.ReadDir(full)
	if err != nil {
		return err
	}
	for _, d := range entries {
		if err := w.walk(path.Join(name, d.Name())); err != nil {
			return err
		}
	}
	return nil
}

var kinds = map[uint32]byte{unix.S_IFREG: '-', unix.S_IFDIR: 'd', unix.S_IFLNK: 'l', unix.S_IFIFO: 'p', unix.S_IFSOCK: 's', unix.S_IFBLK: 'b', unix.S_IFCHR: 'c'}

func sum(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return string(h.Sum(nil)), err
}

// xattrs are a file's extended attributes, sorted.
func xattrs(name string) (string, error) {
	var out []string
	err := eachXattr(name, func(attr string, value []byte) error {
		out = append(out, fmt.Sprintf("%s=%x", attr, value))
		return nil
	})
	slices.Sort(out)
	return strings.Join(out, " "), err
}

// names are the paths, sorted.
func (t Tree) names() []string { return slices.Sorted(maps.Keys(t)) }
