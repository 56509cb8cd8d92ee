package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/job"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/compare"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
)

// running is a job that this process carries out, and what it has read.
type running struct {
	*job.Run
	read []compare.Read
}

// Start carries a prepared or interrupted job out in the background.
func (v *Versions) Start(ctx context.Context, id string) error {
	if r := v.Jobs.Running(id); r != nil && r.Job.Op == cluster.OpTakeover {
		return nil // it begins and ends by itself
	}
	j, err := v.Jobs.Get(ctx, id)
	if err == nil {
		_, err = v.start(ctx, j)
	}
	return err
}

func (v *Versions) start(ctx context.Context, j *job.Job) (*job.Run, error) {
	w := &running{}
	return v.Jobs.Start(ctx, j, job.Work{
		Fill: func(ctx context.Context, fsys tree.FS, r *job.Run, j *job.Job) error {
			w.Run = r
			return v.fill(ctx, fsys, w, j)
		},
		Ended: func(ctx context.Context, r *job.Run, j *job.Job, p job.Progress, err error) {
			if err == nil {
				v.sums.Keep(ctx, w.read)
			}
			v.ended(r.Job.Op, p, err)
			if r.Job.Op == cluster.OpTakeover && p.State != job.Swapping && !p.Interrupted {
				// The caller may be gone, so the goroutine ends the takeover itself.
				// If that fails, the next takeover ends it.
				_ = v.endTakeover(ctx, cmp.Or(j, r.Job))
			}
		},
	})
}

// fill makes the trees of a job, below its directory, or syncs in place.
func (v *Versions) fill(ctx context.Context, fsys tree.FS, w *running, j *job.Job) error {
	items, err := v.itemsOf(ctx, fsys, j)
	if err != nil {
		return err
	}
	var files, bytes int64
	for _, it := range items {
		files += it.Files
		bytes += it.Bytes
	}
	w.Expect(files, bytes)
	for i := range items {
		if err := v.fillOne(ctx, fsys, w, j, &items[i], &j.Items[i]); err != nil {
			return err
		}
	}
	if j.Op != cluster.OpTakeover {
		return nil
	}
	// The new tree has none of the old holder's locks, whatever comes of this.
	if err := v.BreakLocks(ctx, j.Items[0].Volume, j.From); err != nil {
		w.Warn(fmt.Sprintf("the locks of %s are left on the old tree: %v", j.From, err))
	}
	return nil
}

// fillOne brings one item, by its engine.
func (v *Versions) fillOne(ctx context.Context, fsys tree.FS, w *running, j *job.Job, p *PlanItem, it *job.Item) error {
	if it.Dest != p.dest() {
		return fmt.Errorf("the plan of %s changed while it was carried out", it.Volume)
	}
	if p.Engine == EngineMove {
		it.From = p.source()
		return nil
	}
	dir, err := v.room(ctx, fsys, w, j, p)
	if err != nil {
		return err
	}
	own := dir != j.Dir()
	if p.Engine == EngineSync || own && !p.Beside {
		if p.Engine != EngineSync {
			w.Warn(fmt.Sprintf("%s: a tree of its own on the export: it was changed in place, and keeps its quota", it.Volume))
		}
		err := v.sync(ctx, fsys, w, j, p, it, dir)
		if errors.Is(err, syscall.EXDEV) && !own {
			// A qtree that nothing else tells of. The same sync goes on inside of it.
			if dir, err = inside(ctx, fsys, p.Volume); err == nil {
				own, err = true, v.sync(ctx, fsys, w, j, p, it, dir)
			}
		}
		return errors.Join(err, v.leave(ctx, fsys, own, dir))
	}
	// A tree of an earlier, interrupted run is put aside for the sweepers.
	it.From = path.Join(dir, it.Volume)
	if there, err := stat(ctx, fsys, it.From); err != nil {
		return err
	} else if there != nil { // never in a tree of its own, whose room is new
		aside := it.From + "." + v.volumes.Trash.NewID()
		if err := fsys.Rename(ctx, it.From, aside); err != nil {
			return err
		}
		if err := v.volumes.Trash.Discard(ctx, fsys, aside); err != nil {
			return err
		}
	}
	if p.Engine == EngineFiler && !own {
		err := v.filerFill(ctx, fsys, p, it)
		if err == nil || ctx.Err() != nil {
			return err
		}
		w.Warn(fmt.Sprintf("%s is copied, since the filer has not brought it back: %s", it.Volume, err.Error()))
		// What the filer has begun may still grow: the copy gets another name.
		it.From += "." + v.volumes.Trash.NewID()
	}
	return v.copyFill(ctx, fsys, w, p, it)
}

