package tamper

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// all are the kinds of edits. Sizes and times are kept unless the name says
// otherwise.
var all = slices.Concat(contents, inodes, names, metadata)

// contents change what is in a file, in place.
var contents = []kind{
	{name: "content", prepare: func(b *batch) func() error {
		name, e, ok := b.file(1)
		return when(ok, b.keep(name, e, func(full string) error { return write(full, 0, flip, e.Size) }))
	}},
	{name: "content, written anew", prepare: func(b *batch) func() error {
		name, e, ok := b.file(1)
		return when(ok, b.keep(name, e, func(full string) error {
			data, err := os.ReadFile(full)
			if err != nil {
				return err
			}
			flip(data)
			return os.WriteFile(full, data, 0o600)
		}))
	}},
	{name: "one byte in the middle", prepare: func(b *batch) func() error {
		name, e, ok := b.file(60_000)
		return when(ok, b.keep(name, e, func(full string) error { return write(full, e.Size/2, flip, 1) }))
	}},
	{name: "the last byte", prepare: func(b *batch) func() error {
		name, e, ok := b.file(1)
		return when(ok, b.keep(name, e, func(full string) error { return write(full, e.Size-1, flip, 1) }))
	}},
	{name: "content, and chmod and back", prepare: func(b *batch) func() error {
		name, e, ok := b.file(1)
		return when(ok, b.keep(name, e, func(full string) error {
			if err := write(full, e.Size/3, flip, 1); err != nil {
				return err
			}
			return chmodAndBack(full, e)
		}))
	}},
	{name: "content of a file with several names", prepare: func(b *batch) func() error {
		name, e, ok := b.pick(func(_ string, e Entry) bool { return e.Kind == '-' && e.Links != "" })
		return when(ok, b.keep(name, e, func(full string) error { return write(full, 0, flip, e.Size) }))
	}},
	{name: "content, the time later by a nanosecond", prepare: func(b *batch) func() error {
		name, e, ok := b.file(1)
		return when(ok, func() error {
			if err := write(b.path(name), 0, flip, 1); err != nil {
				return err
			}
			return setTime(b.path(name), e.Mtime.Add(1))
		})
	}},
	{name: "larger by a byte", prepare: func(b *batch) func() error {
		name, e, ok := b.file(0)
		return when(ok, b.keep(name, e, func(full string) error { return os.Truncate(full, e.Size+1) }))
	}},
	{name: "zeros into a hole", prepare: func(b *batch) func() error { return b.hole(0) }},
	{name: "one byte into a hole", prepare: func(b *batch) func() error { return b.hole(1) }},
}

// hole writes a block of zeros and one more byte into the hole of a sparse
// file.
func (b *batch) hole(last byte) func() error {
	name, e, ok := b.pick(func(name string, _ Entry) bool { return path.Dir(name) == "sparse" })
	return when(ok, b.keep(name, e, func(full string) error {
		block := make([]byte, 4096)
		block[4095] = last
		return write(full, 131_072, func(data []byte) { copy(data, block) }, 4096)
	}))
}

