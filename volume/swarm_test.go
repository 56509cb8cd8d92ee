package volume

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
)

func TestAVolumeInUseElsewhereIsNotRemoved(t *testing.T) {
	dir := t.TempDir()
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
	n1.beats()
	n2.beats()
	n1.must(n1.Create(ctx, "site1", nil))
	_, err := n1.Mount(ctx, "site1", "a", 1)
	require.NoError(t, err)

	err = n2.Remove(ctx, "site1")
	require.Equal(t, problem.InUse, problem.KindOf(err))
	require.ErrorContains(t, err, `"site1" is in use on n1 (heartbeat `)
	require.ErrorContains(t, err, "berth volume ps site1")
	require.DirExists(t, filepath.Join(dir, "site1"))

	// One Unmount of two Mounts with the same id is not the last.
	_, err = n1.Mount(ctx, "site1", "a", 1)
	require.NoError(t, err)
	n1.must(n1.Unmount(ctx, "site1", "a"))
	require.Equal(t, problem.InUse, problem.KindOf(n2.Remove(ctx, "site1")))
	n1.must(n1.Unmount(ctx, "site1", "a"))
	n1.must(n1.Unmount(ctx, "site1", "a")) // again
	n1.must(n1.Unmount(ctx, "site1", "never"))
	n2.must(n2.Remove(ctx, "site1"))
	require.Empty(t, entries(t, dir, ".berth/leases"))
	require.Empty(t, n1.names())
}

func TestAnExpiredLeaseNoLongerRefusesAndSaysSo(t *testing.T) {
	dir := t.TempDir()
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
	n1.beats()
	n1.must(n1.Create(ctx, "site1", nil))
	_, err := n1.Mount(ctx, "site1", "a", 1)
	require.NoError(t, err)
	n2.beats()
	n2.waits(8 * time.Second)
	require.Equal(t, problem.InUse, problem.KindOf(n2.Remove(ctx, "site1")))

	// Time in which the export did not answer does not count.
	gone, cancel := context.WithCancel(ctx)
	cancel()
	require.Error(t, n2.Cluster.Poll(gone, n2.conn.Current()))
	n2.waits(8 * time.Second)
	require.Equal(t, problem.InUse, problem.KindOf(n2.Remove(ctx, "site1")))

	n2.waits(4 * time.Second)
	n2.must(n2.Remove(ctx, "site1"))
	require.Contains(t, fmt.Sprint(*n2.said), "an expired lease no longer keeps")
	records, err := n2.Audit.Read(ctx, "site1", time.Time{})
	require.NoError(t, err)
	require.Equal(t, "lease-expired", records[len(records)-2].Op)
}

// A live node's volume is not removed because the export stalled in the middle
// of the look at its heartbeat.
func TestAVolumeIsNotRemovedWhileTheExportStalls(t *testing.T) {
	dir := t.TempDir()
	h := &hooked{}
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2", hook(h))
	n1.beats()
	n2.beats()
	n1.must(n1.Create(ctx, "site1", nil))
	_, err := n1.Mount(ctx, "site1", "a", 1)
	require.NoError(t, err)
	n2.beats()
	once := false
	h.looked = func(name string) {
		if name == export.NodePath("n1") && !once {
			once = true
			n2.clock.move(10 * time.Second)
			n1.beats() // it is alive
		}
	}
	require.Equal(t, problem.InUse, problem.KindOf(n2.Remove(ctx, "site1")))
	require.True(t, once)
	require.DirExists(t, filepath.Join(dir, "site1"))
}

// dockerd forgets a container after its Unmount, whatever that answers.
func TestUnmountNeedsNoTurn(t *testing.T) {
	dir := t.TempDir()
	n1 := node(t, dir, "n1")
	n1.beats()
	n1.must(n1.Create(ctx, "site1", nil))
	_, err := n1.Mount(ctx, "site1", "a", 1)
	require.NoError(t, err)
	end, err := n1.Cluster.Turn(ctx, "site1") // another request, of a filer that is away
	require.NoError(t, err)
	n1.must(n1.Unmount(short(t), "site1", "a"))
	require.False(t, n1.claimed("site1", "a"))
	require.FileExists(t, filepath.Join(dir, export.LeasePath("site1", "n1")), "nobody can save it now")
	end()
	n1.beats()
	require.NoFileExists(t, filepath.Join(dir, export.LeasePath("site1", "n1")))
}

