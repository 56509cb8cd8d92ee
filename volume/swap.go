package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// A swap brings a tree into the place of another with two RENAMEs: what is at
// Dest to trash, From to Dest. The journal has the intent and the file ids of
// both trees, so that whoever comes later knows what has happened already.

// swapAll swaps every tree of a job.
func (s *Store) swapAll(ctx context.Context, e *export.Export, j *Job) error {
	for i := range j.Items {
		if err := s.swap(ctx, e, j, &j.Items[i]); err != nil {
			return err
		}
	}
	if j.Op == cluster.OpTakeover {
		if err := s.Cluster.Raise(ctx, e, j.Items[0].Volume, j.Epoch, j.From); err != nil {
			return err
		}
	}
	return s.swapped(ctx, e, j)
}

// swapped writes down that a job is done.
func (s *Store) swapped(ctx context.Context, e *export.Export, j *Job) error {
	j.State = JobSwapped
	if err := s.saveJob(ctx, e, j); err != nil {
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
		s.audit(ctx, e, AuditRecord{Op: string(j.Op), Volume: it.Volume, Detail: detail})
	}
	return nil
}

// swap brings one tree in its place. It may be repeated, after a crash at any
// step, and on several nodes at once.
func (s *Store) swap(ctx context.Context, e *export.Export, j *Job, it *JobItem) error {
	if it.From == "" {
		return nil
	}
	there, err := fileID(ctx, e.FS, it.Dest)
	if err != nil {
		return err
	}
	whole := it.Dest == it.Volume
	if there != it.New {
		if there != 0 && there != it.Old {
			return problem.New(problem.Failed, fmt.Sprintf("the restored tree is in %s on the export; nothing was lost", it.From),
				"%q was replaced by something else while it was restored", it.Dest)
		}
		if there != 0 {
			if err := s.keepOld(ctx, e, j, it); err != nil {
				// Another node may have done it at the same time.
				now, idErr := fileID(ctx, e.FS, it.Dest)
				if idErr != nil || now == it.Old {
					return err
				}
				if now != 0 {
					return s.swap(ctx, e, j, it)
				}
			}
		}
		if whole && it.Meta != nil && it.Old == 0 {
			if err := e.Replace(ctx, export.MetaPath(it.Volume), it.Meta); err != nil {
				return err
			}
		}
		if err := s.place(ctx, e, it); err != nil {
			return err
		}
	}
	if whole {
		s.index.put(it.Volume, entry{})
	}
	if id, ok := trashID(it.From); ok {
		return s.dropTrash(ctx, e, id)
	}
	return nil
}

// keepOld moves what is at Dest to trash.
func (s *Store) keepOld(ctx context.Context, e *export.Export, j *Job, it *JobItem) error {
	var meta *Meta
	if it.Dest == it.Volume {
		var err error
		if meta, err = readMeta(ctx, e.FS, it.Volume); err != nil {
			return err
		}
	}
	t := s.NewUndo(j, it)
	t.Meta = meta
	if err := s.RecordTrash(ctx, e.FS, t); err != nil {
		return err
	}
	return export.Absent(e.FS.Rename(ctx, it.Dest, export.TrashData(t.ID))) // gone: another node did it
}

// NewUndo is the record of what a job replaces at one place.
func (s *Store) NewUndo(j *Job, it *JobItem) *Trashed {
	kind := "undo"
	if j.Op == cluster.OpTakeover {
		kind = "fenced"
	}
	t := s.newTrash(kind, it.Volume, nil)
	t.ID, t.Job, t.Reason, t.From = it.Trash, j.ID, string(j.Op), j.From
	switch j.Op {
	case cluster.OpRestore:
		t.Reason += " to " + it.Ref
	case cluster.OpTakeover:
		t.Reason += " from " + j.From
		t.Since = j.Began.Add(-time.Second) // clocks are read over the network
	}
	expires := t.Removed.Add(s.TrashTTL())
	if j.Keep > 0 {
		expires = t.Removed.Add(j.Keep)
	}
	t.Expires = &expires
	return t
}

// Discard hands what is at name, in trash or staging, to the sweepers.
func (s *Store) Discard(ctx context.Context, fsys tree.FS, name string) error {
	return export.Absent(fsys.Rename(ctx, name, path.Join(export.StagingDir, export.PurgePrefix+path.Base(name))))
}

// place renames From to Dest, where nothing is. A file is linked, since a
// RENAME would replace one that somebody has made meanwhile.
func (s *Store) place(ctx context.Context, e *export.Export, it *JobItem) error {
	a, err := e.FS.Stat(ctx, it.From)
	if err == nil && a.Kind != tree.Directory {
		if err = e.FS.Link(ctx, it.From, it.Dest); err == nil {
			return export.Absent(e.FS.Remove(ctx, it.From))
		}
	} else if err == nil {
		err = e.FS.Rename(ctx, it.From, it.Dest)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Another node was faster; or it took what we had brought for the old
	// tree, which only an empty one allows.
	if there, idErr := fileID(ctx, e.FS, it.Dest); idErr != nil || there == it.New {
		return idErr
	}
	if it.Trash != "" {
		if in, idErr := fileID(ctx, e.FS, export.TrashData(it.Trash)); idErr == nil && in == it.New {
			return e.FS.Rename(ctx, export.TrashData(it.Trash), it.Dest)
		}
	}
	return err
}

// finishJob ends a job whose owner died under the lock l: before the swap
// nothing has to be done, and the job can be resumed; after it the swap is
// completed.
func (s *Store) finishJob(ctx context.Context, e *export.Export, l *cluster.Lock) error {
	j, err := s.readJob(ctx, e, l.Work)
	if err != nil || j == nil || j.State != JobSwapping {
		return err
	}
	return s.swapAll(ctx, e, j)
}

// fileID identifies what is at a name, 0 for nothing. Where the host's kernel
// has mounted the export, asking for the root first makes it forget the names
// in it that other nodes have changed.
func fileID(ctx context.Context, fsys tree.FS, name string) (uint64, error) {
	if _, err := fsys.Stat(ctx, "."); err != nil {
		return 0, err
	}
	a, err := fsys.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return a.FileID, err
}

// trashID returns the item whose data a path below the export is.
func trashID(name string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(name, export.TrashDir+"/")
	if !ok {
		return "", false
	}
	id, data := path.Split(rest)
	return path.Clean(id), data == "data"
}
