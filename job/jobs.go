package job

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// Config is what Jobs are made with. All fields are required.
type Config struct {
	_ struct{}

	Conn    *export.Conn
	Cluster *cluster.Cluster
	Node    string // this node's name
	Now     func() time.Time
	Volumes Volumes
	// Caller is who asks, for the journal. Note writes what was done to a volume
	// into the audit trail. Sweep has what was discarded deleted soon. Caught
	// reports the panic that an error comes from, if it comes from one.
	Caller func(ctx context.Context) string
	Note   func(ctx context.Context, e *export.Export, op, volume, detail string)
	Sweep  func()
	Caught func(what string, err error)
}

// Volumes is what a job asks of the volumes whose trees it exchanges.
type Volumes interface {
	// Check refuses a job whose volumes may not be changed now. It is asked under
	// the locks, before the new trees are made; CheckAgain when they are made.
	Check(ctx context.Context, e *export.Export, j *Job) error
	CheckAgain(ctx context.Context, e *export.Export, j *Job) error
	// Fresh is asked for the item of a volume that does not exist: its metadata
	// may belong to another volume by now.
	Fresh(ctx context.Context, e *export.Export, it *Item) error
	// Keep records in the trash what the item replaces; its tree comes next.
	Keep(ctx context.Context, e *export.Export, j *Job, it *Item) error
	// Placed is told that the item's new tree is in its place.
	Placed(ctx context.Context, e *export.Export, it *Item) error
}

// Jobs are the jobs of one export, as one node sees them and carries them out. All
// methods may be called concurrently.
type Jobs struct {
	cfg Config

	// unsaved are our jobs that failed where that could not be written down, as on
	// a full export: id to reason.
	unsaved sync.Map

	mu      sync.Mutex // guards the fields below
	running map[string]*Run
	stopped error // why no job begins any more, nil while jobs may begin
}

// New returns the jobs of the export of cfg.Conn.
func New(cfg Config) *Jobs { return &Jobs{cfg: cfg, running: map[string]*Run{}} }

// Prepare writes a new job down. Op, Items and the caller's fields are
// given, the rest is filled in. It refuses volumes that have an unfinished job.
func (js *Jobs) Prepare(ctx context.Context, j *Job) error {
	ctx = j.spends(ctx)
	return js.cfg.Conn.With(ctx, "prepare a "+string(j.Op), func(e *export.Export) error {
		if err := js.check(ctx, e, j.Volumes()); err != nil {
			return err
		}
		j.Version, j.ID, j.State = export.FormatVersion, export.JobPrefix+js.cfg.Conn.NewID(), Prepared
		j.By = js.cfg.Caller(ctx)
		j.Since = js.cfg.Now().UTC().Truncate(time.Second)
		js.own(j)
		// A job has its journal from the moment that it has its name; what a
		// crash leaves before is swept.
		tmp := path.Join(export.StagingDir, export.TmpPrefix+j.ID)
		if err := export.Mkdir(ctx, e.FS, tmp); err != nil {
			return err
		}
		if err := e.Replace(ctx, path.Join(tmp, "journal.json"), j); err != nil {
			return err
		}
		return e.FS.Rename(ctx, tmp, j.Dir())
	})
}

// Check refuses volumes that have an unfinished job, and says what to type.
func (js *Jobs) Check(ctx context.Context, names []string) error {
	return js.cfg.Conn.With(ctx, "look for jobs", func(e *export.Export) error { return js.check(ctx, e, names) })
}

