package snapshot

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/casit/berth/audit"
	"github.com/casit/berth/cluster"
	"github.com/casit/berth/job"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/embedded"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/text"
	"github.com/casit/berth/tree"
)

// EngineLive copies a takeover's volume as it is, where nobody can make an
// instant of it: only when the administrator says that its holder is off.
const EngineLive Engine = "live copy"

// takeoverPatience is how long one request waits for a takeover.
const takeoverPatience = 10 * time.Second

// TakeOver takes an access=single volume over from a node that is silent, and
// waits for it a while: nil when it is done, an error that says how far it is
// otherwise. Several may ask for it, also on several nodes; it is done once.
func (v *Versions) TakeOver(ctx context.Context, name, from string) error {
	if !v.instants(ctx) {
		return problem.New(problem.InUse, fmt.Sprintf("make sure that %s is switched off, then type 'berth volume takeover %s --from %s'", from, name, from),
			"volume %q is access=single and held by %s, which is silent, and berth can make no snapshot here to take it over by itself", name, from)
	}
	w, err := v.startTakeover(ctx, name, from, false)
	if err != nil {
		return err
	}
	select {
	case <-w.Done():
		if err := w.Err(); err != nil {
			return problem.New(problem.KindOf(err), "", "taking volume %q over from %s: %v", name, from, err)
		}
		return nil
	case <-time.After(takeoverPatience):
	case <-ctx.Done():
	}
	return problem.New(problem.InUse, "try again", "taking over from %s, %d %%", from, w.Percent())
}

// TakeOverNow is the administrator's takeover: also where no instant can be
// made, and from a node whose berth was stopped with containers going on. It
// returns the job that does it.
func (v *Versions) TakeOverNow(ctx context.Context, name, from string) (*job.Job, error) {
	w, err := v.startTakeover(ctx, name, from, true)
	if err != nil {
		return nil, err
	}
	return w.Job, nil
}

// startTakeover returns the takeover of a volume that this node has at work,
// or begins one. One of a node that died is forgotten: its snapshot is older
// than what its holder may have written since.
func (v *Versions) startTakeover(ctx context.Context, name, from string, byHand bool) (*job.Run, error) {
	// One at a time begins it; no volume is called so.
	end, err := v.volumes.Cluster.Turn(ctx, "takeover of "+name)
	if err != nil {
		return nil, problem.New(problem.InUse, "try again", "taking over from %s, %d %%", from, 0).Because(err)
	}
	defer end()
	if w := v.Jobs.Of(cluster.OpTakeover, name); w != nil {
		return w, nil
	}
	jobs, err := v.Jobs.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		if j.Op == cluster.OpTakeover && j.Items[0].Volume == name && (j.Interrupted || j.State == job.Failed || j.State == job.Swapped || v.orphan(j)) {
			if err := v.endTakeover(ctx, j); err != nil {
				return nil, err
			}
		}
	}
	engine := EngineCopy
	if byHand && !v.instants(ctx) {
		engine = EngineLive
	}
	if filer := v.tuned.Load().Filer; filer != nil {
		if does, _ := filer.Restores(ctx); does { // else by copy, whatever the reason
			engine = EngineFiler
		}
	}
	j, err := v.volumes.PrepareTakeover(ctx, name, from, string(engine), byHand)
	if err != nil {
		return nil, err
	}
	return v.start(ctx, j)
}

// orphan tells a takeover that was prepared and never begun.
func (v *Versions) orphan(j *job.Job) bool {
	return j.State == job.Prepared && (v.volumes.Cluster.Ended(j.Node, j.Incarnation) || j.Incarnation == v.volumes.Cluster.Incarnation())
}

