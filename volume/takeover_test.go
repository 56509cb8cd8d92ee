package volume

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/job"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// single makes an access=single volume that n holds, with a file in it.
func single(t *testing.T, dir string, n *testNode) {
	t.Helper()
	n.beats()
	n.must(n.Create(ctx, "db", map[string]string{"access": "single"}))
	_, err := n.Mount(ctx, "db", "a", 1)
	require.NoError(t, err)
	write(t, dir, "db/ibdata1", "before")
}

// takesOver is what package snapshot does, with a copy for its snapshot.
func (n *testNode) takesOver(name, from string, during ...func()) error {
	j, err := n.PrepareTakeover(ctx, name, from, "copy", false)
	if err != nil {
		return err
	}
	_, err = n.Jobs.Run(ctx, j.ID, func(ctx context.Context, fsys tree.FS, j *job.Job) error {
		it := &j.Items[0]
		it.From = path.Join(j.Dir(), it.Volume)
		if _, err := tree.Copy(ctx, fsys, it.Volume, it.From, tree.CopyOptions{}, nil); err != nil {
			return err
		}
		for _, f := range during {
			f()
		}
		return nil
	})
	n.must(n.Jobs.End(ctx, j.ID))
	return err
}

func TestASingleVolumeIsHeldByOneNode(t *testing.T) {
	dir := t.TempDir()
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
	single(t, dir, n1)
	n2.beats()
	_, err := n2.Mount(ctx, "db", "b", 1)
	require.Equal(t, problem.InUse, problem.KindOf(err))
	require.ErrorContains(t, err, "held by n1 (heartbeat")
	require.ErrorContains(t, err, "berth volume ps db")
	require.Equal(t, []string{"epoch.1", "n1.json"}, entries(t, dir, ".berth/leases/db"), "the refused lease is withdrawn")

	// One node may have many containers on it, and gives it back with the last.
	_, err = n1.Mount(ctx, "db", "c", 1)
	require.NoError(t, err)
	n1.must(n1.Unmount(ctx, "db", "a"))
	_, err = n2.Mount(ctx, "db", "b", 1)
	require.Error(t, err)
	n1.must(n1.Unmount(ctx, "db", "c"))
	_, err = n2.Mount(ctx, "db", "b", 1)
	require.NoError(t, err)
	require.Equal(t, []string{"epoch.1", "epoch.2", "n2.json"}, entries(t, dir, ".berth/leases/db"))
	_, err = n1.Mount(ctx, "db", "d", 1)
	require.ErrorContains(t, err, "held by n2")

	// The numbers go on for a day when the volume is gone.
	n2.must(n2.Unmount(ctx, "db", "b"))
	n1.must(n1.Remove(ctx, "db"))
	n1.beats()
	require.Equal(t, []string{"epoch.1", "epoch.2"}, entries(t, dir, ".berth/leases/db"))
	old := time.Now().Add(-25 * time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(dir, ".berth/leases/db/epoch.2"), old, old))
	n1.beats()
	require.DirExists(t, filepath.Join(dir, ".berth/leases/db"), "a time that was copied is no age")
}

func TestEpochsEndOneByOneAndFewStay(t *testing.T) {
	dir := t.TempDir()
	nodes := []*testNode{node(t, dir, "n1"), node(t, dir, "n2")}
	nodes[1].beats()
	single(t, dir, nodes[0])
	nodes[0].must(nodes[0].Unmount(ctx, "db", "a"))
	for i := range 8 {
		n := nodes[i%2]
		_, err := n.Mount(ctx, "db", "x", 1)
		require.NoError(t, err)
		n.must(n.Unmount(ctx, "db", "x"))
	}
	require.Equal(t, []string{"epoch.6", "epoch.7", "epoch.8", "epoch.9"}, entries(t, dir, ".berth/leases/db"))
}

func TestAVolumeIsGivenBackOnlyWhenItsDataIsOnTheServer(t *testing.T) {
	dir := t.TempDir()
	away := true
	n1, n2 := node(t, dir, "n1", func(c *Config) {
		c.Flush = func(context.Context) error {
			if away {
				return context.DeadlineExceeded
			}
			return nil
		}
	}), node(t, dir, "n2")
	n2.beats()
	single(t, dir, n1)
	n1.must(n1.Unmount(ctx, "db", "a"))
	_, err := n2.Mount(ctx, "db", "b", 1)
	require.ErrorContains(t, err, "held by n1", "the kernel there may still write")
	away = false
	n1.beats()
	_, err = n2.Mount(ctx, "db", "b", 1)
	require.NoError(t, err)
}

