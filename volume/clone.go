package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/job"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// clones are the clones that requests ask for again: they outlive the request that
// began them, since dockerd gives up after two minutes and the copy does not.
type clones struct {
	s *Store

	mu     sync.Mutex // guards byName
	byName map[string]*cloning
}

// cloning is a clone that is at work, or that has failed a moment ago.
type cloning struct {
	run *job.Run
	src Ref
}

// toldFor is how long the error of a clone waits for somebody to ask: dockerd and
// the command line ask again within seconds. Later, asking again makes a new clone.
const toldFor = time.Minute

// join returns the clone of src that is at work as name, or has just failed and
// nobody was told; nil for none.
func (cs *clones) join(name string, src Ref) *cloning {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.byName[name]
	if c != nil && (!c.run.Over() || c.src == src) {
		return c
	}
	return nil
}

func (cs *clones) set(name string, c *cloning) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.byName == nil {
		cs.byName = map[string]*cloning{}
	}
	cs.byName[name] = c
}

// drop forgets a clone, unless another one has its name by now.
func (cs *clones) drop(name string, c *cloning) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.byName[name] == c {
		delete(cs.byName, name)
	}
}

// cloneWait is how long one Create waits for a clone; dockerd's limit is 2 min.
const cloneWait = 90 * time.Second

// begin makes name a copy of from: it starts a job, or joins the one that runs. The
// caller has the turn of the name, and waits for the clone when it has given the turn
// back.
func (cs *clones) begin(ctx context.Context, e *export.Export, name, from string, opts Options) (*cloning, error) {
	src, err := ParseRef(from)
	if err != nil {
		return nil, err
	}
	if c := cs.join(name, src); c != nil {
		return c, nil
	}
	return cs.start(ctx, e, name, src, opts)
}

// await waits for a clone, and answers "try again" if the clone takes longer than a
// request may.
func (cs *clones) await(ctx context.Context, name string, c *cloning) error {
	select {
	case <-c.run.Done():
		cs.drop(name, c)
		return c.run.Err()
	case <-time.After(cloneWait):
	case <-ctx.Done():
	}
	return problem.New(problem.InUse, "try again; it goes on meanwhile", "cloning %q from %s, %d %%", name, c.src, c.run.Percent())
}

// start checks the source and sets the copy going.
func (cs *clones) start(ctx context.Context, e *export.Export, name string, src Ref, opts Options) (*cloning, error) {
	if src.Snapshot != "" {
		if err := cs.s.checkView(ctx, e, src); err != nil {
			return nil, err
		}
	} else if err := cs.checkSource(ctx, e, src.Name); err != nil {
		return nil, err
	}
	size, err := tree.Measure(ctx, e.FS, src.Path())
	if err != nil {
		return nil, cloneFault(ctx, e, src, err)
	}
	space, err := e.FS.Statfs(ctx)
	if err != nil {
		return nil, err
	}
	if !export.Room(ctx, space, size.Used) {
		return nil, problem.New(problem.Failed, fmt.Sprintf("'berth df' shows what can be freed, 'berth trash purge ID' frees it; 'berth snapshot restore %s --as %s --force' makes it all the same", src, name),
			"a copy of %s needs %d MiB, and less than 5 %% of the export would be left", src, size.Used>>20)
	}
	j := &job.Job{Op: cluster.OpClone, Engine: "copy", Small: export.Small(space, size.Used),
		Items: []job.Item{{Volume: name, Ref: "from " + src.String(), Dest: name, Meta: export.Encode(cs.s.newMeta(name, opts))}}}
	if src.Snapshot != "" {
		j.Reads = src.String()
	}
	if err := cs.s.Jobs.Prepare(ctx, j); err != nil {
		return nil, err
	}
	c := &cloning{src: src}
	cs.set(name, c) // nobody joins it before the caller gives the turn back
	c.run, err = cs.s.Jobs.Start(ctx, j, job.Work{
		Fill: func(ctx context.Context, fsys tree.FS, r *job.Run, j *job.Job) error {
			r.Expect(size.Files, size.Bytes)
			return cs.s.conn.Explain("clone "+src.String(), cs.fill(ctx, cs.s.conn.On(fsys), r, j, src, opts))
		},
		Ended: func(ctx context.Context, r *job.Run, _ *job.Job, _ job.Progress, err error) {
			// What cannot be ended now is ended like that of a dead node.
			_ = cs.s.Jobs.Abort(ctx, r.Job.ID)
			if err == nil {
				cs.drop(name, c) // the volume tells of it
				return
			}
			time.AfterFunc(toldFor, func() { cs.drop(name, c) })
		},
	})
	if err != nil {
		cs.drop(name, c)
		return nil, errors.Join(err, cs.s.Jobs.Abort(ctx, j.ID))
	}
	return c, nil
}

