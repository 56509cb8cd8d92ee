package volume

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/export"
	"github.com/casit/berth/job"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

func TestWhatCannotBeDeletedKeepsNothingElse(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	for _, name := range []string{"a", "b", "c"} {
		n.must(n.Create(ctx, name, nil))
		write(t, dir, name, "f", "x")
	}
	n.beats()
	treetest.Immutable(t, filepath.Join(dir, "a/f"))
	var ids []string
	for _, name := range []string{"a", "b", "c"} {
		n.must(n.Remove(ctx, name))
		n.clock.move(time.Minute) // in this order
	}
	items, err := n.Trash.List(ctx)
	n.must(err)
	for _, it := range items {
		ids = append(ids, it.ID)
	}
	_, err = n.Trash.Purge(ctx, ids, 0, false)
	n.must(err)
	require.Eventually(t, func() bool {
		n.sweeper.Sweep(ctx, n.conn.Current())
		return len(entries(t, dir, export.StagingDir)) == 1
	}, 10*time.Second, 5*time.Millisecond)
	stuckIn := filepath.Join(dir, export.StagingDir, export.PurgePrefix+ids[0])
	require.FileExists(t, filepath.Join(stuckIn, "data/f"))

	survey := func() *Survey {
		v, err := n.Survey(ctx)
		n.must(err)
		return v
	}
	require.Empty(t, survey().Staging.Stuck, "nobody is told at once")
	n.clock.move(2 * time.Hour)
	v := survey()
	require.Equal(t, 1, v.Staging.Purging)
	require.Len(t, v.Staging.Stuck, 1)
	require.Equal(t, export.StagingDir+"/"+export.PurgePrefix+ids[0], v.Staging.Stuck[0].Path)
	require.Contains(t, v.Staging.Stuck[0].Reason, "immutable")
	require.WithinDuration(t, time.Now(), v.Staging.Stuck[0].Since, time.Minute)

	said := len(*n.said)
	n.sweeper.Sweep(ctx, n.conn.Current())
	require.Len(t, *n.said, said, "the same reason is reported once")
	treetest.Mutable(t, filepath.Join(stuckIn, "data/f"))
	n.sweeps()
	require.Empty(t, survey().Staging.Stuck)
}

func TestOneTrashItemThatCannotBePurgedKeepsNoOther(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.beats()
	for _, name := range []string{"a", "b", "c"} {
		n.must(n.Create(ctx, name, nil))
		n.must(n.Remove(ctx, name))
		n.clock.move(time.Minute)
	}
	items, err := n.Trash.List(ctx)
	n.must(err)
	treetest.Immutable(t, filepath.Join(dir, export.TrashPath(items[0].ID)))
	done, err := n.Trash.Purge(ctx, []string{items[0].ID, items[1].ID}, 0, false)
	require.ErrorContains(t, err, "1 of 2 trash items cannot be purged, the first is "+items[0].ID)
	require.Len(t, done, 1)
	require.Equal(t, items[1].ID, done[0].ID)

	n.clock.move(30 * 24 * time.Hour)
	n.must(n.Trash.expire(ctx, n.conn.Current()))
	require.Equal(t, []string{items[0].ID}, entries(t, dir, export.TrashDir), "what has expired goes all the same")
	left, err := n.Trash.List(ctx)
	n.must(err)
	require.Len(t, left, 1)
	require.Contains(t, left[0].Stays, "immutable")
	require.Contains(t, fmt.Sprint(n.PassedOver()), items[0].ID)

	n.must(n.Create(ctx, "d", nil))
	n.must(n.Remove(ctx, "d"))
	left, err = n.Trash.List(ctx)
	n.must(err)
	done, err = n.Trash.Purge(ctx, []string{"gone", left[1].ID}, 0, false)
	require.ErrorContains(t, err, `nothing in the trash has the id "gone"`, "another node has purged it")
	require.Len(t, done, 1)
	require.Equal(t, []string{items[0].ID}, entries(t, dir, export.TrashDir))
	_, err = n.Trash.Purge(ctx, []string{"gone", left[0].ID}, 0, true)
	require.ErrorContains(t, err, `nothing in the trash has the id "gone"`, "a plan is exact")
}

// The metadata of one volume that is damaged keeps no other from coming back.
func TestAVolumeComesBackBesideADamagedOne(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.beats()
	for _, name := range []string{"a", "b"} {
		n.must(n.Create(ctx, name, nil))
	}
	n.must(n.Remove(ctx, "a"))
	write(t, dir, export.MetaPath("b"), "{torn")
	_, name, err := n.Trash.Restore(ctx, "a", "")
	n.must(err)
	require.Equal(t, "a", name)
}

