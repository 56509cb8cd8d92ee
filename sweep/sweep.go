package sweep

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/audit"
	"github.com/casit/berth/cache"
	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// Config is what a Sweeper is made with. Fields without a default are required.
type Config struct {
	_ struct{}

	Conn *export.Conn
	// Report is told of what stays, once for each reason. Default: nobody.
	Report func(event string, fields map[string]any)
	// DeleteTree has the server delete a directory of the export with all below
	// it; after an error the rest is deleted over NFS. The error matches
	// errors.ErrUnsupported where the server is not asked. Default: it is not.
	DeleteTree func(ctx context.Context, dir string) error
	// Patience is how long one sweep is at one tree; default 2 min.
	Patience time.Duration
}

// Sweeper sweeps one export. All methods may be called concurrently, and on
// several nodes at once.
type Sweeper struct {
	cfg    Config
	faults problem.Faults // as of this node's last attempt

	turn  sync.Mutex // one sweep at a time; guards swept
	swept time.Time  // when the cache and the audit trail were swept last, in the export's time
}

// New returns a Sweeper.
func New(cfg Config) *Sweeper {
	if cfg.Report == nil {
		cfg.Report = func(string, map[string]any) {}
	}
	if cfg.Patience == 0 {
		cfg.Patience = patience
	}
	return &Sweeper{cfg: cfg}
}

// Events of what a sweep cannot take away.
const (
	stuck = "a tree cannot be deleted; it is tried again"
	older = "what is too old stays"
)

const (
	// sweepEvery is how often what only gets old is looked through.
	sweepEvery = 24 * time.Hour
	// atOnce is how many trees are deleted at the same time: a slow one keeps the
	// turn of few others.
	atOnce = 4
	// patience is how long one sweep is at one tree. The next sweep goes on with it
	// after the others.
	patience = 2 * time.Minute
	// forgottenAfter is how old a private file is that nobody works with any more.
	forgottenAfter = time.Hour
)

// Sweep deletes what was handed over in staging; it returns at once if a sweep of
// this node is under way. It may be cut short anywhere and by anything; the next
// one, on any node, goes on. What cannot be deleted keeps nothing else.
func (w *Sweeper) Sweep(ctx context.Context, e *export.Export) {
	if !w.turn.TryLock() {
		return
	}
	defer w.turn.Unlock()
	err := errors.Join(w.leftovers(ctx, e), w.trees(ctx, e))
	if err == nil {
		err = w.aged(ctx, e)
	}
	if ctx.Err() == nil {
		w.faults.Note(w.cfg.Report, "purging goes on later", export.StagingDir, err)
	}
}

// leftovers takes away private files that their makers have forgotten, and hands
// over copies of trash items that nobody makes any more.
func (w *Sweeper) leftovers(ctx context.Context, e *export.Export) error {
	names, err := export.Pick(ctx, e.FS, export.StagingDir, func(d tree.Entry) (string, bool) {
		return d.Name, strings.HasPrefix(d.Name, export.TmpPrefix) || strings.HasPrefix(d.Name, export.CopyPrefix)
	})
	if err != nil || len(names) == 0 {
		return err
	}
	copies, err := copied(ctx, e) // after the names: whoever makes a copy has the lock before
	if err != nil {
		return err
	}
	for _, n := range names {
		name := path.Join(export.StagingDir, n)
		if item, ok := strings.CutPrefix(n, export.CopyPrefix); !ok {
			err = w.temporary(ctx, e, name, len(copies) > 0)
		} else if item, _, _ = strings.Cut(item, "."); !copies[item] {
			err = e.HandOver(ctx, name)
		}
		if err = w.passOver(ctx, e, "a private file stays; it is tried again", name, err); err != nil {
			return err
		}
	}
	return nil
}

// trees deletes the trees that were handed over, several at a time. Those that could
// not be deleted before come last.
func (w *Sweeper) trees(ctx context.Context, e *export.Export) error {
	names, err := export.Pick(ctx, e.FS, export.StagingDir, func(d tree.Entry) (string, bool) {
		return path.Join(export.StagingDir, d.Name), strings.HasPrefix(d.Name, export.PurgePrefix)
	})
	if err != nil {
		return err
	}
	faulty := func(name string) int { return min(1, len(w.faults.Reason(stuck, name))) }
	slices.SortStableFunc(names, func(a, b string) int { return faulty(a) - faulty(b) })
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, name := range names {
		g.Go(guard.Func(func() error {
			if within.Err() != nil {
				return nil // the first error tells why
			}
			return w.passOver(within, e, stuck, name, w.delete(within, e, name))
		}))
	}
	return g.Wait()
}

