package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
)

// busy tries to take a lock, and gives it back.
func (n *testNode) busy(volume string) error {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	l, err := n.Lock(ctx, n.e, Lock{Op: OpRestore, Volume: volume})
	if err == nil {
		l.Unlock(ctx)
	}
	return err
}

func (n *testNode) reads(volume string) *Lock {
	n.t.Helper()
	l, err := ReadLock(ctx, n.e.FS, volume)
	n.must(err)
	return l
}

func TestALockIsOneNodes(t *testing.T) {
	dir := t.TempDir()
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
	n1.beats()
	n2.beats()
	require.Nil(t, n1.reads("site1"))
	l := n1.takes(OpRestore, "site1")
	require.ErrorContains(t, n2.busy("site1"), "restore of volume \"site1\" is under way on n1")
	require.NoError(t, n2.busy("site2"))
	n1.must(l.SetWork(ctx, "job-1"))
	require.Equal(t, "job-1", n2.reads("site1").Work)
	l.Unlock(ctx)
	require.Nil(t, n2.reads("site1"))
	for range 2 * kept {
		n2.takes(OpSet, "site1").Unlock(ctx)
	}
	files, err := os.ReadDir(filepath.Join(dir, locks("site1").dir))
	require.NoError(t, err)
	require.Len(t, files, kept+1, "old numbers go")
	all, err := Locks(ctx, n1.e.FS)
	n1.must(err)
	require.Empty(t, all)
}

// A node that is late in finishing a dead one's operation takes nothing from
// the one that was faster, and from whoever has the lock by then.
func TestALateFinisherTakesNoLiveLock(t *testing.T) {
	dir := t.TempDir()
	n1, n2, n3 := node(t, dir, "n1"), node(t, dir, "n2"), node(t, dir, "n3")
	n1.beats()
	dead := n1.takes(OpSet, "site1")
	n1 = node(t, dir, "n1") // killed, and begun anew
	for _, n := range []*testNode{n1, n2, n3} {
		n.beats()
	}
	var live *Locking
	n2.hook.stat = onceAt(export.NodePath("n1"), func() {
		n3.must(n3.FinishDead(ctx, n3.e))
		live = n3.takes(OpRestore, "site1")
	})
	n2.must(n2.Poll(ctx, n2.e)) // n2 has decided, and is late
	n2.must(n2.finish(ctx, n2.e, dead.l))
	require.Empty(t, n2.finished)
	require.Len(t, n3.finished, 1)
	require.Equal(t, live.ID(), n1.reads("site1").ID)
	require.Error(t, n1.busy("site1"))
	live.Unlock(ctx)
	require.NoError(t, n1.busy("site1"))
}

func TestAnOperationIsFinishedOnceAlsoByNodesThatDie(t *testing.T) {
	dir := t.TempDir()
	n1, n2, n3 := node(t, dir, "n1"), node(t, dir, "n2"), node(t, dir, "n3", func(c *Config) { c.LeaseTTL = 9 * time.Second })
	n1.beats()
	n1.must(n1.takes(OpClone, "copy").SetWork(ctx, "clone-1"))
	n2.cfg.Finish = func(_ context.Context, _ *export.Export, l *Lock) error {
		require.Error(t, n3.busy("copy"), "one at a time")
		return fmt.Errorf("killed")
	}
	n3.beats()
	n2.beats()
	n2.waits(12 * time.Second)
	n2.must(n2.FinishDead(ctx, n2.e))
	require.Equal(t, "killed", n2.cfg.Faults.Reason(unfinished, "copy"))
	require.Equal(t, "n2", n3.reads("copy").Node)
	n3.waits(12 * time.Second)
	n3.must(n3.FinishDead(ctx, n3.e))
	require.Len(t, n3.finished, 1)
	require.Equal(t, []string{"clone", "copy", "clone-1"}, []string{string(n3.finished[0].Op), n3.finished[0].Volume, n3.finished[0].Work})
	require.Nil(t, n3.reads("copy"))
}

// A LINK may arrive when its caller has given up long ago.
func TestALockThatArrivesLateIsFinished(t *testing.T) {
	dir := t.TempDir()
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
	n1.beats()
	n2.beats()
	l := n1.takes(OpRestore, "site1")
	l.Leave() // as one that the process knows nothing of
	require.Error(t, n2.busy("site1"), "others cannot know")
	n2.must(n2.FinishDead(ctx, n2.e))
	require.NotNil(t, n2.reads("site1"))
	n1.must(n1.FinishDead(ctx, n1.e))
	require.Nil(t, n2.reads("site1"))
}

func TestALockOfAnEarlierReleaseIsRespectedAndFinished(t *testing.T) {
	dir := t.TempDir()
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
	n1.beats()
	n2.beats()
	earlier := func(incarnation string) {
		write(t, dir, export.LockPath("site1"), fmt.Sprintf(`{"version":1,"id":"e1","op":"clone","volume":"site1","node":"n1","incarnation":%q,"since":"2026-11-23T05:30:00Z","work":"clone-1"}`, incarnation))
	}
	earlier(n1.Incarnation())
	n1.mine.add("e1") // it is at work
	require.Equal(t, "e1", n2.reads("site1").ID)
	all, err := Locks(ctx, n2.e.FS)
	n2.must(err)
	require.Len(t, all, 1)
	require.ErrorContains(t, n2.busy("site1"), "clone of volume \"site1\" is under way on n1")
	l, err := readNumbered(ctx, n2.e.FS, "site1")
	n2.must(err)
	require.False(t, l.held(), "what n2 took it has given back")

	earlier("dead")
	n2.must(n2.FinishDead(ctx, n2.e))
	require.Len(t, n2.finished, 1)
	require.Equal(t, "clone-1", n2.finished[0].Work)
	require.NoFileExists(t, filepath.Join(dir, export.LockPath("site1")))
	require.NoError(t, n1.busy("site1"))

	earlier("dead")
	n1.must(n1.busy("site1"))
	require.Len(t, n1.finished, 1, "whoever needs the lock finishes it too")
}

