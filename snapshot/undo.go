package snapshot

import (
	"context"
	"path"
	"slices"

	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// planUndo finds what the last restore or undo of each volume has replaced. Of
// a stack it is the last one of any of its volumes, and of those that were
// restored with it.
func (v *Versions) planUndo(ctx context.Context, p *Plan, job string) error {
	items, err := v.volumes.TrashList(ctx)
	if err != nil {
		return err
	}
	newest := map[string]*volume.Trashed{}
	for _, t := range items {
		// What the job itself has kept before it was interrupted is not it.
		if t.Kind == "undo" && (job == "" || t.Job != job) && (newest[t.Volume] == nil || !t.Removed.Before(newest[t.Volume].Removed)) {
			newest[t.Volume] = t
		}
	}
	names := p.request.Refs
	if stack := p.request.Stack; stack != "" {
		if names = lastOf(newest, stack); len(names) == 0 {
			return noUndo("stack " + stack)
		}
	}
	for _, name := range names {
		if err := volume.CheckName(name); err != nil {
			return err
		}
		t := newest[name]
		if t == nil {
			return noUndo("volume " + name)
		}
		if err := p.request.same(t); err != nil {
			return err
		}
		it := PlanItem{Volume: name, Exact: &Exact{Volume: name, Trash: t.ID}, Path: t.Path, Ref: "as before the " + t.Reason, Trash: t.Data(), partial: t.Partial,
			source: t.Data(), dest: path.Join(name, t.Path)}
		p.Items = append(p.Items, it)
	}
	return nil
}

// same refuses an undo copy that is not the one that was planned with.
func (r *RestoreRequest) same(t *volume.Trashed) error {
	for _, e := range r.Exact {
		if e.Volume == t.Volume && e.Trash != "" && e.Trash != t.ID {
			return errorf(volume.NotFound, "plan it again: 'berth undo "+t.Volume+"'", "volume %q was restored or undone since this undo was planned", t.Volume)
		}
	}
	return nil
}

func noUndo(what string) error {
	return errorf(volume.Nothing, "'berth trash ls' lists what is kept", "nothing to undo for %s: no restore whose copy is still in the trash", what)
}

// lastOf lists the volumes of a stack that the last job on it has changed.
func lastOf(newest map[string]*volume.Trashed, stack string) (names []string) {
	var last *volume.Trashed
	for _, t := range newest {
		if len(ofStack([]string{t.Volume}, stack)) > 0 && (last == nil || t.Removed.After(last.Removed)) {
			last = t
		}
	}
	for name, t := range newest {
		if last != nil && t.Job == last.Job && len(ofStack([]string{name}, stack)) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// measurePartial counts what putting replaced files back does.
func (v *Versions) measurePartial(ctx context.Context, fsys tree.FS, it *PlanItem) error {
	changes, err := readChanges(ctx, fsys, path.Dir(it.Trash))
	for _, c := range changes {
		switch c.Kind {
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
