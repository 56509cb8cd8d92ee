package treetest

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/casit/berth/tree"
)

// ErrKilled is what a process that was killed would have seen.
var ErrKilled = errors.New("killed")

// Mortal is a filesystem whose process dies at its n-th change of a name, of
// attributes or of a file that was there: that one and all later ones do not
// happen.
type Mortal struct {
	tree.FS
	Left *atomic.Int64 // changes until the end
}

// Change makes a change, unless the process has died. One that was begun ends
// before its caller goes on, cancelled or not: a dead process changes nothing
// while another one looks at what it has left.
func (m Mortal) Change(ctx context.Context, do func(context.Context) error) error {
	if m.Left.Add(-1) < 0 {
		return ErrKilled
	}
	return do(context.WithoutCancel(ctx))
}

// OpenWrite opens a file whose writes are changes.
func (m Mortal) OpenWrite(ctx context.Context, name string) (tree.File, error) {
	f, err := m.FS.OpenWrite(ctx, name)
	if err != nil {
		return nil, err
	}
	return mortalFile{f, m}, nil
}

type mortalFile struct {
	tree.File
	m Mortal
}

func (f mortalFile) WriteAt(ctx context.Context, p []byte, off int64) (n int, err error) {
	err = f.m.Change(ctx, func(ctx context.Context) error { n, err = f.File.WriteAt(ctx, p, off); return err })
	return n, err
}

func (m Mortal) Create(ctx context.Context, name string, set tree.SetAttr) (f tree.File, err error) {
	err = m.Change(ctx, func(ctx context.Context) error { f, err = m.FS.Create(ctx, name, set); return err })
	return f, err
}

func (m Mortal) Mkdir(ctx context.Context, name string, set tree.SetAttr) error {
	return m.Change(ctx, func(ctx context.Context) error { return m.FS.Mkdir(ctx, name, set) })
}

func (m Mortal) Symlink(ctx context.Context, target, name string, set tree.SetAttr) error {
	return m.Change(ctx, func(ctx context.Context) error { return m.FS.Symlink(ctx, target, name, set) })
}

func (m Mortal) Mknod(ctx context.Context, name string, kind tree.Kind, major, minor uint32, set tree.SetAttr) error {
	return m.Change(ctx, func(ctx context.Context) error { return m.FS.Mknod(ctx, name, kind, major, minor, set) })
}

func (m Mortal) Link(ctx context.Context, o, n string) error {
	return m.Change(ctx, func(ctx context.Context) error { return m.FS.Link(ctx, o, n) })
}

func (m Mortal) Rename(ctx context.Context, o, n string) error {
	return m.Change(ctx, func(ctx context.Context) error { return m.FS.Rename(ctx, o, n) })
}

func (m Mortal) Remove(ctx context.Context, name string) error {
	return m.Change(ctx, func(ctx context.Context) error { return m.FS.Remove(ctx, name) })
}

func (m Mortal) Rmdir(ctx context.Context, name string) error {
	return m.Change(ctx, func(ctx context.Context) error { return m.FS.Rmdir(ctx, name) })
}

func (m Mortal) SetAttr(ctx context.Context, name string, set tree.SetAttr) error {
	return m.Change(ctx, func(ctx context.Context) error { return m.FS.SetAttr(ctx, name, set) })
}