// room returns the directory in which a job makes new files for an item: that of the
// job, or one in the volume where the volume is a tree of its own (tree.OwnTree).
func (v *Versions) room(ctx context.Context, fsys tree.FS, w *running, j *job.Job, p *PlanItem) (dir string, err error) {
	own, err := tree.OwnTree(ctx, fsys, p.Volume)
	if errors.Is(err, fs.ErrNotExist) {
		return j.Dir(), nil
	}
	if j.Op == cluster.OpTakeover { // the old tree has to go, whatever it is
		if own != nil {
			w.Warn(fmt.Sprintf("%s was a tree of its own on the export (%s): that is in the trash now, and the new one has no quota", p.Volume, own))
		}
		return j.Dir(), err
	}
	if own == nil || err != nil {
		return j.Dir(), err
	}
	return inside(ctx, fsys, p.Volume)
}

// inside makes the room in a tree of its own, which keeps its times.
func inside(ctx context.Context, fsys tree.FS, name string) (dir string, err error) {
	dir = path.Join(name, tree.Inside)
	if err := tree.Delete(ctx, fsys, dir, nil); err != nil { // of an interrupted job
		return "", err
	}
	was, err := fsys.Stat(ctx, name)
	if err != nil {
		return "", err
	}
	mode := uint32(0o700)
	if err := fsys.Mkdir(ctx, dir, tree.SetAttr{Mode: &mode}); err != nil {
		return "", err
	}
	return dir, fsys.SetAttr(ctx, name, tree.SetAttr{Mtime: &was.Mtime})
}

// leave deletes the room in a tree of its own, and gives the tree its times back. What
// it leaves of a job that was ended, the end of the job deletes.
func (v *Versions) leave(ctx context.Context, fsys tree.FS, own bool, dir string) error {
	if !own {
		return nil
	}
	ctx, done := tree.Tidy(ctx)
	defer done()
	was, err := fsys.Stat(ctx, path.Dir(dir))
	if err == nil {
		err = tree.Delete(ctx, fsys, dir, nil)
	}
	if err == nil {
		err = fsys.SetAttr(ctx, path.Dir(dir), tree.SetAttr{Mtime: &was.Mtime})
	}
	return err
}

// filerFill has the filer make the tree.
func (v *Versions) filerFill(ctx context.Context, fsys tree.FS, p *PlanItem, it *job.Item) error {
	filer := v.tuned.Load().Filer
	if filer == nil {
		return problem.New(problem.Failed, "set BERTH_ONTAP here too, or run it on the node that planned it", "the restore was planned for the filer's API, which this node does not use")
	}
	src := reference.Ref{Volume: p.Volume, Path: p.Path}.Source("")
	if err := filer.Restore(ctx, p.Snapshot.Name, src, it.From); err != nil {
		return err
	}
	want, err := fsys.Stat(ctx, p.source())
	if err != nil {
		return err
	}
	got, err := fsys.Stat(ctx, it.From)
	if err == nil && (got.Kind != want.Kind || got.Mode != want.Mode || got.UID != want.UID || got.GID != want.GID) {
		err = problem.New(problem.Failed, "", "the filer brought %q back with another owner or mode", p.Volume)
	}
	return err
}

