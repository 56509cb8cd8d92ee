package volume

import (
	"context"
	"sync/atomic"

	"github.com/casit/berth/tree"
)

// hooked is a filesystem on which a test has something happen around a call. A hook
// that returns an error replaces the call.
type hooked struct {
	tree.FS
	stat, list    func(name string) error
	rename, after func(o, n string) error
	looked        func(name string) // after a Stat

	armed atomic.Bool // the test's own
}

// hook opens the export as h.
func hook(h *hooked) func(*Config) {
	return func(c *Config) {
		open := c.Open
		c.Open = func(ctx context.Context) (tree.FS, error) {
			f, err := open(ctx)
			h.FS = f
			return h, err
		}
	}
}

func (h *hooked) Stat(ctx context.Context, name string) (tree.Attr, error) {
	if h.stat != nil {
		if err := h.stat(name); err != nil {
			return tree.Attr{}, err
		}
	}
	if h.looked != nil {
		defer h.looked(name)
	}
	return h.FS.Stat(ctx, name)
}

func (h *hooked) ReadDirPlus(ctx context.Context, name string, fn func(tree.EntryPlus) error) error {
	if h.list != nil {
		if err := h.list(name); err != nil {
			return err
		}
	}
	return h.FS.ReadDirPlus(ctx, name, fn)
}

func (h *hooked) Rename(ctx context.Context, o, n string) error {
	if h.rename != nil {
		if err := h.rename(o, n); err != nil {
			return err
		}
	}
	err := h.FS.Rename(ctx, o, n)
	if h.after != nil && err == nil {
		err = h.after(o, n)
	}
	return err
}

func (h *hooked) SyncAll(context.Context) error { return nil }
