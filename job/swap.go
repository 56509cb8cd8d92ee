package job

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/several"
	"github.com/casit/berth/tree"
)

// A swap brings a tree into the place of another with two RENAMEs: what is at
// Dest to trash, From to Dest. The journal has the intent and the file ids of
// both trees, so that whoever comes later knows what has happened already.

// swapAll swaps every tree of a job. One that cannot be swapped keeps no other; the
// job goes on with it later.
func (js *Jobs) swapAll(ctx context.Context, e *export.Export, j *Job) error {
	ctx = export.Spend(ctx) // the trees are complete: there is no way back
	var failed several.Errors
	for i := range j.Items {
		err := js.swap(ctx, e, j, &j.Items[i])
		if errors.Is(err, syscall.EXDEV) && i == 0 {
			return js.refuseSwap(ctx, e, j, err)
		}
		failed.Add(err)
		if export.Ends(ctx, e.FS, err) {
			break
		}
	}
	if err := failed.Err(); err != nil {
		return err
	}
	if j.Op == cluster.OpTakeover {
		if err := js.cfg.Cluster.Raise(ctx, e, j.Items[0].Volume, j.Epoch, j.From); err != nil {
			return err
		}
	}
	return js.swapped(ctx, e, j)
}

// refuseSwap ends a job whose first volume is a tree of its own that cannot be moved:
// nothing was swapped, and no repetition would help.
func (js *Jobs) refuseSwap(ctx context.Context, e *export.Export, j *Job, why error) error {
	it := &j.Items[0]
	if there, err := export.FileID(ctx, e.FS, it.Dest); err != nil || there != it.Old {
		return errors.Join(why, err)
	}
	err := problem.New(problem.Failed, "nothing was changed; stop what uses it, and restore with --live, which changes it in place",
		"%q is a tree of its own on the export (a qtree, a subvolume or a project), and no other tree can be moved into its place", it.Dest).Because(why)
	j.State, j.Error = Failed, err.Error()
	if saveErr := js.save(ctx, e, j); saveErr != nil {
		return errors.Join(why, saveErr)
	}
	js.clear(ctx, e, j, err)
	return err
}

// swapped writes down that a job is done.
func (js *Jobs) swapped(ctx context.Context, e *export.Export, j *Job) error {
	j.State = Swapped
	if err := js.save(ctx, e, j); err != nil {
		return err
	}
	for _, it := range j.Items {
		detail := it.Ref
		if j.From != "" {
			detail = "from " + j.From + ": " + detail
		}
		if it.Trash != "" {
			detail += ", before: trash " + it.Trash
		}
		js.cfg.Note(ctx, e, string(j.Op), it.Volume, detail)
	}
	return nil
}

// swap brings one tree in its place. It may be repeated, after a crash at any
// step, and on several nodes at once.
func (js *Jobs) swap(ctx context.Context, e *export.Export, j *Job, it *Item) error {
	if it.From == "" {
		return nil
	}
	there, err := export.FileID(ctx, e.FS, it.Dest)
	if err != nil {
		return err
	}
	whole := it.Dest == it.Volume
	if there != it.New {
		if there == it.Old && it.Old != 0 {
			// Nothing of this item has happened: what would come must be what was made.
			if from, err := export.FileID(ctx, e.FS, it.From); err != nil || from != it.New {
				return js.misfit(ctx, e, j, it, err)
			}
		}
		if there != 0 && there != it.Old {
			return problem.New(problem.Failed, fmt.Sprintf("the restored tree is in %s on the export; nothing was lost", it.From),
				"%q was replaced by something else while it was restored", it.Dest)
		}
		if there != 0 {
			if err := js.keepOld(ctx, e, j, it); err != nil {
				// Another node may have done it at the same time.
				now, idErr := export.FileID(ctx, e.FS, it.Dest)
				if idErr != nil || now == it.Old {
					return err
				}
				if now != 0 {
					return js.swap(ctx, e, j, it)
				}
			}
		}
		if whole && it.Meta != nil && it.Old == 0 {
			if err := e.Replace(ctx, export.MetaPath(it.Volume), it.Meta); err != nil {
				return err
			}
		}
		if err := js.moveIn(ctx, e, it); err != nil {
			return err
		}
	}
	return js.cfg.Volumes.Placed(ctx, e, it)
}

// misfit refuses a swap whose new tree is another one than the journal says, unless
// another node has swapped meanwhile.
func (js *Jobs) misfit(ctx context.Context, e *export.Export, j *Job, it *Item, err error) error {
	if now, idErr := export.FileID(ctx, e.FS, it.Dest); err != nil || idErr != nil {
		return errors.Join(err, idErr)
	} else if now != it.Old {
		return js.swap(ctx, e, j, it)
	}
	return problem.New(problem.Failed, fmt.Sprintf("nothing was changed; 'berth volume repair %s' moves the %s to the trash", it.Volume, j.Op),
		"the journal %s does not fit its trees: %q is not what was made for %q", export.JournalPath(j.ID), it.From, it.Dest)
}

// keepOld moves what is at Dest to trash.
func (js *Jobs) keepOld(ctx context.Context, e *export.Export, j *Job, it *Item) error {
	if err := js.cfg.Volumes.Keep(ctx, e, j, it); err != nil {
		return err
	}
	return export.Absent(e.Rename(ctx, it.Dest, export.TrashData(it.Trash))) // gone: another node did it
}

// moveIn renames From to Dest, where nothing is. A file is linked, since a
// RENAME would replace one that somebody has made meanwhile.
func (js *Jobs) moveIn(ctx context.Context, e *export.Export, it *Item) error {
	a, err := e.FS.Stat(ctx, it.From)
	if err == nil && a.Kind != tree.Directory {
		if err = e.FS.Link(ctx, it.From, it.Dest); err == nil {
			return export.Absent(e.FS.Remove(ctx, it.From))
		}
	} else if err == nil {
		err = e.Rename(ctx, it.From, it.Dest)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Another node was faster; or it took what we had brought for the old
	// tree, which only an empty one allows.
	if there, idErr := export.FileID(ctx, e.FS, it.Dest); idErr != nil || there == it.New {
		return idErr
	}
	if it.Trash != "" {
		if in, idErr := export.FileID(ctx, e.FS, export.TrashData(it.Trash)); idErr == nil && in == it.New {
			return e.FS.Rename(ctx, export.TrashData(it.Trash), it.Dest)
		}
	}
	return err
}

// Finish ends a job whose owner died under the lock l. Before the swap the trees are
// as they were, and the job can be resumed; from the swap on it is completed. A
// clone is not resumed: Finish takes back what it left.
func (js *Jobs) Finish(ctx context.Context, e *export.Export, l *cluster.Lock) error {
	j, err := js.read(ctx, e, l.Work)
	switch {
	case err != nil || j == nil:
		return err
	case j.Op != l.Op || !slices.Contains(j.Volumes(), l.Volume):
		return problem.New(problem.Failed, fmt.Sprintf("nothing was changed; 'berth volume repair %s' moves the lock away", l.Volume),
			"the lock of volume %q names %s, which is a %s of %s", l.Volume, l.Work, j.Op, several.Join(j.Volumes(), ", "))
	case j.State == Swapping:
		if err = js.swapAll(ctx, e, j); err != nil || j.Op != cluster.OpClone {
			return err
		}
	case j.Op != cluster.OpClone:
		return nil
	}
	return js.discard(ctx, e, j.ID)
}
