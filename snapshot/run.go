package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/compare"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// work is a job that this process carries out. It belongs to the plugin: who
// asked for it may go away.
type work struct {
	cancel  context.CancelCauseFunc
	done    chan struct{}
	ended   time.Time // valid once done
	began   time.Time
	started *volume.Job    // as it was then
	read    []compare.Read // of the job's own

	mu    sync.Mutex // guards the fields below
	p     Progress
	base  tree.Progress // of the trees that are complete
	warns []string
	err   error
}

// Progress is how far a job has come.
type Progress struct {
	Job     string          `json:"job"`
	Volumes []string        `json:"volumes"`
	Engine  string          `json:"engine"`
	State   volume.JobState `json:"state"`
	Files   int64           `json:"files"`
	Bytes   int64           `json:"bytes"`
	Total   int64           `json:"total_files"`
	Of      int64           `json:"total_bytes"`
	Seconds float64         `json:"seconds"`
	Over    bool            `json:"over"` // nobody is at work on it
	// Interrupted: its process died, or it was never begun. Error is why a job
	// that is over is not done.
	Interrupted bool   `json:"interrupted,omitempty"`
	Error       string `json:"error,omitempty"`
	// Warnings are what could not be done as asked, or changed meanwhile.
	Warnings []string `json:"warnings,omitempty"`
}

// Done tells whether the job is over and has done what it was to do.
func (p Progress) Done() bool { return p.Over && p.State == volume.JobSwapped && p.Error == "" }

// Start carries a prepared or interrupted job out in the background.
func (v *Versions) Start(ctx context.Context, id string) error {
	if w := v.work(id); w != nil && w.started.Op == cluster.OpTakeover {
		return nil // it begins and ends by itself
	}
	j, err := v.volumes.Job(ctx, id)
	if err == nil {
		_, err = v.start(ctx, j)
	}
	return err
}

// work is a job that runs or ran here, nil for none.
func (v *Versions) work(id string) *work {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.running[id]
}

// rememberedFor is how long the progress of a job that has ended stays in memory.
// Its end is in the journal until somebody takes note of it.
const rememberedFor = time.Hour

// start sets a job going, or returns it if it runs. Jobs that ended long ago are
// forgotten.
func (v *Versions) start(ctx context.Context, j *volume.Job) (*work, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.stopped != nil {
		return nil, problem.New(problem.Unreachable, "again in a moment", "no job begins on this node: %v", v.stopped)
	}
	id := j.ID
	if w := v.running[id]; w != nil && !w.over() {
		return w, nil
	}
	for id, w := range v.running {
		if w.over() && v.now().Sub(w.ended) > rememberedFor {
			delete(v.running, id)
		}
	}
	// Values of ctx (who asked) stay, its end does not matter.
	run, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	w := &work{cancel: cancel, done: make(chan struct{}), began: v.now(), started: j}
	w.p = Progress{Job: id, Volumes: j.Volumes(), Engine: j.Engine, State: j.State}
	v.running[id] = w
	go v.run(run, w)
	return w, nil
}

// run carries a job out and takes note of its end, also of a panic.
func (v *Versions) run(ctx context.Context, w *work) {
	defer w.cancel(nil)
	defer close(w.done)
	defer func() { w.ended = v.now() }()
	var j *volume.Job
	err := guard.Run(func() (err error) {
		j, err = v.volumes.RunJob(ctx, w.started.ID, func(ctx context.Context, fsys tree.FS, j *volume.Job) error {
			return v.fill(ctx, fsys, w, j)
		})
		if err == nil {
			v.sums.Keep(ctx, w.read)
		}
		return err
	})
	v.volumes.Caught(string(w.started.Op)+" of "+strings.Join(w.started.Volumes(), ", "), err)
	p := w.end(j, err, v.now())
	v.ended(w.started.Op, p, err)
	if w.started.Op == cluster.OpTakeover && p.State != volume.JobSwapping && !p.Interrupted {
		// The caller may be gone, so the goroutine ends the takeover itself. If
		// that fails, the next takeover ends it.
		_ = guard.Run(func() error { return v.endTakeover(ctx, cmp.Or(j, w.started)) })
	}
}

// end notes how a job has ended. A job without an error has swapped its trees.
func (w *work) end(j *volume.Job, err error, now time.Time) Progress {
	w.mu.Lock()
	defer w.mu.Unlock()
	if j != nil {
		w.p.State = j.State
	}
	w.p.Interrupted = errors.Is(err, volume.ErrSessionEnds)
	if err != nil && w.p.State != volume.JobSwapping && !w.p.Interrupted {
		w.p.State = volume.JobFailed
	}
	if w.err = err; err != nil {
		w.p.Error = err.Error()
	}
	w.p.Seconds = now.Sub(w.began).Seconds()
	p := w.p
	p.Over = true
	return p
}

