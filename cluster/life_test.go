package cluster

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
)

func TestTimeInWhichTheExportMayHaveStalledIsNoSilence(t *testing.T) {
	const stall = 30 * time.Second // the lease is 9 s
	for name, stalls := range map[string]func(n1, n2 *testNode){
		"between reading the heartbeat and the end of the look": func(n1, n2 *testNode) {
			n2.hook.stat = onceAt(export.NodePath("n1"), func() {
				n2.clock.move(stall)
				n1.beats() // it is alive
			})
			n2.must(n2.Poll(ctx, n2.e))
		},
		"before reading the heartbeat": func(_, n2 *testNode) {
			n2.hook.stat = onceAt(export.NodePath("n0"), func() { n2.clock.move(stall) })
			n2.must(n2.Poll(ctx, n2.e))
		},
		"between two looks": func(_, n2 *testNode) { n2.clock.move(stall) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			n0, n1, n2 := node(t, dir, "n0"), node(t, dir, "n1"), node(t, dir, "n2")
			n0.beats()
			n1.beats()
			n2.beats()
			n2.waits(3 * time.Second)
			stalls(n1, n2)
			require.NotEqual(t, Expired, n2.life("n1"), "it may beat in this very moment")
			n2.waits(10 * time.Second)
			require.Equal(t, Expired, n2.life("n1"), "it did not, for its whole lease")
		})
	}
}

func TestALookThatIsNotAnsweredBeginsTheSilenceAnew(t *testing.T) {
	dir := t.TempDir()
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
	n1.beats()
	n2.waits(9 * time.Second)
	require.True(t, n2.Reached())
	nodes := filepath.Join(dir, export.NodeDir)
	require.NoError(t, os.Rename(nodes, nodes+".away"))
	require.Error(t, n2.Poll(ctx, n2.e))
	require.False(t, n2.Reached())
	require.NoError(t, os.Rename(nodes+".away", nodes))
	n2.waits(9 * time.Second)
	require.NotEqual(t, Expired, n2.life("n1"))
	n2.waits(3 * time.Second)
	require.Equal(t, Expired, n2.life("n1"))
}

// An answer that is older than another one changes nothing: what was seen in
// between would be forgotten.
func TestAnOlderLookChangesNothing(t *testing.T) {
	dir := t.TempDir()
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
	n1.beats()
	n2.beats()
	old := n1.Incarnation()
	n2.hook.stat = onceAt(export.NodePath("n1"), func() {
		n1 = node(t, dir, "n1")
		n1.beats()
		n2.must(n2.Poll(ctx, n2.e))
	})
	n2.must(n2.Poll(ctx, n2.e))
	require.True(t, n2.Ended("n1", old))
	require.False(t, n2.Ended("n1", n1.Incarnation()))
}

// After a long outage of the filer every heartbeat is old, and says nothing of
// its node: that node could not beat.
func TestAnOldHeartbeatUnderOurNameIsNotOursBeforeItWasWatched(t *testing.T) {
	dir := t.TempDir()
	living := node(t, dir, "n1")
	living.beats()
	file := filepath.Join(dir, export.NodePath("n1"))
	outage := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(file, outage, outage))

	boots := node(t, dir, "n1", func(c *Config) { c.Boot = "another" })
	boots.beats()
	require.False(t, boots.Named())
	soon, cancel := context.WithTimeout(ctx, nameEvery)
	defer cancel()
	require.ErrorContains(t, boots.checkIdentity(soon, boots.e), "too new to be sure that no other node has that name")
	boots.clock.move(time.Hour)
	boots.beats()
	require.False(t, boots.Named(), "a pause in which nobody looked is no silence")
	living.beats()
	boots.beats()
	require.ErrorContains(t, boots.checkIdentity(ctx, boots.e), "two nodes call themselves n1")

	// Its own heartbeat of an earlier boot.
	dir = t.TempDir()
	node(t, dir, "n1", func(c *Config) { c.LeaseTTL = 3 * time.Second }).beats()
	boots = node(t, dir, "n1", func(c *Config) { c.Boot, c.LeaseTTL = "another", 3*time.Second })
	require.NoError(t, boots.checkIdentity(ctx, boots.e), "who mounts waits until it is known")
	require.True(t, boots.Named())
}

func TestWhileAnOlderBerthLivesNoTreeIsTakenAway(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.beats()
	write(t, dir, export.NodePath("old"), `{"version":1,"node":"old","incarnation":"a","boot":"b","counter":1,"ttl_seconds":9,"state":"up","berth":"0.1.0","health":"ok"}`)
	for _, op := range ops {
		l, err := n.Lock(ctx, n.e, Lock{Op: op, Volume: "site1"})
		if !op.moves() {
			n.must(err)
			l.Unlock(ctx)
			continue
		}
		require.Equal(t, problem.InUse, problem.KindOf(err), op)
		require.ErrorContains(t, err, "berth on old is older and would not see the lock; upgrade it first")
	}
	n.waits(12 * time.Second)
	n.takes(OpRemove, "site1").Unlock(ctx)
}