// finish ends a clone whose owner died: it is not resumed.
func (cs *clones) finish(ctx context.Context, e *export.Export, l *cluster.Lock) error {
	if strings.HasPrefix(l.Work, export.JobPrefix) {
		return cs.s.Jobs.Finish(ctx, e, l)
	}
	// An earlier berth wrote no journal. The clone's metadata goes unless the clone
	// was published.
	published, err := export.Exists(ctx, e.FS, l.Volume)
	if err == nil && !published {
		err = export.Absent(e.FS.Remove(ctx, export.MetaPath(l.Volume)))
	}
	if err != nil {
		return err
	}
	return cs.s.Trash.discardStaging(ctx, e, l.Work)
}

// checkSource refuses a source that is no whole volume, or a database
// that is being written: a copy of it would be no database.
func (cs *clones) checkSource(ctx context.Context, e *export.Export, name string) error {
	if err := cs.s.checkDirectory(ctx, e, name); err != nil {
		return err
	}
	meta, err := readMeta(ctx, e.FS, name)
	if err != nil || meta == nil || meta.Options.Get("access") != "single" {
		return err
	}
	users, err := cs.s.Cluster.Users(ctx, e, name)
	if err == nil && len(users) > 0 {
		return problem.New(problem.InUse, fmt.Sprintf("stop it, or clone a snapshot of it: from=%s@SNAPSHOT", name),
			"volume %q is access=single and in use on %s: a copy made meanwhile would be torn", name, users[0].Node)
	}
	return err
}

// cloneFault is why there is no clone of src. One that is gone altogether was
// there when the clone was asked for.
func cloneFault(ctx context.Context, e *export.Export, src Ref, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		if there, statErr := export.Exists(ctx, e.FS, src.Path()); statErr == nil && !there {
			err = &tree.Incomplete{Name: src.Path(), Gone: true}
		}
	}
	return problem.Whole(err, src.String(), cloneHint(src, err))
}

// cloneHint is what to do about a copy that is not whole.
func cloneHint(src Ref, err error) string {
	not := (*tree.Incomplete)(nil)
	switch errors.As(err, &not); {
	case not != nil && not.Missing.Total > 0:
		return "copy it by hand, or clone without these"
	case src.Snapshot != "":
		return "clone another version: 'berth snapshot ls " + src.Name + "' lists them"
	}
	return fmt.Sprintf("nothing may write to it meanwhile; clone a snapshot of it: from=%s@SNAPSHOT", src.Name)
}

// fill copies into the job's directory, verified.
func (cs *clones) fill(ctx context.Context, e *export.Export, r *job.Run, j *job.Job, src Ref, opts Options) error {
	it := &j.Items[0]
	it.From = path.Join(j.Dir(), "data")
	var copying tree.CopyOptions
	if clone := cs.s.cfg.CloneFile; clone != nil && src.Snapshot != "" {
		copying.Clone = func(ctx context.Context, src, dst string) bool { return clone(ctx, src, dst, r.Warn) }
	}
	stats, err := tree.Copy(ctx, e.FS, src.Path(), it.From, copying, r.Progress)
	if err != nil {
		return cloneFault(ctx, e, src, err)
	}
	if set, any := opts.givenAttr(); any {
		if err := e.FS.SetAttr(ctx, it.From, set); err != nil {
			return err
		}
	}
	it.Ref = fmt.Sprintf("from %s, %d files, %d bytes", src, stats.Files, stats.Bytes)
	return nil
}