// aged sweeps, once a day, what only gets old.
func (w *Sweeper) aged(ctx context.Context, e *export.Export) error {
	now, ok := w.cfg.Conn.Time()
	if !ok || now.Sub(w.swept) <= sweepEvery {
		return nil
	}
	pauses, err := cluster.Pauses(ctx, e.FS)
	if err != nil {
		return err
	}
	// A clock that was put forward by a year makes nothing a year older.
	by := now.Add(-cluster.Missing(pauses, now.AddDate(-2, 0, 0), now))
	for dir, sweep := range map[string]func(context.Context, tree.FS, time.Time) error{export.CacheDir: cache.Sweep, export.AuditDir: audit.Sweep} {
		if err := w.passOver(ctx, e, older, dir, sweep(ctx, e.FS, by)); err != nil {
			return err
		}
	}
	w.swept = now
	return nil
}

// passOver notes what came of the work on one item, and reports an error of that
// item once. It returns an error that ends the work on all.
func (w *Sweeper) passOver(ctx context.Context, e *export.Export, event, item string, err error) error {
	return export.PassOver(ctx, e.FS, &w.faults, w.cfg.Report, event, item, err)
}

// manyNames is how many names a tree has that the server is asked to delete: fewer
// are gone over NFS before its job has begun.
const manyNames = 64

// delete deletes a tree: on the server where it can and there is much, else and
// what is left over NFS, so that whatever becomes of the server's answer is looked
// after. What an NFS client keeps open stays: the server would delete it. A tree
// that has become less when its time is over is no fault.
func (w *Sweeper) delete(ctx context.Context, e *export.Export, name string) error {
	if w.cfg.DeleteTree != nil && w.large(ctx, e, name) {
		err := w.cfg.DeleteTree(ctx, name)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) && ctx.Err() == nil {
			w.cfg.Report("the filer has not deleted a directory; it is deleted over NFS", map[string]any{"directory": name, "err": err})
		}
	}
	turn, end := context.WithTimeout(ctx, w.cfg.Patience)
	defer end()
	var gone tree.Progress
	err := tree.Delete(turn, e.FS, name, func(p tree.Progress) { gone = p })
	switch {
	case err == nil || turn.Err() == nil || ctx.Err() != nil:
		return err
	case gone.Files+gone.Dirs > 0:
		return nil
	}
	return fmt.Errorf("nothing of it was deleted in %s: the disk or the server does not answer", w.cfg.Patience)
}

// large tells whether a tree has many names, and none that has to stay.
func (w *Sweeper) large(ctx context.Context, e *export.Export, name string) bool {
	ctx, end := context.WithTimeout(ctx, w.cfg.Patience)
	defer end()
	m, err := tree.Measure(ctx, e.FS, name)
	return err == nil && m.Busy == 0 && m.Files+m.Dirs >= manyNames
}

// copied are the trash items of which somebody makes a copy, by the locks.
func copied(ctx context.Context, e *export.Export) (map[string]bool, error) {
	locks, err := cluster.Locks(ctx, e.FS)
	items := map[string]bool{}
	for _, l := range locks {
		if l.Op == cluster.OpUndelete {
			items[l.Work] = true
		}
	}
	return items, err
}

// temporary removes a private file or directory that its maker has forgotten. Its
// age is its ctime, which is the server's and which nobody can set: a copy has the
// mtime of what it is a copy of. An earlier berth copies trash items into such a
// directory: it stays while an item is copied.
func (w *Sweeper) temporary(ctx context.Context, e *export.Export, name string, copying bool) error {
	attr, err := e.FS.Stat(ctx, name)
	switch {
	case err != nil || !w.forgotten(ctx, e, attr.Ctime):
	case attr.Kind != tree.Directory:
		err = e.FS.Remove(ctx, name)
	case !copying:
		err = e.HandOver(ctx, name)
	}
	return export.Absent(err)
}

// forgotten tells whether a private file of that ctime is one that nobody works with.
// The server is asked for its time before, since a node's clock may have jumped.
func (w *Sweeper) forgotten(ctx context.Context, e *export.Export, ctime time.Time) bool {
	now, ok := w.cfg.Conn.Time()
	if ok && now.Sub(ctime) > forgottenAfter {
		now, err := e.AskTime(ctx)
		if err != nil {
			return false
		}
		pauses, err := cluster.Pauses(ctx, e.FS)
		return err == nil && now.Sub(ctime)-cluster.Missing(pauses, ctime, now) > forgottenAfter
	}
	return false
}
