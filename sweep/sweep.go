package sweep

import (
	"context"
	"errors"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/casit/berth/audit"
	"github.com/casit/berth/cache"
	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
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
	return &Sweeper{cfg: cfg}
}

// stuck is the event of a tree that a sweep cannot delete.
const stuck = "a tree cannot be deleted; it is tried again"

// sweepEvery is how often what only gets old is looked through.
const sweepEvery = 24 * time.Hour

// Sweep deletes what was handed over in staging; it returns at once if a sweep of
// this node is under way. It may be cut short anywhere and by anything; the next
// one, on any node, goes on. What cannot be deleted keeps nothing else.
func (w *Sweeper) Sweep(ctx context.Context, e *export.Export) {
	if !w.turn.TryLock() {
		return
	}
	defer w.turn.Unlock()
	if now, ok := w.cfg.Conn.Time(); ok && now.Sub(w.swept) > sweepEvery {
		err := errors.Join(cache.Sweep(ctx, e.FS, now), audit.Sweep(ctx, e.FS, now))
		if w.passOver(ctx, e, "what is too old stays", export.Dir, err) != nil {
			return
		}
		w.swept = now
	}
	names, err := export.Pick(ctx, e.FS, export.StagingDir, func(d tree.Entry) (string, bool) {
		return d.Name, strings.HasPrefix(d.Name, export.PurgePrefix) || strings.HasPrefix(d.Name, export.TmpPrefix) || strings.HasPrefix(d.Name, export.CopyPrefix)
	})
	var copies map[string]bool
	if err == nil {
		copies, err = copied(ctx, e) // after the names: whoever makes a copy has the lock before
	}
	if err != nil {
		names = nil
	}
	for _, n := range names {
		name := path.Join(export.StagingDir, n)
		if strings.HasPrefix(n, export.TmpPrefix) {
			w.temporary(ctx, e, name, len(copies) > 0)
			continue
		}
		if item, ok := strings.CutPrefix(n, export.CopyPrefix); ok {
			if item, _, _ = strings.Cut(item, "."); !copies[item] {
				_ = e.HandOver(ctx, name)
			}
			continue
		}
		if err = w.passOver(ctx, e, stuck, name, w.delete(ctx, e, name)); err != nil {
			break
		}
	}
	if err != nil && ctx.Err() == nil {
		w.cfg.Report("purging goes on later", map[string]any{"err": err})
	}
}

// passOver notes what came of the work on one item, and reports an error of that
// item once. It returns an error that ends the work on all.
func (w *Sweeper) passOver(ctx context.Context, e *export.Export, event, item string, err error) error {
	if export.Ends(ctx, e.FS, err) {
		return err
	}
	w.faults.Note(w.cfg.Report, event, item, err)
	return nil
}

// manyNames is how many names a tree has that the server is asked to delete: fewer
// are gone over NFS before its job has begun.
const manyNames = 64

// delete deletes a tree: on the server where it can and there is much, else and
// what is left over NFS, so that whatever becomes of the server's answer is looked
// after. What an NFS client keeps open stays: the server would delete it.
func (w *Sweeper) delete(ctx context.Context, e *export.Export, name string) error {
	if w.cfg.DeleteTree != nil {
		m, err := tree.Measure(ctx, e.FS, name)
		if err == nil && m.Busy == 0 && m.Files+m.Dirs >= manyNames {
			err = w.cfg.DeleteTree(ctx, name)
			if err != nil && !errors.Is(err, errors.ErrUnsupported) && ctx.Err() == nil {
				w.cfg.Report("the filer has not deleted a directory; it is deleted over NFS", map[string]any{"directory": name, "err": err})
			}
		}
	}
	return tree.Delete(ctx, e.FS, name, nil)
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

// temporary removes a private file or directory that its maker has
// forgotten. An earlier berth copies trash items into such a directory, which has the
// time of what it is a copy of: it stays while an item is copied.
func (w *Sweeper) temporary(ctx context.Context, e *export.Export, name string, copying bool) {
	attr, err := e.FS.Stat(ctx, name)
	now, ok := w.cfg.Conn.Time()
	if err != nil || !ok || now.Sub(attr.Mtime) <= time.Hour {
		return
	}
	if attr.Kind == tree.Directory && copying {
		return
	}
	if attr.Kind == tree.Directory {
		_ = e.HandOver(ctx, name)
		return
	}
	_ = e.FS.Remove(ctx, name)
}