func TestAnUnattendedNodeKeepsItsVolumesForADay(t *testing.T) {
	dir := t.TempDir()
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
	n1.beats()
	n1.must(n1.Create(ctx, "site1", nil))
	_, err := n1.Mount(ctx, "site1", "a", 1)
	require.NoError(t, err)
	n1.stops()
	beat := filepath.Join(dir, ".berth/nodes/n1.json")
	old := time.Now().Add(-23 * time.Hour)
	require.NoError(t, os.Chtimes(beat, old, old))
	n2.beats()
	n2.waits(time.Minute) // silence is not counted
	require.ErrorContains(t, n2.Remove(ctx, "site1"), "in use on n1 (its berth was stopped, its containers go on)")
	old = old.Add(-2 * time.Hour)
	require.NoError(t, os.Chtimes(beat, old, old))
	n2.beats()
	require.ErrorContains(t, n2.Remove(ctx, "site1"), "in use on n1", "its berth may just come back, as after an outage")
	n2.waits(10 * time.Second)
	n2.must(n2.Remove(ctx, "site1"))
}

func TestARestartedNodeKnowsWhatItsContainersUse(t *testing.T) {
	dir := t.TempDir()
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
	n1.beats()
	n1.must(n1.Create(ctx, "site1", nil))
	_, err := n1.Mount(ctx, "site1", "a", 1)
	require.NoError(t, err)
	// kill -9: no goodbye.
	again := node(t, dir, "n1")
	again.beats()
	require.Equal(t, problem.InUse, problem.KindOf(n2.Remove(ctx, "site1")))
	again.must(again.Unmount(ctx, "site1", "a"))
	require.Empty(t, entries(t, dir, ".berth/leases"))

	// A reboot ends every container of the node.
	_, err = again.Mount(ctx, "site1", "b", 1)
	require.NoError(t, err)
	rebooted := node(t, dir, "n1", func(c *Config) { c.Boot = "another" })
	rebooted.beats()
	require.Equal(t, problem.InUse, problem.KindOf(n2.Remove(ctx, "site1")), "it may be another machine with that name")
	rebooted.waits(5 * time.Second) // longer than a living n1 is silent
	n2.must(n2.Remove(ctx, "site1"))
}

func TestTwoNodesWithOneNameAreNoticed(t *testing.T) {
	dir := t.TempDir()
	a, b := node(t, dir, "n1"), node(t, dir, "n1")
	a.must(a.Create(ctx, "db", map[string]string{"access": "single"}))
	a.must(a.Create(ctx, "web", nil))
	a.beats()
	b.beats()
	a.beats()
	b.beats()
	for _, n := range []*testNode{a, b} {
		_, err := n.Mount(ctx, "db", "id", 1)
		require.ErrorContains(t, err, "two nodes call themselves n1")
		require.ErrorContains(t, err, "BERTH_NODE")
		_, err = n.Mount(ctx, "web", "id", 1)
		require.NoError(t, err)
	}
}