// inodes put another file under a name.
var inodes = []kind{
	{name: "another file of the same look renamed over it", prepare: func(b *batch) func() error {
		name, _, ok := b.file(1)
		return when(ok, func() error { return replace(b.path(name), flip) })
	}},
	{name: "an equal file renamed over it", prepare: func(b *batch) func() error {
		name, _, ok := b.file(0)
		return when(ok, func() error { return replace(b.path(name), func([]byte) {}) })
	}},
	{name: "two files swapped", prepare: func(b *batch) func() error {
		left, _, ok := b.pick(func(name string, _ Entry) bool {
			return path.Base(name) == "left" && !b.used[path.Dir(name)+"/right"]
		})
		right := path.Dir(left) + "/right"
		if ok {
			b.claim(right)
		}
		return when(ok, func() error { return swap(b.path(left), b.path(right)) })
	}},
	{name: "two directories swapped", prepare: func(b *batch) func() error {
		left, _, ok := b.pick(func(name string, e Entry) bool { return b.isPlugin(name, e) && b.free(sibling(name), e) })
		if ok {
			b.claim(sibling(left))
		}
		return when(ok, func() error { return swap(b.path(left), b.path(sibling(left))) })
	}},
	{name: "a directory replaced by a copy with one file changed", prepare: func(b *batch) func() error {
		dir, _, ok := b.pick(b.isPlugin)
		return when(ok, func() error { return replaceDirectory(b.path(dir)) })
	}},
	{name: "a name of several replaced by a copy", prepare: func(b *batch) func() error {
		name, _, ok := b.pick(func(_ string, e Entry) bool { return e.Kind == '-' && e.Links != "" })
		return when(ok, func() error { return replace(b.path(name), func([]byte) {}) })
	}},
	{name: "a copy replaced by a hard link", prepare: func(b *batch) func() error {
		name, _, ok := b.pick(func(name string, _ Entry) bool {
			return path.Dir(name) == "copies/below" && !b.used["copies/"+strings.TrimSuffix(path.Base(name), ".copy")+".orig"]
		})
		original := "copies/" + strings.TrimSuffix(path.Base(name), ".copy") + ".orig"
		if ok {
			b.claim(original)
		}
		return when(ok, func() error {
			if err := os.Remove(b.path(name)); err != nil {
				return err
			}
			return os.Link(b.path(original), b.path(name))
		})
	}},
	{name: "a file became a symlink of its size", prepare: func(b *batch) func() error {
		name, e, ok := b.pick(func(_ string, e Entry) bool {
			return e.Kind == '-' && e.Links == "" && e.Size > 0 && e.Size < 4000
		})
		return when(ok, b.keep(name, e, func(full string) error {
			if err := os.Remove(full); err != nil {
				return err
			}
			if err := os.Symlink(strings.Repeat("s", int(e.Size)), full); err != nil {
				return err
			}
			return os.Lchown(full, int(e.UID), int(e.GID))
		}))
	}},
	{name: "a symlink became a file of its size", prepare: func(b *batch) func() error {
		name, e, ok := b.pick(func(_ string, e Entry) bool { return e.Kind == 'l' })
		return when(ok, b.keep(name, e, func(full string) error {
			if err := os.Remove(full); err != nil {
				return err
			}
			return os.WriteFile(full, make([]byte, e.Size), 0o644)
		}))
	}},
	{name: "a FIFO became a file", prepare: func(b *batch) func() error {
		name, e, ok := b.pick(func(_ string, e Entry) bool { return e.Kind == 'p' })
		return when(ok, b.keep(name, e, func(full string) error {
			if err := os.Remove(full); err != nil {
				return err
			}
			return os.WriteFile(full, nil, 0o640)
		}))
	}},
}

// isPlugin tells whether a directory has a sibling of the same look.
func (b *batch) isPlugin(name string, e Entry) bool {
	return e.Kind == 'd' && path.Dir(name) == "wp-content/plugins"
}

func sibling(plugin string) string {
	if strings.HasSuffix(plugin, "a") {
		return strings.TrimSuffix(plugin, "a") + "b"
	}
	return strings.TrimSuffix(plugin, "b") + "a"
}

// when is do, nil if there is nothing to do it to.
func when(ok bool, do func() error) func() error {
	if !ok {
		return nil
	}
	return do
}

func chmodAndBack(full string, e Entry) error {
	if err := unix.Chmod(full, 0o111); err != nil {
		return err
	}
	return unix.Chmod(full, e.Mode)
}

// replace renames a file of the same look over one.
func replace(full string, change func([]byte)) error {
	beside, err := fake(full, change)
	if err != nil {
		return err
	}
	return os.Rename(beside, full)
}

func swap(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

// replaceDirectory puts a copy of a directory of files in its place. The first
// file of the copy is another one.
func replaceDirectory(full string) error {
	entries, err := os.ReadDir(full)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(full, &st); err != nil {
		return err
	}
	made := filepath.Join(filepath.Dir(full), ".made")
	if err := os.Mkdir(made, 0o700); err != nil {
		return err
	}
	for i, d := range entries {
		data, err := os.ReadFile(filepath.Join(full, d.Name()))
		if err != nil {
			return err
		}
		if i == 0 {
			flip(data)
		}
		if err := copyTo(filepath.Join(full, d.Name()), filepath.Join(made, d.Name()), data); err != nil {
			return err
		}
	}
	if err := os.Lchown(made, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Chmod(made, st.Mode&0o7777); err != nil {
		return err
	}
	if err := setTime(made, time.Unix(st.Mtim.Sec, st.Mtim.Nsec)); err != nil {
		return err
	}
	if err := swap(made, full); err != nil {
		return err
	}
	return os.RemoveAll(made)
}
