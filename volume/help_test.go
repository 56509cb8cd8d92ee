package volume

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/tree"
)

// clock is time that a test moves. Its steps are seen by every store made with it.
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

// testNode is one node of a swarm that shares the directory of an export.
type testNode struct {
	*Store
	t     *testing.T
	clock *clock
	said  *[]string
}

// node starts a store on dir as the named node. It ticks when a test says so.
func node(t *testing.T, dir, name string, change ...func(*Config)) *testNode {
	t.Helper()
	c := &clock{}
	var mu sync.Mutex
	said := &[]string{}
	cfg := Config{
		URL: "file://" + dir, Node: name, Boot: "boot-" + name, LeaseTTL: 9 * time.Second, Now: c.now,
		Open: func(ctx context.Context) (tree.FS, error) {
			l, err := tree.OpenLocal(ctx, dir)
			if err != nil {
				return nil, export.Away("file://"+dir, err)
			}
			return l, nil
		},
		Report: func(event string, fields map[string]any) {
			mu.Lock()
			defer mu.Unlock()
			*said = append(*said, fmt.Sprint(event, " ", fields))
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	n := &testNode{Store: New(cfg), t: t, clock: c, said: said}
	t.Cleanup(func() { n.Close() })
	return n
}

func (n *testNode) beats() {
	n.t.Helper()
	require.NoError(n.t, n.tick(context.Background()))
}

// tick is one round, and the upkeep that follows it.
func (n *testNode) tick(ctx context.Context) error {
	if err := n.Cluster.Beat(ctx); err != nil {
		return err
	}
	if err := n.Cluster.Look(ctx); err != nil {
		return err
	}
	return n.upkeep(ctx)
}

// waits lets time go by while the node beats, as Run does.
func (n *testNode) waits(d time.Duration) {
	n.t.Helper()
	for step := n.cfg.LeaseTTL / 3; d > 0; d -= step {
		n.clock.move(min(step, d))
		n.beats()
	}
}

// stops is Run's end.
func (n *testNode) stops() {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	n.Run(ctx)
}

// claimed tells whether this node uses name under id.
func (n *testNode) claimed(name, id string) bool {
	_, ok := n.Cluster.Claims(name)[id]
	return ok
}

// lock takes the lock of a volume.
func (n *testNode) lock(op cluster.Op, volume, work string) *cluster.Locking {
	n.t.Helper()
	l, err := n.Cluster.Lock(ctx, n.conn.Current(), cluster.Lock{Op: op, Volume: volume, Work: work})
	n.must(err)
	return l
}

// sweeps deletes what is to be deleted, also while the sweep that a tick began
// in the background is still at it.
func (n *testNode) sweeps() {
	n.t.Helper()
	require.Eventually(n.t, func() bool {
		n.sweeper.Sweep(ctx, n.conn.Current())
		purging := false
		err := n.conn.Current().FS.ReadDir(ctx, export.StagingDir, func(d tree.Entry) error {
			purging = purging || strings.HasPrefix(d.Name, export.PurgePrefix)
			return nil
		})
		return err == nil && !purging
	}, 10*time.Second, 5*time.Millisecond)
}

func (n *testNode) must(err error) {
	n.t.Helper()
	require.NoError(n.t, err)
}

func (n *testNode) names() []string {
	n.t.Helper()
	names, err := n.List(context.Background())
	require.NoError(n.t, err)
	return names
}

var ctx = context.Background()

// write puts a file below the export as a container would.
func write(t *testing.T, parts ...string) {
	t.Helper()
	content := parts[len(parts)-1]
	name := filepath.Join(parts[:len(parts)-1]...)
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, []byte(content), 0o644))
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	require.NoError(t, err)
	return string(data)
}

// lockedVolumes lists the volumes below dir that have a lock.
func lockedVolumes(t *testing.T, dir string) (volumes []string) {
	t.Helper()
	fsys, err := tree.OpenLocal(ctx, dir)
	require.NoError(t, err)
	defer fsys.Close()
	locks, err := cluster.Locks(ctx, fsys)
	require.NoError(t, err)
	for _, l := range locks {
		volumes = append(volumes, l.Volume)
	}
	return volumes
}

// listing is every path below dir with its mode, to prove that nothing changed.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	require.NoError(t, filepath.Walk(dir, func(p string, i os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		if rel == ".berth/staging" || strings.HasPrefix(rel, ".berth/locks") || rel == ".berth" {
			return nil // their times change, their content is listed
		}
		out = append(out, fmt.Sprintf("%s %s %d", rel, i.Mode(), i.Size()))
		return nil
	}))
	return out
}