func TestAnOperationThatDiedIsFinishedByAnyNode(t *testing.T) {
	for _, c := range []struct {
		op   cluster.Op
		half func(t *testing.T, n *testNode, dir string, lock *cluster.Locking) // what the dead node did under its lock
		want []string
	}{
		{cluster.OpRemove, func(t *testing.T, n *testNode, dir string, lock *cluster.Locking) {}, []string{"site1"}},
		{cluster.OpRemove, func(t *testing.T, n *testNode, dir string, lock *cluster.Locking) {
			tr := n.Trash.newItem("removed", "site1", nil)
			n.must(lock.SetWork(ctx, tr.ID))
			n.must(export.Mkdir(ctx, n.conn.Current().FS, export.TrashPath(tr.ID)))
			n.must(n.conn.Current().Publish(ctx, export.TrashMeta(tr.ID), tr))
		}, []string{"site1"}},
		{cluster.OpRemove, func(t *testing.T, n *testNode, dir string, lock *cluster.Locking) {
			meta, err := readMeta(ctx, n.conn.Current().FS, "site1")
			require.NoError(t, err)
			tr := n.Trash.newItem("removed", "site1", meta)
			n.must(lock.SetWork(ctx, tr.ID))
			n.must(export.Mkdir(ctx, n.conn.Current().FS, export.TrashPath(tr.ID)))
			n.must(n.conn.Current().Publish(ctx, export.TrashMeta(tr.ID), tr))
			n.must(n.conn.Current().FS.Rename(ctx, "site1", export.TrashData(tr.ID)))
		}, nil},
		{cluster.OpUndelete, func(t *testing.T, n *testNode, dir string, lock *cluster.Locking) {
			meta, err := readMeta(ctx, n.conn.Current().FS, "site1")
			require.NoError(t, err)
			tr := n.Trash.newItem("removed", "site1", meta)
			n.must(n.Trash.put(ctx, n.conn.Current(), tr))
			n.must(lock.SetWork(ctx, tr.ID))
		}, []string{"site1"}},
		{cluster.OpClone, func(t *testing.T, n *testNode, dir string, lock *cluster.Locking) {
			n.must(lock.SetWork(ctx, "clone-1"))
			write(t, dir, ".berth/staging/clone-1/data/file", "x")
		}, []string{"site1"}},
	} {
		t.Run(string(c.op), func(t *testing.T) {
			dir := t.TempDir()
			n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
			n1.beats()
			n1.must(n1.Create(ctx, "site1", map[string]string{"mode": "0700"}))
			write(t, dir, "site1/page", "hello")
			c.half(t, n1, dir, n1.lock(c.op, "site1", ""))

			n2.beats()
			_, err := n2.Mount(short(t), "site1", "x", 1)
			require.Error(t, err, "the owner is alive")
			n2.waits(15 * time.Second)
			n2.sweeps()
			require.Empty(t, lockedVolumes(t, dir))
			require.Empty(t, entries(t, dir, ".berth/staging"))
			require.Equal(t, c.want, n2.names())
			if len(c.want) > 0 {
				require.Equal(t, "hello", read(t, dir, "site1/page"))
				require.Empty(t, entries(t, dir, ".berth/trash"))
				got, err := n2.Get(ctx, "site1")
				require.NoError(t, err)
				require.Equal(t, "0700", got.Options["mode"])
			} else {
				require.NoFileExists(t, filepath.Join(dir, ".berth/volumes/site1.json"))
				_, _, err := n2.Trash.Restore(ctx, "site1", "")
				require.NoError(t, err)
				require.Equal(t, "hello", read(t, dir, "site1/page"))
			}
		})
	}
}

// short is a context that ends soon, for requests that have to wait.
func short(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestAnExportThatIsAwayIsNotFilled(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "export")
	require.NoError(t, os.Mkdir(dir, 0o755))
	hint := func(c *Config) { c.HintPath = filepath.Join(base, "hint.json") }
	n := node(t, dir, "n1", hint)
	n.must(n.Create(ctx, "site1", map[string]string{"mode": "0700"}))
	_, err := n.Mount(ctx, "site1", "a", 1)
	require.NoError(t, err)

	away := func(n *testNode) {
		t.Helper()
		n.clock.move(2 * time.Second) // connecting is not tried more often than each second
		require.Equal(t, problem.Unreachable, problem.KindOf(n.Create(ctx, "new", nil)))
		n.clock.move(2 * time.Second)
		_, err := n.Mount(ctx, "site1", "b", 1)
		require.Equal(t, problem.Unreachable, problem.KindOf(err), "%v", err)
		n.clock.move(2 * time.Second)
		require.Equal(t, problem.Unreachable, problem.KindOf(n.Remove(ctx, "site1")))
		got, err := n.Get(ctx, "site1")
		require.NoError(t, err, "a known name is never denied")
		require.Contains(t, got.Health, "unverified")
		_, err = n.Get(short(t), "unknown")
		require.Equal(t, problem.Unreachable, problem.KindOf(err), "only the server may say no")
		require.Equal(t, []string{"site1"}, n.names())
	}
	// Moved away while in use: there is no directory.
	require.NoError(t, os.Rename(dir, dir+".away"))
	away(n)
	n.must(n.Unmount(ctx, "site1", "a"))
	// An empty one in its place, as without the host's mount.
	require.NoError(t, os.Mkdir(dir, 0o755))
	away(n)
	// A start like after a reboot.
	away(node(t, dir, "n1", hint))
	require.Empty(t, entries(t, dir), "nothing was filled")
	// Another export in its place.
	other := node(t, dir, "n9")
	other.must(other.Create(ctx, "foreign", nil))
	n.clock.move(2 * time.Second)
	err = n.Create(ctx, "new", nil)
	require.ErrorContains(t, err, "another export (id "+other.ExportID()+") is in its place")
	require.ErrorContains(t, err, "?id="+other.ExportID())

	// And back.
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, os.Rename(dir+".away", dir))
	n.clock.move(2 * time.Second)
	n.beats()
	got, err := n.Get(ctx, "site1")
	require.NoError(t, err)
	require.Equal(t, "ok", got.Health)
	require.Equal(t, "0700", got.Options["mode"])
	require.Empty(t, entries(t, dir, ".berth/leases"), "the Unmount of meanwhile is on the export")
	n.must(n.Create(ctx, "new", nil))
}

func TestAMissingExportIsNeverMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "export")
	n := node(t, dir, "n1")
	err := n.Create(ctx, "site1", nil)
	require.Equal(t, problem.Unreachable, problem.KindOf(err))
	require.ErrorContains(t, err, "make or mount its directory")
	require.NoDirExists(t, dir)
	_, err = n.List(short(t))
	require.Error(t, err)
	n.clock.move(2 * time.Second)
	require.NoError(t, os.Mkdir(dir, 0o755))
	n.must(n.Create(ctx, "site1", nil))
}

func TestManyNodesAtOnceEndAsTheirAnswersImply(t *testing.T) {
	dir := t.TempDir()
	nodes := []*testNode{node(t, dir, "n1"), node(t, dir, "n2"), node(t, dir, "n3")}
	for _, n := range nodes {
		n.beats()
	}
	type done struct {
		at   time.Time
		verb string
	}
	var mu sync.Mutex
	history := map[string][]done{}
	var refs sync.Map // node and name: what dockerd counts on its own node
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			random := rand.New(rand.NewPCG(uint64(i), 1))
			n := nodes[random.IntN(len(nodes))]
			name := fmt.Sprintf("site%d", random.IntN(20))
			ref, _ := refs.LoadOrStore(n.cfg.Node+name, &sync.RWMutex{})
			used := ref.(*sync.RWMutex)
			verb := []string{"create", "mount", "remove"}[random.IntN(3)]
			var err error
			switch verb {
			case "create":
				err = n.Create(ctx, name, nil)
			case "mount":
				used.RLock()
				defer used.RUnlock()
				id := fmt.Sprint("id", i)
				if _, err = n.Mount(ctx, name, id, 1); err == nil {
					if _, statErr := os.Stat(filepath.Join(dir, name)); statErr != nil {
						t.Errorf("%s is mounted but not there: %v", name, statErr)
					}
					err = n.Unmount(ctx, name, id)
				}
			case "remove":
				if !used.TryLock() {
					return // dockerd refuses it by itself
				}
				defer used.Unlock()
				err = n.Remove(ctx, name)
			}
			if err != nil && problem.KindOf(err) != problem.NotFound && problem.KindOf(err) != problem.InUse {
				t.Errorf("%s %s: %v", verb, name, err)
			}
			if err == nil && verb != "mount" {
				mu.Lock()
				history[name] = append(history[name], done{time.Now(), verb})
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	created := map[string]bool{}
	for name, h := range history {
		for _, d := range h {
			created[name] = created[name] || d.verb == "create"
		}
	}
	for _, n := range nodes {
		for _, name := range n.names() {
			require.True(t, created[name], "%s was never made", name)
			require.DirExists(t, filepath.Join(dir, name))
			require.FileExists(t, filepath.Join(dir, ".berth/volumes", name+".json"))
		}
		require.Equal(t, nodes[0].names(), n.names())
	}
	for name := range created {
		if len(entriesOrNone(dir, name)) == 0 && !exists1(filepath.Join(dir, name)) {
			require.NoFileExists(t, filepath.Join(dir, ".berth/volumes", name+".json"))
		}
	}
	require.Empty(t, lockedVolumes(t, dir))
	require.Empty(t, entries(t, dir, ".berth/leases"))
	require.Empty(t, entries(t, dir, ".berth/staging"))
}

func entriesOrNone(parts ...string) []os.DirEntry {
	list, _ := os.ReadDir(filepath.Join(parts...))
	return list
}

func exists1(name string) bool {
	_, err := os.Stat(name)
	return !errors.Is(err, os.ErrNotExist)
}
