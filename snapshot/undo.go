package snapshot

import (
	"context"
	"fmt"
	"path"
	"slices"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// planUndo finds what the last restore or undo of each volume has replaced. Of
// a stack it is the last one of any of its volumes, and of those that were
// restored with it.
func (v *Versions) planUndo(ctx context.Context, p *Plan, job string) error {
	fsys, err := v.volumes.FS(ctx)
	if err != nil {
		return err
	}
	items, err := v.keptBefore(ctx, job)
	if err != nil {
		return err
	}
	names, stack := p.Request.Refs, p.Request.Stack
	if stack != "" {
		all, err := volume.NamesIn(ctx, fsys)
		if err != nil {
			return err
		}
		names = ofStack(all, stack)
	}
	newest := map[string]*volume.Trashed{}
	var lost *volume.Trashed // a former volume's
	for _, name := range names {
		if err := volume.CheckName(name); err != nil {
			return err
		}
		meta, err := volume.MetaNow(ctx, fsys, name)
		if err != nil {
			return err
		}
		own, former := volume.Undos(items, name, meta)
		if len(former) > 0 {
			lost = former[len(former)-1]
		}
		if len(own) > 0 {
			newest[name] = own[len(own)-1]
		} else if stack == "" {
			return noUndo("volume "+name, items, lost)
		}
	}
	if stack != "" {
		if names = lastOf(newest); len(names) == 0 {
			return noUndo("stack "+stack, items, lost)
		}
	}
	for _, name := range names {
		t := newest[name]
		if err := p.Request.same(name, t); err != nil {
			return err
		}
		it := PlanItem{Volume: name, Exact: &reference.Exact{Volume: name, Trash: t.ID}, Path: t.Path, Ref: "as before the " + t.Reason, Trash: t.Data()}
		if t.Partial {
			it.Kind = KindFiles
		}
		p.Items = append(p.Items, it)
	}
	return nil
}

// same refuses an undo copy that is not the one that was planned with.
func (r *RestoreRequest) same(name string, t *volume.Trashed) error {
	for _, e := range r.Exact {
		if e.Volume == name && e.Trash != "" && e.Trash != t.ID {
			return notTheUndo(name)
		}
	}
	return nil
}

func notTheUndo(name string) error {
	return problem.New(problem.NotFound, "plan it again: 'berth undo "+name+"'", "volume %q was restored or undone since this undo was planned", name)
}

// keptBefore lists the trash without what a job itself has kept before it was
// interrupted: that is not what the job undoes.
func (v *Versions) keptBefore(ctx context.Context, job string) ([]*volume.Trashed, error) {
	items, err := v.volumes.Trash.List(ctx)
	return slices.DeleteFunc(items, func(t *volume.Trashed) bool { return job != "" && t.Job == job }), err
}

// sameUndo refuses an item of an undo that is not the newest of its volume any
// more.
func (v *Versions) sameUndo(ctx context.Context, fsys tree.FS, it *PlanItem, trash []*volume.Trashed) error {
	meta, err := volume.MetaNow(ctx, fsys, it.Volume)
	if err != nil {
		return err
	}
	own, former := volume.Undos(trash, it.Volume, meta)
	if len(own) == 0 {
		var lost *volume.Trashed
		if len(former) > 0 {
			lost = former[len(former)-1]
		}
		return noUndo("volume "+it.Volume, trash, lost)
	}
	if own[len(own)-1].ID != it.Exact.Trash {
		return notTheUndo(it.Volume)
	}
	return nil
}

// noUndo says that there is none, and what can be done with the former
// volume's, if there is one.
func noUndo(what string, items []*volume.Trashed, lost *volume.Trashed) error {
	if lost == nil {
		return problem.New(problem.Nothing, "'berth trash ls' lists what is kept", "nothing to undo for %s: no restore whose copy is still in the trash", what)
	}
	hint := "'berth trash ls' lists what is kept"
	as := lost.Volume + "-former"
	if r := volume.RemovedWith(items, lost); r != nil {
		hint = fmt.Sprintf("'berth trash restore %s --as %s' brings that volume back beside, 'berth undo %s' then puts it back", r.ID, as, as)
	} else if !lost.Partial {
		hint = fmt.Sprintf("'berth trash restore %s --as %s' brings it back beside", lost.ID, as)
	}
	return problem.New(problem.Nothing, hint, "nothing to undo for %s: the undo in the trash belongs to a former volume %q", what, lost.Volume)
}

// lastOf lists the volumes of a stack that the last job on it has changed.
func lastOf(newest map[string]*volume.Trashed) (names []string) {
	var last *volume.Trashed
	for _, t := range newest {
		if last == nil || t.Removed.After(last.Removed) {
			last = t
		}
	}
	for name, t := range newest {
		if t.Job == last.Job {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// measurePartial counts what putting replaced files back does.
func (v *Versions) measurePartial(ctx context.Context, fsys tree.FS, it *PlanItem) error {
	changes, err := readChanges(ctx, fsys, path.Dir(it.source()))
	for _, c := range changes {
		switch c.Kind {
		case timeOnly:
			continue
		case tree.Added:
			it.Changes.Removed++
		case tree.Removed:
			it.Changes.Added++
		case tree.Updated:
			it.Changes.Updated++
		default:
			it.Changes.Modified++
		}
		it.Files++
	}
	return err
}
