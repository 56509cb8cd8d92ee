package volume

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// hanging is a filesystem on a dead server: while down is set, every call
// lasts as long as its caller lets it (tree.FS's contract).
type hanging struct {
	tree.FS
	down *atomic.Bool
}

func (h hanging) wait(ctx context.Context) error {
	if !h.down.Load() {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (h hanging) Stat(ctx context.Context, name string) (tree.Attr, error) {
	if err := h.wait(ctx); err != nil {
		return tree.Attr{}, err
	}
	return h.FS.Stat(ctx, name)
}

func (h hanging) Open(ctx context.Context, name string) (tree.File, error) {
	if err := h.wait(ctx); err != nil {
		return nil, err
	}
	return h.FS.Open(ctx, name)
}

func (h hanging) OpenWrite(ctx context.Context, name string) (tree.File, error) {
	if err := h.wait(ctx); err != nil {
		return nil, err
	}
	return h.FS.OpenWrite(ctx, name)
}

func (h hanging) Create(ctx context.Context, name string, set tree.SetAttr) (tree.File, error) {
	if err := h.wait(ctx); err != nil {
		return nil, err
	}
	return h.FS.Create(ctx, name, set)
}

func (h hanging) ReadDir(ctx context.Context, name string, fn func(tree.Entry) error) error {
	if err := h.wait(ctx); err != nil {
		return err
	}
	return h.FS.ReadDir(ctx, name, fn)
}

func (h hanging) Remove(ctx context.Context, name string) error {
	if err := h.wait(ctx); err != nil {
		return err
	}
	return h.FS.Remove(ctx, name)
}

func TestADeadServerHangsNobody(t *testing.T) {
	dir := t.TempDir()
	down := &atomic.Bool{}
	n := node(t, dir, "n1", func(c *Config) {
		c.Open = func(ctx context.Context) (tree.FS, error) {
			l, err := tree.OpenLocal(ctx, dir)
			return hanging{l, down}, err
		}
	})
	n.must(n.Create(ctx, "site1", nil))
	_, err := n.Mount(ctx, "site1", "a", 1)
	require.NoError(t, err)
	n.beats()

	down.Store(true)
	// Each with a context that would last for ever: their own deadlines end them.
	got, err := n.Get(ctx, "site1")
	require.NoError(t, err)
	require.Contains(t, got.Health, "unverified: look up site1: the export file://"+dir+" did not answer in time")
	require.Equal(t, []string{"site1"}, n.names())
	// These end with the request's deadline, which the socket sets.
	_, err = n.Get(short(t), "unknown")
	require.Equal(t, problem.Unreachable, problem.KindOf(err))
	require.Equal(t, problem.Unreachable, problem.KindOf(n.Create(short(t), "new", nil)))
	require.Equal(t, problem.Unreachable, problem.KindOf(n.Remove(short(t), "site1")))
	n.must(n.Unmount(short(t), "site1", "a")) // a container stops, whatever the filer does

	down.Store(false)
	n.clock.move(time.Minute)
	n.beats()
	require.Empty(t, entries(t, dir, ".berth/leases"), "the lease is taken back when the server answers")
	require.Empty(t, lockedVolumes(t, dir))
	require.Equal(t, []string{"site1"}, n.names())
}