func (js *Jobs) check(ctx context.Context, e *export.Export, names []string) error {
	jobs, err := js.list(ctx, e)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		for _, v := range j.Volumes() {
			if !slices.Contains(names, v) {
				continue
			}
			if !js.left(j) {
				return j.blocks(v)
			}
			if err := js.discard(ctx, e, j.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// left tells a clone whose node died before it took the lock, or after it gave the
// lock back: no lock tells of it, and nobody resumes it.
func (js *Jobs) left(j *Job) bool {
	return j.Op == cluster.OpClone && (j.State == Prepared || j.State == Failed || j.State == Swapped) && js.cfg.Cluster.Ended(j.Node, j.Incarnation)
}

// DiscardLeft hands to the sweepers what dead nodes have left of clones and no lock
// tells of.
func (js *Jobs) DiscardLeft(ctx context.Context, e *export.Export) error {
	jobs, err := js.list(ctx, e)
	for _, j := range jobs {
		if js.left(j) {
			err = errors.Join(err, js.discard(ctx, e, j.ID))
		}
	}
	return err
}

func (js *Jobs) own(j *Job) { j.Node, j.Incarnation = js.cfg.Node, js.cfg.Cluster.Incarnation() }

// List lists the unfinished jobs of all nodes, oldest first. Clones are not among
// them: they are ended by whoever makes them, and their locks tell of them.
func (js *Jobs) List(ctx context.Context) ([]*Job, error) {
	out := []*Job{}
	err := js.cfg.Conn.With(ctx, "list the jobs", func(e *export.Export) error {
		jobs, err := js.list(ctx, e)
		out = append(out, slices.DeleteFunc(jobs, func(j *Job) bool { return j.Op == cluster.OpClone })...)
		return err
	})
	return out, err
}

// Get returns one job, by its id.
func (js *Jobs) Get(ctx context.Context, id string) (j *Job, err error) {
	err = js.cfg.Conn.With(ctx, "read the journal", func(e *export.Export) error {
		if j, err = js.read(ctx, e, id); err == nil && j == nil {
			err = noJob(id)
		}
		return err
	})
	return j, err
}

func (js *Jobs) list(ctx context.Context, e *export.Export) ([]*Job, error) {
	ids, err := export.Pick(ctx, e.FS, export.StagingDir, func(d tree.Entry) (string, bool) {
		return d.Name, len(d.Name) > len(export.JobPrefix) && strings.HasPrefix(d.Name, export.JobPrefix)
	})
	if err != nil {
		return nil, export.Absent(err)
	}
	var out []*Job
	for _, id := range ids {
		j, err := js.read(ctx, e, id)
		if export.Ends(ctx, e.FS, err) {
			return nil, err
		}
		if err != nil {
			if j, err = js.unreadable(ctx, e, id, err); err != nil {
				return nil, err
			}
		}
		if j != nil {
			out = append(out, j)
		}
	}
	slices.SortStableFunc(out, func(a, b *Job) int { return a.Since.Compare(b.Since) })
	return out, nil
}

// unreadable is a job of which only the locks tell.
func (js *Jobs) unreadable(ctx context.Context, e *export.Export, id string, why error) (*Job, error) {
	locks, err := cluster.Locks(ctx, e.FS)
	if err != nil {
		return nil, err
	}
	j := &Job{ID: id, State: Unreadable, Error: unreadableJob(id, why).Reason, why: why}
	for _, l := range locks {
		if l.Work == id {
			j.Op, j.Node, j.Since = l.Op, l.Node, l.Since
			j.Items = append(j.Items, Item{Volume: l.Volume})
		}
	}
	return j, nil
}

// read returns a job, nil if there is none. A journal that cannot be read
// is an error: nothing is done to its trees.
func (js *Jobs) read(ctx context.Context, e *export.Export, id string) (*Job, error) {
	if path.Base(id) != id {
		return nil, nil
	}
	var j Job
	err := export.Read(ctx, e.FS, export.JournalPath(id), &j)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case export.IsBroken(err):
		return nil, unreadableJob(id, err)
	}
	if why, ok := js.unsaved.Load(id); ok && j.State == Copying {
		j.State, j.Error = Failed, why.(string)
	}
	j.Interrupted = (j.State == Copying || j.State == Swapping) && js.cfg.Cluster.Ended(j.Node, j.Incarnation)
	return &j, err
}

// save writes a job's state down.
func (js *Jobs) save(ctx context.Context, e *export.Export, j *Job) error {
	saved := *j
	saved.Interrupted = false
	return e.Replace(ctx, export.JournalPath(j.ID), &saved)
}

// Run carries a prepared or interrupted job out: it locks the volumes,
// refuses unless live is allowed while anybody uses one, has fill make every
// From below the job's directory, and swaps. After an error before the swap
// the volumes are as they were, and the job has failed; after one during the
// swap it is completed as soon as the export allows. Cancelling ctx ends fill,
// never a swap.
func (js *Jobs) Run(ctx context.Context, id string, fill func(ctx context.Context, fsys tree.FS, j *Job) error) (*Job, error) {
	var j *Job
	err := js.cfg.Conn.With(ctx, "run the job", func(e *export.Export) (err error) {
		if j, err = js.read(ctx, e, id); err != nil {
			return err
		}
		if j == nil {
			return noJob(id)
		}
		ctx := j.spends(ctx)
		unlock, err := js.lockAll(ctx, e, j)
		if err != nil {
			return err
		}
		if j.State == Swapping || j.State == Swapped {
			// Somebody finished it, or lockAll just did; or no lock told of it.
			if j, err = js.read(ctx, e, id); err == nil && j == nil {
				err = noJob(id)
			}
			if err == nil && j.State == Swapping {
				err = js.swapAll(ctx, e, j)
			}
			unlock(j == nil || j.State != Swapping)
			return err
		}
		err = js.runLocked(ctx, e, j, fill)
		unlock(j.State != Swapping)
		return err
	})
	if err == nil && j.State == Swapping {
		err = j.incomplete()
	}
	return j, js.cfg.Conn.Explain(string(cluster.OpRestore), err)
}

// lockAll takes the locks of the job's volumes in the order of their names.
// The function it returns gives them back; not done, they are left to be
// finished like a dead node's.
func (js *Jobs) lockAll(ctx context.Context, e *export.Export, j *Job) (unlock func(done bool), err error) {
	var held []*cluster.Locking
	unlock = func(done bool) {
		for _, l := range held {
			if done {
				l.Unlock(ctx)
			} else {
				l.Leave()
			}
		}
	}
	for _, name := range j.Volumes() {
		l, err := js.lockOne(ctx, e, j, name)
		if err != nil {
			unlock(true)
			return nil, err
		}
		held = append(held, l)
	}
	return unlock, nil
}

func (js *Jobs) lockOne(ctx context.Context, e *export.Export, j *Job, name string) (*cluster.Locking, error) {
	end, err := js.cfg.Cluster.Turn(ctx, name)
	if err != nil {
		return nil, err
	}
	defer end()
	return js.cfg.Cluster.Lock(ctx, e, cluster.Lock{Op: j.Op, Volume: name, Work: j.ID, Reads: j.Reads})
}

// runLocked is Run under the locks. A panic is the job's failure.
func (js *Jobs) runLocked(ctx context.Context, e *export.Export, j *Job, fill func(ctx context.Context, fsys tree.FS, j *Job) error) error {
	js.own(j)
	j.State, j.Error, j.Interrupted = Copying, "", false
	if err := js.save(ctx, e, j); err != nil {
		return err
	}
	js.unsaved.Delete(j.ID)
	done := export.Spend(context.WithoutCancel(ctx)) // what has begun is ended, on a full export too
	err := guard.Run(func() error { return js.bring(ctx, e, j, fill) })
	switch {
	case err == nil:
		return guard.Run(func() error { return js.swapAll(done, e, j) })
	case errors.Is(context.Cause(ctx), ErrSessionEnds) && j.Op != cluster.OpClone:
		return j.interrupted(context.Cause(ctx)) // the journal says "copying": the next start of this node finds it so
	}
	tidy, tidied := tree.Tidy(ctx)
	defer tidied()
	tidy = export.Spend(tidy)
	if why := (*problem.Error)(nil); errors.As(context.Cause(ctx), &why) {
		err = why // somebody has ended the job, and not the export
	} else {
		err = js.cfg.Conn.Explain(string(j.Op), e.WhatIsFull(tidy, err))
	}
	j.State, j.Error = Failed, err.Error()
	if js.save(tidy, e, j) != nil {
		js.unsaved.Store(j.ID, j.Error)
	}
	js.clear(tidy, e, j, err)
	return err
}

// clearInside deletes what a job makes in a tree of its own.
func (js *Jobs) clearInside(ctx context.Context, e *export.Export, j *Job) {
	for _, name := range j.Volumes() {
		_ = tree.Delete(ctx, e.FS, path.Join(name, tree.Inside), nil) // the next restore does it again
	}
}

// clearFor bounds how long the failure of a job waits until its unfinished trees are
// deleted.
const clearFor = 30 * time.Second

// clear takes away the unfinished trees of a job that has failed because of why: no
// resume uses them. Where there was no room they are deleted at once, since they are
// what has filled the export, and nobody's data. The sweepers delete the others, and
// what could not be deleted in time.
func (js *Jobs) clear(ctx context.Context, e *export.Export, j *Job, why error) {
	js.clearInside(ctx, e, j)
	names, err := export.Pick(ctx, e.FS, j.Dir(), func(d tree.Entry) (string, bool) { return d.Name, d.Name != path.Base(export.JournalPath(j.ID)) })
	if err != nil || len(names) == 0 {
		return // End and the sweepers come later
	}
	ctx, cancel := context.WithTimeout(ctx, clearFor)
	defer cancel()
	for _, name := range names {
		tmp := path.Join(j.Dir(), name)
		away := path.Join(export.StagingDir, export.PurgePrefix+j.ID+"."+js.cfg.Conn.NewID())
		if e.Rename(ctx, tmp, away) == nil {
			tmp = away
		}
		if tree.IsFull(why) {
			_ = tree.Delete(ctx, e.FS, tmp, nil)
		}
	}
	js.cfg.Sweep()
}

// bring checks the volumes, makes their new trees, and writes down that the swap
// begins.
func (js *Jobs) bring(ctx context.Context, e *export.Export, j *Job, fill func(ctx context.Context, fsys tree.FS, j *Job) error) error {
	err := js.cfg.Cluster.Poll(ctx, e)
	if err == nil {
		err = js.cfg.Volumes.Check(ctx, e, j)
	}
	if err == nil && j.Small {
		err = e.MakeRoom(ctx)
	}
	if err == nil && fill != nil {
		err = fill(ctx, e.FS, j)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = js.cfg.Volumes.CheckAgain(ctx, e, j)
	}
	if err == nil {
		err = js.recordTrees(context.WithoutCancel(ctx), e, j)
	}
	return err
}

// recordTrees notes which tree is which, and that from here on the job goes forward.
func (js *Jobs) recordTrees(ctx context.Context, e *export.Export, j *Job) error {
	for i := range j.Items {
		it := &j.Items[i]
		if it.From == "" {
			continue
		}
		a, err := e.FS.Stat(ctx, it.From)
		if err != nil {
			return err
		}
		it.New = a.FileID
		there, err := export.FileID(ctx, e.FS, it.Dest)
		if err != nil {
			return err
		}
		it.Old = there
		switch {
		case there == 0:
			it.Trash = ""
			if err := js.cfg.Volumes.Fresh(ctx, e, it); err != nil {
				return err
			}
		case it.Trash == "":
			return problem.New(problem.InUse, "choose another name", "%q exists", it.Dest)
		}
	}
	j.State = Swapping
	return js.save(ctx, e, j)
}

// End forgets a job that is at its end, done or failed: what was stopped for
// it has been started, or is not going to be. Its trees, if it has any left, are
// deleted in the background. It refuses a job that may still be resumed.
func (js *Jobs) End(ctx context.Context, id string) error {
	return js.forget(id, js.end(ctx, id, false))
}

// Abort forgets a job that nobody is at work on, also one that was prepared
// and never begun, or interrupted. A swap that has begun is never aborted.
func (js *Jobs) Abort(ctx context.Context, id string) error {
	return js.forget(id, js.end(ctx, id, true))
}

// forget forgets the run of a job that was ended without an error.
func (js *Jobs) forget(id string, err error) error {
	js.mu.Lock()
	defer js.mu.Unlock()
	if r := js.running[id]; err == nil && r != nil && r.Over() {
		delete(js.running, id)
	}
	return err
}

func (js *Jobs) end(ctx context.Context, id string, abort bool) error {
	return js.cfg.Conn.With(ctx, "end the job", func(e *export.Export) error {
		j, err := js.read(ctx, e, id)
		if err != nil || j == nil {
			return err
		}
		switch {
		case j.State == Swapped, j.State == Failed, abort && (j.State == Prepared || j.State == Copying && j.Interrupted):
		default:
			return j.blocks(j.Items[0].Volume)
		}
		js.clearInside(ctx, e, j)
		if err := js.discard(ctx, e, id); err != nil {
			return err
		}
		if j.State != Swapped && j.State != Prepared && j.Op != cluster.OpClone {
			for _, name := range j.Volumes() {
				js.cfg.Note(ctx, e, string(j.Op)+" aborted", name, j.Error)
			}
		}
		return nil
	})
}

// discard hands the directory of a job to the sweepers.
func (js *Jobs) discard(ctx context.Context, e *export.Export, id string) error {
	away := path.Join(export.StagingDir, export.PurgePrefix+id)
	err := e.Rename(export.Spend(ctx), path.Join(export.StagingDir, id), away)
	if err = export.Absent(err); err != nil {
		return err
	}
	// Most have no trees left.
	if e.FS.Remove(ctx, path.Join(away, "journal.json")) == nil {
		_ = e.FS.Rmdir(ctx, away)
	}
	js.unsaved.Delete(id)
	js.cfg.Sweep()
	return nil
}