// copyFill copies the tree, or the one file.
func (v *Versions) copyFill(ctx context.Context, fsys tree.FS, w *running, p *PlanItem, it *job.Item) error {
	if p.Kind == KindFile {
		mode := uint32(0o700)
		scrap := it.From + ".scrap"
		if err := fsys.Mkdir(ctx, scrap, tree.SetAttr{Mode: &mode}); err != nil {
			return err
		}
		stats, err := tree.Sync(ctx, fsys, p.source(), it.From, tree.SyncOptions{Staging: scrap, Trash: scrap, Clone: v.cloner(w, p)}, nil)
		if err != nil {
			return err
		}
		return judge(stats.Stats, p.Ref)
	}
	read := &tree.Proofs{}
	_, err := tree.Copy(ctx, fsys, p.source(), it.From, tree.CopyOptions{Checksum: p.Checksum, Proofs: read, Clone: v.cloner(w, p)}, w.Progress)
	if p.Snapshot != nil { // a live volume's would be of what a silent node may still write
		w.read = append(w.read, compare.Read{Volume: p.Volume, Snapshot: p.Snapshot, Proofs: read})
	}
	w.Next()
	if p.Snapshot == nil { // a takeover's, of the volume itself
		return problem.Whole(err, p.Volume, "stop what writes to it on the other node, then again")
	}
	return whole(err, p.Ref)
}

// cloner is what may make a large file of an item in place of a copy: not where
// everything is to be read again.
func (v *Versions) cloner(w *running, p *PlanItem) func(ctx context.Context, src, dst string) bool {
	if p.Checksum || p.Snapshot == nil || v.tuned.Load().Filer == nil {
		return nil
	}
	return func(ctx context.Context, src, dst string) bool { return v.CloneFile(ctx, src, dst, w.Warn) }
}

// judge refuses a copy that is not whole.
func judge(s tree.Stats, ref string) error { return whole(s.Whole(ref), ref) }

func whole(err error, ref string) error {
	return problem.Whole(err, ref, "restore another version, or single paths with "+ref+":PATH")
}

// sync replaces in place what differs. What it replaces is recorded first.
func (v *Versions) sync(ctx context.Context, fsys tree.FS, w *running, j *job.Job, p *PlanItem, it *job.Item, room string) error {
	source, dest := p.source(), it.Dest
	within := "" // the directory that recorded paths are in, below the volume
	if p.Kind == KindFiles {
		within = p.Path
	}
	var rec *recording
	if p.Kind != KindFiles {
		var err error
		if rec, within, err = v.record(ctx, fsys, p, dest); err != nil {
			return err
		}
	}
	t := v.volumes.Trash.NewUndo(j, it)
	t.Partial, t.Path = true, within
	if err := v.volumes.Trash.Record(ctx, fsys, t); err != nil {
		return err
	}
	mode := uint32(0o700)
	if err := fsys.Mkdir(ctx, t.Data(), tree.SetAttr{Mode: &mode}); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	defer w.Next()
	if p.Kind == KindFiles {
		if err := putBack(ctx, fsys, path.Dir(p.source()), path.Dir(t.Data()), dest, room, w.Progress); err != nil {
			return err
		}
		// What it undid is used up.
		return v.volumes.Trash.Discard(ctx, fsys, path.Dir(p.source()))
	}
	if err := rec.save(ctx, fsys, path.Dir(t.Data())); err != nil {
		return err
	}
	q, keep := v.sums.Equality(ctx, fsys, p.Volume, p.Checksum, nil, p.Snapshot)
	defer keep()
	times, err := bringParents(ctx, fsys, p)
	if err != nil {
		return err
	}
	was, err := fsys.Stat(ctx, source)
	if err != nil {
		return deleted(p, err)
	}
	stats, err := tree.Sync(ctx, fsys, source, dest, tree.SyncOptions{Staging: room, Trash: t.Data(), Equality: q, Clone: v.cloner(w, p)}, w.Progress)
	if err != nil {
		return deleted(p, err)
	}
	// What is read of a snapshot after it was moved away to be deleted, by its
	// handles, may be a part of it.
	if now, err := fsys.Stat(ctx, source); err != nil || now.FileID != was.FileID {
		return deleted(p, cmp.Or(err, error(&fs.PathError{Op: "stat", Path: source, Err: fs.ErrNotExist})))
	}
	if err := times(); err != nil {
		return err
	}
	for _, name := range stats.Vanished.Paths {
		w.Warn(fmt.Sprintf("%s: removed by somebody meanwhile", name))
	}
	return judge(tree.Stats{Missing: stats.Missing}, p.Ref)
}

