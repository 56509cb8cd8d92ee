package snapshot

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/guard"
	"github.com/casit/berth/job"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// touched is a filesystem that calls open before a file is opened.
type touched struct {
	tree.FS
	open func(ctx context.Context, name string) error
}

func (f *touched) SyncAll(context.Context) error { return nil }

func (f *touched) Open(ctx context.Context, name string) (tree.File, error) {
	if err := f.open(ctx, name); err != nil {
		return nil, err
	}
	return f.FS.Open(ctx, name)
}

// onOpen is a node on dir that calls open before a file is opened.
func onOpen(t *testing.T, dir, node string, open func(ctx context.Context, name string) error) *world {
	return worldOn(t, dir, node, func(cfg *volume.Config) {
		cfg.Open = func(ctx context.Context) (tree.FS, error) {
			l, err := tree.OpenLocal(ctx, dir)
			return &touched{l, open}, err
		}
	})
}

// ends waits for the end of a job.
func (w *world) ends(id string) (p job.Progress, err error) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		p, err = w.Jobs.Wait(ctx, id)
		return p.Over || err != nil
	}, 20*time.Second, time.Millisecond)
	return p, err
}

// An undo of a file has no snapshot: what explains that its directory is gone
// must not need one.
func TestAnUndoWhoseDirectoryIsGone(t *testing.T) {
	for name, gone := range map[string]string{"its directory": "blog/a/b", "its parents": "blog/a", "the volume": "blog"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			require.NoError(t, w.store.Create(ctx, "blog", nil))
			w.write("blog/a/b/c.txt", "one")
			w.snap("s1")
			w.write("blog/a/b/c.txt", "two")
			w.restore(RestoreRequest{Refs: []string{"blog@s1:a/b/c.txt"}})
			undo := RestoreRequest{Undo: true, Refs: []string{"blog"}}
			j, err := w.prepare(undo)
			require.NoError(t, err)

			require.NoError(t, os.RemoveAll(w.path(gone)))
			require.NoError(t, w.Start(ctx, j.ID))
			p, err := w.ends(j.ID)
			require.Equal(t, problem.NotFound, problem.KindOf(err), "%v", err)
			require.NoError(t, w.Jobs.End(ctx, j.ID))
			_, err = w.Plan(ctx, undo)
			require.Equal(t, problem.NotFound, problem.KindOf(err), "%v", err)
			require.NotContains(t, err.Error(), "blog@")
			require.Empty(t, guard.Stack(err), "%v", err)
			require.Equal(t, job.Failed, p.State)
			require.False(t, p.Done())
		})
	}
}

// A panic in any goroutine of a job is that job's failure.
func TestAPanicIsTheFailureOfItsJob(t *testing.T) {
	var armed atomic.Bool
	w := onOpen(t, t.TempDir(), "n1", func(_ context.Context, name string) error {
		if armed.Load() && name != "" && name[0] != '.' {
			var none *reference.Snapshot
			_ = none.Name
		}
		return nil
	})
	require.NoError(t, w.store.Create(ctx, "blog", nil))
	w.write("blog/index.php", "one")
	w.snap("s1")
	w.write("blog/index.php", "two")
	r := RestoreRequest{Refs: []string{"blog@s1"}, Live: true, Checksum: true}
	j, err := w.prepare(r)
	require.NoError(t, err)
	armed.Store(true)
	require.NoError(t, w.Start(ctx, j.ID))
	p, err := w.ends(j.ID)
	require.ErrorContains(t, err, "berth has a bug: panic: runtime error")
	require.Equal(t, job.Failed, p.State)
	require.Contains(t, p.Error, "berth has a bug")
	require.Eventually(t, func() bool { return len(w.reported("a panic was caught")) == 1 }, time.Minute, time.Millisecond)
	require.Contains(t, w.reported("a panic was caught")[0]["stack"], "jobend_test.go", "the stack is of what panicked")
	armed.Store(false)

	require.NoError(t, w.Start(ctx, j.ID), "it may be resumed")
	p, err = w.ends(j.ID)
	require.NoError(t, err)
	require.True(t, p.Done())
	require.Equal(t, "one", w.read("blog/index.php"))
	require.NoError(t, w.Jobs.End(ctx, j.ID))
	w.nothingLeft()
}