func TestASilentHolderIsTakenOverFromAndFencedOff(t *testing.T) {
	dir := t.TempDir()
	n1, n2, n3 := node(t, dir, "n1"), node(t, dir, "n2"), node(t, dir, "n3")
	single(t, dir, n1)
	n2.beats()
	n3.beats()
	old, err := os.OpenFile(filepath.Join(dir, "db/ibdata1"), os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	defer old.Close()

	require.ErrorContains(t, n2.takesOver("db", "n1"), "held by n1 (heartbeat", "a holder that beats, holds")
	n2.waits(8 * time.Second)
	require.Equal(t, problem.InUse, problem.KindOf(n2.takesOver("db", "n1")), "not for its whole lease")
	n2.waits(2 * time.Second)
	_, err = n2.Mount(ctx, "db", "b", 1)
	require.ErrorContains(t, err, "berth volume takeover db --from n1")
	require.Equal(t, problem.NotFound, problem.KindOf(n2.takesOver("db", "n9")))

	n2.must(n2.takesOver("db", "n1"))
	_, err = n3.Mount(ctx, "db", "b", 1)
	require.NoError(t, err, "whoever comes next")
	require.Equal(t, "before", read(t, dir, "db/ibdata1"))
	require.Equal(t, problem.NotFound, problem.KindOf(n2.takesOver("db", "n1")), "it is another's now")

	// The old holder was cut off. Its handle is of the old tree.
	time.Sleep(1100 * time.Millisecond) // past the second that clocks may differ by
	_, err = old.WriteString(" and late")
	require.NoError(t, err)
	require.Equal(t, "before", read(t, dir, "db/ibdata1"))
	n1.beats()
	require.Contains(t, fmt.Sprint(*n1.said), "its containers here write to the trash")
	fenced, err := n3.Trash.LateWrites(ctx, "db")
	require.NoError(t, err)
	require.Len(t, fenced, 1)
	require.Equal(t, "fenced", fenced[0].Kind)
	require.Equal(t, "n1", fenced[0].From)
	require.Equal(t, int64(1), fenced[0].Late.Files)
	require.Equal(t, int64(len("before and late")), fenced[0].Late.Bytes)
	require.Equal(t, "before and late", read(t, dir, fenced[0].Data(), "ibdata1"))
	users, err := n3.Users(ctx, "db")
	require.NoError(t, err)
	for _, u := range users {
		if u.Node == "n1" {
			require.Equal(t, cluster.Fenced, u.State)
			require.Equal(t, fenced[0].ID, u.Fenced)
		}
	}
	require.Len(t, users, 2)
	_, err = n1.Mount(ctx, "db", "new", 1)
	require.ErrorContains(t, err, "held by n3")

	// It counts for nothing any more, and what it gives up is its own only.
	n1.must(n1.Unmount(ctx, "db", "a"))
	_, err = n1.Mount(ctx, "db", "new", 1)
	require.ErrorContains(t, err, "held by n3")
	n3.must(n3.Unmount(ctx, "db", "b"))
	_, err = n1.Mount(ctx, "db", "new", 1)
	require.NoError(t, err)
	records, err := n1.Audit.Read(ctx, "db", time.Time{})
	require.NoError(t, err)
	var ops []string
	for _, r := range records {
		ops = append(ops, r.Op)
	}
	require.Subset(t, ops, []string{"takeover", "late-writes", "fenced"})
}

func TestAHolderThatComesBackDuringATakeoverKeepsItsVolume(t *testing.T) {
	dir := t.TempDir()
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
	single(t, dir, n1)
	n2.beats()
	n2.waits(10 * time.Second)
	err := n2.takesOver("db", "n1", func() {
		write(t, dir, "db/ibdata1", "after the snapshot")
		n1.beats()
	})
	require.Equal(t, problem.InUse, problem.KindOf(err), "%v", err)
	require.Equal(t, "after the snapshot", read(t, dir, "db/ibdata1"))
	require.Empty(t, entries(t, dir, ".berth/trash"))
	n2.sweeps()
	require.Empty(t, entries(t, dir, ".berth/staging"))
	_, err = n1.Mount(ctx, "db", "more", 1)
	require.NoError(t, err)
}

func TestAHolderThatHasBootedSinceHoldsNothing(t *testing.T) {
	dir := t.TempDir()
	before := ""
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2", func(c *Config) {
		c.BreakLocks = func(_ context.Context, _, node string) error {
			before = node
			return nil
		}
	})
	single(t, dir, n1)
	n2.beats()
	rebooted := node(t, dir, "n1", func(c *Config) { c.Boot = "another" })
	rebooted.beats()
	_, err := rebooted.Mount(short(t), "db", "c", 1)
	require.ErrorContains(t, err, "no other node has that name")
	_, err = n2.Mount(ctx, "db", "b", 1)
	require.ErrorContains(t, err, "held by n1")
	rebooted.waits(5 * time.Second)
	_, err = n2.Mount(ctx, "db", "b", 1)
	require.NoError(t, err)
	require.Empty(t, before, "it has given it back")

	// One that boots and does not come so far.
	require.NoError(t, os.RemoveAll(filepath.Join(dir, ".berth/leases/db")))
	n1 = node(t, dir, "n1", func(c *Config) { c.Boot = "another" })
	_, err = n1.Mount(ctx, "db", "a", 1)
	require.NoError(t, err)
	text := read(t, dir, ".berth/nodes/n1.json")
	write(t, dir, ".berth/nodes/n1.json", "{\"version\":1,\"node\":\"n1\",\"boot\":\"third\",\"state\":\"up\",\"ttl_seconds\":9}")
	_, err = n2.Mount(ctx, "db", "c", 1)
	require.NoError(t, err)
	require.Equal(t, "n1", before, "its locks may be left")
	write(t, dir, ".berth/nodes/n1.json", text)
}