// endTakeover forgets a takeover that is over, and the snapshot made for it.
func (v *Versions) endTakeover(ctx context.Context, j *job.Job) error {
	if j.Engine != string(EngineLive) && j.State != job.Prepared {
		// Also one that failed half-way; that there is none is no error.
		_, err := v.removeAfter(ctx, RemoveRequest{Names: []string{takeoverSnapshot(j)}}, j.ID)
		if err != nil && problem.KindOf(err) != problem.NotFound {
			v.volumes.Audit.Note(ctx, audit.Record{Op: "takeover", Volume: j.Items[0].Volume, Detail: fmt.Sprintf("its snapshot %s is left: %v", takeoverSnapshot(j), err)})
		}
	}
	return v.Jobs.Abort(ctx, j.ID)
}

// takeoverSnapshot is the name of the instant that a takeover brings back.
func takeoverSnapshot(j *job.Job) string {
	return "berth-takeover-" + strings.TrimPrefix(j.ID, "job-")
}

// instants tells whether snapshots here are instants of the whole export.
func (v *Versions) instants(ctx context.Context) bool {
	if v.tuned.Load().Filer != nil {
		return true
	}
	fsys, err := v.volumes.FS(ctx)
	if err != nil {
		return false
	}
	e, ok := embedded.New(fsys, v.tuned.Load().Zone)
	return ok && e.Instant(ctx)
}

// takeoverItem is the new tree of a volume that is taken over: of an instant that
// is made for it, or of the volume as it is.
func (v *Versions) takeoverItem(ctx context.Context, fsys tree.FS, j *job.Job) (PlanItem, error) {
	it := &j.Items[0]
	p := PlanItem{Volume: it.Volume, Ref: it.Ref, Exact: &reference.Exact{Volume: it.Volume}, Kind: KindTree, Engine: Engine(j.Engine)}
	if p.Engine != EngineLive {
		snap := takeoverSnapshot(j)
		c, err := v.Create(ctx, CreateRequest{Name: snap, Comment: fmt.Sprintf("berth: takeover of %s from %s", it.Volume, j.From)})
		if err != nil {
			return p, err
		}
		if c.By == ByBerth && c.Method != embedded.ByBtrfs {
			return p, problem.New(problem.Failed, fmt.Sprintf("'berth volume takeover %s --from %s' does it by hand", it.Volume, j.From), "the snapshot is no instant")
		}
		shown, err := stat(ctx, fsys, path.Join(reference.Dir, snap))
		if c.Snapshot.Hidden = shown == nil; err == nil {
			err = v.open(ctx, c.Snapshot)
		}
		if err != nil {
			return p, err
		}
		ref := reference.Ref{Volume: it.Volume, Snapshot: snap}
		it.Ref, p.Ref, p.Exact.Snapshot, p.Snapshot = ref.String(), ref.String(), text.Text(snap), &c.Snapshot
	}
	size, err := tree.Measure(ctx, fsys, p.source())
	if err != nil {
		return p, err
	}
	space, err := fsys.Statfs(ctx)
	if err != nil {
		return p, err
	}
	if p.Engine != EngineFiler && space.Total > 0 && space.Avail < size.Used && !j.Force {
		return p, problem.New(problem.Failed, fmt.Sprintf("'berth df' shows what can be freed; 'berth volume takeover %s --from %s --force' tries it all the same", it.Volume, j.From), "it needs %d MiB, and the export has %d MiB", size.Used>>20, space.Avail>>20)
	}
	p.Files, p.Bytes = size.Files, size.Bytes
	return p, nil
}

// BreakLocks takes the locks that a node left on a volume away from it, where
// the filer's API can: the node is gone, or is fenced off from the volume.
func (v *Versions) BreakLocks(ctx context.Context, name, node string) error {
	address, filer := v.volumes.Cluster.Address(node), v.tuned.Load().Filer
	if filer == nil || address == "" {
		return nil
	}
	n, err := filer.BreakLocks(ctx, name, address)
	if n > 0 {
		v.volumes.Audit.Note(ctx, audit.Record{Op: "locks broken", Volume: name, Detail: fmt.Sprintf("%d of %s (%s)", n, node, address)})
	}
	return err
}