// deleted explains that a name of an item's snapshot is not there, which is so only
// while the snapshot is being deleted. Other errors pass.
func deleted(p *PlanItem, err error) error {
	at := (*fs.PathError)(nil)
	if p.Snapshot == nil || !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &at) || at.Path != p.source() && !strings.HasPrefix(at.Path, p.source()+"/") {
		return err
	}
	return problem.New(problem.Failed, "'berth undo "+p.Volume+"' puts back what was replaced; then restore another version",
		"snapshot %q was deleted while it was read", p.Snapshot.Name)
}

// bringParents makes the directories that the volume has lost above what comes
// back. Their times are set by the func that it returns, when all is in them.
func bringParents(ctx context.Context, fsys tree.FS, p *PlanItem) (times func() error, err error) {
	root := reference.Ref{Volume: p.Volume}.Source(nameOf(p.Snapshot))
	was := map[string]tree.Attr{}
	for _, name := range p.Parents {
		a, err := fsys.Stat(ctx, path.Join(root, name))
		if err != nil {
			return nil, err
		}
		at := path.Join(p.Volume, name)
		err = fsys.Mkdir(ctx, at, tree.SetAttr{Mode: &a.Mode, UID: &a.UID, GID: &a.GID})
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if x, ok := fsys.(attributed); ok {
			all, err := x.Xattrs(ctx, path.Join(root, name))
			if err == nil {
				err = x.SetXattrs(ctx, at, all)
			}
			if err != nil {
				return nil, err
			}
		}
		was[at] = a
	}
	return func() error {
		for at, a := range was {
			if err := fsys.SetAttr(ctx, at, tree.SetAttr{Mode: &a.Mode, Mtime: &a.Mtime}); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// record notes what a sync is about to change. It returns the directory, below
// the volume, that the paths are in.
func (v *Versions) record(ctx context.Context, fsys tree.FS, p *PlanItem, dest string) (rec *recording, within string, err error) {
	now, err := stat(ctx, fsys, dest)
	if err != nil {
		return nil, "", err
	}
	q, keep := v.sums.Equality(ctx, fsys, p.Volume, p.Checksum, nil, p.Snapshot)
	defer keep()
	q.Exact = true
	if len(p.Parents) > 0 { // the topmost comes as a whole
		top := p.Parents[0]
		rec = newRecording(fsys, path.Join(p.Volume, parent(top)))
		rec.add(ctx, tree.Difference{Kind: tree.Added, Path: path.Base(top), B: tree.Attr{Kind: tree.Directory}})
		return rec, parent(top), rec.end(ctx)
	}
	if now != nil && now.Kind == tree.Directory && p.Kind != KindFile {
		rec = newRecording(fsys, dest)
		_, err = compare.Trees(ctx, fsys, dest, p.source(), q, func(d tree.Difference) error {
			rec.add(ctx, d)
			return nil
		})
		return rec, p.Path, errors.Join(err, rec.end(ctx))
	}
	rec = newRecording(fsys, path.Dir(dest))
	d := &tree.Difference{Kind: tree.Added}
	if now != nil {
		if d, err = tree.CompareOne(ctx, fsys, dest, p.source(), q); err != nil {
			return nil, "", err
		}
		if now.Nlink > 1 && d != nil {
			d.Fields |= tree.ChangedLinks // restored alone, it is a file of its own
		}
	}
	if d != nil {
		d.Path = path.Base(dest)
		rec.add(ctx, *d)
	}
	return rec, parent(p.Path), rec.end(ctx)
}