func TestWhatCannotBeReadOrUnderstoodIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.beats()
	for _, file := range []string{export.LockPath("broken"), export.LockDir + "/torn@/3"} {
		write(t, dir, file, `{"version":1,`)
	}
	for _, volume := range []string{"broken", "torn"} {
		require.ErrorContains(t, n.busy(volume), "the lock of volume \""+volume+"\" (.berth/locks/"+volume)
	}
	require.NoError(t, n.FinishDead(ctx, n.e))
	write(t, dir, export.LockDir+"/newer@/1", `{"version":1,"id":"x","state":"held","op":"rekey","volume":"newer","node":"n9","incarnation":"x"}`)
	require.NoError(t, n.FinishDead(ctx, n.e), "n9 may be alive")
	n.waits(12 * time.Second)
	n.must(n.FinishDead(ctx, n.e))
	require.Contains(t, n.cfg.Faults.Reason(unfinished, "newer"), `locked by an operation this berth does not know ("rekey", on n9)`)
	require.Equal(t, problem.InUse, problem.KindOf(n.busy("newer")))
}

func TestASeriesThatWasFreeForADayIsForgotten(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.beats()
	held := n.takes(OpRestore, "held")
	for range 3 {
		n.takes(OpSet, "site1").Unlock(ctx)
	}
	old := time.Now().Add(-48 * time.Hour)
	for _, name := range []string{"", "1", "2", "3"} {
		require.NoError(t, os.Chtimes(filepath.Join(dir, export.LockDir, "site1@", name), old, old))
	}
	n.clock.move(23 * time.Hour) // a time that was copied is no age
	n.must(n.FinishDead(ctx, n.e))
	require.DirExists(t, filepath.Join(dir, export.LockDir, "site1@"))
	n.clock.move(2 * time.Hour)
	n.must(n.FinishDead(ctx, n.e))
	require.NoDirExists(t, filepath.Join(dir, export.LockDir, "site1@"))
	require.Equal(t, held.ID(), n.reads("held").ID)
	n.takes(OpSet, "site1").Unlock(ctx)
}

// One node goes on from before a series was forgotten, the other one begins it
// anew: one of them has the lock.
func TestASeriesThatIsForgottenHasOneHolder(t *testing.T) {
	dir := t.TempDir()
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
	n1.beats()
	n2.beats()
	for range 2 {
		n1.takes(OpSet, "site1").Unlock(ctx)
	}
	highest, err := readNumbered(ctx, n1.e.FS, "site1") // n1 is late from here on
	n1.must(err)
	n2.clock.move(25 * time.Hour)
	n2.must(n2.FinishDead(ctx, n2.e))
	require.NoDirExists(t, filepath.Join(dir, export.LockDir, "site1@"))
	has := n2.takes(OpRestore, "site1")
	late, err := n1.takeLock(ctx, n1.e, Lock{Op: OpSet, Volume: "site1"}, highest)
	n1.must(err)
	require.Nil(t, late)
	require.Equal(t, has.ID(), n1.reads("site1").ID)
}

func TestOfManyThatWantALockOneHasIt(t *testing.T) {
	dir := t.TempDir()
	var nodes []*testNode
	for i := range 4 {
		nodes = append(nodes, node(t, dir, fmt.Sprint("n", i)))
		nodes[i].beats()
	}
	var inside, most atomic.Int32
	var g errgroup.Group
	for _, n := range nodes {
		var turn sync.Mutex
		for range 10 {
			g.Go(func() error {
				turn.Lock()
				defer turn.Unlock()
				l, err := n.Lock(ctx, n.e, Lock{Op: OpSet, Volume: "site1"})
				if err != nil {
					return err
				}
				most.Store(max(most.Load(), inside.Add(1)))
				time.Sleep(time.Millisecond)
				inside.Add(-1)
				l.Unlock(ctx)
				return nil
			})
		}
	}
	require.NoError(t, g.Wait())
	require.EqualValues(t, 1, most.Load())
}

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"epoch.1", "epoch.01", "epoch.", "epoch.18446744073709551615", "epoch.18446744073709551616", "1", "n1.json"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		s := epochs("site1")
		if n, ok := s.number(name); ok {
			require.Equal(t, filepath.Join(s.dir, name), s.path(n), "a number has one name")
		}
	})
}

func TestTheEpochsOfAVolumeThatIsGoneEndAfterADay(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.beats()
	write(t, dir, export.EpochPath("db", 1), `{"version":1,"id":"x","state":"free","node":"n1"}`)
	numbers := []uint64{1}
	n.must(n.forgetHolds(ctx, n.e, "db", numbers))
	require.FileExists(t, filepath.Join(dir, export.EpochPath("db", 1)))
	n.clock.move(25 * time.Hour)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "db"), 0o755))
	n.must(n.forgetHolds(ctx, n.e, "db", numbers))
	require.FileExists(t, filepath.Join(dir, export.EpochPath("db", 1)), "it is not gone")
	require.NoError(t, os.Remove(filepath.Join(dir, "db")))
	n.must(n.forgetHolds(ctx, n.e, "db", numbers))
	require.NoDirExists(t, filepath.Join(dir, export.LeaseDir, "db"))
}
