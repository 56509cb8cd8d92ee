package volume

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/tree"
)

var manyItems = flag.Int("items", 10_000, "how much trash the test of the upkeep has")

// steadyNode is a node whose requests take a steady time each.
type steadyNode struct {
	*Store
	link *simLink
	t    *testing.T

	mu   sync.Mutex // guards said
	said []string
}

// steady starts a node on a simulated server; it runs until the bubble's end.
func steady(t *testing.T, s *simServer, name string, each time.Duration, change ...func(*Config, *simLink)) *steadyNode {
	t.Helper()
	n := &steadyNode{link: newSimLink(s, 1, name), t: t}
	n.link.steady = each
	dead := false
	cfg := Config{URL: "nfs://filer/export", Node: name, Boot: "boot-" + name, LeaseTTL: 9 * time.Second,
		Open: func(context.Context) (tree.FS, error) { return simFS{s, n.link, &dead}, nil },
		Report: func(event string, fields map[string]any) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.said = append(n.said, fmt.Sprint(event, " ", fields))
		}}
	for _, f := range change {
		f(&cfg, n.link)
	}
	n.Store = New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		n.link.set(func() { dead = true })
		n.Close()
	})
	return n
}

func (n *steadyNode) must(err error) {
	n.t.Helper()
	require.NoError(n.t, err)
}

// put makes a file on the server, with the directories above it.
func (s *simServer) put(name string, v any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.root
	parts := strings.Split(name, "/")
	for _, p := range parts[:len(parts)-1] {
		if at.names[p] == nil {
			at.names[p] = s.inode(tree.Directory, 0o700)
		}
		at = at.names[p]
	}
	i := s.inode(tree.Regular, 0o600)
	i.data = export.Encode(v)
	at.names[parts[len(parts)-1]] = i
	s.touch(at)
}

func (s *simServer) count(dir string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := s.find("count", dir)
	if err != nil {
		return 0
	}
	return len(i.names)
}

// trashed puts an item into the trash that expires at a time of the server's.
func (s *simServer) trashed(id string, removed, expires time.Time) {
	s.put(export.TrashData(id)+"/f", "x")
	s.put(export.TrashMeta(id), Trashed{Version: 1, ID: id, Kind: "removed", Volume: "v" + id, Removed: removed, Expires: &expires})
}

// The trash and the leases of a large export take longer to look through than a
// lease lasts, and the server is slow. No node that lives is expired for it, and what
// has expired is gone in the second round after it was read.
func TestALivingNodeIsNeverExpiredHoweverMuchThereIsToDo(t *testing.T) {
	const each = 10 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		s := newSimServer()
		first := steady(t, s, "n1", each)
		first.must(first.Create(context.Background(), "site", nil))
		_, err := first.Mount(context.Background(), "site", "a", 1)
		first.must(err)
		now := time.Now().Add(time.Hour) // the server's
		expired := 0
		for i := range *manyItems {
			expires := now.Add(24 * time.Hour)
			if i%10 == 0 {
				expires = now.Add(-time.Hour)
				expired++
			}
			s.trashed(fmt.Sprintf("20000101-%04d-%06x", i/60, i), now.Add(-48*time.Hour), expires)
		}
		for i := range 2000 {
			volume := fmt.Sprintf("v%04d", i)
			s.put(export.LeasePath(volume, "n1"), cluster.Lease{Version: 1, Volume: volume, Node: "n1", Boot: "boot-of-before"})
		}
		began := time.Now()
		nodes := []*steadyNode{first, steady(t, s, "n2", each), steady(t, s, "n3", each)}
		worst := time.Duration(0)
		emptied := time.Duration(0)
		for time.Since(began) < 3*time.Minute {
			time.Sleep(time.Second)
			for _, n := range nodes {
				for _, other := range n.Cluster.Nodes() {
					require.NotEqual(t, cluster.Expired, other.State, "%s of %s after %s", n.cfg.Node, other.Node, time.Since(began))
					worst = max(worst, time.Duration(other.Age*float64(time.Second)))
				}
				require.ErrorContains(t, orNil(n.Cluster.Unheard()), "nil")
			}
			if s.count(export.TrashDir) == *manyItems-expired && emptied == 0 {
				emptied = time.Since(began)
			}
		}
		require.Less(t, worst, 9*time.Second)
		require.NotZero(t, emptied, "%d are left", s.count(export.TrashDir))
		require.Less(t, emptied, 2*stepTimeout+20*time.Second, "two rounds")
		require.Equal(t, 1, s.count(export.LeaseDir), "what an earlier boot has left is gone")
		require.ErrorContains(t, nodes[1].Remove(context.Background(), "site"), "in use on n1")
		for _, n := range nodes {
			n.mu.Lock()
			require.NotContains(t, strings.Join(n.said, "\n"), "the export has a problem")
			n.mu.Unlock()
		}
		t.Logf("%d items, 2,000 volumes, %s a call: oldest heartbeat %s, the expired %d were gone after %s", *manyItems, each, worst, expired, emptied)
	})
	runtime.GC()
}

func orNil(err error) error {
	if err == nil {
		return fmt.Errorf("nil")
	}
	return err
}

// What the server never answers about one node's heartbeat, one volume's lease, or the
// trash, keeps no node from beating and nobody from judging the other nodes.
func TestWhatNeverAnswersKeepsNoNodeFromBeating(t *testing.T) {
	for name, hangs := range map[string]string{
		"the heartbeat of another node": export.NodePath("n2"),
		"the leases of a volume":        export.LeaseDir + "/site",
		"all leases":                    export.LeaseDir,
		"the trash":                     export.TrashDir,
		"the locks":                     export.LockDir,
		"the metadata":                  export.MetaDir,
		"the snapshots":                 export.SnapshotDir,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSimServer()
				var broken atomic.Bool
				part := func(_ *Config, l *simLink) {
					l.hangs = func(what string) bool { return broken.Load() && strings.Contains(what, " "+hangs) }
				}
				n1, n2, n3 := steady(t, s, "n1", time.Millisecond, part), steady(t, s, "n2", time.Millisecond), steady(t, s, "n3", time.Millisecond)
				n1.must(n1.Create(context.Background(), "site", nil))
				_, err := n1.Mount(context.Background(), "site", "a", 1)
				n1.must(err)
				n1.must(n1.Create(context.Background(), "other", nil))
				time.Sleep(20 * time.Second)
				broken.Store(true)
				for range 120 {
					time.Sleep(time.Second)
					for _, n := range []*steadyNode{n2, n3} {
						for _, of := range n.Cluster.Nodes() {
							require.Equal(t, cluster.Live, of.State, "%s of %s", n.cfg.Node, of.Node)
						}
					}
					for _, of := range n1.Cluster.Nodes() {
						require.True(t, of.State.Holds(), "n1 of %s", of.Node)
					}
				}
				require.True(t, n1.Cluster.Reached())
				require.True(t, n1.Cluster.Named())
			})
		})
	}
}
