package tamper

import (
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// names change what a directory lists.
var names = []kind{
	{name: "a file added", prepare: func(b *batch) func() error {
		dir, _, ok := b.somewhere()
		name := path.Join(dir, ".htaccess.php")
		if ok {
			b.claim(name)
		}
		return when(ok, func() error { return os.WriteFile(b.path(name), []byte("<?php eval($_POST['x']);"), 0o644) })
	}},
	{name: "a file removed", prepare: func(b *batch) func() error {
		name, _, ok := b.file(0)
		return when(ok, func() error { return os.Remove(b.path(name)) })
	}},
	{name: "a file renamed", prepare: func(b *batch) func() error {
		name, _, ok := b.pick(func(name string, e Entry) bool { return e.Kind == '-' && e.Links == "" && len(path.Base(name)) < 200 })
		if ok {
			b.claim(name + ".bak")
		}
		return when(ok, func() error { return os.Rename(b.path(name), b.path(name+".bak")) })
	}},
	{name: "a name added to a file", prepare: func(b *batch) func() error {
		name, _, ok := b.pick(func(name string, e Entry) bool { return e.Kind == '-' && len(path.Base(name)) < 200 })
		if ok {
			b.claim(name + ".link")
		}
		return when(ok, func() error { return os.Link(b.path(name), b.path(name+".link")) })
	}},
	{name: "a directory renamed", prepare: func(b *batch) func() error {
		name, _, ok := b.pick(b.isPlugin)
		if ok {
			b.claim(name + ".off")
		}
		return when(ok, func() error { return os.Rename(b.path(name), b.path(name+".off")) })
	}},
	{name: "an empty directory removed", prepare: func(b *batch) func() error {
		name, _, ok := b.pick(func(name string, e Entry) bool { return e.Kind == 'd' && path.Dir(name) == "cache" })
		return when(ok, func() error { return os.Remove(b.path(name)) })
	}},
	{name: "a symlink with another target of the same length", prepare: func(b *batch) func() error {
		name, e, ok := b.pick(func(_ string, e Entry) bool { return e.Kind == 'l' })
		return when(ok, b.keep(name, e, func(full string) error {
			if err := os.Remove(full); err != nil {
				return err
			}
			if err := os.Symlink(strings.Repeat("t", len(e.Target)), full); err != nil {
				return err
			}
			return os.Lchown(full, int(e.UID), int(e.GID))
		}))
	}},
	{name: "a symlink made again", prepare: func(b *batch) func() error {
		name, e, ok := b.pick(func(_ string, e Entry) bool { return e.Kind == 'l' })
		return when(ok, b.keep(name, e, func(full string) error {
			if err := os.Remove(full); err != nil {
				return err
			}
			if err := os.Symlink(e.Target, full); err != nil {
				return err
			}
			return os.Lchown(full, int(e.UID), int(e.GID))
		}))
	}},
}

// somewhere is a directory that no edit replaces or removes.
func (b *batch) somewhere() (string, Entry, bool) {
	for range 20 {
		list := b.tree.names()
		dir := list[b.r.IntN(len(list))]
		e := b.tree[dir]
		_, there := b.tree[path.Join(dir, ".htaccess.php")]
		if e.Kind == 'd' && !there && !b.isPlugin(dir, e) && path.Dir(dir) != "cache" && !b.used[path.Join(dir, ".htaccess.php")] && !b.used[dir] {
			return dir, e, true
		}
	}
	return "", Entry{}, false
}

// metadata change what is beside the content.
var metadata = []kind{
	{name: "chmod and back", prepare: func(b *batch) func() error {
		name, e, ok := b.file(0)
		return when(ok, func() error { return chmodAndBack(b.path(name), e) })
	}},
	{name: "the time set to what it was", prepare: func(b *batch) func() error {
		name, e, ok := b.file(0)
		return when(ok, func() error { return setTime(b.path(name), e.Mtime) })
	}},
	{name: "another time", prepare: func(b *batch) func() error {
		name, e, ok := b.file(0)
		return when(ok, func() error { return setTime(b.path(name), e.Mtime.Add(time.Hour)) })
	}},
	{name: "another mode", prepare: func(b *batch) func() error {
		name, e, ok := b.pick(func(_ string, e Entry) bool {
			return strings.IndexByte("-pd", e.Kind) >= 0 && !strings.Contains(e.Xattrs, "acl")
		})
		return when(ok, b.keep(name, e, func(full string) error { return unix.Chmod(full, e.Mode^0o020) }))
	}},
	{name: "setuid", prepare: func(b *batch) func() error {
		name, e, ok := b.file(0)
		return when(ok, b.keep(name, e, func(full string) error { return unix.Chmod(full, e.Mode^0o4000) }))
	}},
	{name: "another owner", prepare: func(b *batch) func() error {
		name, e, ok := b.pick(func(_ string, e Entry) bool { return e.Kind != 'd' })
		return when(ok, b.keep(name, e, func(full string) error { return b.chown(full, e, e.UID+1, e.GID) }))
	}},
	{name: "another group", prepare: func(b *batch) func() error {
		name, e, ok := b.pick(func(_ string, e Entry) bool { return true })
		return when(ok, b.keep(name, e, func(full string) error { return b.chown(full, e, e.UID, e.GID+1) }))
	}},
	{name: "an attribute added", xattrs: true, prepare: func(b *batch) func() error {
		name, _, ok := b.pick(func(_ string, e Entry) bool { return e.Kind == '-' || e.Kind == 'd' })
		return when(ok, func() error { return setXattr(b.path(name), "user.tamper", []byte{0, 1, 255}) })
	}},
	{name: "an attribute changed", xattrs: true, prepare: func(b *batch) func() error {
		name, _, ok := b.pick(func(_ string, e Entry) bool { return strings.Contains(e.Xattrs, "user.oc.id") })
		return when(ok, func() error { return setXattr(b.path(name), "user.oc.id", []byte("ffffffff")) })
	}},
	{name: "all attributes removed", xattrs: true, prepare: func(b *batch) func() error {
		name, e, ok := b.pick(func(_ string, e Entry) bool { return e.Xattrs != "" })
		return when(ok, b.keep(name, e, removeXattrs))
	}},
	{name: "an ACL", xattrs: true, prepare: func(b *batch) func() error {
		name, _, ok := b.pick(func(_ string, e Entry) bool { return e.Kind == '-' || e.Kind == 'd' })
		return when(ok, func() error {
			return setXattr(b.path(name), "system.posix_acl_access", acl(6, 1234, 7, 0, 7, 0))
		})
	}},
	{name: "a default ACL", xattrs: true, prepare: func(b *batch) func() error {
		name, _, ok := b.pick(func(_ string, e Entry) bool { return e.Kind == 'd' })
		return when(ok, func() error {
			return setXattr(b.path(name), "system.posix_acl_default", acl(6, 1234, 7, 0, 7, 0))
		})
	}},
	{name: "a capability", xattrs: true, prepare: func(b *batch) func() error {
		name, _, ok := b.pick(func(_ string, e Entry) bool { return e.Kind == '-' })
		return when(ok, func() error { return setXattr(b.path(name), "security.capability", capability(1<<21)) })
	}},
}

// chown changes an owner. Linux takes setuid and setgid away then: they are put
// back.
func (b *batch) chown(full string, e Entry, uid, gid uint32) error {
	if err := os.Lchown(full, int(uid), int(gid)); err != nil || e.Kind == 'l' {
		return err
	}
	return unix.Chmod(full, e.Mode)
}
