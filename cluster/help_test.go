package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/export"
	"github.com/casit/berth/tree"
)

var ctx = context.Background()

// clock is time that a test moves.
type clock struct {
	mu    sync.Mutex
	moved time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.moved)
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved += d
}

// hooked is a filesystem that a test looks into: each hook is called after the
// request was answered, and before the caller goes on.
type hooked struct {
	tree.FS
	stat, link, rename func(name string)
}

// onceAt is a hook that calls f at the first request about a name. Heartbeats are
// read several at a time.
func onceAt(at string, f func()) func(name string) {
	var done atomic.Bool
	return func(name string) {
		if name == at && done.CompareAndSwap(false, true) {
			f()
		}
	}
}

func (h *hooked) Stat(ctx context.Context, name string) (tree.Attr, error) {
	a, err := h.FS.Stat(ctx, name)
	if h.stat != nil {
		h.stat(name)
	}
	return a, err
}

func (h *hooked) Link(ctx context.Context, o, n string) error {
	err := h.FS.Link(ctx, o, n)
	if h.link != nil {
		h.link(n)
	}
	return err
}

func (h *hooked) Rename(ctx context.Context, o, n string) error {
	err := h.FS.Rename(ctx, o, n)
	if h.rename != nil {
		h.rename(n)
	}
	return err
}

// testNode is one node of a swarm that shares the directory of an export.
type testNode struct {
	*Cluster
	t        *testing.T
	e        *export.Export
	clock    *clock
	hook     *hooked
	finished []Lock
}

func node(t *testing.T, dir, name string, change ...func(*Config)) *testNode {
	t.Helper()
	n := &testNode{t: t, clock: &clock{}, hook: &hooked{}}
	conn := export.New(export.Config{URL: "file://" + dir, Now: n.clock.now, Open: func(ctx context.Context) (tree.FS, error) {
		l, err := tree.OpenLocal(ctx, dir)
		n.hook.FS = l
		return n.hook, err
	}})
	cfg := Config{Conn: conn, Node: name, Boot: "boot-" + name, LeaseTTL: 9 * time.Second, Now: n.clock.now,
		Finish: func(_ context.Context, _ *export.Export, l *Lock) error {
			n.finished = append(n.finished, *l)
			return nil
		}}
	for _, f := range change {
		f(&cfg)
	}
	n.Cluster = New(cfg)
	var err error
	n.e, err = conn.Connect(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return n
}

// round is one turn of all that Run does.
func (n *testNode) round() error {
	return errors.Join(n.Beat(ctx), n.Look(ctx), n.Tidy(ctx, n.e))
}

func (n *testNode) must(err error) {
	n.t.Helper()
	require.NoError(n.t, err)
}

func (n *testNode) beats() {
	n.t.Helper()
	n.must(n.round())
}

// waits lets time go by while the node beats, as Run does.
func (n *testNode) waits(d time.Duration) {
	n.t.Helper()
	for step := n.cfg.LeaseTTL / 3; d > 0; d -= step {
		n.clock.move(min(step, d))
		n.beats()
	}
}

func (n *testNode) life(node string) Life {
	n.t.Helper()
	n.must(n.Poll(ctx, n.e))
	l, _ := n.Life(node)
	return l
}

// takes returns the lock of a volume.
func (n *testNode) takes(op Op, volume string) *Locking {
	n.t.Helper()
	l, err := n.Lock(ctx, n.e, Lock{Op: op, Volume: volume})
	n.must(err)
	return l
}

func write(t *testing.T, parts ...string) {
	t.Helper()
	name := filepath.Join(parts[:len(parts)-1]...)
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, []byte(parts[len(parts)-1]), 0o600))
}