// A directory called config that the disk does not give hides no volume.
func TestADirectoryThatMayBeConvoysHidesNoVolume(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1", opened(func(fsys tree.FS) tree.FS { return &unreadableDir{fsys, ConvoyDir} }))
	n.must(n.Create(ctx, "a", nil))
	require.NoError(t, os.Mkdir(filepath.Join(dir, ConvoyDir), 0o755))
	n.index.Invalidate()
	n.beats()
	require.Equal(t, []string{"a", ConvoyDir}, n.names())
	v, err := n.Survey(ctx)
	require.ErrorContains(t, err, "input/output error")
	require.Equal(t, []string{"a", ConvoyDir}, v.Volumes)
	require.NotNil(t, v.Forgotten, "the rest was looked at")
}

func TestAVolumeThatCannotBeMeasuredHidesNoOther(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	for _, name := range []string{"a", "b"} {
		n.must(n.Create(ctx, name, nil))
		write(t, dir, name, "f", "content")
	}
	n.must(n.Close())
	fails := func(fsys tree.FS) tree.FS { return &unreadableDir{fsys, "a/bad"} }
	write(t, dir, "a/bad", "f", "x")
	n = node(t, dir, "n2", opened(fails))
	got, err := n.Inspect(ctx, nil)
	n.must(err)
	for _, i := range got {
		n.must(n.Measure(ctx, i))
	}
	require.Len(t, got, 2)
	require.Equal(t, "a", got[0].Name)
	require.Contains(t, got[0].Health, "measure a: ")
	require.Zero(t, got[0].SizeBytes)
	require.True(t, got[0].Unmeasured)
	require.Equal(t, "ok", got[1].Health)
	require.EqualValues(t, 7, got[1].SizeBytes)
	require.NotZero(t, got[1].UsedBytes)
}

func TestOneJournalThatCannotBeReadBlocksNoOtherVolume(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.must(n.Create(ctx, "a", nil))
	n.must(n.Create(ctx, "b", nil))
	n.beats()
	write(t, dir, ".berth/staging/job-1/journal.json", "{torn")
	write(t, dir, ".berth/locks/a", `{"version":1,"id":"x","op":"restore","volume":"a","node":"n9","incarnation":"i","work":"job-1"}`)

	jobs, err := n.Jobs.List(ctx)
	n.must(err)
	require.Len(t, jobs, 1)
	require.Equal(t, job.Unreadable, jobs[0].State)
	require.Equal(t, []string{"a"}, jobs[0].Volumes())
	require.Contains(t, jobs[0].Status(), "the journal .berth/staging/job-1/journal.json is not readable")
	require.ErrorContains(t, n.Jobs.Check(ctx, []string{"a"}), "is not readable by this berth")
	n.must(n.Jobs.Check(ctx, []string{"b"}))
	n.beats()
}

func TestOneLeaseThatCannotBeReadKeepsNobodyOut(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.must(n.Create(ctx, "a", nil))
	n.must(n.Create(ctx, "b", nil))
	_, err := n.Mount(ctx, "b", "id", 1)
	n.must(err)
	n.must(n.Close())
	fails := func(fsys tree.FS) tree.FS { return &unreadableDir{fsys, ".berth/leases/a"} }
	write(t, dir, ".berth/leases/a/n2.json", "{}")
	n = node(t, dir, "n1", opened(fails))
	n.beats()
	users, err := n.Users(ctx, "")
	n.must(err)
	require.Len(t, users, 1)
	require.Equal(t, "b", users[0].Volume)
	require.Error(t, n.Remove(ctx, "a"), "of this one nobody knows")
}

// opened has a test's filesystem over the export's.
func opened(over func(tree.FS) tree.FS) func(*Config) {
	return func(cfg *Config) {
		open := cfg.Open
		cfg.Open = func(ctx context.Context) (tree.FS, error) {
			fsys, err := open(ctx)
			if err != nil {
				return nil, err
			}
			return over(fsys), nil
		}
	}
}

// unreadableDir is an export with one directory that its disk does not give.
type unreadableDir struct {
	tree.FS
	name string
}

func (u *unreadableDir) broken(name string) error {
	if name == u.name {
		return &fs.PathError{Op: "readdir", Path: name, Err: unix.EIO}
	}
	return nil
}

func (u *unreadableDir) ReadDir(ctx context.Context, name string, f func(tree.Entry) error) error {
	if err := u.broken(name); err != nil {
		return err
	}
	return u.FS.ReadDir(ctx, name, f)
}

func (u *unreadableDir) ReadDirPlus(ctx context.Context, name string, f func(tree.EntryPlus) error) error {
	if err := u.broken(name); err != nil {
		return err
	}
	return u.FS.ReadDirPlus(ctx, name, f)
}
