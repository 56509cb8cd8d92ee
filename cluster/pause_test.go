package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/export"
)

// revert brings a directory back to what saved has, as a filer does with a whole
// FlexVol: with the times.
func revert(t *testing.T, dir, saved string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, d := range entries {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, d.Name())))
	}
	out, err := exec.Command("cp", "-a", saved+"/.", dir).CombinedOutput()
	require.NoError(t, err, string(out))
}

func save(t *testing.T, dir string) string {
	t.Helper()
	saved := t.TempDir()
	out, err := exec.Command("cp", "-a", dir+"/.", saved).CombinedOutput()
	require.NoError(t, err, string(out))
	return saved
}

// uses makes a node use a volume.
func (n *testNode) uses(volume, id string, single bool) error {
	g, err := n.Claim(ctx, volume, id, 1)
	n.must(err)
	err = g.Acquire(ctx, n.e, func() (bool, error) { return single, nil })
	g.End(ctx, err)
	return err
}

func TestAnExportThatWentBackInTimeIsNoticedAndNobodyLosesWhatHeHolds(t *testing.T) {
	dir := t.TempDir()
	var said []string
	n1 := node(t, dir, "n1", func(c *Config) { c.Report = func(event string, _ map[string]any) { said = append(said, event) } })
	n2 := node(t, dir, "n2")
	n1.beats()
	n2.beats()
	require.NoError(t, n2.uses("db", "a", true))
	n2.Unclaim(ctx, "db", "a")
	n1.beats()
	n2.beats()
	saved := save(t, dir)
	time.Sleep(20 * time.Millisecond) // the times of files tell them apart

	// After the snapshot the database moves to n1, whose epoch is higher.
	require.NoError(t, n1.uses("db", "b", true))
	require.NoError(t, n1.uses("blog", "c", false))
	n1.waits(9 * time.Second)
	n2.waits(9 * time.Second)
	before, err := readEpoch(ctx, n1.e.FS, "db")
	require.NoError(t, err)
	require.Equal(t, "n1", before.Node)

	revert(t, dir, saved)
	require.NoFileExists(t, filepath.Join(dir, export.LeasePath("blog", "n1")))
	require.ErrorContains(t, n2.uses("db", "d", true), "the export went back in time just now", "n1 has not said yet that it holds it")
	n1.beats()
	require.Contains(t, said, "the export went back in time: restart all containers that use its volumes")
	require.NotContains(t, said, "another node uses the same name; set BERTH_NODE differently on one")
	require.FileExists(t, filepath.Join(dir, export.LeasePath("blog", "n1")))
	again, err := readEpoch(ctx, n1.e.FS, "db")
	require.NoError(t, err)
	require.Equal(t, []any{"n1", before.number, Held}, []any{again.Node, again.number, again.State})

	n2.waits(12 * time.Second)
	n1.waits(3 * time.Second)
	require.ErrorContains(t, n2.uses("db", "d", true), "held by n1")
	require.NoError(t, n1.StillHeld(ctx, n1.e, "db"))
	lost, err := n1.TakenOver(ctx, n1.e)
	require.NoError(t, err)
	require.Empty(t, lost)
	require.NotEqual(t, Expired, n2.life("n1"))
	require.NotEqual(t, Expired, n1.life("n2"))

	all, err := Pauses(ctx, n1.e.FS)
	require.NoError(t, err)
	require.Len(t, all, 1, "one, whoever noticed")
	require.Equal(t, Reverted, all[0].Kind)
	require.True(t, all[0].To.After(all[0].From))
	require.Len(t, said, 1, "said once")
}

func TestAnExportThatWentBackToBeforeThisStartIsNoSecondNode(t *testing.T) {
	dir := t.TempDir()
	first := node(t, dir, "n1")
	first.beats()
	saved := save(t, dir)
	time.Sleep(20 * time.Millisecond)
	var said []string
	n1 := node(t, dir, "n1", func(c *Config) { c.Report = func(event string, _ map[string]any) { said = append(said, event) } })
	n1.beats()
	revert(t, dir, saved)
	n1.must(n1.Poll(ctx, n1.e)) // any look may be the first to see it
	n1.must(n1.Poll(ctx, n1.e))
	n1.beats()
	require.True(t, n1.Named())
	require.Equal(t, []string{"the export went back in time: restart all containers that use its volumes"}, said)
	n1.waits(9 * time.Second)
	require.Len(t, said, 1)
}

func TestTimeWithoutAnyNodeIsMissing(t *testing.T) {
	dir := t.TempDir()
	node(t, dir, "n1").beats()
	long := time.Now().Add(-30 * time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(dir, export.NodePath("n1")), long, long))
	n2 := node(t, dir, "n2")
	n2.beats()
	n2.waits(9 * time.Second)
	all, err := Pauses(ctx, n2.e.FS)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, NobodyThere, all[0].Kind)
	require.InDelta(t, 30, Missing(all, long.Add(-time.Hour), time.Now()).Hours(), .1)
	require.InDelta(t, 10, Missing(all, long.Add(20*time.Hour), time.Now()).Hours(), .1, "what was removed meanwhile")
	require.Zero(t, Missing(all, time.Now().Add(time.Hour), time.Now()))
}