func TestAMachineWithANameThatIsTakenDisturbsNobody(t *testing.T) {
	dir := t.TempDir()
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
	single(t, dir, n1)
	n2.beats()
	twin := node(t, dir, "n1", func(c *Config) { c.Boot = "twin" })
	twin.beats()
	_, err := twin.Mount(short(t), "db", "t", 1)
	require.ErrorContains(t, err, "too new to be sure")
	require.Contains(t, read(t, dir, ".berth/nodes/n1.json"), `"boot":"boot-n1"`, "it writes nothing yet")
	n1.beats()
	twin.beats()
	_, err = twin.Mount(ctx, "db", "t", 1)
	require.ErrorContains(t, err, "two nodes call themselves n1")
	n1.beats()
	_, err = n1.Mount(ctx, "db", "u", 1)
	require.ErrorContains(t, err, "two nodes call themselves n1")
	_, err = n2.Mount(ctx, "db", "v", 1)
	require.ErrorContains(t, err, "held by n1", "the other boot does not mean that n1 has booted")
	require.FileExists(t, filepath.Join(dir, ".berth/leases/db/n1.json"))
}

func TestWhatEarlierReleasesHeldByLeaseAloneIsHeld(t *testing.T) {
	dir := t.TempDir()
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
	single(t, dir, n1)
	require.NoError(t, os.Remove(filepath.Join(dir, ".berth/leases/db/epoch.1")))
	n2.beats()
	_, err := n2.Mount(ctx, "db", "b", 1)
	require.ErrorContains(t, err, "held by n1")
	n2.waits(10 * time.Second)
	n2.must(n2.takesOver("db", "n1"))
	_, err = n2.Mount(ctx, "db", "b", 1)
	require.NoError(t, err)
}

func TestATakeoverWhoseNodeDiesIsFinishedOrForgotten(t *testing.T) {
	for _, c := range []struct {
		name  string
		state job.State
		done  bool
	}{{"copying", job.Copying, false}, {"swapping", job.Swapping, true}} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			h := &hooked{}
			n1, n2, n3 := node(t, dir, "n1"), node(t, dir, "n2", hook(h)), node(t, dir, "n3")
			single(t, dir, n1)
			n2.beats()
			n3.beats()
			n2.waits(10 * time.Second)
			j, err := n2.PrepareTakeover(ctx, "db", "n1", "copy", false)
			require.NoError(t, err)
			died := make(chan struct{})
			go func() {
				defer close(died)
				_, _ = n2.Jobs.Run(ctx, j.ID, func(ctx context.Context, fsys tree.FS, j *job.Job) error {
					it := &j.Items[0]
					it.From = path.Join(j.Dir(), it.Volume)
					_, err := tree.Copy(ctx, fsys, it.Volume, it.From, tree.CopyOptions{}, nil)
					require.NoError(t, err)
					if c.state == job.Copying {
						runtime.Goexit() // as if the process were killed
					}
					h.rename = func(_, n string) error {
						if n == "db" { // the old tree is in the trash
							runtime.Goexit()
						}
						return nil
					}
					return nil
				})
			}()
			<-died
			n3.waits(13 * time.Second)
			require.Empty(t, lockedVolumes(t, dir))
			require.Equal(t, "before", read(t, dir, "db/ibdata1"))
			_, err = n3.Mount(ctx, "db", "b", 1)
			if c.done {
				require.NoError(t, err)
				return
			}
			jobs, err := n3.Jobs.List(ctx)
			require.NoError(t, err)
			require.Len(t, jobs, 1)
			require.True(t, jobs[0].Interrupted)
			n3.must(n3.Jobs.Abort(ctx, jobs[0].ID))
			n3.must(n3.takesOver("db", "n1"))
			_, err = n3.Mount(ctx, "db", "b", 1)
			require.NoError(t, err)
		})
	}
}