// The end of a job is the same for whoever asks: the process that ran it, one that
// was started since, another node.
func TestTheEndOfAJobWhoseProcessDied(t *testing.T) {
	dir := t.TempDir()
	copying, killed := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	dead := onOpen(t, dir, "n1", func(ctx context.Context, name string) error {
		if name == ".snapshot/s1/blog/index.php" && once.CompareAndSwap(false, true) {
			close(copying)
			<-killed
			return os.ErrDeadlineExceeded
		}
		return nil
	})
	t.Cleanup(func() { close(killed) })
	require.NoError(t, dead.store.Create(ctx, "blog", nil))
	dead.write("blog/index.php", "one")
	dead.snap("s1")
	dead.write("blog/index.php", "two")
	j, err := dead.prepare(RestoreRequest{Refs: []string{"blog@s1"}})
	require.NoError(t, err)

	other := worldOn(t, dir, "n2")
	p, err := other.Jobs.Wait(ctx, j.ID)
	require.ErrorContains(t, err, "never begun")
	require.True(t, p.Over && p.Interrupted && !p.Done())
	require.ErrorContains(t, other.Jobs.End(ctx, j.ID), "--resume blog")

	require.NoError(t, dead.Start(ctx, j.ID))
	<-copying
	dead.stops()
	again := worldOn(t, dir, "n1")
	require.Eventually(t, func() bool { // n2 has seen the goodbye
		p, _ := other.Jobs.Wait(ctx, j.ID)
		return p.Over
	}, 20*time.Second, time.Millisecond)
	for who, w := range map[string]*world{"the same node": again, "another node": other} {
		p, err := w.Jobs.Wait(ctx, j.ID)
		require.ErrorContains(t, err, "interrupted on n1 and is not done", who)
		require.ErrorContains(t, err, "--resume blog", who)
		require.Equal(t, job.Progress{Job: j.ID, Volumes: []string{"blog"}, Engine: "copy", State: job.Copying, Over: true, Interrupted: true, Error: err.Error()}, p, who)
		require.False(t, p.Done(), who)
		require.ErrorContains(t, w.Jobs.End(ctx, j.ID), "--abort blog", who)
	}
	require.Equal(t, "two", again.read("blog/index.php"))
	require.NoError(t, again.Start(ctx, j.ID))
	p, err = again.ends(j.ID)
	require.NoError(t, err)
	require.True(t, p.Done())
	require.Equal(t, "one", again.read("blog/index.php"))
	p, err = other.Jobs.Wait(ctx, j.ID)
	require.NoError(t, err)
	require.True(t, p.Done(), "another node reads it in the journal")
	require.NoError(t, other.Jobs.End(ctx, j.ID))
}

// A process that ends interrupts its jobs and waits for them.
func TestStopInterruptsJobs(t *testing.T) {
	dir := t.TempDir()
	copying := make(chan struct{}, 100)
	w := onOpen(t, dir, "n1", func(ctx context.Context, name string) error {
		if name == ".snapshot/s1/blog/index.php" {
			copying <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	require.NoError(t, w.store.Create(ctx, "blog", nil))
	w.write("blog/index.php", "one")
	w.snap("s1")
	w.write("blog/index.php", "two")
	j, err := w.prepare(RestoreRequest{Refs: []string{"blog@s1"}})
	require.NoError(t, err)
	require.NoError(t, w.Start(ctx, j.ID))
	<-copying
	require.NoError(t, w.Jobs.Stop(ctx, fmt.Errorf("berth is stopping: %w", job.ErrSessionEnds)))
	p, err := w.Jobs.Wait(ctx, j.ID)
	require.ErrorContains(t, err, "was interrupted on n1: berth is stopping: the session ends; 'berth snapshot restore --resume blog'")
	require.True(t, p.Over && p.Interrupted)
	require.ErrorContains(t, w.Start(ctx, j.ID), "no job begins on this node: berth is stopping")

	w.stops()
	again := worldOn(t, dir, "n1")
	p, err = again.Jobs.Wait(ctx, j.ID)
	require.ErrorContains(t, err, "interrupted on n1")
	require.True(t, p.Interrupted)
	require.NoError(t, again.store.Remove(ctx, "nothing"))
	require.NoError(t, again.Jobs.Abort(ctx, j.ID))
	again.nothingLeft()
}

// A job that somebody ends has ended at once, whatever it waits for, and says who ended it.
func TestAJobThatIsEndedSaysSo(t *testing.T) {
	var armed atomic.Bool
	waits := make(chan struct{}, 100)
	w := onOpen(t, t.TempDir(), "n1", func(ctx context.Context, name string) error {
		if armed.Load() && name != "" && name[0] != '.' {
			waits <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	require.NoError(t, w.store.Create(ctx, "blog", nil))
	w.write("blog/index.php", "one")
	w.snap("s1")
	w.write("blog/index.php", "two")
	r := RestoreRequest{Refs: []string{"blog@s1"}, Live: true, Checksum: true}
	j, err := w.prepare(r)
	require.NoError(t, err)
	armed.Store(true)
	require.NoError(t, w.Start(ctx, j.ID))
	<-waits
	begun := time.Now()
	require.NoError(t, w.Jobs.Cancel(ctx, j.ID))
	t.Logf("ended after %v", time.Since(begun))
	require.Less(t, time.Since(begun), 10*time.Second)
	_, err = w.ends(j.ID)
	require.EqualError(t, err, `the restore of volume "blog" was ended before it was done, as somebody asked for`)
	armed.Store(false)
	require.NoError(t, w.Jobs.Abort(ctx, j.ID))
	require.Equal(t, "two", w.read("blog/index.php"))
	w.nothingLeft()
}
