package tamper

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Edit is one thing that was done to a tree.
type Edit struct {
	Kind string
	Difference
}

// Batch makes n edits of a tree that Site has made, on paths that no two of
// them share, and says what each has changed. tree is what Walk sees of it.
func Batch(dir string, tree Tree, seed uint64, n int, f Features) ([]Edit, error) {
	b := &batch{dir: dir, tree: tree, r: rand.New(rand.NewPCG(seed, 2)), features: f, used: map[string]bool{}}
	var kinds []kind
	for _, k := range all {
		if f.Xattrs || !k.xattrs {
			kinds = append(kinds, k)
		}
	}
	b.r.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	for i := 0; len(b.edits) < n; i++ {
		if i > 10*n {
			return nil, fmt.Errorf("the tree has targets for %d edits, not for %d", len(b.edits), n)
		}
		k := kinds[i%len(kinds)]
		b.roots = nil
		do := k.prepare(b)
		if do == nil {
			continue // no target is left
		}
		if err := b.apply(k.name, do); err != nil {
			return nil, fmt.Errorf("%s: %w", k.name, err)
		}
	}
	return b.edits, b.keepTimes()
}

// kind is one way to change a tree. prepare chooses the targets by the
// methods of batch and returns what is to be done; nil where there are none.
type kind struct {
	name    string
	xattrs  bool // it needs them
	prepare func(b *batch) func() error
}

type batch struct {
	dir      string
	tree     Tree // before all edits
	r        *rand.Rand
	features Features
	edits    []Edit
	used     map[string]bool // paths that an edit has touched
	roots    []string        // that the edit in the making touches
}

func (b *batch) path(name string) string { return b.dir + "/" + name }

// apply makes an edit, and looks at what it touches before and after.
func (b *batch) apply(kind string, do func() error) error {
	before, err := walkBelow(b.dir, b.roots...)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	after, err := walkBelow(b.dir, b.roots...)
	b.edits = append(b.edits, Edit{Kind: kind, Difference: Compare(before, after)})
	return err
}

// pick chooses a name that no edit has touched and claims it, its other names
// and, of a directory, all that is below.
func (b *batch) pick(fits func(name string, e Entry) bool) (string, Entry, bool) {
	var free []string
	for _, name := range b.tree.names() {
		if e := b.tree[name]; name != "." && fits(name, e) && b.free(name, e) {
			free = append(free, name)
		}
	}
	if free == nil {
		return "", Entry{}, false
	}
	name := free[b.r.IntN(len(free))]
	b.claim(name)
	return name, b.tree[name], true
}

// free tells whether no edit touches a name, a directory above it, or
// anything below.
func (b *batch) free(name string, e Entry) bool {
	for up := name; up != "."; up = path.Dir(up) {
		if b.used[up] {
			return false
		}
	}
	if e.Kind != 'd' {
		return true
	}
	for used := range b.used {
		if strings.HasPrefix(used, name+"/") {
			return false
		}
	}
	return true
}

func (b *batch) claim(names ...string) {
	for _, name := range names {
		for _, one := range append(split(b.tree[name].Links), name) {
			b.used[one] = true
			b.roots = append(b.roots, one)
		}
	}
}

// file chooses a regular file with one name and of some size.
func (b *batch) file(least int64) (string, Entry, bool) {
	return b.pick(func(_ string, e Entry) bool { return e.Kind == '-' && e.Links == "" && e.Size >= least })
}

// keepTimes puts the times of most directories back, as an intruder does.
func (b *batch) keepTimes() error {
	for _, name := range b.tree.names() {
		e := b.tree[name]
		info, err := os.Lstat(b.path(name))
		if e.Kind != 'd' || err != nil || !info.IsDir() || b.r.IntN(4) == 0 {
			continue
		}
		if err := setTime(b.path(name), e.Mtime); err != nil {
			return err
		}
	}
	return nil
}

// keep does something to a name and puts its time back.
func (b *batch) keep(name string, e Entry, do func(full string) error) func() error {
	return func() error {
		if err := do(b.path(name)); err != nil {
			return err
		}
		return setTime(b.path(name), e.Mtime)
	}
}

// write changes bytes of a file in place.
func write(full string, at int64, change func([]byte), n int64) error {
	f, err := os.OpenFile(full, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	data := make([]byte, n)
	if _, err := f.ReadAt(data, at); err != nil {
		return err
	}
	change(data)
	_, err = f.WriteAt(data, at)
	return err
}

// flip changes every bit.
func flip(data []byte) {
	for i := range data {
		data[i] = ^data[i]
	}
}

// fake makes a file beside full that looks like it, with other content.
func fake(full string, change func([]byte)) (string, error) {
	data, err := os.ReadFile(full)
	if err != nil {
		return "", err
	}
	change(data)
	beside := filepath.Join(filepath.Dir(full), ".fake")
	return beside, copyTo(full, beside, data)
}

// copyTo makes a file with the mode, owner, attributes and time of another.
func copyTo(full, name string, data []byte) error {
	var st unix.Stat_t
	if err := unix.Lstat(full, &st); err != nil {
		return err
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		return err
	}
	if err := os.Lchown(name, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Chmod(name, st.Mode&0o7777); err != nil {
		return err
	}
	if err := copyXattrs(full, name); err != nil {
		return err
	}
	return setTime(name, mtimeOf(st))
}
