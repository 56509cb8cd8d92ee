package volume

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/sweep"
	"github.com/casit/berth/tree"
)

func TestForgottenUsesFreeTheVolumeAndYoungOnesStay(t *testing.T) {
	dir := t.TempDir()
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
	n1.beats()
	n2.beats()
	n1.must(n1.Create(ctx, "db", map[string]string{"access": "single"}))
	forget := func(wantGone, wantYoung int, dry bool) {
		t.Helper()
		gone, young, err := n1.Forget(ctx, "db", 5*time.Minute, dry)
		require.NoError(t, err)
		require.Equal(t, []int{wantGone, wantYoung}, []int{gone, young})
	}
	forget(0, 0, false)
	for range 2 { // as docker cp does
		_, err := n1.Mount(ctx, "db", "stray", 1)
		require.NoError(t, err)
	}
	forget(0, 1, false)
	n1.clock.move(6 * time.Minute)
	_, err := n1.Mount(ctx, "db", "new", 1)
	require.NoError(t, err)
	forget(1, 1, true)
	forget(1, 1, false)
	forget(0, 1, false)
	_, err = n2.Mount(ctx, "db", "x", 1)
	require.ErrorContains(t, err, "held by n1", "a container has it")
	n1.must(n1.Unmount(ctx, "db", "stray")) // dockerd remembers after all
	n1.clock.move(6 * time.Minute)
	forget(1, 0, false)
	_, err = n2.Mount(ctx, "db", "x", 1)
	require.NoError(t, err)
	records, err := n1.Audit.Read(ctx, "db", time.Time{})
	require.NoError(t, err)
	require.Contains(t, records[len(records)-1].Op, "release")
}

func TestSurveyFindsWhatNobodyUses(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.beats()
	n.must(n.Create(ctx, "made", nil))
	n.must(n.Create(ctx, "bad", nil))
	n.must(n.Create(ctx, "half", nil))
	file := func(name, text string) {
		t.Helper()
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "found"), 0o755))
	require.NoError(t, os.Remove(filepath.Join(dir, "half")))
	file(".berth/volumes/bad.json", "")
	file(".berth/leases/gone/n7.json", "{}")
	file(".berth/leases/made@nightly/n7.json", "{}")
	file(".berth/leases/made/n7.json", "{}")
	file(".berth/staging/purge.x/y", "")
	file(".berth/staging/tmp.new", "")
	file("config/vfs_volume_found.json", "{}")

	v, err := n.Survey(ctx)
	require.NoError(t, err)
	require.ErrorContains(t, v.Broken["bad"], "is empty")
	v.Broken = nil
	require.Equal(t, &Survey{
		Volumes: []string{"bad", "found", "made"}, Adopted: []string{"found"}, Unfinished: []string{"half"},
		Forgotten: map[string][]string{"gone": {"n7"}, "made@nightly": {"n7"}},
		Staging:   sweep.Left{Purging: 1}, Convoy: []string{"found"},
	}, v)
}

// Whoever removes a volume between the two looks hides no other.
func TestARemovalHidesNoOtherUnfinishedVolume(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.must(n.Create(ctx, "half", nil))
	n.must(n.Create(ctx, "whole", nil))
	require.NoError(t, os.Remove(filepath.Join(dir, "half")))
	l, err := tree.OpenLocal(ctx, dir)
	require.NoError(t, err)
	defer l.Close()
	missing, err := stillMissing(ctx, l, []string{"removed", "half", "whole"})
	require.NoError(t, err)
	require.Equal(t, []string{"half"}, missing)
}