// Stop interrupts the jobs of this process and waits for them, for as long as
// ctx lets it; why is told to those who wait for the jobs, and has
// volume.ErrSessionEnds in it. No job begins any more. Whoever starts berth again resumes or aborts the jobs.
func (v *Versions) Stop(ctx context.Context, why error) error {
	v.mu.Lock()
	v.stopped = why
	all := slices.Collect(maps.Values(v.running))
	v.mu.Unlock()
	for _, w := range all {
		w.cancel(why)
	}
	for _, w := range all {
		select {
		case <-w.done:
		case <-ctx.Done():
			return fmt.Errorf("the %s of %s has not ended: %w", w.started.Op, strings.Join(w.started.Volumes(), ", "), ctx.Err())
		}
	}
	return nil
}

func (w *work) over() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// Running counts this node's jobs that are at work, from memory.
func (v *Versions) Running() map[cluster.Op]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := map[cluster.Op]int{}
	for _, w := range v.running {
		if !w.over() {
			n[w.started.Op]++
		}
	}
	return n
}

// waitFor bounds how long one request for progress waits for the end.
const waitFor = time.Second

// Wait returns how far a job has come: at once when it is over, else within a
// second. A job that is over without an error is done. Of a job that is over and
// not done, Wait returns the progress and the reason.
func (v *Versions) Wait(ctx context.Context, id string) (Progress, error) {
	w := v.work(id)
	if w == nil {
		return v.waitElsewhere(ctx, id)
	}
	select {
	case <-w.done:
	case <-time.After(waitFor):
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.p
	if p.Over = w.over(); !p.Over {
		p.Seconds = v.now().Sub(w.began).Seconds()
	}
	p.Warnings = append([]string{}, w.warns...)
	return p, w.err
}

// waitElsewhere waits for a job that this process does not run: another node
// does, or its process died.
func (v *Versions) waitElsewhere(ctx context.Context, id string) (Progress, error) {
	for waited := false; ; waited = true {
		j, err := v.volumes.Job(ctx, id)
		if err != nil {
			return Progress{}, err
		}
		over, err := j.End()
		// The swap of a dead process is completed within moments.
		if waited || over && j.State != volume.JobSwapping {
			p := Progress{Job: id, Volumes: j.Volumes(), Engine: j.Engine, State: j.State, Over: over, Interrupted: over && (j.Interrupted || j.State == volume.JobPrepared)}
			if err != nil {
				p.Error = err.Error()
			}
			return p, err
		}
		select {
		case <-time.After(waitFor):
		case <-ctx.Done():
			return Progress{}, ctx.Err()
		}
	}
}

// Cancel ends a job of this node before its swap, and waits until it has ended.
// What has been swapped stays: undo takes it back.
func (v *Versions) Cancel(ctx context.Context, id string) error {
	w := v.work(id)
	if w == nil {
		return nil
	}
	w.cancel(nil)
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// End forgets a job that is at its end: what was stopped for it has been started.
// It refuses one that may be resumed.
func (v *Versions) End(ctx context.Context, id string) error {
	return v.forget(id, v.volumes.EndJob(ctx, id))
}

// Abort forgets a job that nobody is at work on.
func (v *Versions) Abort(ctx context.Context, id string) error {
	return v.forget(id, v.volumes.AbortJob(ctx, id))
}

func (v *Versions) forget(id string, err error) error {
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.running, id)
	return nil
}

// fill makes the trees of a job, below its directory, or syncs in place.
func (v *Versions) fill(ctx context.Context, fsys tree.FS, w *work, j *volume.Job) error {
	items, err := v.itemsOf(ctx, fsys, j)
	if err != nil {
		return err
	}
	w.add(func(p *Progress) {
		p.State = volume.JobCopying
		for _, it := range items {
			p.Total += it.Files
			p.Of += it.Bytes
		}
	})
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
		w.warn(fmt.Sprintf("the locks of %s are left on the old tree: %v", j.From, err))
	}
	return nil
}

// fillOne brings one item, by its engine.
func (v *Versions) fillOne(ctx context.Context, fsys tree.FS, w *work, j *volume.Job, p *PlanItem, it *volume.JobItem) error {
	if it.Dest != p.dest() {
		return fmt.Errorf("the plan of %s changed while it was carried out", it.Volume)
	}
	switch p.Engine {
	case EngineMove:
		it.From = p.source()
		return nil
	case EngineSync:
		return v.sync(ctx, fsys, w, j, p, it)
	}
	// A tree of an earlier, interrupted run is put aside for the sweepers.
	it.From = path.Join(j.Dir(), it.Volume)
	if there, err := stat(ctx, fsys, it.From); err != nil {
		return err
	} else if there != nil {
		aside := it.From + "." + v.volumes.NewTrashID()
		if err := fsys.Rename(ctx, it.From, aside); err != nil {
			return err
		}
		if err := v.volumes.Discard(ctx, fsys, aside); err != nil {
			return err
		}
	}
	if p.Engine == EngineFiler {
		return v.filerFill(ctx, fsys, p, it)
	}
	return v.copyFill(ctx, fsys, w, p, it)
}

// filerFill has the filer make the tree.
func (v *Versions) filerFill(ctx context.Context, fsys tree.FS, p *PlanItem, it *volume.JobItem) error {
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
		err = problem.New(problem.Failed, "'berth snapshot restore --checksum' copies instead", "the filer brought %q back with another owner or mode", p.Volume)
	}
	return err
}

// copyFill copies the tree, or the one file.
func (v *Versions) copyFill(ctx context.Context, fsys tree.FS, w *work, p *PlanItem, it *volume.JobItem) error {
	if p.Kind == KindFile {
		mode := uint32(0o700)
		scrap := it.From + ".scrap"
		if err := fsys.Mkdir(ctx, scrap, tree.SetAttr{Mode: &mode}); err != nil {
			return err
		}
		stats, err := tree.Sync(ctx, fsys, p.source(), it.From, tree.SyncOptions{Staging: scrap, Trash: scrap}, nil)
		if err != nil {
			return err
		}
		return w.judge(stats.Stats, p.Ref)
	}
	read := &tree.Proofs{}
	_, err := tree.Copy(ctx, fsys, p.source(), it.From, tree.CopyOptions{Checksum: p.Checksum, Proofs: read}, w.progress)
	if p.Snapshot != nil { // a live volume's would be of what a silent node may still write
		w.read = append(w.read, compare.Read{Volume: p.Volume, Snapshot: p.Snapshot, Proofs: read})
	}
	w.next()
	if p.Snapshot == nil { // a takeover's, of the volume itself
		return problem.Whole(err, p.Volume, "stop what writes to it on the other node, then again")
	}
	return whole(err, p.Ref)
}

// judge refuses a copy that is not whole.
func (w *work) judge(s tree.Stats, ref string) error { return whole(s.Whole(ref), ref) }

func whole(err error, ref string) error {
	return problem.Whole(err, ref, "restore another version, or single paths with "+ref+":PATH")
}

// sync replaces in place what differs. What it replaces is recorded first.
func (v *Versions) sync(ctx context.Context, fsys tree.FS, w *work, j *volume.Job, p *PlanItem, it *volume.JobItem) error {
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
	t := v.volumes.NewUndo(j, it)
	t.Partial, t.Path = true, within
	if err := v.volumes.RecordTrash(ctx, fsys, t); err != nil {
		return err
	}
	mode := uint32(0o700)
	if err := fsys.Mkdir(ctx, t.Data(), tree.SetAttr{Mode: &mode}); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	defer w.next()
	if p.Kind == KindFiles {
		if err := putBack(ctx, fsys, path.Dir(p.source()), path.Dir(t.Data()), dest, w.progress); err != nil {
			return err
		}
		// What it undid is used up.
		return v.volumes.Discard(ctx, fsys, path.Dir(p.source()))
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
	stats, err := tree.Sync(ctx, fsys, source, dest, tree.SyncOptions{Staging: j.Dir(), Trash: t.Data(), Equality: q}, w.progress)
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
		w.warn(fmt.Sprintf("%s: removed by somebody meanwhile", name))
	}
	return w.judge(tree.Stats{Missing: stats.Missing}, p.Ref)
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

func (w *work) add(f func(*Progress)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.p)
}

// progress is told how far the tree at work has come.
func (w *work) progress(p tree.Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.p.Files, w.p.Bytes = w.base.Files+p.Files, w.base.Bytes+p.Bytes
}

// next goes on with another tree.
func (w *work) next() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.base = tree.Progress{Files: w.p.Files, Bytes: w.p.Bytes}
}

func (w *work) warn(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.warns = append(w.warns, line)
}

// Find returns the unfinished job of a volume.
func (v *Versions) Find(ctx context.Context, name string) (*volume.Job, error) {
	jobs, err := v.volumes.Jobs(ctx)
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		for _, n := range j.Volumes() {
			if n == name {
				return j, nil
			}
		}
	}
	return nil, problem.New(problem.Nothing, "'berth volume ps' lists what is under way", "no restore of volume %q is unfinished", name)
}
